//! Ctrl-C and SIGTERM: the first asks to drain, the second not to wait for that.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::status::Status;

/// What a process that is asked to stop has to drain: a service manager's usual patience is 30 s.
pub const DRAIN: Duration = Duration::from_secs(25);

/// What it has beyond that, or after a second signal, to let go of its connections.
const FAREWELL: Duration = Duration::from_secs(1);

/// A signal that asks a process to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Ctrl-C.
    Interrupt,
    /// What a service manager sends.
    Terminate,
}

/// What the process was told so far.
pub struct Signals {
    /// Take no more work.
    pub stop: CancellationToken,
    /// Drop what is in hand.
    pub abort: CancellationToken,
    first: Arc<Mutex<Option<Signal>>>,
}

impl Signals {
    /// Listens from now on.
    pub fn listen() -> Self {
        let signals =
            Self { stop: CancellationToken::new(), abort: CancellationToken::new(), first: Arc::default() };
        let (stop, abort, first) = (signals.stop.clone(), signals.abort.clone(), signals.first.clone());
        tokio::spawn(async move {
            let (Ok(mut interrupt), Ok(mut terminate)) =
                (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
            else {
                tracing::warn!("signals cannot be listened to; stopping this process will not drain it");
                return;
            };
            for token in [stop, abort] {
                let got = tokio::select! {
                    _ = interrupt.recv() => Signal::Interrupt,
                    _ = terminate.recv() => Signal::Terminate,
                };
                first.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(got);
                tracing::info!(signal = ?got, "stopping");
                token.cancel();
            }
        });
        signals
    }

    /// Waits until a process that was asked to stop has had its time. It ends then, whatever does not answer: what it
    /// leaves behind is what a crash would, and others make up for it.
    pub async fn run_out(&self) {
        self.stop.cancelled().await;
        let _ = tokio::time::timeout(DRAIN, self.abort.cancelled()).await;
        tokio::time::sleep(FAREWELL).await;
        tracing::warn!("not everything could be brought to an end in time; starting again carries it on");
    }

    /// How a process that was told to stop ends.
    pub fn interrupted(&self) -> Status {
        Status::Interrupted(self.first().unwrap_or(Signal::Terminate))
    }

    /// The signal that came first.
    pub fn first(&self) -> Option<Signal> {
        *self.first.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

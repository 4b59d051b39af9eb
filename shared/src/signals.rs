//! Ctrl-C and SIGTERM: the first asks to drain, the second not to wait for that.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

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

    /// The signal that came first.
    pub fn first(&self) -> Option<Signal> {
        *self.first.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! Everything our crates log on this thread, kept for a test to search.

use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

use tracing::Dispatch;
use tracing::subscriber::{DefaultGuard, NoSubscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt as _;

/// Keeps what is logged while it lives.
pub struct Log {
    kept: Kept,
    _beside: Dispatch,
    _guard: DefaultGuard,
}

#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    /// Starts to keep everything down to trace that the crates of the product log on this thread, spans' fields
    /// included; on a current-thread runtime, that is everything its tasks log.
    pub fn keep() -> Self {
        let ours = ["producer", "worker", "shared", "standalone"];
        let filter = ours.map(|name| format!("{name}=trace")).join(",");
        let kept = Kept::default();
        let writer = kept.clone();
        let layer = tracing_subscriber::fmt::layer()
            .with_ansi(false)
            .with_span_events(tracing_subscriber::fmt::format::FmtSpan::FULL)
            .with_writer(move || writer.clone());
        let subscriber = tracing_subscriber::registry().with(EnvFilter::new(filter)).with(layer);
        let dispatch = Dispatch::new(subscriber);
        // While there is one dispatcher only, tracing asks the thread that comes to a line of code first whether
        // anybody cares for it, for all threads and for ever: another test's thread, which does not.
        let beside = Dispatch::new(NoSubscriber::new());
        Self { kept, _beside: beside, _guard: tracing::dispatcher::set_default(&dispatch) }
    }

    /// What was kept.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.kept.0.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }
}

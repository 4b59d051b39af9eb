//! The one place the time of day comes from.
//!
//! Code asks a [`Clock`] it was given, so that a test can run a whole night under tokio's paused time. The
//! Postgres ledger has a clock of its own (the database's); the SQLite ledger uses this one.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;

/// Tells the time of day; cheap to clone.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl Clock {
    /// The machine's clock.
    pub fn system() -> Self {
        #[expect(clippy::disallowed_methods, reason = "this is the clock that everything else asks")]
        Self(Arc::new(Timestamp::now))
    }

    /// A clock that tells what `now` tells: for tests that move time themselves.
    pub fn from_fn(now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// A clock that starts at `start` and moves with `tokio::time`, so it stands still while that is paused.
    /// Must be called inside a runtime.
    pub fn following_tokio(start: Timestamp) -> Self {
        let origin = tokio::time::Instant::now();
        Self(Arc::new(move || start + origin.elapsed()))
    }

    /// The time now.
    pub fn now(&self) -> Timestamp {
        (self.0)()
    }

    /// Microseconds since the Unix epoch: how both ledgers store an instant.
    pub fn micros(&self) -> i64 {
        self.now().as_microsecond()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

//! The simulators' idea of the wall clock: the system's, plus a skew a test can set.
//!
//! Only wall-clock facts live here (`meta.lastUpdated`, a token's `iat` and `exp`). Rates, latencies and the
//! statistics' timestamps use tokio's monotonic clock, so that they follow a paused runtime.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

/// A wall clock whose reading can be shifted while it is in use. Clones share the shift.
#[derive(Clone, Debug, Default)]
pub struct WallClock {
    skew_ms: Arc<AtomicI64>,
}

impl WallClock {
    /// Milliseconds since the Unix epoch, with the skew added.
    #[expect(
        clippy::disallowed_methods,
        reason = "this crate shares no code with ours, its clock is this one"
    )]
    pub fn now_ms(&self) -> i64 {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_millis())
            .unwrap_or(i64::MAX)
            .saturating_add(self.skew_ms.load(Ordering::Relaxed))
    }

    /// Today in Jakarta (UTC+7 all year), as `YYYY-MM-DD`.
    pub fn jakarta_date(&self) -> String {
        const AHEAD_MS: i64 = 7 * 3600 * 1000;
        instant_text(self.now_ms().saturating_add(AHEAD_MS))[..10].to_owned()
    }

    /// Shifts the clock: positive milliseconds make it run ahead of the system's.
    pub fn set_skew_ms(&self, skew_ms: i64) {
        self.skew_ms.store(skew_ms, Ordering::Relaxed);
    }
}

/// `YYYY-MM-DDThh:mm:ss.sssZ`, the form of a FHIR `instant`.
pub(crate) fn instant_text(ms: i64) -> String {
    let at = jiff::Timestamp::from_millisecond(ms).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    format!("{at:.3}")
}

/// The form of `Last-Modified` (RFC 9110, 5.6.7), to the second.
pub(crate) fn http_date(ms: i64) -> String {
    let since = Duration::from_millis(u64::try_from(ms).unwrap_or(0));
    httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + since)
}

//! A hidden token bucket: what a server can take, which its callers have to find out.

use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

/// The capacity of a server; a request beyond it is answered 429.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Capacity {
    /// Requests per second the bucket is refilled with.
    pub requests_per_second: f64,
    /// The most requests at once; a tenth of a second's worth when absent, at least 1.
    #[serde(default)]
    pub burst: Option<f64>,
    /// Seconds in `Retry-After`; no header when absent.
    #[serde(default)]
    pub retry_after: Option<u64>,
}

#[derive(Debug)]
pub(crate) struct TokenBucket {
    rate: f64,
    burst: f64,
    level: Mutex<(f64, Instant)>,
}

impl TokenBucket {
    /// A full bucket.
    pub(crate) fn new(capacity: &Capacity) -> Self {
        let rate = capacity.requests_per_second.max(0.0);
        let burst = capacity.burst.unwrap_or(rate / 10.0).max(1.0);
        Self { rate, burst, level: Mutex::new((burst, Instant::now())) }
    }

    pub(crate) fn try_take(&self) -> bool {
        let mut level = self.level.lock().unwrap_or_else(PoisonError::into_inner);
        // Read inside the lock: outside it, a late reader would see time run backwards.
        let now = Instant::now();
        let refilled = level.0 + now.duration_since(level.1).as_secs_f64() * self.rate;
        let available = refilled.min(self.burst);
        let granted = available >= 1.0;
        *level = (if granted { available - 1.0 } else { available }, now);
        granted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn grants_the_burst_then_the_rate() {
        let bucket =
            TokenBucket::new(&Capacity { requests_per_second: 100.0, burst: None, retry_after: None });
        assert_eq!((0..50).filter(|_| bucket.try_take()).count(), 10, "burst is a tenth of a second");
        let mut granted = 0;
        for _ in 0..1000 {
            tokio::time::advance(Duration::from_millis(1)).await;
            granted += usize::from(bucket.try_take());
        }
        assert!((99..=101).contains(&granted), "{granted}");
    }
}

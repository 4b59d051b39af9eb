//! The rate that the server took for long, not long ago: what it may soon take again.

use tokio::time::Instant;

/// Over which the rate is averaged, in seconds: no allowance for bursts lasts so long.
const AVERAGED: f64 = 10.0;
/// Half of it is forgotten in this time, in seconds.
const HALF_LIFE: f64 = 120.0;
/// Below this share of it, the server is not itself.
const LOW: f64 = 0.8;

/// The average of the accepted rate, and the highest it was.
#[derive(Debug)]
pub(super) struct Usual {
    average: f64,
    highest: f64,
    at: Instant,
    /// For how long, in seconds.
    seen: f64,
}

impl Usual {
    pub(super) fn new(now: Instant) -> Self {
        Self { average: 0.0, highest: 0.0, at: now, seen: 0.0 }
    }

    /// So many requests a second were accepted for `seconds`.
    pub(super) fn accepted(&mut self, now: Instant, rate: f64, seconds: f64) {
        self.average += (seconds / AVERAGED).min(1.0) * (rate - self.average);
        self.highest = self.rate(now).max(self.average);
        self.at = now;
        self.seen += seconds;
    }

    /// Whether enough was seen to know it.
    pub(super) fn is_known(&self) -> bool {
        self.seen >= AVERAGED
    }

    /// Whether a server that takes this rate takes less than usual.
    pub(super) fn is_above(&self, rate: f64, now: Instant) -> bool {
        rate < LOW * self.rate(now)
    }

    fn rate(&self, now: Instant) -> f64 {
        let age = now.saturating_duration_since(self.at).as_secs_f64();
        self.highest * 0.5_f64.powf(age / HALF_LIFE)
    }
}

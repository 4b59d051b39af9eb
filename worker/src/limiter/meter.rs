//! Counts answers a second over about the last second.

use std::time::Duration;

use tokio::time::Instant;

/// Spans of [`SPAN_MILLIS`] that make up the window.
const SPANS: u64 = 10;
const SPAN_MILLIS: u64 = 100;
/// Less than this is too short to tell a rate from.
const SHORTEST: Duration = Duration::from_millis(300);

/// A sliding count. The window begins with the first answer counted, so the latency of the first requests after
/// a pause does not dilute the rate.
#[derive(Debug)]
pub(super) struct Meter {
    origin: Instant,
    first: Option<Instant>,
    /// The span's number since the origin, and its count.
    spans: [(u64, u32); SPANS as usize],
}

impl Meter {
    pub(super) fn new(now: Instant) -> Self {
        Self { origin: now, first: None, spans: [(0, 0); SPANS as usize] }
    }

    /// Counts one answer.
    pub(super) fn count(&mut self, now: Instant) {
        self.first.get_or_insert(now);
        let number = self.number(now);
        let span = &mut self.spans[(number % SPANS) as usize];
        if span.0 != number {
            *span = (number, 0);
        }
        span.1 += 1;
    }

    /// Answers a second; `None` before there is enough to tell.
    pub(super) fn rate(&self, now: Instant) -> Option<f64> {
        let number = self.number(now);
        let oldest = (number + 1).saturating_sub(SPANS);
        let window_start = self.origin + Duration::from_millis(oldest * SPAN_MILLIS);
        let window = now.saturating_duration_since(window_start.max(self.first?));
        if window < SHORTEST {
            return None;
        }
        let count: u32 = self.spans.iter().filter(|span| span.0 >= oldest).map(|span| span.1).sum();
        (count > 0).then(|| f64::from(count) / window.as_secs_f64())
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.first = None;
        self.spans = [(0, 0); SPANS as usize];
    }

    fn number(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.origin).as_millis() as u64 / SPAN_MILLIS
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::Meter;

    #[test]
    fn measures_a_steady_rate_and_forgets_an_old_one() {
        let start = Instant::now();
        let mut meter = Meter::new(start);
        for millis in (0..3_000).step_by(5) {
            meter.count(start + Duration::from_millis(millis));
        }
        let rate = meter.rate(start + Duration::from_millis(3_000)).expect("enough answers");
        assert!((195.0..205.0).contains(&rate), "{rate}");
        assert_eq!(meter.rate(start + Duration::from_secs(10)), None);
    }

    #[test]
    fn says_nothing_before_it_can() {
        let start = Instant::now();
        let mut meter = Meter::new(start);
        assert_eq!(meter.rate(start + Duration::from_secs(1)), None);
        meter.count(start + Duration::from_secs(1));
        assert_eq!(meter.rate(start + Duration::from_millis(1_200)), None);
    }
}

//! Tells a queue that builds up in the server from latency that is merely noisy or has changed for good.
//!
//! The idea is TCP Vegas' (Brakmo, O'Malley, Peterson 1994): latency above what the path takes unloaded is
//! queueing. Netflix's `concurrency-limits` applies it to request concurrency as a gradient of the long-term
//! over the present latency. Here a cut needs a whole cohort above a threshold, because single requests scatter
//! far more than round trips.

use std::time::Duration;

/// Operation classes whose latencies are kept apart; a higher class counts as the last.
pub(super) const CLASSES: usize = 6;

/// Size of the first cohort, which gives the first baseline: the initial level, nothing has grown yet.
const FIRST_COHORT: u32 = 16;
/// Size of a cohort during slow start, where a late answer means an overshoot.
const RAMP_COHORT: u32 = 32;
/// Size of a cohort otherwise. The mean of 100 logarithms with sigma 0.8 has a standard error of 0.08: the
/// lowest of thousands stays above 0.7 of the truth, and twice that is out of reach by chance.
const COHORT: u32 = 100;
/// Share of a cohort that closes it: one request that hangs must not blind the watch until its time-out.
const CLOSED_AT: f64 = 0.9;

/// Latency is rising above this multiple of the baseline, plus [`SLACK`].
const RISE: f64 = 2.0;
/// Below this much extra latency it is noise of this machine's own processors, in seconds.
const SLACK: f64 = 0.020;
/// Latencies count as at least this, in seconds: a logarithm needs a floor.
const FLOOR: f64 = 0.000_1;

/// Bounds of the share of the limit that a rise leaves.
const MILDEST_CUT: f64 = 0.9;
const DEEPEST_CUT: f64 = 0.7;
/// A descent must have brought the limit down to this share before it is judged …
const JUDGED_AT: f64 = 0.5;
/// … and was in vain if latency is still above this share of its peak: it does not depend on our load.
const IN_VAIN: f64 = 0.8;

/// What an answer completed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Trend {
    /// No cohort closed, or it closed within bounds.
    Steady,
    /// A whole cohort was above the threshold; this share of the limit should be left.
    Rising(f64),
    /// Lowering the limit did not lower the latency: the baseline has been moved up, and the limit, given here
    /// as it was before, was lowered for nothing.
    Moved {
        /// The limit when the descent began.
        limit_before: f64,
    },
}

/// The limit's standing when an answer came in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Standing {
    /// The concurrency limit.
    pub(super) limit: f64,
    /// It is what holds requests back, so that lowering it would change something.
    pub(super) in_use: bool,
    /// Slow start.
    pub(super) ramping: bool,
    /// The number that the next request to start will have.
    pub(super) next_number: u64,
}

/// Geometric means of latency by class: the present against the lowest seen.
///
/// A cohort is a run of requests by the order of their start. Counting answers as they come instead would favour
/// the quick ones whenever the limit grows or a count starts anew, and the baseline would be too low.
#[derive(Debug)]
pub(super) struct LatencyWatch {
    first: u64,
    size: u32,
    ended: u32,
    classes: [Class; CLASSES],
}

#[derive(Debug, Default, Clone, Copy)]
struct Class {
    baseline: Option<f64>,
    samples: u32,
    sum_of_logs: f64,
    descent: Option<Descent>,
}

#[derive(Debug, Clone, Copy)]
struct Descent {
    limit: f64,
    peak: f64,
}

impl LatencyWatch {
    pub(super) fn new() -> Self {
        Self { first: 0, size: FIRST_COHORT, ended: 0, classes: [Class::default(); CLASSES] }
    }

    /// Takes the end of request `number`, with its class and latency where it was a success.
    pub(super) fn end(&mut self, number: u64, sample: Option<(usize, Duration)>, at: Standing) -> Trend {
        if number < self.first || number >= self.first + u64::from(self.size) {
            return Trend::Steady;
        }
        self.ended += 1;
        if let Some((class, latency)) = sample {
            let class = &mut self.classes[class.min(CLASSES - 1)];
            class.samples += 1;
            class.sum_of_logs += latency.as_secs_f64().max(FLOOR).ln();
        }
        if f64::from(self.ended) < f64::from(self.size) * CLOSED_AT {
            return Trend::Steady;
        }
        self.next_cohort(at.next_number, at.ramping);
        let enough = if at.ramping { RAMP_COHORT } else { COHORT };
        let mut trend = Trend::Steady;
        for class in &mut self.classes {
            match class.close(f64::from(enough) * CLOSED_AT * 0.9, at) {
                Trend::Steady => {}
                found => trend = found,
            }
        }
        trend
    }

    /// Forgets what is under way: it was measured at a level that is no longer in force.
    pub(super) fn restart(&mut self, next_number: u64) {
        self.next_cohort(next_number, false);
        for class in &mut self.classes {
            class.restart();
        }
    }

    fn next_cohort(&mut self, next_number: u64, ramping: bool) {
        self.first = next_number;
        self.size = if ramping { RAMP_COHORT } else { COHORT };
        self.ended = 0;
    }
}

impl Class {
    /// Judges the samples once there are `enough`; a class with few requests gathers them over several cohorts.
    fn close(&mut self, enough: f64, at: Standing) -> Trend {
        let Some(baseline) = self.baseline else {
            if f64::from(self.samples) >= f64::from(FIRST_COHORT) * CLOSED_AT * 0.9 {
                self.baseline = Some(self.take_mean());
            }
            return Trend::Steady;
        };
        if f64::from(self.samples) < enough {
            return Trend::Steady;
        }
        let mean = self.take_mean();
        self.baseline = Some(baseline.min(mean));
        let threshold = baseline * RISE + SLACK;
        if mean <= threshold {
            self.descent = None;
            return Trend::Steady;
        }
        if !at.in_use {
            return Trend::Steady;
        }
        let descent = self.descent.get_or_insert(Descent { limit: at.limit, peak: mean });
        let judged = at.limit <= (descent.limit * JUDGED_AT).max(1.0);
        if judged && mean > descent.peak * IN_VAIN {
            let limit_before = descent.limit;
            self.baseline = Some(mean);
            self.descent = None;
            return Trend::Moved { limit_before };
        }
        descent.peak = descent.peak.max(mean);
        Trend::Rising((threshold / mean).clamp(DEEPEST_CUT, MILDEST_CUT))
    }

    fn take_mean(&mut self) -> f64 {
        let mean = (self.sum_of_logs / f64::from(self.samples)).exp();
        self.restart();
        mean
    }

    fn restart(&mut self) {
        self.samples = 0;
        self.sum_of_logs = 0.0;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{LatencyWatch, Standing, Trend};

    /// Ends the next `count` requests, one after another, and returns what they completed besides nothing.
    fn feed(watch: &mut LatencyWatch, count: u64, class: usize, millis: u64, limit: f64) -> Vec<Trend> {
        (0..count)
            .map(|_| {
                let number = watch.first + u64::from(watch.ended);
                let at = Standing { limit, in_use: true, ramping: false, next_number: number + 1 };
                watch.end(number, Some((class, Duration::from_millis(millis))), at)
            })
            .filter(|trend| *trend != Trend::Steady)
            .collect()
    }

    #[test]
    fn near_zero_latencies_never_count_as_rising() {
        let mut watch = LatencyWatch::new();
        feed(&mut watch, 15, 0, 0, 100.0);
        assert_eq!(feed(&mut watch, 200, 0, 18, 100.0), []);
    }

    #[test]
    fn a_whole_cohort_above_the_threshold_is_a_rise() {
        let mut watch = LatencyWatch::new();
        feed(&mut watch, 15, 0, 100, 100.0);
        assert_eq!(feed(&mut watch, 90, 0, 210, 100.0), []);
        assert_eq!(feed(&mut watch, 89, 0, 230, 100.0), []);
        assert_eq!(feed(&mut watch, 1, 0, 230, 100.0), [Trend::Rising(0.9)]);
    }

    #[test]
    fn latency_that_ignores_the_limit_becomes_the_baseline() {
        let mut watch = LatencyWatch::new();
        feed(&mut watch, 15, 0, 100, 100.0);
        assert_eq!(feed(&mut watch, 90, 0, 400, 100.0), [Trend::Rising(0.7)]);
        assert_eq!(feed(&mut watch, 90, 0, 400, 70.0), [Trend::Rising(0.7)]);
        assert_eq!(feed(&mut watch, 90, 0, 400, 49.0), [Trend::Moved { limit_before: 100.0 }]);
        assert_eq!(feed(&mut watch, 900, 0, 400, 49.0), []);
    }

    #[test]
    fn classes_are_kept_apart() {
        let mut watch = LatencyWatch::new();
        feed(&mut watch, 15, 0, 5, 100.0);
        assert_eq!(feed(&mut watch, 500, 2, 900, 100.0), []);
    }
}

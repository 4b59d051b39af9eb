//! How long to wait before trying again: the one place that uses the `backoff` crate, and only as the policy
//! that computes the next delay.
//!
//! Which failures deserve another attempt, and the waiting itself, belong to the caller.

use std::time::Duration;

use backoff::ExponentialBackoffBuilder;
use backoff::backoff::Backoff;
use rand::Rng;

/// Past this many doublings every sensible `max` is reached, and computing more changes nothing.
const STEPS_LIMIT: u32 = 64;

/// An exponential backoff with jitter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// The delay after the first failed attempt, before jitter.
    pub first: Duration,
    /// What the doubling delay stops at, before jitter.
    pub max: Duration,
    /// Attempts in all, the first included; 1 means no retry.
    pub max_attempts: u32,
}

impl RetryPolicy {
    /// The delay after `attempt` failed attempts (1 after the first failure): `first` doubled `attempt - 1`
    /// times, at most `max`, times a random factor between 0.5 and 1.5.
    ///
    /// The jitter is drawn from `rng`, so that a seeded generator repeats a night.
    pub fn delay(&self, attempt: u32, rng: &mut impl Rng) -> Duration {
        // The randomization factor is 0 because the crate draws from a generator of its own, which no test
        // can seed.
        let mut policy = ExponentialBackoffBuilder::new()
            .with_initial_interval(self.first.min(self.max))
            .with_randomization_factor(0.0)
            .with_multiplier(2.0)
            .with_max_interval(self.max)
            .with_max_elapsed_time(None)
            .build();
        let steps = attempt.clamp(1, STEPS_LIMIT);
        let target = (0..steps).filter_map(|_| policy.next_backoff()).last().unwrap_or(self.max);
        // The crate rounds up by a nanosecond.
        target.min(self.max).mul_f64(rng.random_range(0.5..=1.5))
    }

    /// Whether `attempt` failed attempts are all there may be.
    pub fn is_exhausted(&self, attempt: u32) -> bool {
        attempt >= self.max_attempts
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    const POLICY: RetryPolicy =
        RetryPolicy { first: Duration::from_millis(100), max: Duration::from_secs(2), max_attempts: 6 };

    #[test]
    fn doubles_until_the_maximum_with_jitter_around_it() {
        let mut rng = StdRng::seed_from_u64(7);
        for (attempt, target_ms) in
            [(1, 100), (2, 200), (3, 400), (4, 800), (5, 1600), (6, 2000), (500, 2000)]
        {
            for _ in 0..200 {
                let delay = POLICY.delay(attempt, &mut rng);
                let target = Duration::from_millis(target_ms);
                assert!(
                    delay >= target / 2 && delay <= target * 3 / 2 + Duration::from_micros(1),
                    "attempt {attempt}: {delay:?} is not around {target:?}"
                );
            }
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_delays() {
        let delays = |seed| {
            let mut rng = StdRng::seed_from_u64(seed);
            (1..6).map(|attempt| POLICY.delay(attempt, &mut rng)).collect::<Vec<_>>()
        };
        assert_eq!(delays(1), delays(1));
        assert_ne!(delays(1), delays(2));
    }

    #[test]
    fn counts_the_first_attempt_too() {
        assert!(!POLICY.is_exhausted(5));
        assert!(POLICY.is_exhausted(6));
    }

    #[test]
    fn a_first_delay_of_zero_never_waits() {
        let policy = RetryPolicy { first: Duration::ZERO, ..POLICY };
        let mut rng = StdRng::seed_from_u64(1);
        assert!(policy.delay(3, &mut rng) < Duration::from_micros(1));
    }
}

//! Rates found out from what a token bucket took between two holds.

use std::time::Duration;

use tokio::time::Instant;

use super::super::taken::{Estimate, Taken};

/// A token bucket, and the requests sent to it.
struct Bucket {
    rate: f64,
    burst: f64,
    tokens: f64,
    now: Instant,
    number: u64,
}

impl Bucket {
    fn new(rate: f64, burst: f64) -> Self {
        Self { rate, burst, tokens: burst, now: Instant::now(), number: 0 }
    }

    /// Sends at a pace that grows by this factor a second until one is refused, and waits for a second.
    fn overrun(&mut self, taken: &mut Taken, pace: f64, growth: f64) {
        let since = self.now;
        loop {
            let pace = pace * growth.powf((self.now - since).as_secs_f64());
            let step = 1.0 / pace;
            self.now += Duration::from_secs_f64(step);
            self.tokens = (self.tokens + step * self.rate).min(self.burst);
            taken.started(self.number, self.now);
            self.number += 1;
            if self.tokens < 1.0 {
                break;
            }
            self.tokens -= 1.0;
        }
        taken.refused(self.number - 1, self.now);
    }

    fn hold(&mut self, taken: &mut Taken) {
        self.now += Duration::from_secs(1);
        self.tokens = (self.tokens + self.rate).min(self.burst);
        taken.resume(self.now, 1.0);
    }
}

#[track_caller]
fn assert_close(estimate: Option<Estimate>, rate: f64) {
    let Some(Estimate::Close(found)) = estimate else { panic!("{estimate:?} of {rate}") };
    assert!((found / rate - 1.0).abs() < 0.03, "{found} of {rate}");
}

#[test]
fn two_stretches_of_different_lengths_tell_rate_and_burst_apart() {
    for (rate, burst) in [(200.0, 20.0), (200.0, 200.0), (66.7, 6.7), (20.0, 2.0)] {
        let mut bucket = Bucket::new(rate, burst);
        let mut taken = Taken::new(bucket.now);
        bucket.overrun(&mut taken, rate * 3.0, 1.0);
        assert!(matches!(taken.estimate(), Some(Estimate::Rough(_, 1))), "one tells nothing for sure");
        bucket.hold(&mut taken);
        assert_eq!(taken.estimate(), None, "nothing was refused since");
        // Slower than the rate at first, so that some of what would be taken is not sent.
        bucket.overrun(&mut taken, rate * 0.8, 1.3);
        assert_close(taken.estimate(), rate);
        bucket.hold(&mut taken);
        bucket.overrun(&mut taken, rate * 0.8, 1.3);
        assert_close(taken.estimate(), rate);
    }
}

#[test]
fn a_server_that_takes_less_than_before_is_found_out_anew() {
    let mut bucket = Bucket::new(200.0, 20.0);
    let mut taken = Taken::new(bucket.now);
    for (pace, growth) in [(600.0, 1.0), (180.0, 1.3)] {
        bucket.overrun(&mut taken, pace, growth);
        assert!(taken.estimate().is_some());
        bucket.hold(&mut taken);
    }
    (bucket.rate, bucket.burst, bucket.tokens) = (66.7, 6.7, 6.7);
    bucket.overrun(&mut taken, 196.0, 1.0);
    let rough = taken.estimate();
    assert!(matches!(rough, Some(Estimate::Rough(rate, 1)) if rate < 100.0), "{rough:?}");
    bucket.hold(&mut taken);
    bucket.overrun(&mut taken, 50.0, 1.5);
    assert_close(taken.estimate(), 66.7);
}

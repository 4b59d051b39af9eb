//! A server in virtual time: what it refuses and how its latency comes about are parameters.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tokio::time::{Instant, sleep, sleep_until};

/// What the server answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    Done,
    Refused,
    /// 503 without `Retry-After`.
    Failed,
}

/// Log-normal service time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Latency {
    pub(super) median: f64,
    pub(super) sigma: f64,
}

/// What it refuses beyond.
#[derive(Debug, Clone, Copy)]
pub(super) enum Bound {
    Nothing,
    /// A token bucket: requests a second, and how many may come at once.
    Rate {
        rps: f64,
        burst: f64,
    },
    /// Requests in flight.
    Number(usize),
    /// Refuses nothing; this many processors serve one queue.
    Processors(usize),
}

#[derive(Debug)]
struct Inside {
    bound: Bound,
    latency: Latency,
    /// Share of requests that fail though there is room for them.
    failing: f64,
    tokens: f64,
    filled: Instant,
    in_flight: usize,
    /// When each processor is free.
    free_at: Vec<Instant>,
    random: SmallRng,
}

#[derive(Debug, Clone)]
pub(super) struct Server {
    inside: Rc<RefCell<Inside>>,
}

impl Server {
    pub(super) fn new(bound: Bound, latency: Latency, seed: u64) -> Self {
        let tokens = if let Bound::Rate { burst, .. } = bound { burst } else { 0.0 };
        let inside = Inside {
            bound,
            latency,
            failing: 0.0,
            tokens,
            filled: Instant::now(),
            in_flight: 0,
            free_at: Vec::new(),
            random: SmallRng::seed_from_u64(seed),
        };
        Self { inside: Rc::new(RefCell::new(inside)) }
    }

    pub(super) fn set_bound(&self, bound: Bound) {
        self.inside.borrow_mut().bound = bound;
    }

    pub(super) fn set_failing(&self, share: f64) {
        self.inside.borrow_mut().failing = share;
    }

    pub(super) fn set_latency(&self, latency: Latency) {
        self.inside.borrow_mut().latency = latency;
    }

    /// One request. A refusal takes 10 ms.
    pub(super) async fn call(&self) -> Answer {
        let done = self.inside.borrow_mut().admit();
        match done {
            Some(at) => {
                self.inside.borrow_mut().in_flight += 1;
                sleep_until(at).await;
                let mut inside = self.inside.borrow_mut();
                inside.in_flight -= 1;
                let failing = inside.failing;
                if failing > 0.0 && inside.random.random_bool(failing) {
                    Answer::Failed
                } else {
                    Answer::Done
                }
            }
            None => {
                sleep(Duration::from_millis(10)).await;
                Answer::Refused
            }
        }
    }
}

impl Inside {
    /// When the request will be done; `None` refuses it.
    fn admit(&mut self) -> Option<Instant> {
        let now = Instant::now();
        let service = self.service_time();
        match self.bound {
            Bound::Nothing => {}
            Bound::Rate { rps, burst } => {
                let since = now.duration_since(self.filled).as_secs_f64();
                self.filled = now;
                self.tokens = (self.tokens + since * rps).min(burst);
                if self.tokens < 1.0 {
                    return None;
                }
                self.tokens -= 1.0;
            }
            Bound::Number(most) if self.in_flight >= most => return None,
            Bound::Number(_) => {}
            Bound::Processors(count) => {
                self.free_at.resize(count, now);
                let first = self.free_at.iter_mut().min().expect("at least one processor");
                *first = now.max(*first) + service;
                return Some(*first);
            }
        }
        Some(now + service)
    }

    fn service_time(&mut self) -> Duration {
        // Box-Muller: a normal variate from two uniform ones.
        let radius = (-2.0 * (1.0 - self.random.random::<f64>()).ln()).sqrt();
        let normal = radius * (std::f64::consts::TAU * self.random.random::<f64>()).cos();
        Duration::from_secs_f64(self.latency.median * (self.latency.sigma * normal).exp())
    }
}

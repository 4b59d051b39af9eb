//! The server: what it refuses and how its latency comes about are parameters.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tokio::time::{Instant, sleep, sleep_until};

/// How long a refusal takes.
const REFUSAL: Duration = Duration::from_millis(10);

/// What the server answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Done.
    Done,
    /// 429, with `Retry-After` where the server sends it.
    Refused(Option<Duration>),
    /// 503 without `Retry-After`.
    Failed,
}

/// Log-normal service time.
#[derive(Debug, Clone, Copy)]
pub struct Latency {
    /// Seconds.
    pub median: f64,
    /// Standard deviation of the logarithm; with 0 all take the median.
    pub sigma: f64,
}

impl Latency {
    /// The mean, in seconds.
    pub fn mean(self) -> f64 {
        self.median * (self.sigma * self.sigma / 2.0).exp()
    }
}

/// What it refuses beyond.
#[derive(Debug, Clone, Copy)]
pub enum Bound {
    /// It takes everything.
    Nothing,
    /// A token bucket.
    Rate {
        /// Requests a second.
        rps: f64,
        /// How many may come at once.
        burst: f64,
    },
    /// So many in each second of its clock.
    EachSecond(u32),
    /// Requests in flight.
    Number(usize),
    /// Refuses nothing; so many slots serve one queue.
    Slots(usize),
}

impl Bound {
    /// A token bucket that holds a tenth of a second's requests, as the simulators' does.
    pub const fn rate(rps: f64) -> Self {
        Self::Rate { rps, burst: rps / 10.0 }
    }

    /// Requests a second that it takes at this latency; infinite where nothing bounds them.
    pub fn capacity(self, latency: Latency) -> f64 {
        match self {
            Self::Nothing => f64::INFINITY,
            Self::Rate { rps, .. } => rps,
            Self::EachSecond(most) => f64::from(most),
            Self::Number(most) | Self::Slots(most) => most as f64 / latency.mean(),
        }
    }
}

#[derive(Debug)]
struct Inside {
    bound: Bound,
    latency: Latency,
    retry_after: Option<Duration>,
    /// Share of requests that fail though there is room for them.
    failing: f64,
    tokens: f64,
    filled: Instant,
    /// The second of its clock, and how many came in it.
    second: (u64, u32),
    began: Instant,
    in_flight: usize,
    /// When each slot is free.
    free_at: Vec<Instant>,
    random: SmallRng,
}

/// See the module; clones are the same server.
#[derive(Debug, Clone)]
pub struct Server {
    inside: Rc<RefCell<Inside>>,
}

impl Server {
    /// A server with nothing to do, whose allowance for bursts is untouched.
    pub fn new(bound: Bound, latency: Latency, seed: u64) -> Self {
        let tokens = if let Bound::Rate { burst, .. } = bound { burst } else { 0.0 };
        let now = Instant::now();
        let inside = Inside {
            bound,
            latency,
            retry_after: None,
            failing: 0.0,
            tokens,
            filled: now,
            second: (0, 0),
            began: now,
            in_flight: 0,
            free_at: Vec::new(),
            random: SmallRng::seed_from_u64(seed),
        };
        Self { inside: Rc::new(RefCell::new(inside)) }
    }

    /// Changes what it refuses beyond.
    pub fn set_bound(&self, bound: Bound) {
        self.inside.borrow_mut().bound = bound;
    }

    /// Makes this share of the requests fail though there is room for them.
    pub fn set_failing(&self, share: f64) {
        self.inside.borrow_mut().failing = share;
    }

    /// Changes its latency.
    pub fn set_latency(&self, latency: Latency) {
        self.inside.borrow_mut().latency = latency;
    }

    /// Makes every refusal carry `Retry-After`.
    pub fn set_retry_after(&self, wait: Option<Duration>) {
        self.inside.borrow_mut().retry_after = wait;
    }

    /// One request.
    pub async fn call(&self) -> Answer {
        let done = self.inside.borrow_mut().admit();
        let Some(at) = done else {
            sleep(REFUSAL).await;
            return Answer::Refused(self.inside.borrow().retry_after);
        };
        self.inside.borrow_mut().in_flight += 1;
        sleep_until(at).await;
        let mut inside = self.inside.borrow_mut();
        inside.in_flight -= 1;
        let failing = inside.failing;
        if failing > 0.0 && inside.random.random_bool(failing) { Answer::Failed } else { Answer::Done }
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
                self.tokens = (self.tokens + since * rps).min(burst.max(1.0));
                if self.tokens < 1.0 {
                    return None;
                }
                self.tokens -= 1.0;
            }
            Bound::EachSecond(most) => {
                let second = now.duration_since(self.began).as_secs();
                if self.second.0 != second {
                    self.second = (second, 0);
                }
                if self.second.1 >= most {
                    return None;
                }
                self.second.1 += 1;
            }
            Bound::Number(most) if self.in_flight >= most => return None,
            Bound::Number(_) => {}
            Bound::Slots(count) => {
                self.free_at.resize(count, now);
                let first = self.free_at.iter_mut().min().expect("at least one slot");
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

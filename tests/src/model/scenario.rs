//! The scenarios that `docs/limiter.md` tells of, for the tests and for the example that draws them.

use std::time::Duration;

use worker::limiter::LimiterConfig;

use super::night::{Night, Plan};
use super::server::{Bound, Latency, Server};

/// A usual server's latency.
const USUAL: Latency = Latency { median: 0.150, sigma: 0.4 };

/// What a server of 200 requests a second comes down to for a while.
const THIRD: f64 = 200.0 / 3.0;

/// A change of the server.
#[derive(Debug, Clone, Copy)]
pub enum Change {
    /// Of what it refuses beyond.
    Bound(Bound),
    /// Of its latency.
    Latency(Latency),
}

/// A server, and who asks it.
#[derive(Debug, Clone, Copy)]
pub struct Scenario {
    /// What it is called by.
    pub name: &'static str,
    /// What the server refuses beyond, at first.
    pub bound: Bound,
    /// Its latency, at first.
    pub latency: Latency,
    /// Share of the requests that fail though there is room for them.
    pub failing: f64,
    /// Every refusal carries `Retry-After: 1`.
    pub retry_after: bool,
    /// Changes, by second.
    pub changes: &'static [(usize, Change)],
    /// Rows to be done, two requests each; otherwise it lasts `seconds`.
    pub rows: Option<u64>,
    /// How long it lasts.
    pub seconds: usize,
    /// The second in which each worker starts.
    pub starts: &'static [u64],
    /// `FHIR_MAX_CONCURRENCY`.
    pub ceiling: usize,
}

const BASE: Scenario = Scenario {
    name: "",
    bound: Bound::rate(200.0),
    latency: USUAL,
    failing: 0.01,
    retry_after: false,
    changes: &[],
    rows: None,
    seconds: 180,
    starts: &[0],
    ceiling: 256,
};

const BAD_MINUTE: &[(usize, Change)] =
    &[(60, Change::Bound(Bound::rate(THIRD))), (120, Change::Bound(Bound::rate(200.0)))];

/// All of them.
pub const SCENARIOS: &[Scenario] = &[
    Scenario { name: "rate-2000", rows: Some(2_000), ..BASE },
    Scenario { name: "rate-12000", rows: Some(12_000), ..BASE },
    Scenario { name: "rate-2000-retry-after", rows: Some(2_000), retry_after: true, ..BASE },
    Scenario { name: "rate-12000-retry-after", rows: Some(12_000), retry_after: true, ..BASE },
    Scenario { name: "rate-steady", seconds: 300, ..BASE },
    Scenario { name: "rate-steady-retry-after", seconds: 600, retry_after: true, ..BASE },
    Scenario { name: "bad-minute", changes: BAD_MINUTE, ..BASE },
    Scenario { name: "bad-minute-retry-after", changes: BAD_MINUTE, retry_after: true, ..BASE },
    Scenario {
        name: "number",
        bound: Bound::Number(30),
        changes: &[(60, Change::Bound(Bound::Number(10))), (120, Change::Bound(Bound::Number(30)))],
        ..BASE
    },
    Scenario {
        name: "slots",
        bound: Bound::Slots(20),
        latency: Latency { median: 0.1, sigma: 0.2 },
        changes: &[(60, Change::Bound(Bound::Slots(7))), (120, Change::Bound(Bound::Slots(20)))],
        failing: 0.0,
        ..BASE
    },
    Scenario {
        name: "nothing-50ms-64",
        bound: Bound::Nothing,
        latency: Latency { median: 0.05, sigma: 0.0 },
        failing: 0.0,
        rows: Some(20_000),
        ceiling: 64,
        ..BASE
    },
    Scenario {
        name: "nothing-150ms-256",
        bound: Bound::Nothing,
        latency: Latency { median: 0.15, sigma: 0.6 },
        rows: Some(20_000),
        ..BASE
    },
    Scenario { name: "four-workers", seconds: 300, starts: &[0, 0, 0, 0], ..BASE },
    Scenario { name: "a-late-worker", seconds: 300, starts: &[0, 0, 0, 60], ..BASE },
    Scenario {
        name: "four-workers-number",
        bound: Bound::Number(40),
        seconds: 300,
        starts: &[0, 0, 0, 60],
        ..BASE
    },
    Scenario {
        name: "four-workers-slots",
        bound: Bound::Slots(20),
        latency: Latency { median: 0.1, sigma: 0.2 },
        failing: 0.0,
        seconds: 300,
        starts: &[0, 0, 0, 60],
        ..BASE
    },
];

impl Scenario {
    /// The one of this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        SCENARIOS.iter().find(|scenario| scenario.name == name)
    }

    /// What the server can take at first, in requests a second.
    pub fn capacity(&self) -> f64 {
        let most = self.ceiling as f64 * self.starts.len() as f64 / self.latency.mean();
        self.bound.capacity(self.latency).min(most)
    }

    /// Runs it under paused time.
    pub async fn run(&self, seed: u64) -> Night {
        let server = Server::new(self.bound, self.latency, seed);
        server.set_failing(self.failing);
        server.set_retry_after(self.retry_after.then_some(Duration::from_secs(1)));
        let config = LimiterConfig { max_concurrency: self.ceiling, ..LimiterConfig::default() };
        let plan = match self.rows {
            Some(rows) => Plan { config, ..Plan::of_rows(rows) },
            None => Plan { config, starts: self.starts.to_vec(), ..Plan::new(self.seconds) },
        };
        let change = |second: usize, server: &Server| {
            for (_, change) in self.changes.iter().filter(|(at, _)| *at == second) {
                match *change {
                    Change::Bound(bound) => server.set_bound(bound),
                    Change::Latency(latency) => server.set_latency(latency),
                }
            }
        };
        plan.run(&server, change).await
    }
}

//! Finds what the FHIR server can take, below the operator's ceilings, without anyone tuning a number.
//!
//! Two controls, both fed by the answers: how many requests are in flight (`concurrency`) and, where the server
//! refuses by rate, how evenly they start (`pace`). A hold (`Retry-After`) stops every start in the process.
//! Requests start in the order they asked.
//!
//! Nothing here knows HTTP: the caller judges an answer ([`Verdict`]) and reads the headers. Retrying is the
//! caller's too, and so is giving up on a server that is down.

mod concurrency;
mod curve;
mod latency;
mod meter;
mod pace;
mod proven;
mod state;
mod taken;
#[cfg(test)]
mod tests;
mod usual;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use state::{Start, State, Turn};

/// The operator's ceilings and the level to begin at.
#[derive(Debug, Clone, PartialEq)]
pub struct LimiterConfig {
    /// Most requests in flight (`FHIR_MAX_CONCURRENCY`); at least 1 is used.
    pub max_concurrency: usize,
    /// Most starts a second (`FHIR_MAX_RPS`); `None` is no ceiling.
    pub max_rps: Option<f64>,
    /// Requests in flight to begin with, before anything is known of the server.
    pub initial_concurrency: usize,
}

impl Default for LimiterConfig {
    fn default() -> Self {
        Self { max_concurrency: 256, max_rps: None, initial_concurrency: 16 }
    }
}

/// What an answer says about the server's capacity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Done; its latency is representative of its class.
    Success,
    /// Refused for its rate or number: 429, or 503 with `Retry-After`.
    Throttled,
    /// Too much for the server: 503, or a time-out.
    Overloaded,
    /// Any other answer: the server took the request, its latency says nothing.
    Ignored,
}

/// A request's end, as the caller judges it; the permit measures the time itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// What the answer says.
    pub verdict: Verdict,
    /// Operation class, whose latencies are compared among themselves: 0 search, 1 read, 2 write, 3 anything
    /// else, 4 search for many, 5 write of many; higher ones count as 5.
    pub class: usize,
}

/// A glance at the limiter, for metrics and the progress line.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LimiterState {
    /// The concurrency limit in force; its whole part is what may be in flight.
    pub limit: f64,
    /// Requests in flight.
    pub in_flight: usize,
    /// Starts a second in force, where there is a pace.
    pub pace_rps: Option<f64>,
    /// Whether a hold stops every start.
    pub held: bool,
}

/// The limiter of one process; clones share it.
#[derive(Debug, Clone)]
pub struct Limiter {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// Whoever holds it is at the head of the line; tokio's mutex is fair, so the line is first come, first
    /// served, and leaving it (a dropped future) costs nobody anything. Only the head sleeps on a timer.
    line: tokio::sync::Mutex<()>,
    /// Told when a slot may have become free. A notification without a waiter is kept, so none is lost between
    /// the head's look at the state and its wait; a stale one costs a second look.
    freed: Notify,
    state: Mutex<State>,
}

impl Limiter {
    /// A limiter that has seen no answer yet.
    pub fn new(config: LimiterConfig) -> Self {
        let state = Mutex::new(State::new(&config, Instant::now()));
        Self { shared: Arc::new(Shared { line: tokio::sync::Mutex::new(()), freed: Notify::new(), state }) }
    }

    /// Waits until a request may start: for its turn, the hold, the pace and a slot. Dropping the future gives
    /// the place in line up and loses nothing.
    pub async fn acquire(&self) -> Permit {
        let _head = self.shared.line.lock().await;
        let mut waited_for_slot = false;
        loop {
            let now = Instant::now();
            let turn = self.shared.state().try_start(now, waited_for_slot);
            match turn {
                Turn::Started(start) => {
                    return Permit { shared: Arc::clone(&self.shared), start, sample: None };
                }
                Turn::At(at) => {
                    waited_for_slot = false;
                    sleep_until(at).await;
                }
                Turn::AfterAnother => {
                    waited_for_slot = true;
                    self.shared.freed.notified().await;
                }
            }
        }
    }

    /// Holds every start in the process until `at`, or until a later time already held for; at most five minutes
    /// ahead. Requests in flight are left alone.
    pub fn hold_until(&self, at: Instant) {
        self.shared.state().hold_until(Instant::now(), at);
    }

    /// The end of the hold in force.
    pub fn held_until(&self) -> Option<Instant> {
        self.shared.state().held_until(Instant::now())
    }

    /// The state now.
    pub fn snapshot(&self) -> LimiterState {
        self.shared.state().snapshot(Instant::now())
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Leave to send one request. Hold it until the answer's body is read, then [`finish`](Permit::finish) it;
/// dropped, it gives its slot back and says nothing about the server.
#[derive(Debug)]
#[must_use = "the request's slot is free again once the permit is dropped"]
pub struct Permit {
    shared: Arc<Shared>,
    start: Start,
    sample: Option<Sample>,
}

impl Permit {
    /// Ends the request with what its answer says.
    pub fn finish(mut self, sample: Sample) {
        self.sample = Some(sample);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.shared.state().end(Instant::now(), self.start, self.sample);
        self.shared.freed.notify_one();
    }
}

//! What the limiter's lock protects: the hold, the pace, the concurrency, and the count in flight.

use std::time::Duration;

use tokio::time::Instant;

use super::concurrency::{Concurrency, Ended};
use super::pace::{Pace, Refusal};
use super::{LimiterConfig, LimiterState, Sample, Verdict};

/// A hold reaches at most this far ahead: a wrong date in a `Retry-After` must not stop the night.
const LONGEST_HOLD: Duration = Duration::from_secs(300);
/// K of the growth curves (see `curve`), in seconds: how far apart refusals are. At least this …
const SHORTEST_RECOVERY: f64 = 10.0;
const SHORTEST_AT_FIRST: f64 = 2.0;
const SHORTEST_BELOW_USUAL: f64 = 2.0;
/// … and long enough for this many requests, so that a slow server does not refuse one in ten …
const REQUESTS_PER_RECOVERY: f64 = 75.0;
const REQUESTS_BELOW_USUAL: f64 = 20.0;
/// … and this many times as long as the hold that a refusal brought, so that holds cost about a tenth of the time …
const RECOVERY_PER_HOLD: f64 = 60.0;
const PER_HOLD_BELOW_USUAL: f64 = 2.5;
/// … but at most this.
const LONGEST_RECOVERY: f64 = 600.0;
/// Where requests are spread for want of a measured rate, the limit fills up this much faster than they end.
const SPREAD: f64 = 1.5;
/// Latency to reckon with before one has been measured, in seconds.
const ASSUMED_LATENCY: f64 = 0.2;
/// Weight of a new sample in the moving average of latency.
const LATENCY_WEIGHT: f64 = 0.05;

/// Weight of a new answer in the moving share of overloaded ones.
const OVERLOAD_WEIGHT: f64 = 0.02;
/// Below this share of answers, 503s and time-outs are the server's ordinary noise: one request in a hundred fails
/// on any night, and cutting for each of them would hold the limit far below what the server takes, as random
/// loss does to TCP (RFC 9438, section 5.2 for CUBIC).
const OVERLOAD_SHARE: f64 = 0.10;

/// Whether a request may start.
#[derive(Debug)]
pub(super) enum Turn {
    /// It has started.
    Started(Start),
    /// Not before this time.
    At(Instant),
    /// Not before another ends.
    AfterAnother,
}

/// What is remembered of a request's start until its end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Start {
    at: Instant,
    /// Counted from 0.
    number: u64,
    /// In flight then, itself included.
    level: usize,
    /// The pace was what it waited for.
    held_back: bool,
}

#[derive(Debug)]
struct Hold {
    since: Instant,
    until: Instant,
}

#[derive(Debug)]
pub(super) struct State {
    in_flight: usize,
    started: u64,
    /// The last request that reached the limit. It vouches for all that were in flight with it: answers come in
    /// bunches, and only the first of a bunch would find the limit still reached.
    last_at_limit: Option<u64>,
    /// When a refusal last said something new: the ones of its round trip do not.
    last_refused_after: Option<Instant>,
    concurrency: Concurrency,
    pace: Pace,
    hold: Option<Hold>,
    recovery: f64,
    latency: f64,
    overloaded: f64,
}

impl State {
    pub(super) fn new(config: &LimiterConfig, now: Instant) -> Self {
        Self {
            in_flight: 0,
            started: 0,
            last_at_limit: None,
            last_refused_after: None,
            concurrency: Concurrency::new(config.initial_concurrency, config.max_concurrency, now),
            pace: Pace::new(config.max_rps, now),
            hold: None,
            recovery: SHORTEST_RECOVERY,
            latency: ASSUMED_LATENCY,
            overloaded: 0.0,
        }
    }

    /// Starts the request at the head of the line, or says what it waits for. `waited_for_slot`: it was already
    /// told to wait for another's end.
    pub(super) fn try_start(&mut self, now: Instant, waited_for_slot: bool) -> Turn {
        if let Some(hold) = &self.hold {
            if now < hold.until {
                return Turn::At(hold.until);
            }
            self.release(now);
        }
        if let Some(at) = self.pace.wait_until(now) {
            return Turn::At(at);
        }
        if self.in_flight >= self.concurrency.slots() {
            return Turn::AfterAnother;
        }
        let number = self.started;
        let held_back = self.pace.start(number, now, waited_for_slot);
        self.started += 1;
        self.in_flight += 1;
        if self.concurrency.is_reached_by(self.in_flight) {
            self.last_at_limit = Some(number);
        }
        Turn::Started(Start { at: now, number, level: self.in_flight, held_back })
    }

    /// Ends a request. `sample` is `None` where it was given up without an answer.
    pub(super) fn end(&mut self, now: Instant, start: Start, sample: Option<Sample>) {
        let ended = Ended {
            number: start.number,
            next_number: self.started,
            now,
            started: start.at,
            level: start.level,
            in_use: self.last_at_limit >= Some(start.number),
            recovery: self.recovery,
        };
        self.in_flight -= 1;
        let class = sample.filter(|sample| sample.verdict == Verdict::Success).map(|sample| sample.class);
        self.concurrency.watch_latency(&ended, class);
        let Some(sample) = sample else { return };
        let overloaded = f64::from(u8::from(sample.verdict == Verdict::Overloaded));
        self.overloaded += OVERLOAD_WEIGHT * (overloaded - self.overloaded);
        match sample.verdict {
            Verdict::Success => {
                self.latency += LATENCY_WEIGHT * (ended.latency().as_secs_f64() - self.latency);
                self.concurrency.succeeded(&ended);
                self.pace.accepted(&ended, start.held_back);
            }
            Verdict::Ignored => {
                self.concurrency.accepted(&ended);
                self.pace.accepted(&ended, start.held_back);
            }
            Verdict::Throttled => {
                if self.refuse(&ended) {
                    self.space_refusals(now, 0.0);
                }
            }
            Verdict::Overloaded => {
                if self.overloaded >= OVERLOAD_SHARE && self.concurrency.congested(&ended) {
                    self.space_refusals(now, 0.0);
                }
            }
        }
    }

    /// A refusal that may be about the rate or the number in flight. A number that was taken a moment ago is not
    /// to blame; one that was not, is: cutting both would leave the wrong one to grow back for nothing.
    /// Returns whether either was cut.
    fn refuse(&mut self, ended: &Ended) -> bool {
        if self.last_refused_after < Some(ended.started) {
            self.pace.note_refusal(ended);
            self.last_refused_after = Some(ended.now);
        }
        if self.concurrency.refused_at_proven_level(ended) {
            match self.pace.refused(ended) {
                Refusal::Lowered => return true,
                Refusal::Stale => return false,
                Refusal::Unmeasured => {}
            }
        }
        let cut = self.concurrency.congested(ended);
        if cut {
            // A server without an allowance for bursts refuses the second of two at once at any rate: unless they
            // are spread, a second one in flight would never be proven.
            self.pace.spread(SPREAD * self.sustained());
        }
        cut
    }

    pub(super) fn hold_until(&mut self, now: Instant, at: Instant) {
        let at = at.min(now + LONGEST_HOLD);
        match &mut self.hold {
            Some(hold) => hold.until = hold.until.max(at),
            None if at > now => self.hold = Some(Hold { since: now, until: at }),
            None => {}
        }
    }

    pub(super) fn held_until(&self, now: Instant) -> Option<Instant> {
        self.hold.as_ref().map(|hold| hold.until).filter(|until| now < *until)
    }

    pub(super) fn snapshot(&self, now: Instant) -> LimiterState {
        LimiterState {
            limit: self.concurrency.limit(),
            in_flight: self.in_flight,
            pace_rps: self.pace.rate(),
            held: self.held_until(now).is_some(),
        }
    }

    /// Ends the hold: the first request after it starts now, the others evenly behind it.
    fn release(&mut self, now: Instant) {
        let Some(hold) = self.hold.take() else { return };
        let held = hold.until.saturating_duration_since(hold.since).as_secs_f64();
        self.concurrency.resume(now);
        if self.pace.resume(now, held) {
            self.concurrency.acquit();
        }
        self.pace.spread(SPREAD * self.sustained());
        self.space_refusals(now, held);
    }

    /// What the limit lets through a second, by Little's law.
    fn sustained(&self) -> f64 {
        self.concurrency.limit() / self.latency.max(0.001)
    }

    /// Sets K after a refusal and again after the hold that it brought, in seconds.
    fn space_refusals(&mut self, now: Instant, held: f64) {
        let rate = self.pace.learned().unwrap_or_else(|| self.sustained());
        let (shortest, per_hold, requests) = match self.pace.is_below_usual(rate, now) {
            true => (SHORTEST_BELOW_USUAL, PER_HOLD_BELOW_USUAL, REQUESTS_BELOW_USUAL),
            false if !self.pace.knows_usual() => {
                (SHORTEST_AT_FIRST, RECOVERY_PER_HOLD, REQUESTS_PER_RECOVERY)
            }
            false => (SHORTEST_RECOVERY, RECOVERY_PER_HOLD, REQUESTS_PER_RECOVERY),
        };
        let least = (held * per_hold).max(shortest);
        self.recovery = least.max(requests / rate).clamp(shortest, LONGEST_RECOVERY);
    }
}

//! The adaptive number of requests in flight: when it grows, when it is cut, and what a refusal says about it.
//!
//! Counting the requests and letting them wait is `state`'s; the rate at which they start is `pace`'s.

use std::time::Duration;

use tokio::time::Instant;

use super::curve::Curve;
use super::latency::{LatencyWatch, Standing, Trend};
use super::proven::ProvenLevel;

/// Share left after a refusal or a time-out.
const AFTER_REFUSAL: f64 = 0.8;
/// One cut takes the limit to no less than this share, however little was in flight.
const DEEPEST_CUT: f64 = 0.5;
/// K of the growth curve, as a multiple of the pace's: where little is in flight the smallest step is a large
/// one, and probing is coarser than it is for the pace.
const RECOVERY: f64 = 1.5;
/// K after a cut for latency, which nobody was refused for, in seconds.
const LATENCY_RECOVERY: f64 = 6.0;
/// The most time one answer can stand for, unless it took longer itself.
const LONGEST_STEP: Duration = Duration::from_secs(1);

/// One request's end, as both controls see it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ended {
    /// Which request it was, counted from 0 by the order of their start.
    pub(super) number: u64,
    /// The number that the next request to start will have.
    pub(super) next_number: u64,
    /// When the answer was in.
    pub(super) now: Instant,
    /// When the request was let go.
    pub(super) started: Instant,
    /// Requests in flight when it started, itself included.
    pub(super) level: usize,
    /// The limit was reached while it was in flight.
    pub(super) in_use: bool,
    /// K of the growth curve in force, in seconds.
    pub(super) recovery: f64,
}

impl Ended {
    /// How long the request took.
    pub(super) fn latency(&self) -> Duration {
        self.now.saturating_duration_since(self.started)
    }

    /// The time since `last`, no more than this answer can stand for: an idle minute is not a minute of proof.
    pub(super) fn step_since(&self, last: Instant) -> f64 {
        self.now.saturating_duration_since(last).min(LONGEST_STEP.max(self.latency())).as_secs_f64()
    }
}

/// The adaptive concurrency limit.
#[derive(Debug)]
pub(super) struct Concurrency {
    limit: f64,
    ceiling: f64,
    /// `None` is slow start.
    curve: Option<Curve>,
    last_cut: Option<Instant>,
    /// Before the last cut for a refusal.
    before_cut: f64,
    /// The last cut was for latency.
    was_late: bool,
    last_refusal: Option<Instant>,
    last_answer: Instant,
    latency: LatencyWatch,
    proven: ProvenLevel,
    /// Seconds of activity since the limit was last in use.
    unused: f64,
}

impl Concurrency {
    pub(super) fn new(initial: usize, ceiling: usize, now: Instant) -> Self {
        let ceiling = ceiling.max(1) as f64;
        Self {
            limit: (initial.max(1) as f64).min(ceiling),
            ceiling,
            curve: None,
            last_cut: None,
            before_cut: 0.0,
            was_late: false,
            last_refusal: None,
            last_answer: now,
            latency: LatencyWatch::new(),
            proven: ProvenLevel::default(),
            unused: 0.0,
        }
    }

    /// The limit as it grows, in fractions of a request.
    pub(super) fn limit(&self) -> f64 {
        self.limit
    }

    /// The requests that may be in flight.
    pub(super) fn slots(&self) -> usize {
        self.limit as usize
    }

    /// Whether this many in flight are as good as the limit.
    pub(super) fn is_reached_by(&self, in_flight: usize) -> bool {
        in_flight as f64 >= (self.limit * 0.9).floor().min(self.limit - 1.0)
    }

    /// An answer that was neither refused nor late: evidence for its level. Returns the seconds it stands for.
    pub(super) fn accepted(&mut self, ended: &Ended) -> f64 {
        let step = ended.step_since(self.last_answer);
        self.last_answer = ended.now;
        if self.last_refusal.is_none_or(|refusal| ended.started > refusal) {
            self.proven.accept(ended.level, step);
        }
        step
    }

    /// Takes note of a refusal. Returns whether it cannot be about the number in flight, since as many were
    /// accepted just now.
    pub(super) fn refused_at_proven_level(&mut self, ended: &Ended) -> bool {
        self.last_refusal = Some(ended.now);
        ended.level <= self.proven.level()
    }

    /// A success: evidence, and growth where the limit was in use.
    pub(super) fn succeeded(&mut self, ended: &Ended) {
        let step = self.accepted(ended);
        if self.is_stale(ended) {
            return;
        }
        // A limit that holds nothing back proves nothing by being kept (RFC 9438 §5.8, RFC 7661).
        if !ended.in_use {
            self.unused += step;
            return;
        }
        if self.unused > ended.recovery && self.curve.is_some() {
            // What was refused back then says nothing of now: it must not make a faster pace wait.
            self.curve = Some(Curve::probing(self.limit));
        }
        self.unused = 0.0;
        // One more per success is doubling per window: slow start's speed (RFC 9438 §4.10), and a bound.
        let fastest = self.limit + 1.0;
        let recovery = if self.was_late { LATENCY_RECOVERY } else { RECOVERY * ended.recovery };
        let due = self.curve.as_mut().map_or(fastest, |curve| curve.advance(step, recovery));
        self.limit = due.clamp(self.limit, fastest).min(self.ceiling);
    }

    /// Any end, with its class where it was a success: a gentle cut where latency rises.
    pub(super) fn watch_latency(&mut self, ended: &Ended, class: Option<usize>) {
        let at = Standing {
            limit: self.limit,
            in_use: ended.in_use,
            ramping: self.curve.is_none(),
            next_number: ended.next_number,
        };
        match self.latency.end(ended.number, class.map(|class| (class, ended.latency())), at) {
            Trend::Steady => {}
            Trend::Rising(share) => {
                self.fall(ended, self.limit, self.limit * share);
                self.was_late = true;
            }
            Trend::Moved { limit_before } => self.curve = Some(Curve::recovering(limit_before, self.limit)),
        }
    }

    /// A refusal or a time-out. Returns whether it cut: not where the request started before the last cut (one cut
    /// per round trip).
    pub(super) fn congested(&mut self, ended: &Ended) -> bool {
        if self.is_stale(ended) {
            return false;
        }
        // One below the level that was refused, not below the limit, which may not have been reached.
        self.before_cut = self.limit;
        let floor = self.limit * DEEPEST_CUT / AFTER_REFUSAL;
        let refused = (ended.level as f64 - 1.0).clamp(floor, self.limit).max(1.0);
        self.fall(ended, refused, refused * AFTER_REFUSAL);
        true
    }

    /// The last refusals turned out to be about the rate: what they took from the limit comes back, since it would only
    /// keep the pace from being used.
    pub(super) fn acquit(&mut self) {
        self.limit = self.limit.max(self.before_cut);
        self.curve = Some(Curve::probing(self.limit));
    }

    /// Time passed in which nothing was allowed to start.
    pub(super) fn resume(&mut self, now: Instant) {
        self.last_answer = now;
    }

    fn is_stale(&self, ended: &Ended) -> bool {
        self.last_cut.is_some_and(|cut| ended.started <= cut)
    }

    fn fall(&mut self, ended: &Ended, refused: f64, after: f64) {
        self.limit = after.max(1.0);
        self.curve = Some(Curve::recovering(refused.max(1.0), after));
        self.last_cut = Some(ended.now);
        self.was_late = false;
        self.latency.restart(ended.next_number);
    }
}

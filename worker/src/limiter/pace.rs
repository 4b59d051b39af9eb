//! The adaptive pace: how evenly requests start where the server refuses by rate.
//!
//! Off until the first refusal, unless the operator set a ceiling. How many are in flight is `concurrency`'s.

use std::time::Duration;

use tokio::time::Instant;

use super::concurrency::Ended;
use super::curve::Curve;
use super::meter::Meter;
use super::taken::{Estimate, Taken};
use super::usual::Usual;

/// Share of the accepted rate that a refusal leaves.
const AFTER_REFUSAL: f64 = 0.88;
/// Share of the accepted rate to grow back to before probing: it was measured while the server's allowance for
/// bursts was being used up, and is a little more than it takes for long.
const SUSTAINED: f64 = 0.97;
/// Share of what the server takes to start with after a hold, in which its allowance for bursts filled up …
const AFTER_HOLD: f64 = 0.98;
/// … and to grow back to before probing: the next hold costs more than this.
const JUST_BELOW: f64 = 0.99;
/// Share of the pace that a refusal leaves where it came too soon to measure what was accepted.
const AFTER_QUICK_REFUSAL: f64 = 0.7;
/// Several of those in a row leave no less than this share of what was accepted before them: a server that counts by
/// the second refuses all that comes in the rest of one.
const DEEPEST_QUICK_CUT: f64 = 0.25;
/// One cut takes the pace to no less than this share.
const DEEPEST_CUT: f64 = 0.4;
/// Below this the pace does not fall: a server that takes less says so with `Retry-After`. Requests a second.
const SLOWEST: f64 = 1.0;
/// The pace grows no further than this multiple of what is accepted: then something else is in the way. While it
/// grows at its fastest, what was measured over the last second is behind it by less than this.
const UNUSED_ABOVE: f64 = 1.6;
/// A lower ceiling is taken for this one: an interval needs an end. Requests a second.
const LOWEST_CEILING: f64 = 0.001;
/// A pace that held nothing back for this long, in seconds of activity, is dropped.
const DROPPED_AFTER: f64 = 30.0;
/// How late a start may be and still keep the schedule; a later one starts a new schedule from now. It covers
/// the timer's millisecond and a busy scheduler, and is the largest burst.
const TOLERANCE: Duration = Duration::from_millis(10);
/// A start within this time of its schedule was held back by the pace: the timer works in milliseconds.
const TIMER_SLACK: Duration = Duration::from_millis(2);

/// What the pace made of a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It was lowered.
    Lowered,
    /// The request started before the last cut: it says nothing new (one cut per round trip).
    Stale,
    /// There is no pace yet, and nothing is known of what the server accepts.
    Unmeasured,
}

/// The pacer: at most one start per interval.
#[derive(Debug)]
pub(super) struct Pace {
    ceiling: Option<f64>,
    rate: Option<f64>,
    curve: Curve,
    next: Instant,
    last_cut: Option<Instant>,
    last_answer: Instant,
    idle: f64,
    accepted: Meter,
    /// What was accepted a second at the last refusal at which that could be told.
    measured: f64,
    taken: Taken,
    usual: Usual,
}

impl Pace {
    pub(super) fn new(ceiling: Option<f64>, now: Instant) -> Self {
        Self {
            ceiling: ceiling.filter(|rate| rate.is_finite()).map(|rate| rate.max(LOWEST_CEILING)),
            rate: None,
            curve: Curve::probing(SLOWEST),
            next: now,
            last_cut: None,
            last_answer: now,
            idle: 0.0,
            accepted: Meter::new(now),
            measured: 0.0,
            taken: Taken::new(now),
            usual: Usual::new(now),
        }
    }

    /// Starts a second in force: the adaptive rate or the ceiling, whichever is lower.
    pub(super) fn rate(&self) -> Option<f64> {
        match (self.rate, self.ceiling) {
            (Some(rate), Some(ceiling)) => Some(rate.min(ceiling)),
            (rate, ceiling) => rate.or(ceiling),
        }
    }

    /// The adaptive rate alone: what refusals have taught.
    pub(super) fn learned(&self) -> Option<f64> {
        self.rate
    }

    /// When the next request may start; `None` where there is no pace or the time has come.
    pub(super) fn wait_until(&self, now: Instant) -> Option<Instant> {
        self.rate().is_some().then_some(self.next).filter(|next| now < *next)
    }

    /// Takes the turn. Returns whether the start is on schedule, so that a faster pace would have let it go earlier.
    /// A start that waited for a slot never is, and the schedule does not catch up with it: that would bunch.
    pub(super) fn start(&mut self, number: u64, now: Instant, waited_for_slot: bool) -> bool {
        self.taken.started(number, now);
        let Some(rate) = self.rate() else { return false };
        let late = now.saturating_duration_since(self.next);
        let from = if waited_for_slot || late > TOLERANCE { now } else { self.next };
        self.next = from + Duration::from_secs_f64(1.0 / rate);
        late <= TIMER_SLACK && !waited_for_slot
    }

    /// An answer that was not refused. `held_back`: the request waited for its turn, not for a slot.
    pub(super) fn accepted(&mut self, ended: &Ended, held_back: bool) {
        let step = ended.step_since(self.last_answer);
        self.last_answer = ended.now;
        if self.is_stale(ended) {
            return;
        }
        self.accepted.count(ended.now);
        let accepted = self.accepted.rate(ended.now);
        if let Some(accepted) = accepted {
            self.usual.accepted(ended.now, accepted, step);
        }
        let Some(rate) = self.rate else { return };
        if held_back {
            self.idle = 0.0;
            if accepted.is_none_or(|accepted| rate < accepted * UNUSED_ABOVE) {
                let due = self.curve.advance(step, ended.recovery).max(rate);
                self.rate = Some(self.ceiling.map_or(due, |ceiling| due.min(ceiling)));
            }
        } else {
            self.idle += step;
            if self.idle > DROPPED_AFTER {
                self.rate = None;
            }
        }
    }

    /// Takes note of a refusal, whatever it is about.
    pub(super) fn note_refusal(&mut self, ended: &Ended) {
        self.taken.refused(ended.number, ended.started);
    }

    /// Whether a server that takes this rate takes less than it did for long, not long ago.
    pub(super) fn is_below_usual(&self, rate: f64, now: Instant) -> bool {
        self.usual.is_above(rate, now)
    }

    /// Whether it is known what the server usually takes.
    pub(super) fn knows_usual(&self) -> bool {
        self.usual.is_known()
    }

    /// A refusal by rate.
    pub(super) fn refused(&mut self, ended: &Ended) -> Refusal {
        if self.is_stale(ended) {
            return Refusal::Stale;
        }
        let (refused, after) = match (self.rate, self.accepted.rate(ended.now)) {
            (None, None) => return Refusal::Unmeasured,
            (Some(rate), None) => {
                let after = (rate * AFTER_QUICK_REFUSAL).max(self.measured * DEEPEST_QUICK_CUT).min(rate);
                (after / AFTER_REFUSAL, after)
            }
            (None, Some(accepted)) => (accepted, accepted * AFTER_REFUSAL),
            (Some(rate), Some(accepted)) => {
                let refused = accepted.clamp(rate * DEEPEST_CUT / AFTER_REFUSAL, rate);
                (refused, refused * AFTER_REFUSAL)
            }
        };
        if let Some(accepted) = self.accepted.rate(ended.now) {
            self.measured = accepted;
        }
        let after = after.max(SLOWEST);
        self.rate = Some(after);
        let curve = Curve::recovering((refused * SUSTAINED).max(after), after);
        // Beyond what it usually takes there is no hurry, and less to be refused.
        let hurry = self.is_below_usual(after, ended.now) || !self.usual.is_known();
        self.curve = if hurry { curve } else { curve.slower(1) };
        self.last_cut = Some(ended.now);
        self.idle = 0.0;
        self.accepted.clear();
        Refusal::Lowered
    }

    /// Starts again after a hold of so many seconds. Returns whether what was refused before it is known to have been
    /// beyond a rate.
    pub(super) fn resume(&mut self, now: Instant, held: f64) -> bool {
        let estimate = self.taken.estimate();
        match estimate {
            Some(Estimate::Close(rate)) => {
                let (refused, after) = (rate * JUST_BELOW, (rate * AFTER_HOLD).max(SLOWEST));
                self.rate = Some(after);
                self.curve = Curve::recovering(refused.max(after), after);
            }
            Some(Estimate::Rough(rate, times)) => {
                let rate = rate.max(SLOWEST);
                self.rate = Some(rate);
                // Slower each time: what goes beyond the rate by little takes long, and tells it apart from a burst.
                self.curve = Curve::probing(rate).slower(times - 1);
            }
            None => {}
        }
        self.taken.resume(now, held);
        self.next = now;
        self.last_answer = now;
        self.idle = 0.0;
        self.accepted.clear();
        matches!(estimate, Some(Estimate::Close(_)))
    }

    /// Sees to it that there is a pace, of at most `rate` a second; nothing is known against a faster one.
    pub(super) fn spread(&mut self, rate: f64) {
        let rate = rate.max(SLOWEST);
        if self.rate.is_none_or(|current| current > rate) {
            self.rate = Some(rate);
            self.curve = Curve::probing(rate);
            self.idle = 0.0;
        }
    }

    fn is_stale(&self, ended: &Ended) -> bool {
        self.last_cut.is_some_and(|cut| ended.started <= cut)
    }
}

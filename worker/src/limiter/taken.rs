//! What a server took between two holds, and what that says of the rate it takes for long.
//!
//! A token bucket (RFC 2697 calls its two numbers CIR and CBS) takes no more than `allowance + rate * t` requests in any
//! time `t`, and refuses the first that would be more. So of the times that end at a refusal one is used up to that
//! bound, and the others stay below it. One refusal leaves a line of pairs that would explain it; two after times of
//! different lengths leave one pair. While nothing starts the allowance fills up again, so both know the same one.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// Starts are counted in spans of this length …
const SPAN: Duration = Duration::from_millis(20);
/// … of which so many are kept: what happened earlier says little about a burst.
const SPANS: usize = 300;
/// Two times tell rate and allowance apart if they differ by this much, in seconds.
const APART: f64 = 0.3;
/// A shorter time says nothing of a rate, in seconds.
const TELLING: f64 = 0.2;
/// A first stretch is judged as if the allowance had come from this long a hold, in seconds.
const ASSUMED_HOLD: f64 = 1.0;
/// Halvings of the interval in which the rate lies.
const HALVINGS: u32 = 30;

/// What is known of the rate that a server takes, in requests a second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Estimate {
    /// Within a few parts of a hundred.
    Close(f64),
    /// Between two bounds, in the middle of them; and for how many times in a row no better is known.
    Rough(f64, u32),
}

/// Requests that were taken in the times that ended at a refusal, the shortest first.
#[derive(Debug)]
struct Stretch {
    counts: Vec<u32>,
    /// From the last span's beginning to the refused request's start, in seconds.
    rest: f64,
    /// Of the hold before, in seconds.
    held: f64,
}

impl Stretch {
    fn seconds(&self, at: usize) -> f64 {
        self.rest + at as f64 * SPAN.as_secs_f64()
    }

    /// The bounds of the rate: at least so much that what filled up while nothing started was enough, at most what
    /// was sent.
    fn bounds(&self) -> (f64, f64) {
        let whole = self.seconds(self.counts.len() - 1);
        let (mut lowest, mut highest) = (0.0, 0.0);
        for (at, count) in self.counts.iter().enumerate() {
            let (count, seconds) = (f64::from(*count), self.seconds(at));
            lowest = f64::max(lowest, count / (seconds + self.held));
            if seconds >= whole.min(TELLING) {
                highest = f64::max(highest, count / seconds.max(0.001));
            }
        }
        (lowest, highest)
    }

    /// The allowance that explains the refusal at this rate, and how long it was being used up, in seconds.
    fn allowance(&self, rate: f64) -> (f64, f64) {
        let used = self.counts.iter().enumerate().map(|(at, count)| {
            let seconds = self.seconds(at);
            (f64::from(*count) - rate * seconds, seconds)
        });
        used.fold((0.0, 0.0), |most, used| if used.0 > most.0 { used } else { most })
    }
}

/// The stretch under way, and those before it.
#[derive(Debug)]
pub(super) struct Taken {
    /// When the first of the spans began.
    since: Instant,
    /// The number of its first request.
    first: u64,
    spans: VecDeque<u32>,
    held: f64,
    last: Option<Stretch>,
    before: Option<Stretch>,
    allowance: Option<f64>,
    /// Estimates in a row that were rough.
    rough: u32,
}

impl Taken {
    pub(super) fn new(now: Instant) -> Self {
        let spans = VecDeque::with_capacity(SPANS);
        Self {
            since: now,
            first: 0,
            spans,
            held: ASSUMED_HOLD,
            last: None,
            before: None,
            allowance: None,
            rough: 0,
        }
    }

    /// Request `number` started.
    pub(super) fn started(&mut self, number: u64, now: Instant) {
        let mut span = self.span(now);
        if span >= SPANS * 2 {
            // An idle while; nothing of it is kept.
            self.spans.clear();
            span = 0;
        }
        if self.spans.is_empty() {
            (self.since, self.first, span) = (now, number, 0);
        }
        while self.spans.len() <= span {
            self.spans.push_back(0);
        }
        self.spans[span] += 1;
        while self.spans.len() > SPANS {
            self.first += self.spans.pop_front().map_or(0, u64::from);
            self.since += SPAN;
        }
    }

    fn span(&self, at: Instant) -> usize {
        (at.saturating_duration_since(self.since).as_millis() / SPAN.as_millis()) as usize
    }

    /// Request `number` was refused, which started at `started`; those before it were taken.
    pub(super) fn refused(&mut self, number: u64, started: Instant) {
        let last = self.span(started).min(self.spans.len().saturating_sub(1));
        let rest = started.saturating_duration_since(self.since + SPAN * last as u32).as_secs_f64();
        let taken = number.saturating_sub(self.first) as u32;
        let mut earlier: u32 = self.spans.iter().take(last + 1).sum();
        let counts = self.spans.iter().take(last + 1).rev().map(|count| {
            earlier -= count;
            taken.saturating_sub(earlier)
        });
        self.last = Some(Stretch { counts: counts.collect(), rest, held: self.held });
    }

    /// A hold of so many seconds is over.
    pub(super) fn resume(&mut self, now: Instant, held: f64) {
        (self.since, self.held) = (now, held);
        self.spans.clear();
        if self.last.is_some() {
            self.before = self.last.take();
        }
    }

    /// What the refusal since the last hold says; `None` where there was none.
    pub(super) fn estimate(&mut self) -> Option<Estimate> {
        let last = self.last.as_ref().filter(|last| !last.counts.is_empty())?;
        let (lowest, highest) = last.bounds();
        if self.allowance.is_some_and(|allowance| last.allowance(0.0).0 < allowance) {
            // It is not what it was.
            self.allowance = None;
        }
        let mut close = None;
        if let Some(before) = &self.before {
            let rate = solve(highest, |rate| last.allowance(rate).0 - before.allowance(rate).0);
            let (allowance, seconds) = last.allowance(rate);
            if rate >= lowest && seconds - before.allowance(rate).1 >= APART {
                self.allowance = Some(allowance);
                close = Some(rate);
            }
        }
        if close.is_none()
            && let Some(allowance) = self.allowance
        {
            let rate = solve(highest, |rate| last.allowance(rate).0 - allowance);
            let seconds = last.allowance(rate).1;
            close = (rate >= lowest && seconds >= TELLING).then_some(rate);
        }
        self.rough = if close.is_some() { 0 } else { self.rough + 1 };
        Some(close.map_or_else(|| Estimate::Rough((lowest * highest).sqrt(), self.rough), Estimate::Close))
    }
}

/// Where a falling function crosses zero between 0 and `highest`.
fn solve(highest: f64, falling: impl Fn(f64) -> f64) -> f64 {
    let (mut low, mut high) = (0.0, highest);
    for _ in 0..HALVINGS {
        let middle = (low + high) / 2.0;
        if falling(middle) > 0.0 {
            low = middle;
        } else {
            high = middle;
        }
    }
    low
}

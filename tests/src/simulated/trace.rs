//! Everything that happened in a simulated night, in order: as a number to compare, and in words where they are wanted.

use std::hash::{DefaultHasher, Hasher as _};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// More steps than any night takes: one that makes more is going round in circles.
const MOST: u64 = 400_000;

/// See the module. Clones are the same.
#[derive(Clone)]
pub(super) struct Trace(Arc<Inner>);

struct Inner {
    began: Instant,
    state: Mutex<State>,
    overrun: CancellationToken,
}

struct State {
    /// With fixed keys, so that it is the same in every process.
    digest: DefaultHasher,
    steps: u64,
    given: u64,
    lines: Option<Vec<String>>,
    violations: Vec<String>,
}

impl Trace {
    pub(super) fn new(in_words: bool) -> Self {
        let state = State {
            digest: DefaultHasher::new(),
            steps: 0,
            given: 0,
            lines: in_words.then(Vec::new),
            violations: Vec::new(),
        };
        Self(Arc::new(Inner {
            began: Instant::now(),
            state: state.into(),
            overrun: CancellationToken::new(),
        }))
    }

    /// Milliseconds since the beginning.
    pub(super) fn now(&self) -> u64 {
        u64::try_from(self.0.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    pub(super) fn note(&self, who: &str, what: &str) {
        let now = self.now();
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.digest.write_u64(now);
        state.digest.write(who.as_bytes());
        state.digest.write(what.as_bytes());
        state.steps += 1;
        if state.steps > MOST {
            self.0.overrun.cancel();
        }
        if let Some(lines) = &mut state.lines {
            lines.push(format!("{now:>9} {who}: {what}"));
        }
    }

    /// Notes what must not happen while it happens; the verdict is told.
    pub(super) fn violated(&self, what: String) {
        self.note("VIOLATION", &what);
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner).violations.push(what);
    }

    /// A number that nothing had before.
    pub(super) fn next(&self) -> u64 {
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.given += 1;
        state.given
    }

    /// Cancelled when it makes too many steps.
    pub(super) fn overrun(&self) -> &CancellationToken {
        &self.0.overrun
    }

    pub(super) fn take(&self) -> (u64, u64, Vec<String>, Vec<String>) {
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        let lines = state.lines.take().unwrap_or_default();
        (state.digest.finish(), state.steps, std::mem::take(&mut state.violations), lines)
    }
}

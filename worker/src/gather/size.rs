//! How many rows go into one request: few until the server has shown what its answers are worth, then as many as it
//! takes well.
//!
//! As with congestion windows (RFC 5681): half after trouble, a little more after a good while without; and each trouble
//! makes that while longer, because a size that was too large mostly stays so.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Rows in a request that is tried.
pub(crate) const ON_TRIAL: usize = 5;
/// Full requests that went well before the next has more rows: at first …
const PATIENCE: u32 = 10;
/// … and at most.
const MOST_PATIENCE: u32 = 320;

/// How a request for many went, as far as its size is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fit {
    /// The server coped.
    Well,
    /// It did not: too large, too slow, or some of it failed for want of room.
    TooMany,
    /// That says nothing about the size.
    Unclear,
}

/// The size in force.
#[derive(Debug)]
pub(crate) struct BatchSize {
    most: usize,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    now: usize,
    well: u32,
    patience: u32,
}

impl BatchSize {
    /// At most so many rows; a trial's until [`proven`](Self::proven).
    pub(crate) fn on_trial(most: usize) -> Self {
        let state = State { now: most.min(ON_TRIAL), well: 0, patience: PATIENCE };
        Self { most, state: Mutex::new(state) }
    }

    /// Rows in the next request.
    pub(crate) fn now(&self) -> usize {
        self.state().now
    }

    /// The trial went well.
    pub(crate) fn proven(&self) {
        self.state().now = self.most;
    }

    /// A request for so many rows went so.
    pub(crate) fn note(&self, rows: usize, fit: Fit) {
        let mut state = self.state();
        match fit {
            // Others of the old size may be on their way: they say no more than the first did.
            Fit::TooMany if rows / 2 < state.now => {
                state.now = (rows / 2).max(1);
                state.patience = (state.patience * 2).min(MOST_PATIENCE);
                state.well = 0;
                tracing::debug!(rows, now = state.now, "fewer rows in a request");
            }
            Fit::Well if rows >= state.now && state.now < self.most => {
                state.well += 1;
                if state.well >= state.patience {
                    state.now = (state.now + state.now / 4 + 1).min(self.most);
                    state.well = 0;
                }
            }
            _ => {}
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_halves_it_once_and_patience_brings_it_back() {
        let size = BatchSize::on_trial(50);
        assert_eq!(size.now(), ON_TRIAL);
        size.proven();
        for rows in [50, 50, 48] {
            size.note(rows, Fit::TooMany);
        }
        assert_eq!(size.now(), 24, "those that were on their way with it say little more");
        let mut good = 0;
        while size.now() < 50 {
            let now = size.now();
            size.note(now / 2, Fit::Well);
            size.note(now, Fit::Unclear);
            size.note(now, Fit::Well);
            good += 1;
        }
        assert_eq!(good, 40 * 4, "24, 31, 39, 49, 50");
        for _ in 0..10 {
            size.note(size.now(), Fit::TooMany);
        }
        assert_eq!(size.now(), 1);
        size.note(1, Fit::TooMany);
        assert_eq!(size.now(), 1);
    }
}

//! Tells a row's own trouble from everybody's.
//!
//! A failure counts against a row only if another request of the same operation succeeds after it; where
//! nothing succeeds any more, it is the server, and no row pays for it. So a failure waits for a moment, without
//! holding a permit, until it is known which of the two it is.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use shared::ledger::RowKey;
use tokio::sync::Notify;

use crate::fhir::Operation;

/// Rows that must fail in an unbroken streak before the server is blamed, by how likely a single row is to
/// fail so on its own account.
#[derive(Clone, Copy, Debug)]
pub struct BreakerTerms {
    /// For time-outs, broken answers and 5xx: one row in a hundred fails so on an ordinary night.
    pub failing: usize,
    /// For 403: a single Patient may be out of bounds.
    pub forbidden: usize,
    /// For no connection at all: it is never about the row, only perhaps a hiccup.
    pub unreachable: usize,
    /// For a match that is not whom we searched: three, as `rows.md` has it.
    pub mismatching: usize,
    /// How long a failure waits to learn what it was.
    pub patience: Duration,
}

impl Default for BreakerTerms {
    fn default() -> Self {
        Self { failing: 10, forbidden: 3, unreachable: 3, mismatching: 3, patience: Duration::from_secs(1) }
    }
}

/// Kinds of failure, each with a streak of its own per operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Time-outs, broken answers, 5xx.
    Failing,
    /// 403.
    Forbidden,
    /// No connection.
    Unreachable,
    /// A match that is not whom we searched.
    Mismatching,
}

/// Whose trouble it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// The row's: others succeed.
    Row,
    /// Everybody's.
    Server,
    /// Nobody else asked anything in the meantime.
    Unknown,
}

const OPERATIONS: usize = 7;
const KINDS: usize = 4;

/// See the module.
pub struct Breaker {
    terms: BreakerTerms,
    streaks: Mutex<[[HashSet<RowKey>; KINDS]; OPERATIONS]>,
    successes: [AtomicU64; OPERATIONS],
    /// Goes up with each streak that became long enough.
    opened: [AtomicU64; OPERATIONS],
    news: Notify,
}

impl Breaker {
    /// A breaker that has seen nothing.
    pub fn new(terms: BreakerTerms) -> Self {
        Self {
            terms,
            streaks: Mutex::default(),
            successes: Default::default(),
            opened: Default::default(),
            news: Notify::new(),
        }
    }

    /// The server did what it was asked to.
    pub fn succeeded(&self, operation: Operation) {
        let at = operation as usize;
        self.successes[at].fetch_add(1, Ordering::Relaxed);
        // Clearing an empty set costs nothing; a set's memory is kept for the next streak.
        self.streaks()[at].iter_mut().for_each(HashSet::clear);
        self.news.notify_waiters();
    }

    /// The server was found well: whoever fails from now on starts another streak.
    pub fn start_over(&self) {
        self.streaks().iter_mut().flatten().for_each(HashSet::clear);
    }

    /// Notes a row's failure and waits to learn whose it was.
    pub async fn blame(&self, operation: Operation, kind: Kind, row: RowKey) -> Blame {
        let at = operation as usize;
        let (succeeded, opened) =
            (self.successes[at].load(Ordering::Relaxed), self.opened[at].load(Ordering::Relaxed));
        let long_enough = match kind {
            Kind::Failing => self.terms.failing,
            Kind::Forbidden => self.terms.forbidden,
            Kind::Unreachable => self.terms.unreachable,
            Kind::Mismatching => self.terms.mismatching,
        };
        {
            let mut streaks = self.streaks();
            let streak = &mut streaks[at][kind as usize];
            streak.insert(row);
            // Kept as it is: whoever fails next, before anything succeeds, fails for the same reason.
            if streak.len() >= long_enough {
                self.opened[at].fetch_add(1, Ordering::Relaxed);
                drop(streaks);
                self.news.notify_waiters();
                return Blame::Server;
            }
        }
        let learned = async {
            loop {
                let news = self.news.notified();
                let mut news = std::pin::pin!(news);
                news.as_mut().enable();
                if self.opened[at].load(Ordering::Relaxed) != opened {
                    return Blame::Server;
                }
                if self.successes[at].load(Ordering::Relaxed) != succeeded {
                    return Blame::Row;
                }
                news.await;
            }
        };
        tokio::time::timeout(self.terms.patience, learned).await.unwrap_or(Blame::Unknown)
    }

    fn streaks(&self) -> MutexGuard<'_, [[HashSet<RowKey>; KINDS]; OPERATIONS]> {
        self.streaks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use shared::ledger::RunId;

    use super::*;

    /// What these rows are told, failing one after the other.
    async fn fail(breaker: &Breaker, rows: std::ops::Range<u32>) -> Vec<Blame> {
        let run = RunId::new(Timestamp::UNIX_EPOCH);
        let mut told = Vec::new();
        for sheet_row in rows {
            let row = RowKey { run, sheet_row, generation: 1 };
            told.push(breaker.blame(Operation::Update, Kind::Forbidden, row).await);
        }
        told
    }

    #[tokio::test(start_paused = true)]
    async fn who_fails_after_the_server_was_blamed_fails_for_the_same_reason() {
        let breaker = Breaker::new(BreakerTerms::default());
        use Blame::{Server, Unknown};
        assert_eq!(fail(&breaker, 0..7).await, [Unknown, Unknown, Server, Server, Server, Server, Server]);
        breaker.start_over();
        assert_eq!(fail(&breaker, 7..9).await, [Unknown, Unknown], "a new streak");
        breaker.succeeded(Operation::Update);
        assert_eq!(fail(&breaker, 9..12).await, [Unknown, Unknown, Server]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_row_is_to_blame_where_another_succeeds_after_it() {
        let breaker = Breaker::new(BreakerTerms::default());
        let (told, ()) = tokio::join!(fail(&breaker, 0..1), async { breaker.succeeded(Operation::Update) });
        assert_eq!(told, [Blame::Row]);
        let (told, ()) = tokio::join!(fail(&breaker, 1..2), async { breaker.succeeded(Operation::Search) });
        assert_eq!(told, [Blame::Unknown], "a success of another operation says nothing");
    }
}

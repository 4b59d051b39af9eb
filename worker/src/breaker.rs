//! Tells a row's own trouble from everybody's.
//!
//! A failure counts against a row only if another request of the same operation succeeds after it; where
//! nothing succeeds any more, it is the server, and no row pays for it. So a failure waits for a moment, without
//! holding a permit, until it is known which of the two it is.
//!
//! It is the server too where half of what is asked fails. And as in every circuit breaker (M. Nygard, *Release It!*),
//! the first failures after a pause, before enough succeeded, are the server's.
//!
//! Rows that fail by themselves and are the last ones look like that as well. They must not wait for ever: one that
//! failed on its own account before is not heard, and where for long no row but the same ones fails, it is they.

use std::collections::{HashSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use shared::ledger::RowKey;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::fhir::Operation;

/// Rows that must fail in an unbroken streak before the server is blamed, by how likely a single row is to
/// fail so on its own account; and what else decides.
#[derive(Clone, Copy, Debug)]
pub struct BreakerTerms {
    /// For time-outs, broken answers and 5xx: one row in a hundred fails so on an ordinary night. So many successes
    /// after a pause end the doubt, too.
    pub failing: usize,
    /// For 403: a single Patient may be out of bounds.
    pub forbidden: usize,
    /// For no connection at all: it is never about the row, only perhaps a hiccup.
    pub unreachable: usize,
    /// For a match that is not whom we searched: three, as `rows.md` has it.
    pub mismatching: usize,
    /// How long a failure waits to learn what it was.
    pub patience: Duration,
    /// Of so many latest answers half must be time-outs, broken or 5xx before the server is blamed for them.
    pub window: usize,
    /// A row that failed on its own account so often is not heard about the server.
    pub heard: u32,
    /// How long after the last new row failed the same ones are the server's victims.
    pub victims: Duration,
}

impl Default for BreakerTerms {
    fn default() -> Self {
        Self {
            failing: 10,
            forbidden: 3,
            unreachable: 3,
            mismatching: 3,
            patience: Duration::from_secs(1),
            window: 40,
            heard: 2,
            victims: Duration::from_secs(600),
        }
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

/// Who failed.
#[derive(Clone, Copy, Debug)]
pub struct Failed {
    /// The row.
    pub row: RowKey,
    /// How often it had failed on its own account before.
    pub attempts: u32,
}

const OPERATIONS: usize = 7;
const KINDS: usize = 4;

/// What is known of one operation.
#[derive(Default)]
struct Circuit {
    streaks: [HashSet<RowKey>; KINDS],
    /// The latest answers; true: failing.
    latest: VecDeque<bool>,
    failing: usize,
    successes: u64,
    /// How often the server was blamed.
    opened: u64,
    /// Successes that are still to come before a failure after a pause is weighed like any other.
    doubt: usize,
    /// Rows whose failures the server was blamed for, and when the latest joined them.
    victims: HashSet<RowKey>,
    joined_at: Option<Instant>,
}

impl Circuit {
    fn note(&mut self, failing: bool, window: usize) {
        self.latest.push_back(failing);
        self.failing += usize::from(failing);
        if self.latest.len() > window && self.latest.pop_front() == Some(true) {
            self.failing -= 1;
        }
    }

    fn half_fails(&self, window: usize) -> bool {
        self.latest.len() >= window && self.failing * 2 >= self.latest.len()
    }

    fn excuse(&mut self, row: RowKey) -> Blame {
        if self.victims.insert(row) {
            self.joined_at = Some(Instant::now());
        }
        Blame::Server
    }

    /// Whether this row, and no new one, keeps failing, though the server did this for others before and was found
    /// well since.
    fn has_only_itself(&self, row: RowKey, terms: &BreakerTerms) -> bool {
        let for_long = |at: Instant| at.elapsed() >= terms.victims;
        self.successes > 0 && self.victims.contains(&row) && self.joined_at.is_some_and(for_long)
    }
}

/// See the module.
pub struct Breaker {
    terms: BreakerTerms,
    circuits: Mutex<[Circuit; OPERATIONS]>,
    news: Notify,
}

impl Breaker {
    /// A breaker that has seen nothing.
    pub fn new(terms: BreakerTerms) -> Self {
        Self { terms, circuits: Mutex::default(), news: Notify::new() }
    }

    /// The server did what it was asked to.
    pub fn succeeded(&self, operation: Operation) {
        {
            let circuit = &mut self.circuits()[operation as usize];
            circuit.successes += 1;
            circuit.doubt = circuit.doubt.saturating_sub(1);
            circuit.note(false, self.terms.window);
            // Clearing an empty set costs nothing; a set's memory is kept for the next streak.
            circuit.streaks.iter_mut().for_each(HashSet::clear);
        }
        self.news.notify_waiters();
    }

    /// The server was found well: whoever fails from now on starts another streak, and where it was blamed before it
    /// has to prove itself.
    pub fn start_over(&self) {
        for circuit in self.circuits().iter_mut() {
            circuit.streaks.iter_mut().for_each(HashSet::clear);
            circuit.latest.clear();
            circuit.failing = 0;
        }
    }

    /// Notes a row's failure and waits to learn whose it was.
    pub async fn blame(&self, operation: Operation, kind: Kind, failed: Failed) -> Blame {
        let at = operation as usize;
        let (opened, successes) = {
            let mut circuits = self.circuits();
            let circuit = &mut circuits[at];
            if matches!(kind, Kind::Failing | Kind::Forbidden)
                && circuit.has_only_itself(failed.row, &self.terms)
            {
                return Blame::Row;
            }
            if failed.attempts < self.terms.heard && self.is_server(circuit, kind, failed.row) {
                circuit.opened += 1;
                circuit.doubt = self.terms.failing;
                let blame = circuit.excuse(failed.row);
                drop(circuits);
                self.news.notify_waiters();
                return blame;
            }
            (circuit.opened, circuit.successes)
        };
        let learned = async {
            loop {
                let news = self.news.notified();
                let mut news = std::pin::pin!(news);
                news.as_mut().enable();
                {
                    let circuit = &mut self.circuits()[at];
                    if circuit.opened != opened {
                        return circuit.excuse(failed.row);
                    }
                    if circuit.successes != successes {
                        return Blame::Row;
                    }
                }
                news.await;
            }
        };
        tokio::time::timeout(self.terms.patience, learned).await.unwrap_or(Blame::Unknown)
    }

    /// Whether this failure is one too many.
    fn is_server(&self, circuit: &mut Circuit, kind: Kind, row: RowKey) -> bool {
        let long_enough = match kind {
            Kind::Failing => self.terms.failing,
            Kind::Forbidden => self.terms.forbidden,
            Kind::Unreachable => self.terms.unreachable,
            Kind::Mismatching => self.terms.mismatching,
        };
        // Kept as it is until something succeeds: whoever fails next fails for the same reason.
        let streak = &mut circuit.streaks[kind as usize];
        streak.insert(row);
        let streak = streak.len();
        if kind == Kind::Failing {
            circuit.note(true, self.terms.window);
        }
        let in_doubt = kind != Kind::Mismatching && circuit.doubt > 0;
        streak >= long_enough || in_doubt || (kind == Kind::Failing && circuit.half_fails(self.terms.window))
    }

    fn circuits(&self) -> MutexGuard<'_, [Circuit; OPERATIONS]> {
        self.circuits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use jiff::Timestamp;
    use shared::ledger::RunId;

    use super::Blame::{Row, Server, Unknown};
    use super::*;

    const TERMS: BreakerTerms = BreakerTerms {
        failing: 10,
        forbidden: 3,
        unreachable: 3,
        mismatching: 3,
        patience: Duration::from_secs(1),
        window: 40,
        heard: 2,
        victims: Duration::from_secs(600),
    };

    /// Each `RunId::new` is another.
    static RUN: LazyLock<RunId> = LazyLock::new(|| RunId::new(Timestamp::UNIX_EPOCH));

    fn row(sheet_row: u32) -> Failed {
        Failed { row: RowKey { run: *RUN, sheet_row, generation: 1 }, attempts: 0 }
    }

    /// What these rows are told, failing one after the other.
    async fn fail(breaker: &Breaker, kind: Kind, rows: std::ops::Range<u32>) -> Vec<Blame> {
        let mut told = Vec::new();
        for sheet_row in rows {
            told.push(breaker.blame(Operation::Update, kind, row(sheet_row)).await);
        }
        told
    }

    fn succeed(breaker: &Breaker, times: usize) {
        (0..times).for_each(|_| breaker.succeeded(Operation::Update));
    }

    #[tokio::test(start_paused = true)]
    async fn who_fails_after_the_server_was_blamed_fails_for_the_same_reason() {
        let breaker = Breaker::new(TERMS);
        let told = fail(&breaker, Kind::Forbidden, 0..7).await;
        assert_eq!(told, [Unknown, Unknown, Server, Server, Server, Server, Server]);
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_pause_the_server_is_in_doubt_until_enough_succeeded() {
        let breaker = Breaker::new(TERMS);
        fail(&breaker, Kind::Failing, 0..10).await;
        breaker.start_over();
        succeed(&breaker, 9);
        assert_eq!(fail(&breaker, Kind::Failing, 10..11).await, [Server]);
        breaker.start_over();
        succeed(&breaker, 10);
        assert_eq!(fail(&breaker, Kind::Failing, 11..13).await, [Unknown, Unknown], "a new streak");
    }

    #[tokio::test(start_paused = true)]
    async fn a_row_is_to_blame_where_another_succeeds_after_it() {
        let breaker = Breaker::new(TERMS);
        let alone = fail(&breaker, Kind::Forbidden, 0..1);
        let (told, ()) = tokio::join!(alone, async { breaker.succeeded(Operation::Update) });
        assert_eq!(told, [Row]);
        let alone = fail(&breaker, Kind::Forbidden, 1..2);
        let (told, ()) = tokio::join!(alone, async { breaker.succeeded(Operation::Search) });
        assert_eq!(told, [Unknown], "a success of another operation says nothing");
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_fails_half_of_the_time_is_to_blame() {
        let breaker = Breaker::new(TERMS);
        for pair in 0..19 {
            succeed(&breaker, 1);
            assert_eq!(fail(&breaker, Kind::Failing, pair..pair + 1).await, [Unknown]);
        }
        succeed(&breaker, 1);
        assert_eq!(fail(&breaker, Kind::Failing, 19..20).await, [Server], "twenty of forty");

        let breaker = Breaker::new(TERMS);
        for third in 0..100 {
            succeed(&breaker, 2);
            assert_eq!(fail(&breaker, Kind::Failing, third..third + 1).await, [Unknown], "a third fails");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_row_that_failed_twice_by_itself_says_nothing_about_the_server() {
        let breaker = Breaker::new(TERMS);
        for sheet_row in 0..20 {
            let failed = Failed { attempts: 2, ..row(sheet_row) };
            assert_eq!(breaker.blame(Operation::Update, Kind::Failing, failed).await, Unknown);
        }
        assert_eq!(fail(&breaker, Kind::Failing, 20..21).await, [Unknown]);
    }

    #[tokio::test(start_paused = true)]
    async fn where_for_long_only_the_same_rows_fail_it_is_they() {
        let breaker = Breaker::new(TERMS);
        succeed(&breaker, 1);
        fail(&breaker, Kind::Forbidden, 0..3).await;
        tokio::time::advance(TERMS.victims / 2).await;
        assert_eq!(fail(&breaker, Kind::Forbidden, 2..4).await, [Server, Server], "the last is new");
        tokio::time::advance(TERMS.victims / 2 + Duration::from_secs(1)).await;
        assert_eq!(fail(&breaker, Kind::Forbidden, 2..3).await, [Server], "another was new meanwhile");
        tokio::time::advance(TERMS.victims).await;
        assert_eq!(fail(&breaker, Kind::Forbidden, 2..4).await, [Row, Row]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_never_did_it_for_anybody_stays_to_blame() {
        let breaker = Breaker::new(TERMS);
        fail(&breaker, Kind::Forbidden, 0..3).await;
        tokio::time::advance(TERMS.victims * 2).await;
        assert_eq!(fail(&breaker, Kind::Forbidden, 2..3).await, [Server]);
    }
}

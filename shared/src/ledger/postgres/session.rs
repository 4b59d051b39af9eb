//! One transaction on one connection, with its time-outs, and what makes it work behind a transaction pooler.
//!
//! Nothing here outlives a transaction: statements are unnamed (parsed, bound and run in one message), and
//! settings are `SET LOCAL`. So PgBouncer may hand every transaction to another server connection.
//!
//! Statements that do not need each other's answers are sent in one go and answered in one round trip. The
//! server runs them one after another, each with a snapshot of its own: what a statement waited for and
//! locked is seen by the next as it is then.
//!
//! A transaction that is not committed, for whatever reason, takes its connection with it: closing is the one
//! way to roll back that also holds when the asker went away or the server does not answer.

use std::future::Future;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use deadpool_postgres::{Object, Pool};
use tokio::time::{Instant, timeout_at};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Error, Row};

use super::failed;
use crate::ledger::LedgerError;
use crate::testing::hurried_to;

/// How much longer than the server we wait for its own time-out to be told.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long a transaction may stand open with nothing to do. A process that is stopped in the middle of one
/// would otherwise keep its row locks, and with them the whole fleet, waiting.
const IDLE: Duration = Duration::from_secs(10);

/// How statements find their rows. The planner is told, because its statistics are of no use here: a night's rows
/// come within seconds, long before anything counts them. Left alone it read whole tables for a batch of keys, and
/// compared all rows of a snapshot with each other: minutes instead of a tenth of a second. Nor is anything here
/// worth compiling first.
#[derive(Clone, Copy)]
enum Plan {
    /// By their keys.
    ByKey,
    /// All rows of a run, joined with themselves.
    Whole,
}

impl Plan {
    fn settings(self) -> &'static str {
        match self {
            Self::ByKey => {
                "SET LOCAL jit = off; SET LOCAL enable_seqscan = off; SET LOCAL enable_hashjoin = off; \
                 SET LOCAL enable_mergejoin = off"
            }
            Self::Whole => "SET LOCAL jit = off; SET LOCAL enable_nestloop = off",
        }
    }
}

/// A parameter and its type: unnamed statements must be told.
pub(super) type Param<'a> = (&'a (dyn ToSql + Sync), Type);

/// A statement and what it is run with.
pub(super) type Statement<'a> = (&'a str, &'a [Param<'a>]);

#[derive(Debug, thiserror::Error)]
#[error("no answer within {} ms", .0.as_millis())]
struct NoAnswer(Duration);

/// A connection that may have a transaction open: given back to its pool only when that has ended.
struct Held(Option<Object>);

impl Held {
    fn client(&self) -> &Client {
        self.0.as_ref().expect("the connection is taken only by what consumes the session")
    }

    fn give_back(mut self) {
        drop(self.0.take());
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(connection) = self.0.take() {
            drop(Object::take(connection));
        }
    }
}

/// A transaction, begun with its first statements and ended with its last.
pub(super) struct Session {
    held: Held,
    doing: &'static str,
    limit: Duration,
    plan: Plan,
    begun: bool,
}

impl Session {
    /// Takes a connection. `doing` names the verb in an error, `limit` bounds each of its statements.
    pub(super) async fn open(pool: &Pool, doing: &'static str, limit: Duration) -> Result<Self, LedgerError> {
        let connection = pool.get().await.map_err(|source| failed(doing, source))?;
        Ok(Self { held: Held(Some(connection)), doing, limit, plan: Plan::ByKey, begun: false })
    }

    /// For statements over a whole run.
    pub(super) fn over_a_run(self) -> Self {
        Self { plan: Plan::Whole, ..self }
    }

    /// Runs statements within the transaction and answers with the rows of the last.
    pub(super) async fn run(&mut self, statements: &[Statement<'_>]) -> Result<Vec<Row>, LedgerError> {
        let mut rows = self.all(statements).await?;
        Ok(rows.pop().unwrap_or_default())
    }

    /// Runs statements within the transaction and answers with the rows of each.
    pub(super) async fn all(&mut self, statements: &[Statement<'_>]) -> Result<Vec<Vec<Row>>, LedgerError> {
        self.in_one_go(statements, false).await
    }

    /// Runs the transaction's last statements, commits, and answers with the rows of the last.
    pub(super) async fn finish(mut self, statements: &[Statement<'_>]) -> Result<Vec<Row>, LedgerError> {
        let mut rows = self.in_one_go(statements, true).await?;
        self.held.give_back();
        Ok(rows.pop().unwrap_or_default())
    }

    async fn in_one_go(
        &mut self,
        statements: &[Statement<'_>],
        commit: bool,
    ) -> Result<Vec<Vec<Row>>, LedgerError> {
        let client = self.held.client();
        let begin = (!std::mem::replace(&mut self.begun, true)).then(|| {
            // Read committed whatever the database's default is: statements count on seeing what they waited for.
            format!(
                "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL statement_timeout = {}; \
                 SET LOCAL idle_in_transaction_session_timeout = {}; {}",
                self.limit.as_millis(),
                hurried_to(Duration::from_secs(3), IDLE).as_millis(),
                self.plan.settings()
            )
        });
        let mut asked: Vec<Asked<'_>> = Vec::with_capacity(statements.len() + 2);
        if let Some(begin) = &begin {
            asked.push(Box::pin(async move { client.batch_execute(begin).await.map(|()| Vec::new()) }));
        }
        for &(sql, params) in statements {
            asked.push(Box::pin(client.query_typed(sql, params)));
        }
        if commit {
            asked.push(Box::pin(async move { client.batch_execute("COMMIT").await.map(|()| Vec::new()) }));
        }
        let steps = u32::try_from(asked.len()).unwrap_or(u32::MAX);
        let longest = self.limit.saturating_mul(steps) + PATIENCE;
        let answers = timeout_at(Instant::now() + longest, answers(asked))
            .await
            .map_err(|_| failed(self.doing, NoAnswer(longest)))?;
        // The first error is the cause: whatever came after it was refused by the aborted transaction.
        let mut rows = answers
            .into_iter()
            .collect::<Result<Vec<_>, _>>()
            .map_err(|source| failed(self.doing, source))?;
        if begin.is_some() {
            rows.remove(0);
        }
        if commit {
            rows.pop();
        }
        Ok(rows)
    }
}

type Asked<'a> = Pin<Box<dyn Future<Output = Result<Vec<Row>, Error>> + Send + 'a>>;

/// Answers to requests that are sent in this order: tokio-postgres sends a request when it is first polled.
async fn answers(mut asked: Vec<Asked<'_>>) -> Vec<Result<Vec<Row>, Error>> {
    let mut answers: Vec<_> = asked.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        for (request, answer) in asked.iter_mut().zip(&mut answers) {
            if answer.is_none()
                && let Poll::Ready(ready) = request.as_mut().poll(context)
            {
                *answer = Some(ready);
            }
        }
        if answers.iter().all(Option::is_some) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    answers.into_iter().flatten().collect()
}

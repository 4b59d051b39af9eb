//! The ledger on Postgres: any number of processes, on any number of machines.
//!
//! Every verb is one transaction over arrays, not one statement per row. Rows, then the leases of their NIKs,
//! are locked in the order of their keys, so no two transactions can wait for each other; leases and epochs go
//! by the database's clock. A verb that fails left nothing behind, unless its answer was lost on the way: then
//! it may have happened, and may be asked again. A claim comes back as leased, a record as refused, everything
//! else as if for the first time.
//!
//! **What it needs of the server:** Postgres 13 or newer; `synchronous_commit` not `off` (an answer means that
//! it is on disk); the tables in the first schema of the connection's `search_path`, made by the first process
//! that may create them.
//!
//! **Behind PgBouncer:** `pool_mode = transaction` is enough, of any version and without
//! `max_prepared_statements`: no verb uses a named statement, a session's setting, a session's lock, `LISTEN` or
//! a temporary table, and a transaction's statements may come in one packet (see [`session`]). `statement`
//! mode will not do. Startup parameters sent are `user`, `database`, `client_encoding` and `application_name`;
//! a `search_path` other than the default is set there for the role (`ALTER ROLE … SET search_path`), since
//! PgBouncer refuses `options` in the URI.

pub(crate) mod address;
mod claims;
mod convert;
mod counts;
mod due;
mod fleet;
mod handled;
mod history;
mod intents;
mod keys;
mod lock;
pub(crate) mod migrate;
mod outbox;
mod pages;
mod prune;
mod records;
mod replays;
mod runs;
mod samples;
mod session;
mod standing;
mod tls;
mod views;

use std::time::Duration;

use async_trait::async_trait;
use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod, Runtime};
use jiff::Timestamp;

pub use address::{BadAddress, PostgresAddress};
use session::Session;

use super::{
    Act, Burial, Claim, ClaimRequest, Closing, DeadLetterView, DueTerms, Expiring, Fence, Gate, Intent,
    KeptNotice, Ledger, LedgerError, LedgerView, LockAttempt, NewRun, Notice, Order, Page, Progress,
    PruneTerms, Pruned, Record, Recorded, Replay, RowFilter, RowKey, RowMessage, RowView, Run, RunId,
    RunSummary, Seeded, ShutGate, Snapshot, Standing, StrayMessage, StrayView, Tally,
};
use crate::data_key::KeyedHash;
use crate::domain::RunDate;
use crate::testing::hurried_to;

/// How much longer than others a statement over a whole snapshot may take.
const WHOLE_SNAPSHOT: u32 = 10;

/// Connections and patience.
#[derive(Clone, Copy, Debug)]
pub struct PostgresTerms {
    /// Connections kept at most, beside the one that renews the run lock.
    pub connections: usize,
    /// How long connecting may take, from the first packet to the end of authentication; and how long a verb
    /// waits for a connection to be free.
    pub connect_timeout: Duration,
    /// How long a statement may take, waiting for locks included. The server itself ends it after that.
    pub statement_timeout: Duration,
}

impl Default for PostgresTerms {
    fn default() -> Self {
        Self {
            connections: 8,
            connect_timeout: hurried_to(Duration::from_secs(4), Duration::from_secs(10)),
            statement_timeout: hurried_to(Duration::from_secs(4), Duration::from_secs(30)),
        }
    }
}

/// The Postgres adapter of both sides of the port.
pub struct PostgresLedger {
    pool: Pool,
    /// Of one connection: a renewal must not wait until a long write gives one back.
    renewals: Pool,
    statement_timeout: Duration,
}

fn failed(doing: &'static str, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> LedgerError {
    LedgerError::Database { doing, source: source.into() }
}

/// Whether the server could not be reached, or was not ready, so that it may be there another time. An answer that
/// refuses us is none of that.
pub fn is_away(error: &LedgerError) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(answer) = error.downcast_ref::<tokio_postgres::error::DbError>() {
            // Connections; resources; an operator who shuts it down or starts it.
            return ["08", "53", "57"].iter().any(|class| answer.code().code().starts_with(class));
        }
        cause = error.source();
    }
    matches!(error, LedgerError::Database { .. } | LedgerError::Silent { .. })
}

impl PostgresLedger {
    /// Connects to act, and brings the tables up to date.
    pub async fn connect(address: &PostgresAddress, terms: PostgresTerms) -> Result<Self, LedgerError> {
        let ledger = Self::look(address, terms)?;
        migrate::migrate(&ledger.pool).await?;
        Ok(ledger)
    }

    /// Leaves the tables as they are: for a process that only looks. Nothing is connected before it is asked.
    pub fn look(address: &PostgresAddress, terms: PostgresTerms) -> Result<Self, LedgerError> {
        let pool = |connections| {
            // A connection that ended is noticed without asking: its task has read the end of the stream.
            let config = ManagerConfig { recycling_method: RecyclingMethod::Fast };
            let manager = Manager::from_connect(address.config.clone(), address.clone(), config);
            Pool::builder(manager)
                .max_size(connections)
                .runtime(Runtime::Tokio1)
                .create_timeout(Some(terms.connect_timeout))
                .wait_timeout(Some(terms.connect_timeout))
                .build()
                .map_err(|source| failed("connect", source))
        };
        Ok(Self {
            pool: pool(terms.connections.max(1))?,
            renewals: pool(1)?,
            statement_timeout: terms.statement_timeout,
        })
    }

    async fn session(&self, doing: &'static str) -> Result<Session, LedgerError> {
        Session::open(&self.pool, doing, self.statement_timeout).await
    }

    async fn long_session(&self, doing: &'static str) -> Result<Session, LedgerError> {
        Session::open(&self.pool, doing, self.statement_timeout * WHOLE_SNAPSHOT).await
    }
}

#[async_trait]
impl Ledger for PostgresLedger {
    async fn lock(
        &self,
        job: &str,
        date: RunDate,
        holder: &str,
        lease: Duration,
    ) -> Result<LockAttempt, LedgerError> {
        lock::lock(self.session("take the run lock").await?, (job, date, holder), lease).await
    }

    async fn renew_lock(&self, fence: &Fence, lease: Duration) -> Result<bool, LedgerError> {
        // An answer that comes after the lease is of no use.
        let limit = self.statement_timeout.min(lease / 2);
        lock::renew(Session::open(&self.renewals, "renew the run lock", limit).await?, fence, lease).await
    }

    async fn unlock(&self, fence: &Fence) -> Result<(), LedgerError> {
        lock::unlock(self.session("give the run lock back").await?, fence).await
    }

    async fn open_run(&self, fence: &Fence, run: NewRun) -> Result<Run, LedgerError> {
        runs::open_run(self.session("open a run").await?, fence, run).await
    }

    async fn seed(&self, fence: &Fence, run: RunId, rows: Seeded) -> Result<(), LedgerError> {
        runs::seed(self.session("seed rows").await?, fence, run, rows).await
    }

    async fn complete_snapshot(
        &self,
        fence: &Fence,
        run: RunId,
        snapshot: Snapshot,
    ) -> Result<(), LedgerError> {
        let session = self.long_session("complete a snapshot").await?.over_a_run();
        runs::complete_snapshot(session, fence, run, snapshot).await
    }

    async fn replay(&self, replay: Replay) -> Result<Vec<RowKey>, LedgerError> {
        replays::replay(self.long_session("replay dead letters").await?, &replay).await
    }

    async fn close_run(&self, run: RunId, closing: &Closing) -> Result<bool, LedgerError> {
        runs::close_run(self.session("close a run").await?, run, closing).await
    }

    async fn abandon_run(&self, fence: &Fence, run: RunId) -> Result<(), LedgerError> {
        runs::abandon_run(self.session("abandon a dry run").await?, fence, run).await
    }

    async fn note_act(&self, act: Act) -> Result<(), LedgerError> {
        fleet::note_act(self.session("note an operator's act").await?, &act).await
    }

    async fn take_due(&self, terms: DueTerms) -> Result<Vec<RowMessage>, LedgerError> {
        due::take_due(self.session("find due rows").await?, terms).await
    }

    async fn note_published(&self, rows: &[RowKey], stale_after: Duration) -> Result<(), LedgerError> {
        if rows.is_empty() {
            return Ok(());
        }
        due::note_published(self.session("note published rows").await?, rows, stale_after).await
    }

    async fn forget_published(&self, run: RunId) -> Result<(), LedgerError> {
        due::forget_published(self.long_session("forget what was published").await?, run).await
    }

    async fn claim(&self, requests: &[ClaimRequest], lease: Duration) -> Result<Vec<Claim>, LedgerError> {
        if requests.is_empty() {
            return Ok(Vec::new());
        }
        claims::claim(self.session("claim rows").await?, requests, lease).await
    }

    async fn record_intents(&self, intents: &[Intent]) -> Result<Vec<bool>, LedgerError> {
        if intents.is_empty() {
            return Ok(Vec::new());
        }
        intents::record_intents(self.session("record intents").await?, intents).await
    }

    async fn record(&self, records: &[Record]) -> Result<Vec<Recorded>, LedgerError> {
        if records.is_empty() {
            return Ok(Vec::new());
        }
        records::record(self.session("record outcomes").await?, records).await
    }

    async fn bury(&self, burials: &[Burial]) -> Result<(), LedgerError> {
        if burials.is_empty() {
            return Ok(());
        }
        records::bury(self.session("bury dead letters").await?, burials).await
    }

    async fn post_notice(&self, notice: &Notice) -> Result<(), LedgerError> {
        outbox::post_notice(self.session("note a notice").await?, notice).await
    }

    async fn note_notice(&self, number: i64, posted: bool) -> Result<(), LedgerError> {
        outbox::note_notice(self.session("note what became of a notice").await?, number, posted).await
    }

    async fn keep_stray(&self, stray: &StrayMessage) -> Result<(), LedgerError> {
        outbox::keep_stray(self.session("keep a stray message").await?, stray).await
    }

    async fn shut_gate(&self, gate: &Gate, lasts: Duration) -> Result<(), LedgerError> {
        fleet::shut_gate(self.session("shut the gate").await?, gate, lasts).await
    }

    async fn open_gate(&self, seen: &ShutGate) -> Result<bool, LedgerError> {
        fleet::open_gate(self.session("open the gate").await?, seen.mark).await
    }

    async fn prune(&self, terms: &PruneTerms) -> Result<Pruned, LedgerError> {
        prune::prune(self.session("delete what is old").await?, terms).await
    }

    async fn hold_duty(&self, duty: &str, holder: &str, lease: Duration) -> Result<bool, LedgerError> {
        fleet::hold_duty(self.session("take a duty").await?, (duty, holder), lease).await
    }
}

#[async_trait]
impl LedgerView for PostgresLedger {
    async fn now(&self) -> Result<Timestamp, LedgerError> {
        fleet::now(self.session("read its clock").await?).await
    }

    async fn run(&self, run: RunId) -> Result<Option<Run>, LedgerError> {
        runs::find_run(self.session("read a run").await?, run).await
    }

    async fn unfinished_runs(&self, job: &str, date: Option<RunDate>) -> Result<Vec<Run>, LedgerError> {
        views::unfinished_runs(self.session("list unfinished runs").await?, job, date).await
    }

    async fn runs(
        &self,
        job: &str,
        date: Option<RunDate>,
        limit: u32,
    ) -> Result<Vec<RunSummary>, LedgerError> {
        views::runs(self.session("list runs").await?, job, date, limit).await
    }

    async fn tally(&self, run: RunId) -> Result<Tally, LedgerError> {
        views::tally(self.session("count rows").await?, run).await
    }

    async fn standing(&self, job: &str) -> Result<Standing, LedgerError> {
        standing::standing(self.session("read where a job stands").await?, job).await
    }

    async fn report(&self, run: RunId) -> Result<Option<serde_json::Value>, LedgerError> {
        runs::report(self.session("read a report").await?, run).await
    }

    async fn progress(&self, run: RunId) -> Result<Progress, LedgerError> {
        views::progress(self.session("read a run's progress").await?, run).await
    }

    async fn is_settled(&self, run: RunId) -> Result<bool, LedgerError> {
        views::is_settled(self.session("ask whether a run is settled").await?, run).await
    }

    async fn rows(
        &self,
        run: RunId,
        filter: &RowFilter,
        after: u32,
        limit: u32,
    ) -> Result<Vec<RowView>, LedgerError> {
        pages::row_page(self.session("list rows").await?, run, filter, Page::After(after), limit).await
    }

    async fn dead_letters(
        &self,
        filter: &Replay,
        after: i64,
        limit: u32,
    ) -> Result<Vec<DeadLetterView>, LedgerError> {
        views::dead_letters(self.session("list dead letters").await?, filter, after, limit).await
    }

    async fn newest_success(
        &self,
        nik: &KeyedHash,
    ) -> Result<Option<(Order, KeyedHash, Option<RowMessage>)>, LedgerError> {
        views::newest_success(self.session("read the newest success").await?, nik).await
    }

    async fn open_notices(&self, limit: u32) -> Result<Vec<KeptNotice>, LedgerError> {
        outbox::open_notices(self.session("list open notices").await?, limit).await
    }

    async fn latest_notice(&self, key_begins: &str) -> Result<Option<KeptNotice>, LedgerError> {
        outbox::latest_notice(self.session("read the latest notice").await?, key_begins).await
    }

    async fn expiring(&self, job: &str, age: Duration) -> Result<Vec<Expiring>, LedgerError> {
        prune::expiring(self.session("list dead letters that go soon").await?, job, age).await
    }

    async fn strays(&self, after: i64, limit: u32) -> Result<Vec<StrayView>, LedgerError> {
        outbox::strays(self.session("list stray messages").await?, after, limit).await
    }

    async fn gate(&self) -> Result<Option<ShutGate>, LedgerError> {
        fleet::gate(self.session("read the gate").await?).await
    }
}

//! The ledger on SQLite: one file, one acting process.
//!
//! An acting process holds the OS lock of a file beside the database for as long as it lives; the operating
//! system lets it go however the process ends. So whoever gets it knows that the former holder is dead, and
//! voids every lease it left, where the Postgres adapter has to wait for them to run out.
//!
//! WAL with `synchronous=FULL`: a commit is on disk before it is answered
//! (<https://www.sqlite.org/pragma.html#pragma_synchronous>).

mod backup;
mod claims;
mod convert;
mod counts;
mod due;
pub(crate) mod file;
mod fleet;
mod handled;
mod history;
mod holder;
mod keys;
mod outbox;
mod pages;
mod prune;
mod records;
mod runs;
mod samples;
mod standing;
#[cfg(test)]
mod tests;
mod views;
mod writer;

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use rusqlite::Connection;

use super::{
    Act, Burial, Claim, ClaimRequest, Closing, DeadLetterView, DueTerms, Expiring, Fence, Gate, Intent,
    KeptNotice, Ledger, LedgerError, LedgerView, LockAttempt, NewRun, Notice, Order, Progress, PruneTerms,
    Pruned, Record, Recorded, Replay, RowFilter, RowKey, RowMessage, RowView, Run, RunId, RunSummary, Seeded,
    ShutGate, Snapshot, Standing, StrayMessage, StrayView, Tally,
};
use crate::caller;
use crate::clock::Clock;
use crate::data_key::KeyedHash;
use crate::domain::RunDate;
use file::{Readers, lock_path, open_private, prepare};
use writer::{Writer, failed};

/// The SQLite adapter of both sides of the port.
pub struct SqliteLedger {
    // Before the lock: fields are dropped in order, and the writer must have finished before the lock goes.
    writer: Option<Writer>,
    readers: Arc<Readers>,
    clock: Clock,
    _lock: Option<File>,
}

/// Turns rusqlite's errors into the ledger's.
trait Sql<T> {
    fn doing(self, doing: &'static str) -> Result<T, LedgerError>;
}

impl<T> Sql<T> for rusqlite::Result<T> {
    fn doing(self, doing: &'static str) -> Result<T, LedgerError> {
        self.map_err(|source| failed(doing, source))
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX / 4)
}

fn micros_left(until: i64, now: i64) -> Duration {
    Duration::from_micros(u64::try_from(until - now).unwrap_or(0))
}

impl SqliteLedger {
    /// Opens the file to act on it, makes it if there is none, brings its tables up to date and voids the
    /// leases of dead processes. Waits up to `patience` for another process to let it go.
    pub async fn act(path: &Path, clock: Clock, patience: Duration) -> Result<Self, LedgerError> {
        let lock_path = lock_path(path);
        let lock = open_private(&lock_path)?;
        let gives_up = tokio::time::Instant::now() + patience;
        loop {
            match lock.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if tokio::time::Instant::now() < gives_up => {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                Err(TryLockError::WouldBlock) => {
                    return Err(LedgerError::InUse { path: path.to_owned(), lock: lock_path });
                }
                Err(TryLockError::Error(source)) => {
                    return Err(LedgerError::File { path: lock_path, source });
                }
            }
        }
        holder::write(&lock, &lock_path, &caller::holder(&clock))?;
        drop(open_private(path)?);
        let mut connection = Connection::open(path).doing("open the database")?;
        prepare(&mut connection)?;
        let writer = Writer::thread(connection)
            .map_err(|source| LedgerError::File { path: path.to_owned(), source })?;
        Ok(Self {
            writer: Some(writer),
            readers: Arc::new(Readers::of(path.to_owned())),
            clock,
            _lock: Some(lock),
        })
    }

    /// Opens the file only to look at it, beside a process that acts on it.
    pub fn look(path: &Path, clock: Clock) -> Result<Self, LedgerError> {
        let readers = Readers::of(path.to_owned());
        let first = readers.open()?;
        readers.give_back(first);
        Ok(Self { writer: None, readers: Arc::new(readers), clock, _lock: None })
    }

    /// A ledger in memory that works on the caller's thread: for nights under paused time.
    pub fn in_memory(clock: Clock) -> Result<Self, LedgerError> {
        let mut connection = Connection::open_in_memory().doing("open the database")?;
        prepare(&mut connection)?;
        let readers = Readers::of(PathBuf::new());
        Ok(Self { writer: Some(Writer::inline(connection)), readers: Arc::new(readers), clock, _lock: None })
    }

    /// Counts by SQL what no view shows, in a ledger in memory, which nobody else can look into.
    pub fn count_in_memory(&self, sql: &str) -> Result<u64, LedgerError> {
        let doing = "count in memory";
        let inline = self.writer.as_ref().and_then(Writer::inline_connection);
        let connection = inline.ok_or_else(|| failed(doing, "this ledger is kept in a file"))?;
        let connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
        connection.query_row(sql, [], |row| row.get(0)).doing(doing)
    }

    async fn write<T, F>(&self, doing: &'static str, job: F) -> Result<T, LedgerError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection, i64) -> Result<T, LedgerError> + Send + 'static,
    {
        let writer =
            self.writer.as_ref().ok_or_else(|| failed(doing, "it was opened only to be looked at"))?;
        // The clock is read when the job runs: a job that queued for long must not judge leases by old time.
        let clock = self.clock.clone();
        writer.write(doing, move |db| job(db, clock.micros())).await
    }

    async fn read<T, F>(&self, doing: &'static str, job: F) -> Result<T, LedgerError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, LedgerError> + Send + 'static,
    {
        if let Some(connection) = self.writer.as_ref().and_then(Writer::inline_connection) {
            return job(&connection.lock().unwrap_or_else(PoisonError::into_inner));
        }
        let readers = self.readers.clone();
        let read = tokio::task::spawn_blocking(move || {
            let connection = readers.take()?;
            let result = job(&connection);
            readers.give_back(connection);
            result
        });
        read.await.map_err(|source| failed(doing, source))?
    }
}

#[async_trait]
impl Ledger for SqliteLedger {
    async fn lock(
        &self,
        job: &str,
        date: RunDate,
        holder: &str,
        lease: Duration,
    ) -> Result<LockAttempt, LedgerError> {
        let (job, holder) = (job.to_owned(), holder.to_owned());
        self.write("take the run lock", move |db, now| runs::lock(db, now, (&job, date, &holder), lease))
            .await
    }

    async fn renew_lock(&self, fence: &Fence, lease: Duration) -> Result<bool, LedgerError> {
        let fence = fence.clone();
        self.write("renew the run lock", move |db, now| runs::renew_lock(db, now, &fence, lease)).await
    }

    async fn unlock(&self, fence: &Fence) -> Result<(), LedgerError> {
        let fence = fence.clone();
        self.write("give the run lock back", move |db, _| runs::unlock(db, &fence)).await
    }

    async fn open_run(&self, fence: &Fence, run: NewRun) -> Result<Run, LedgerError> {
        let fence = fence.clone();
        self.write("open a run", move |db, now| runs::open_run(db, now, &fence, run)).await
    }

    async fn seed(&self, fence: &Fence, run: RunId, rows: Seeded) -> Result<(), LedgerError> {
        let fence = fence.clone();
        self.write("seed rows", move |db, now| runs::seed(db, now, &fence, run, rows)).await
    }

    async fn complete_snapshot(
        &self,
        fence: &Fence,
        run: RunId,
        snapshot: Snapshot,
    ) -> Result<(), LedgerError> {
        let fence = fence.clone();
        self.write("complete a snapshot", move |db, now| {
            runs::complete_snapshot(db, now, &fence, run, snapshot)
        })
        .await
    }

    async fn replay(&self, replay: Replay) -> Result<Vec<RowKey>, LedgerError> {
        self.write("replay dead letters", move |db, now| runs::replay(db, now, &replay)).await
    }

    async fn close_run(&self, run: RunId, closing: &Closing) -> Result<bool, LedgerError> {
        let closing = closing.clone();
        self.write("close a run", move |db, now| runs::close_run(db, now, run, &closing)).await
    }

    async fn abandon_run(&self, fence: &Fence, run: RunId) -> Result<(), LedgerError> {
        let fence = fence.clone();
        self.write("abandon a dry run", move |db, now| runs::abandon_run(db, now, &fence, run)).await
    }

    async fn note_act(&self, act: Act) -> Result<(), LedgerError> {
        self.write("note an operator's act", move |db, now| fleet::note_act(db, now, &act)).await
    }

    async fn take_due(&self, terms: DueTerms) -> Result<Vec<RowMessage>, LedgerError> {
        self.write("find due rows", move |db, now| due::take_due(db, now, &terms)).await
    }

    async fn note_published(&self, rows: &[RowKey], stale_after: Duration) -> Result<(), LedgerError> {
        let rows = rows.to_vec();
        self.write("note published rows", move |db, now| due::note_published(db, now, &rows, stale_after))
            .await
    }

    async fn forget_published(&self, run: RunId) -> Result<(), LedgerError> {
        self.write("forget what was published", move |db, _| due::forget_published(db, run)).await
    }

    async fn claim(&self, requests: &[ClaimRequest], lease: Duration) -> Result<Vec<Claim>, LedgerError> {
        let requests = requests.to_vec();
        self.write("claim rows", move |db, now| claims::claim(db, now, &requests, lease)).await
    }

    async fn record_intents(&self, intents: &[Intent]) -> Result<Vec<bool>, LedgerError> {
        let intents = intents.to_vec();
        self.write("record intents", move |db, now| claims::record_intents(db, now, &intents)).await
    }

    async fn record(&self, records: &[Record]) -> Result<Vec<Recorded>, LedgerError> {
        let records = records.to_vec();
        self.write("record outcomes", move |db, now| records::record(db, now, &records)).await
    }

    async fn bury(&self, burials: &[Burial]) -> Result<(), LedgerError> {
        let burials = burials.to_vec();
        self.write("bury dead letters", move |db, now| records::bury(db, now, &burials)).await
    }

    async fn post_notice(&self, notice: &Notice) -> Result<(), LedgerError> {
        let notice = notice.clone();
        self.write("note a notice", move |db, now| outbox::post_notice(db, now, &notice)).await
    }

    async fn note_notice(&self, number: i64, posted: bool) -> Result<(), LedgerError> {
        self.write("note what became of a notice", move |db, now| {
            outbox::note_notice(db, now, number, posted)
        })
        .await
    }

    async fn keep_stray(&self, stray: &StrayMessage) -> Result<(), LedgerError> {
        let stray = stray.clone();
        self.write("keep a stray message", move |db, now| outbox::keep_stray(db, now, &stray)).await
    }

    async fn shut_gate(&self, gate: &Gate, lasts: Duration) -> Result<(), LedgerError> {
        let gate = gate.clone();
        self.write("shut the gate", move |db, now| fleet::shut_gate(db, now, &gate, lasts)).await
    }

    async fn open_gate(&self, seen: &ShutGate) -> Result<bool, LedgerError> {
        let mark = seen.mark;
        self.write("open the gate", move |db, _| fleet::open_gate(db, mark)).await
    }

    async fn prune(&self, terms: &PruneTerms) -> Result<Pruned, LedgerError> {
        let terms = terms.clone();
        self.write("delete what is old", move |db, now| prune::prune(db, now, &terms)).await
    }

    async fn hold_duty(&self, duty: &str, holder: &str, lease: Duration) -> Result<bool, LedgerError> {
        let (duty, holder) = (duty.to_owned(), holder.to_owned());
        self.write("take a duty", move |db, now| fleet::hold_duty(db, now, (&duty, &holder), lease)).await
    }
}

#[async_trait]
impl LedgerView for SqliteLedger {
    async fn now(&self) -> Result<Timestamp, LedgerError> {
        Timestamp::from_microsecond(self.clock.micros()).map_err(|_| LedgerError::Foreign { what: "clock" })
    }

    async fn run(&self, run: RunId) -> Result<Option<Run>, LedgerError> {
        self.read("read a run", move |db| runs::find_run(db, run)).await
    }

    async fn unfinished_runs(&self, job: &str, date: Option<RunDate>) -> Result<Vec<Run>, LedgerError> {
        let job = job.to_owned();
        self.read("list unfinished runs", move |db| views::unfinished_runs(db, &job, date)).await
    }

    async fn runs(
        &self,
        job: &str,
        date: Option<RunDate>,
        limit: u32,
    ) -> Result<Vec<RunSummary>, LedgerError> {
        let job = job.to_owned();
        self.read("list runs", move |db| views::runs(db, &job, date, limit)).await
    }

    async fn tally(&self, run: RunId) -> Result<Tally, LedgerError> {
        self.read("count rows", move |db| views::tally(db, run)).await
    }

    async fn standing(&self, job: &str) -> Result<Standing, LedgerError> {
        let job = job.to_owned();
        self.read("read where a job stands", move |db| standing::standing(db, &job)).await
    }

    async fn report(&self, run: RunId) -> Result<Option<serde_json::Value>, LedgerError> {
        self.read("read a report", move |db| runs::report(db, run)).await
    }

    async fn progress(&self, run: RunId) -> Result<Progress, LedgerError> {
        self.read("read a run's progress", move |db| views::progress(db, run)).await
    }

    async fn is_settled(&self, run: RunId) -> Result<bool, LedgerError> {
        self.read("ask whether a run is settled", move |db| views::is_settled(db, run)).await
    }

    async fn rows(
        &self,
        run: RunId,
        filter: &RowFilter,
        after: u32,
        limit: u32,
    ) -> Result<Vec<RowView>, LedgerError> {
        let filter = filter.clone();
        self.read("list rows", move |db| views::rows(db, run, &filter, after, limit)).await
    }

    async fn dead_letters(
        &self,
        filter: &Replay,
        after: i64,
        limit: u32,
    ) -> Result<Vec<DeadLetterView>, LedgerError> {
        let filter = filter.clone();
        self.read("list dead letters", move |db| views::dead_letters(db, &filter, after, limit)).await
    }

    async fn newest_success(
        &self,
        nik: &KeyedHash,
    ) -> Result<Option<(Order, KeyedHash, Option<RowMessage>)>, LedgerError> {
        let nik = nik.clone();
        self.read("read the newest success", move |db| views::newest_success(db, &nik)).await
    }

    async fn open_notices(&self, limit: u32) -> Result<Vec<KeptNotice>, LedgerError> {
        self.read("list open notices", move |db| outbox::open_notices(db, limit)).await
    }

    async fn latest_notice(&self, key_begins: &str) -> Result<Option<KeptNotice>, LedgerError> {
        let key_begins = key_begins.to_owned();
        self.read("read the latest notice", move |db| outbox::latest_notice(db, &key_begins)).await
    }

    async fn expiring(&self, job: &str, age: Duration) -> Result<Vec<Expiring>, LedgerError> {
        let (job, now) = (job.to_owned(), self.clock.micros());
        self.read("list dead letters that go soon", move |db| prune::expiring(db, now, &job, age)).await
    }

    async fn strays(&self, after: i64, limit: u32) -> Result<Vec<StrayView>, LedgerError> {
        self.read("list stray messages", move |db| outbox::strays(db, after, limit)).await
    }

    async fn gate(&self) -> Result<Option<ShutGate>, LedgerError> {
        let now = self.clock.micros();
        self.read("read the gate", move |db| fleet::gate(db, now)).await
    }
}

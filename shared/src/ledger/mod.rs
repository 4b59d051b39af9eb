//! The ledger port: the truth about every run and every row. RabbitMQ, or the in-process queue, only moves
//! messages; whatever it loses, repeats or reorders is put right from here.
//!
//! Verbs of intent, in batches: an adapter turns each call into one transaction (or one statement), never
//! into one per row. [`Ledger`] is the side that acts, [`LedgerView`] the side that is looked at, and [`LedgerPages`] what
//! pages for people are made of. Both adapters run the conformance suite in `tests/`; what they do differently is declared:
//!
//! | | SQLite | Postgres |
//! | --- | --- | --- |
//! | processes that act at once | one, held by an OS file lock; others may leave it a notice | any number |
//! | clock of leases | this process's [`Clock`](crate::clock::Clock) | the database's |
//! | leases of a dead process | void at the next open, the lock proves the death | void when they run out |
//!
//! The states of a row, and who may move it from one to the next, are drawn in `docs/state-machine.md`.

mod crashes;
mod error;
mod keys;
mod outbox;
mod pages;
#[cfg(feature = "postgres")]
pub mod postgres;
mod prune;
mod row;
mod run;
mod samples;
pub mod sqlite;
mod view;

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;

pub use crashes::{CRASHES_ALONE, CRASHES_IN_COMPANY};
pub use error::LedgerError;
pub use keys::{Held, HeldKind, KeyState, LedgerKeys};
pub use outbox::{KeptNotice, Notice, StrayMessage, StrayView};
pub use pages::{
    Attempt, DeadLetterFilter, DeadLetterGroup, Ending, Exchange, Generation, Handled, IntentView,
    LedgerPages, NotedAct, Page, ReplayView, RowHistory, Window,
};
pub use prune::{Expiring, PruneTerms, Pruned};
pub use row::{
    Burial, Claim, ClaimRequest, Claimed, Intent, Order, Record, Recorded, RowKey, RowMessage, SeedRow,
    Seeded, Settlement,
};
pub use run::{
    Closing, DueTerms, Fence, Gate, GateKind, LockAttempt, NewRun, Replay, Run, RunId, RunKind, RunState,
    Selection, ShutGate, Snapshot,
};
pub use samples::{LedgerSamples, LimiterSample, Sample, SamplePoint};
pub use view::{
    Act, DeadLetterView, Progress, RECENT_NIGHTS, RECENT_ROWS, RowFilter, RowView, RunSummary, Standing,
    Tally,
};

use crate::data_key::KeyedHash;
use crate::domain::RunDate;

/// The acting side.
#[async_trait]
pub trait Ledger: LedgerView + LedgerPages + LedgerSamples + LedgerKeys {
    // The run lock and the run's life.

    /// Takes the lock of a job and date, or tells until when another holds it. A lease that ran out is taken
    /// over with a higher epoch, which fences off the former holder's writes.
    async fn lock(
        &self,
        job: &str,
        date: RunDate,
        holder: &str,
        lease: Duration,
    ) -> Result<LockAttempt, LedgerError>;

    /// Makes the lease run anew from now. False: it was lost, and the holder must stop writing.
    async fn renew_lock(&self, fence: &Fence, lease: Duration) -> Result<bool, LedgerError>;

    /// Gives the lock back, if it is still held.
    async fn unlock(&self, fence: &Fence) -> Result<(), LedgerError>;

    /// Opens a run in state `seeding`, ordered after every run before it.
    async fn open_run(&self, fence: &Fence, run: NewRun) -> Result<Run, LedgerError>;

    /// Puts these rows in the place of whatever the snapshot holds between the two sheet rows, both included.
    /// Refused once the snapshot is complete.
    async fn seed(&self, fence: &Fence, run: RunId, rows: Seeded) -> Result<(), LedgerError>;

    /// Decides duplicates and conflicts, cuts the snapshot to its limit, and marks it complete: from here on
    /// rows may be published. A snapshot that is complete already is left as it is.
    async fn complete_snapshot(
        &self,
        fence: &Fence,
        run: RunId,
        snapshot: Snapshot,
    ) -> Result<(), LedgerError>;

    /// Opens a new generation of each dead letter that matches and is still open, and names them.
    async fn replay(&self, replay: Replay) -> Result<Vec<RowKey>, LedgerError>;

    /// Closes the run if its snapshot is complete and no row is open, and keeps its report and the notice of it in
    /// the same transaction. False: something is still open, or somebody else closed it; then nothing is kept.
    async fn close_run(&self, run: RunId, closing: &Closing) -> Result<bool, LedgerError>;

    /// Gives up a dry run, whose rows need no outcome.
    async fn abandon_run(&self, fence: &Fence, run: RunId) -> Result<(), LedgerError>;

    /// Notes what an operator did.
    async fn note_act(&self, act: Act) -> Result<(), LedgerError>;

    // Publishing and sweeping: one mechanism. A row comes due when it was never confirmed published, when its
    // claim's lease ran out, when it is retrying past its due time, or when it waited long in an idle queue.

    /// Takes up to `terms.limit` rows that are due, in sheet order, and stamps them so that they do not come
    /// due again at once. Rows are those of `terms.run`, or of every open run, and of `terms.kind` only.
    async fn take_due(&self, terms: DueTerms) -> Result<Vec<RowMessage>, LedgerError>;

    /// The queue confirmed these: they come due again only after `stale_after`.
    async fn note_published(&self, rows: &[RowKey], stale_after: Duration) -> Result<(), LedgerError>;

    /// The queue lost everything it held (an in-process queue after a restart): every open row of the run
    /// comes due at once.
    async fn forget_published(&self, run: RunId) -> Result<(), LedgerError>;

    // A row's way through a worker.

    /// Claims rows for one worker; answers in the order asked. What the ledger can decide by itself (superseded,
    /// already applied, crashed too often) it decides here.
    async fn claim(&self, requests: &[ClaimRequest], lease: Duration) -> Result<Vec<Claim>, LedgerError>;

    /// Records what is about to be written, before it is. False: the claim is no longer ours.
    async fn record_intents(&self, intents: &[Intent]) -> Result<Vec<bool>, LedgerError>;

    /// Records how claims ended; refused where the claim's epoch is no longer the row's, or the NIK's lease is
    /// no longer the row's: another row may have written to the same Patient since.
    async fn record(&self, records: &[Record]) -> Result<Vec<Recorded>, LedgerError>;

    /// Completes dead letters: a failed row becomes `dead_lettered` and its dead letter stands, in one
    /// transaction. A row that did not fail (its message merely died) goes back to pending. Idempotent.
    async fn bury(&self, burials: &[Burial]) -> Result<(), LedgerError>;

    // For people.

    /// Notes a piece of news to be posted; nothing where one with this key was noted before, posted or not.
    async fn post_notice(&self, notice: &Notice) -> Result<(), LedgerError>;

    /// Notes that an open notice was posted, or that one more attempt to post it failed.
    async fn note_notice(&self, number: i64, posted: bool) -> Result<(), LedgerError>;

    /// Keeps a message that could not be decoded; nothing where one with its id is kept of its queue.
    async fn keep_stray(&self, stray: &StrayMessage) -> Result<(), LedgerError>;

    // Shared state of the fleet.

    /// Shuts the gate: nobody calls the FHIR server before it opens. It lapses by itself. Of several shutters
    /// the deepest kind names it, and the latest end counts.
    async fn shut_gate(&self, gate: &Gate, lasts: Duration) -> Result<(), LedgerError>;

    /// Opens the gate that was seen. False: it stands no more, or was shut again since, for whatever reason; then
    /// nothing is changed.
    async fn open_gate(&self, seen: &ShutGate) -> Result<bool, LedgerError>;

    /// Deletes one batch of what is older than the terms allow, in one transaction: rows of the oldest run first, the
    /// run with its last rows. Nothing of a run that is unfinished, that has rows under replay, or whose open dead
    /// letters were not announced in time (by [`Expiring::notice`]).
    async fn prune(&self, terms: &PruneTerms) -> Result<Pruned, LedgerError>;

    /// Takes or keeps a periodic duty for one lease. False: another process has it.
    async fn hold_duty(&self, duty: &str, holder: &str, lease: Duration) -> Result<bool, LedgerError>;
}

/// The side that is looked at: the command line, the report, the dashboard.
#[async_trait]
pub trait LedgerView: Send + Sync {
    /// The ledger's clock.
    async fn now(&self) -> Result<Timestamp, LedgerError>;

    /// One run.
    async fn run(&self, run: RunId) -> Result<Option<Run>, LedgerError>;

    /// Runs that are not finished, oldest run date first; of one date, or of all: seeding, open, or closed with a
    /// replay of some rows under way.
    async fn unfinished_runs(&self, job: &str, date: Option<RunDate>) -> Result<Vec<Run>, LedgerError>;

    /// The newest runs, newest first.
    async fn runs(
        &self,
        job: &str,
        date: Option<RunDate>,
        limit: u32,
    ) -> Result<Vec<RunSummary>, LedgerError>;

    /// What a run's rows became so far, counted row by row; [`LedgerPages::counted`] tells it at any size.
    async fn tally(&self, run: RunId) -> Result<Tally, LedgerError>;

    /// Where a job stands.
    async fn standing(&self, job: &str) -> Result<Standing, LedgerError>;

    /// The report that a run was closed with. Replays change what [`tally`](Self::tally) says, and not this.
    async fn report(&self, run: RunId) -> Result<Option<serde_json::Value>, LedgerError>;

    /// How far a run is: cheap enough to ask every few seconds.
    async fn progress(&self, run: RunId) -> Result<Progress, LedgerError>;

    /// Whether every row of the run has its outcome.
    async fn is_settled(&self, run: RunId) -> Result<bool, LedgerError>;

    /// Rows of a run in sheet order, after `after`.
    async fn rows(
        &self,
        run: RunId,
        filter: &RowFilter,
        after: u32,
        limit: u32,
    ) -> Result<Vec<RowView>, LedgerError>;

    /// Dead letters, oldest first, after the one with the number `after`.
    async fn dead_letters(
        &self,
        filter: &Replay,
        after: i64,
        limit: u32,
    ) -> Result<Vec<DeadLetterView>, LedgerError>;

    /// The newest success of a NIK, with the sealed payload of the row it came from while that is kept.
    async fn newest_success(
        &self,
        nik: &KeyedHash,
    ) -> Result<Option<(Order, KeyedHash, Option<RowMessage>)>, LedgerError>;

    /// Notices that are not posted yet, oldest first.
    async fn open_notices(&self, limit: u32) -> Result<Vec<KeptNotice>, LedgerError>;

    /// The newest notice whose key begins so, posted or not.
    async fn latest_notice(&self, key_begins: &str) -> Result<Option<KeptNotice>, LedgerError>;

    /// Runs that closed at least `age` ago and have dead letters that nobody replayed, oldest first.
    async fn expiring(&self, job: &str, age: Duration) -> Result<Vec<Expiring>, LedgerError>;

    /// Messages that could not be decoded, oldest first, after the one with the number `after`.
    async fn strays(&self, after: i64, limit: u32) -> Result<Vec<StrayView>, LedgerError>;

    /// The gate, if it is shut now.
    async fn gate(&self) -> Result<Option<ShutGate>, LedgerError>;
}

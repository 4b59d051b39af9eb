//! A ledger that holds one call of its process: a process that is stopped right there, while others go on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use shared::data_key::KeyedHash;
use shared::domain::RunDate;
use shared::ledger::{
    self, Act, Burial, Claim, ClaimRequest, Closing, DeadLetterFilter, DeadLetterGroup, DeadLetterView,
    DueTerms, Expiring, Fence, Gate, Handled, HeldKind, Intent, KeptNotice, KeyState, Ledger, LedgerError,
    LedgerKeys, LedgerPages, LedgerSamples, LedgerView, LimiterSample, LockAttempt, NewRun, NotedAct, Notice,
    Order, Page, Progress, PruneTerms, Pruned, Record, Recorded, Replay, ReplayView, RowFilter, RowHistory,
    RowKey, RowMessage, RowView, Run, RunId, RunSummary, Sample, SamplePoint, Seeded, ShutGate, Snapshot,
    Standing, StrayMessage, StrayView, Tally, Window,
};
use tokio_util::sync::CancellationToken;

/// Where a process is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// Rows are claimed; nothing was asked of the FHIR server.
    Claimed,
    /// The Patient was read and the intent stands; the write was not sent.
    Intended,
    /// The write went through; its outcome is not recorded.
    Written,
    /// The outcome stands; the delivery is not settled.
    Recorded,
    /// The row failed for good; its dead letter is not written.
    Dying,
    /// Half of the sheet is in the snapshot.
    Seeded,
    /// A pause was found; the fleet was not told.
    Shutting,
    /// A probe went well; the gate is still shut.
    Opening,
    /// Nowhere: it is only killed.
    Never,
}

/// The first call at one point.
#[derive(Clone)]
pub struct Hold(Arc<Held>);

struct Held {
    point: Point,
    taken: AtomicBool,
    reached: CancellationToken,
    released: CancellationToken,
    dead: AtomicBool,
    refusals: AtomicU32,
}

impl Hold {
    /// At this point.
    pub fn at(point: Point) -> Self {
        let (reached, released) = (CancellationToken::new(), CancellationToken::new());
        let (taken, dead) = (AtomicBool::new(false), AtomicBool::new(false));
        let refusals = AtomicU32::new(0);
        Self(Arc::new(Held { point, taken, reached, released, dead, refusals }))
    }

    /// Waits until the process stands there.
    ///
    /// # Panics
    /// It does not come there.
    pub async fn reached(&self) {
        let reached = tokio::time::timeout(Duration::from_secs(30), self.0.reached.cancelled()).await;
        assert!(reached.is_ok(), "nothing came to the point {:?}", self.0.point);
    }

    /// Lets it go on.
    pub fn release(&self) {
        self.0.released.cancel();
    }

    /// The process is dead: what was held and whatever it asks from now on does not come to the ledger.
    pub fn kill(&self) {
        self.0.dead.store(true, Ordering::Relaxed);
        self.release();
    }

    /// How many calls came to nothing.
    pub fn refusals(&self) -> u32 {
        self.0.refusals.load(Ordering::Relaxed)
    }

    /// It was not the process but the ledger that was away, and it is back: what is asked from now on comes to it.
    pub fn revive(&self) {
        self.0.dead.store(false, Ordering::Relaxed);
    }

    async fn pass(&self, point: Point) -> Result<(), LedgerError> {
        if point == self.0.point && !self.0.taken.swap(true, Ordering::Relaxed) {
            self.0.reached.cancel();
            self.0.released.cancelled().await;
        }
        if self.0.dead.load(Ordering::Relaxed) {
            self.0.refusals.fetch_add(1, Ordering::Relaxed);
            return Err(LedgerError::Fenced);
        }
        Ok(())
    }
}

/// See the module.
pub struct HeldLedger {
    inner: Arc<dyn Ledger>,
    hold: Hold,
}

impl HeldLedger {
    /// Passes everything on to `inner`.
    pub fn over(inner: Arc<dyn Ledger>, hold: Hold) -> Arc<dyn Ledger> {
        Arc::new(Self { inner, hold })
    }
}

/// An impl whose methods are passed on, with the points before and after them.
macro_rules! passed_on {
    ($trait:ident { $($(#[before($before:ident)])? $(#[after($after:ident)])?
        $name:ident($($arg:ident: $type:ty),*) -> $out:ty;)* }) => {
        #[async_trait]
        impl $trait for HeldLedger {
            $(async fn $name(&self, $($arg: $type),*) -> Result<$out, LedgerError> {
                $(self.hold.pass(Point::$before).await?;)?
                let answer = self.inner.$name($($arg),*).await;
                $(self.hold.pass(Point::$after).await?;)?
                answer
            })*
        }
    };
}

passed_on!(Ledger {
    lock(job: &str, date: RunDate, holder: &str, lease: Duration) -> LockAttempt;
    renew_lock(fence: &Fence, lease: Duration) -> bool;
    unlock(fence: &Fence) -> ();
    open_run(fence: &Fence, run: NewRun) -> Run;
    #[after(Seeded)]
    seed(fence: &Fence, run: RunId, rows: Seeded) -> ();
    complete_snapshot(fence: &Fence, run: RunId, snapshot: Snapshot) -> ();
    replay(replay: Replay) -> Vec<RowKey>;
    close_run(run: RunId, closing: &Closing) -> bool;
    abandon_run(fence: &Fence, run: RunId) -> ();
    note_act(act: Act) -> ();
    take_due(terms: DueTerms) -> Vec<RowMessage>;
    note_published(rows: &[RowKey], stale_after: Duration) -> ();
    forget_published(run: RunId) -> ();
    #[after(Claimed)]
    claim(requests: &[ClaimRequest], lease: Duration) -> Vec<Claim>;
    #[after(Intended)]
    record_intents(intents: &[Intent]) -> Vec<bool>;
    #[before(Written)] #[after(Recorded)]
    record(records: &[Record]) -> Vec<Recorded>;
    #[before(Dying)]
    bury(burials: &[Burial]) -> ();
    post_notice(notice: &Notice) -> ();
    note_notice(number: i64, posted: bool) -> ();
    keep_stray(stray: &StrayMessage) -> ();
    #[before(Shutting)]
    shut_gate(gate: &Gate, lasts: Duration) -> ();
    #[before(Opening)]
    open_gate(seen: &ShutGate) -> bool;
    prune(terms: &PruneTerms) -> Pruned;
    hold_duty(duty: &str, holder: &str, lease: Duration) -> bool;
});

passed_on!(LedgerView {
    now() -> Timestamp;
    run(run: RunId) -> Option<Run>;
    unfinished_runs(job: &str, date: Option<RunDate>) -> Vec<Run>;
    runs(job: &str, date: Option<RunDate>, limit: u32) -> Vec<RunSummary>;
    tally(run: RunId) -> Tally;
    standing(job: &str) -> Standing;
    report(run: RunId) -> Option<serde_json::Value>;
    progress(run: RunId) -> Progress;
    is_settled(run: RunId) -> bool;
    rows(run: RunId, filter: &RowFilter, after: u32, limit: u32) -> Vec<RowView>;
    dead_letters(filter: &Replay, after: i64, limit: u32) -> Vec<DeadLetterView>;
    newest_success(nik: &KeyedHash) -> Option<(Order, KeyedHash, Option<RowMessage>)>;
    open_notices(limit: u32) -> Vec<KeptNotice>;
    latest_notice(key_begins: &str) -> Option<KeptNotice>;
    expiring(job: &str, age: Duration) -> Vec<Expiring>;
    strays(after: i64, limit: u32) -> Vec<StrayView>;
    gate() -> Option<ShutGate>;
});

passed_on!(LedgerPages {
    counted(run: RunId) -> Tally;
    run_page(job: &str, page: Page<i64>, limit: u32) -> Vec<RunSummary>;
    runs_between(job: &str, from: RunDate, to: RunDate) -> Vec<RunSummary>;
    started_by(run: RunId) -> Option<String>;
    row_page(run: RunId, filter: &RowFilter, page: Page<u32>, limit: u32) -> Vec<RowView>;
    history(run: RunId, sheet_row: u32) -> Option<RowHistory>;
    handled(run: RunId, window: Window, after: u32, limit: u32) -> Vec<Handled>;
    dead_letter_groups(run: Option<RunId>) -> Vec<DeadLetterGroup>;
    dead_letter_page(filter: &DeadLetterFilter, page: Page<i64>, limit: u32) -> Vec<DeadLetterView>;
    replays(since: Timestamp, limit: u32) -> Vec<ReplayView>;
    acts(run: Option<RunId>, page: Page<i64>, limit: u32) -> Vec<NotedAct>;
});

passed_on!(LedgerKeys {
    key_state() -> Option<KeyState>;
    begin_rekey(to: &str) -> ();
    held(kind: HeldKind, after: Option<&ledger::Held>, limit: u32) -> Vec<ledger::Held>;
    held_of(nik: &KeyedHash) -> Option<ledger::Held>;
    replace_held(changes: Vec<(ledger::Held, ledger::Held)>) -> ();
    end_rekey(to: &str) -> bool;
});

passed_on!(LedgerSamples {
    add_sample(run: RunId, sample: &Sample) -> bool;
    add_limiter(run: RunId, after: u32, limiter: LimiterSample) -> Option<u32>;
    note_all_published(run: RunId) -> bool;
    writes(run: RunId) -> Option<(Timestamp, Timestamp)>;
    samples(run: RunId) -> Vec<SamplePoint>;
});

//! A ledger whose calls are watched: what a test does before and after each of them, and instead.

use std::sync::Arc;
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

/// What happens around each call, which is named as the port names it.
#[async_trait]
pub trait Watch: Send + Sync {
    /// Before it comes to the ledger. An error: it does not.
    async fn before(&self, call: &'static str) -> Result<(), LedgerError>;

    /// After the ledger carried it out. An error: the answer is lost.
    async fn after(&self, call: &'static str) -> Result<(), LedgerError>;

    /// What was claimed.
    fn claimed(&self, _: &Result<Vec<Claim>, LedgerError>) {}
}

/// See the module.
pub struct WatchedLedger<W> {
    inner: Arc<dyn Ledger>,
    watch: W,
}

impl<W: Watch + 'static> WatchedLedger<W> {
    /// Passes everything on to `inner`.
    pub fn over(inner: Arc<dyn Ledger>, watch: W) -> Arc<dyn Ledger> {
        Arc::new(Self { inner, watch })
    }
}

/// An impl whose methods are passed on.
macro_rules! passed_on {
    ($trait:ident { $($(#[told($told:ident)])? $name:ident($($arg:ident: $type:ty),*) -> $out:ty;)* }) => {
        #[async_trait]
        impl<W: Watch> $trait for WatchedLedger<W> {
            $(async fn $name(&self, $($arg: $type),*) -> Result<$out, LedgerError> {
                self.watch.before(stringify!($name)).await?;
                let answer = self.inner.$name($($arg),*).await;
                $(self.watch.$told(&answer);)?
                self.watch.after(stringify!($name)).await?;
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
    seed(fence: &Fence, run: RunId, rows: Seeded) -> ();
    complete_snapshot(fence: &Fence, run: RunId, snapshot: Snapshot) -> ();
    replay(replay: Replay) -> Vec<RowKey>;
    close_run(run: RunId, closing: &Closing) -> bool;
    abandon_run(fence: &Fence, run: RunId) -> ();
    note_act(act: Act) -> ();
    take_due(terms: DueTerms) -> Vec<RowMessage>;
    note_published(rows: &[RowKey], stale_after: Duration) -> ();
    forget_published(run: RunId) -> ();
    #[told(claimed)]
    claim(requests: &[ClaimRequest], lease: Duration) -> Vec<Claim>;
    record_intents(intents: &[Intent]) -> Vec<bool>;
    record(records: &[Record]) -> Vec<Recorded>;
    bury(burials: &[Burial]) -> ();
    post_notice(notice: &Notice) -> ();
    note_notice(number: i64, posted: bool) -> ();
    keep_stray(stray: &StrayMessage) -> ();
    shut_gate(gate: &Gate, lasts: Duration) -> ();
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

//! What the cases play on: an empty ledger, and the steps that most of them begin with.
//!
//! People and numbers are counted: `nik(1)` is the same NIK everywhere, and so is its hash.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use secrecy::SecretString;
use shared::data_key::{DataKeys, KeyedHash};
use shared::domain::{Column, Nik, Outcome, PhoneNumber, Reason, RunDate};
use shared::ledger::{
    Burial, Claim, ClaimRequest, Claimed, Closing, DueTerms, Exchange, Fence, Intent, Ledger, LockAttempt,
    NewRun, Record, Recorded, RowFilter, RowKey, RowMessage, RowView, Run, RunId, RunKind, SeedRow, Seeded,
    Selection, Settlement, Snapshot,
};
use shared::payload::Payload;

use super::Adapter;

/// `JOB_NAME` of every run here.
pub const JOB: &str = "conformance";
/// The lease of locks, claims and duties. Long beside what a case takes in real time.
pub const LEASE: Duration = Duration::from_secs(60);
/// [`DueTerms::retake_after`].
pub const RETAKE: Duration = Duration::from_secs(60);
/// When a confirmed row that nobody claimed comes due again.
pub const STALE: Duration = Duration::from_secs(600);

/// How far a running clock may be off from what a case expects.
const SLACK: Duration = Duration::from_secs(20);

/// More than a gate's end moves when it is shut again for no longer.
pub(super) const MOMENT: Duration = Duration::from_millis(1);

/// The key of a fresh stage.
pub(super) const OLD_KEY: &str = "stage:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";

/// A run date, from its `YYYY-MM-DD`.
pub fn date(text: &str) -> RunDate {
    text.parse().expect("a date")
}

/// Somebody's NIK.
pub fn nik(who: u32) -> Nik {
    format!("317101010190{who:04}").parse().expect("16 digits")
}

/// A number.
pub fn number(which: u32) -> PhoneNumber {
    format!("+62812345{which:05}").parse().expect("E.164")
}

/// How long a claim is worked on.
pub const TOOK: Duration = Duration::from_millis(80);

/// The end of a claim that asked nothing.
pub fn plain(claimed: &Claimed, settlement: Settlement) -> Record {
    Record {
        key: claimed.key,
        epoch: claimed.epoch,
        settlement,
        requests: 0,
        retries: 0,
        took: Duration::ZERO,
        exchanges: Vec::new(),
    }
}

/// What a run is closed with where that does not matter.
pub fn closing() -> Closing {
    Closing {
        closed_at: Timestamp::UNIX_EPOCH,
        writes: None,
        report: serde_json::json!({ "state": "closed" }),
        notice: None,
    }
}

/// An adapter with an empty ledger, and keys.
pub struct Stage {
    adapter: Box<dyn Adapter>,
    keys: Arc<DataKeys>,
}

impl Stage {
    /// A stage for one case.
    pub fn new(adapter: impl Adapter + 'static) -> Self {
        let keys = DataKeys::parse(&SecretString::from(OLD_KEY)).expect("a key");
        Self { adapter: Box::new(adapter), keys: Arc::new(keys) }
    }

    /// The ledger under test.
    pub fn ledger(&self) -> &Arc<dyn Ledger> {
        self.adapter.ledger()
    }

    /// Seals and hashes.
    pub fn keys(&self) -> &Arc<DataKeys> {
        &self.keys
    }

    /// Seals and hashes with others from now on, as a process that is started with another `DATA_KEY`.
    pub fn turn_key(&mut self, keys: DataKeys) {
        self.keys = Arc::new(keys);
    }

    /// Lets the ledger's clock go on.
    pub async fn advance(&self, by: Duration) {
        self.adapter.advance(by).await;
    }

    /// The hash of [`nik`].
    pub fn nik_hash(&self, who: u32) -> KeyedHash {
        self.keys.nik_hash(&nik(who))
    }

    /// The hash of [`number`].
    pub fn number_hash(&self, which: u32) -> KeyedHash {
        self.keys.number_hash(&number(which))
    }

    // Runs.

    /// Takes the lock of a date; fails where another holds it.
    pub async fn lock(&self, on: &str, holder: &str) -> Fence {
        match self.ledger().lock(JOB, date(on), holder, LEASE).await.expect("to lock") {
            LockAttempt::Taken(fence) => fence,
            LockAttempt::Held { holder, left } => panic!("{holder} holds the lock for {left:?} more"),
        }
    }

    /// Opens a run under a lock.
    pub async fn open(&self, fence: &Fence, kind: RunKind, selection: Selection) -> Run {
        let run = NewRun { hashes: self.keys.hashes_under(), ..new_run(kind, selection) };
        self.ledger().open_run(fence, run).await.expect("to open a run")
    }

    /// A row of a sheet: whose it is, and with which number.
    pub fn row(&self, run: RunId, sheet_row: u32, who: u32, which: u32) -> SeedRow {
        let payload = Payload { nik: Some(nik(who)), number: Some(number(which)) };
        SeedRow {
            sheet_row,
            rejected: None,
            nik: Some(self.nik_hash(who)),
            number: Some(self.number_hash(which)),
            sealed: payload.seal(&self.keys, &key(run, sheet_row)),
            digests: payload.digests(&self.keys),
            warnings: Vec::new(),
        }
    }

    /// A row whose number cannot be read, or was refused although it can.
    pub fn rejected(&self, run: RunId, sheet_row: u32, who: u32, which: Option<u32>) -> SeedRow {
        let mut row = self.row(run, sheet_row, who, which.unwrap_or(0));
        row.number = which.map(|which| self.number_hash(which));
        row.rejected = Some((Reason::PhoneInvalid, Column::Phone, "08**".into()));
        row
    }

    /// Seeds rows over a range of the sheet.
    pub async fn seed(&self, fence: &Fence, run: RunId, range: RangeInclusive<u32>, rows: Vec<SeedRow>) {
        self.ledger().seed(fence, run, Seeded { range, rows }).await.expect("to seed");
    }

    /// Completes a snapshot.
    pub async fn complete(&self, fence: &Fence, run: RunId) {
        let snapshot = Snapshot { rows_read: 100, changed_while_read: false };
        self.ledger().complete_snapshot(fence, run, snapshot).await.expect("to complete a snapshot");
    }

    /// A run of this kind with a whole snapshot of rows `(sheet row, whose, which number)`.
    pub async fn run_of(
        &self,
        on: &str,
        kind: RunKind,
        selection: Selection,
        rows: &[(u32, u32, u32)],
    ) -> RunId {
        let fence = self.lock(on, "producer").await;
        let run = self.open(&fence, kind, selection).await.id;
        let rows = rows.iter().map(|&(sheet_row, who, which)| self.row(run, sheet_row, who, which)).collect();
        self.seed(&fence, run, 2..=1_000, rows).await;
        self.complete(&fence, run).await;
        self.ledger().unlock(&fence).await.expect("to unlock");
        run
    }

    /// A night with a whole snapshot of these rows.
    pub async fn night(&self, on: &str, rows: &[(u32, u32, u32)]) -> RunId {
        self.run_of(on, RunKind::Night, Selection::default(), rows).await
    }

    /// Closes a run; whether it was this that closed it.
    pub async fn close(&self, run: RunId) -> bool {
        let closed_at = self.ledger().now().await.expect("a clock");
        self.ledger().close_run(run, &Closing { closed_at, ..closing() }).await.expect("an answer")
    }

    // Due rows.

    /// What is due in every open run while the queue still holds messages.
    pub async fn due(&self) -> Vec<RowMessage> {
        self.take_due(None, 1_000, false).await
    }

    /// What is due in every open run while the queue is empty.
    pub async fn due_when_idle(&self) -> Vec<RowMessage> {
        self.take_due(None, 1_000, true).await
    }

    /// What is due on these terms.
    pub async fn take_due(&self, run: Option<RunId>, limit: u32, queue_idle: bool) -> Vec<RowMessage> {
        self.take_due_on(DueTerms { run, job: None, kind: None, limit, queue_idle, retake_after: RETAKE })
            .await
    }

    /// What is due on other terms.
    pub async fn take_due_on(&self, terms: DueTerms) -> Vec<RowMessage> {
        self.ledger().take_due(terms).await.expect("to take what is due")
    }

    /// Notes these as published.
    pub async fn confirm(&self, messages: &[RowMessage]) {
        let keys: Vec<_> = messages.iter().map(|message| message.key).collect();
        self.ledger().note_published(&keys, STALE).await.expect("to note what was published");
    }

    // Claims.

    /// Claims for a message, in a process that holds other claims.
    pub async fn ask(&self, key: RowKey, turn: u32) -> Claim {
        self.request(ClaimRequest { key, turn, alone: false }).await
    }

    /// Claims for a message, in a process that holds no other claim.
    pub async fn ask_alone(&self, key: RowKey, turn: u32) -> Claim {
        self.request(ClaimRequest { key, turn, alone: true }).await
    }

    async fn request(&self, request: ClaimRequest) -> Claim {
        let mut claims = self.ledger().claim(&[request], LEASE).await.expect("to claim");
        claims.pop().expect("an answer for each question")
    }

    /// Lets so many claims for a message end without a record, alone once it takes that.
    pub async fn crash(&self, key: RowKey, turn: u32, times: u32) {
        for _ in 0..times {
            let claim = match self.ask(key, turn).await {
                Claim::Suspect => self.ask_alone(key, turn).await,
                claim => claim,
            };
            assert!(matches!(claim, Claim::Ours(_)), "{claim:?}");
            self.advance(LEASE).await;
        }
    }

    /// Claims for a message, which must succeed.
    pub async fn take(&self, key: RowKey, turn: u32) -> Claimed {
        match self.ask(key, turn).await {
            Claim::Ours(claimed) => *claimed,
            other => panic!("row {} was not claimed: {other:?}", key.sheet_row),
        }
    }

    /// Announces a write to the Patient `patient`.
    pub async fn intend(&self, claimed: &Claimed, patient: &str, version: &str) -> bool {
        let intent = Intent {
            key: claimed.key,
            epoch: claimed.epoch,
            patient: patient.into(),
            version: version.into(),
            sealed_before: self.keys.seal(&claimed.key.place(), b"[]"),
        };
        let mut answers = self.ledger().record_intents(&[intent]).await.expect("to record an intent");
        answers.pop().expect("an answer for each intent")
    }

    /// Records the end of a claim.
    pub async fn record(&self, claimed: &Claimed, settlement: Settlement) -> Recorded {
        let exchanges = vec![Exchange { operation: "search".into(), answer: "ok".into(), millis: 31 }];
        let record = Record { requests: 2, retries: 1, exchanges, took: TOOK, ..plain(claimed, settlement) };
        let mut answers = self.ledger().record(&[record]).await.expect("to record");
        answers.pop().expect("an answer for each record")
    }

    /// Claims a row for its first message and gives it an outcome.
    pub async fn finish(&self, run: RunId, sheet_row: u32, outcome: Outcome) {
        let claimed = self.take(key(run, sheet_row), 0).await;
        assert!(
            matches!(self.record(&claimed, done(outcome)).await, Recorded::Yes { .. }),
            "the claim is ours"
        );
    }

    /// Claims a row for the first message of its generation, lets it fail and buries it.
    pub async fn kill(&self, key: RowKey, reason: Reason) {
        let claimed = self.take(key, 0).await;
        assert!(
            matches!(self.record(&claimed, failed(reason)).await, Recorded::Yes { .. }),
            "the claim is ours"
        );
        self.bury(key).await;
    }

    /// Buries what the queue gave up.
    pub async fn bury(&self, key: RowKey) {
        self.ledger().bury(&[Burial { key, deaths: Some("rejected".into()) }]).await.expect("to bury");
    }

    // Looks.

    /// A row as it can be shown.
    pub async fn view(&self, run: RunId, sheet_row: u32) -> RowView {
        let rows = self.ledger().rows(run, &RowFilter::default(), sheet_row - 1, 1).await.expect("to look");
        let row = rows.into_iter().next().filter(|row| row.key.sheet_row == sheet_row);
        row.unwrap_or_else(|| panic!("row {sheet_row} is not there"))
    }

    /// What became of a row; none where it has no outcome yet.
    pub async fn outcome(&self, run: RunId, sheet_row: u32) -> Option<Outcome> {
        self.view(run, sheet_row).await.outcome
    }
}

/// What a run of this kind is opened with.
pub fn new_run(kind: RunKind, selection: Selection) -> NewRun {
    // Names only have to differ; the ledger orders runs by itself.
    NewRun {
        id: RunId::new(Timestamp::UNIX_EPOCH),
        kind,
        selection,
        source: "google-sheets".into(),
        started_by: "ops@scheduler".into(),
        hashes: "stage".into(),
    }
}

/// A row in its first generation.
pub fn key(run: RunId, sheet_row: u32) -> RowKey {
    RowKey { run, sheet_row, generation: 1 }
}

/// A good end.
pub fn done(outcome: Outcome) -> Settlement {
    Settlement::Done { outcome, warnings: Vec::new(), previous: None }
}

/// A bad one.
pub fn failed(reason: Reason) -> Settlement {
    Settlement::Failed { reason, error: "HTTP 422: no".into() }
}

/// Another try, later.
pub fn retry(after: Duration, counted: bool) -> Settlement {
    Settlement::Retry { after, counted, error: "HTTP 503: later".into() }
}

/// The sheet rows of messages, as they came.
pub fn sheet_rows(messages: &[RowMessage]) -> Vec<u32> {
    messages.iter().map(|message| message.key.sheet_row).collect()
}

/// Fails unless `left` is `expected`, less what a running clock took of it.
pub fn assert_about(left: Duration, expected: Duration) {
    assert!(left <= expected + MOMENT && left + SLACK > expected, "{left:?} is left, of {expected:?}");
}

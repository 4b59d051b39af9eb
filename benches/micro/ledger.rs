//! A batch's way through the SQLite ledger, in a file with its durable commits.

use std::time::{Duration, Instant};

use criterion::Criterion;
use shared::clock::Clock;
use shared::data_key::KeyedHash;
use shared::domain::{Outcome, RunDate};
use shared::ledger::sqlite::SqliteLedger;
use shared::ledger::{
    Claim, ClaimRequest, Claimed, DueTerms, Exchange, Fence, Intent, Ledger as _, LockAttempt, NewRun,
    Record, Recorded, RowMessage, RunId, RunKind, SeedRow, Seeded, Selection, Settlement, Snapshot,
};

const LEASE: Duration = Duration::from_secs(600);
/// Rows in a batch, as the worker cuts them.
const BATCH: u32 = 100;
/// Sizes of what is sealed of a row: NIK and number, their digests, a telecom.
const SEALED: [usize; 3] = [110, 106, 300];

struct Bench {
    ledger: SqliteLedger,
    clock: Clock,
    fence: Fence,
}

fn hash(kind: u64, of: u32) -> KeyedHash {
    // Spread like a real hash: neighbours in the sheet are no neighbours in an index.
    let spread = u64::from(of).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    format!("micro:{spread:016x}{kind:016x}").parse().expect("a hash")
}

impl Bench {
    async fn open(folder: &std::path::Path) -> Self {
        let clock = Clock::system();
        let ledger =
            SqliteLedger::act(&folder.join("ledger.db"), clock.clone(), LEASE).await.expect("a new file");
        let date: RunDate = "2026-11-23".parse().expect("a date");
        let attempt = ledger.lock("micro", date, "micro", LEASE).await.expect("a ledger");
        let LockAttempt::Taken(fence) = attempt else { panic!("nobody else is there") };
        Self { ledger, clock, fence }
    }

    /// A run of so many rows, all published.
    async fn seed(&self, rows: u32) -> Vec<RowMessage> {
        let run = NewRun {
            id: RunId::new(self.clock.now()),
            kind: RunKind::Night,
            // So that the NIKs of an earlier run can be written again.
            selection: Selection { reapply: true, ..Selection::default() },
            source: "micro".into(),
            started_by: "micro".into(),
            hashes: "micro".into(),
        };
        let run = self.ledger.open_run(&self.fence, run).await.expect("a run").id;
        let row = |sheet_row| SeedRow {
            sheet_row,
            rejected: None,
            nik: Some(hash(1, sheet_row)),
            number: Some(hash(2, sheet_row)),
            sealed: vec![7; SEALED[0]],
            digests: Some(vec![7; SEALED[1]]),
            warnings: Vec::new(),
        };
        let seeded = Seeded { range: 2..=rows + 1, rows: (2..=rows + 1).map(row).collect() };
        self.ledger.seed(&self.fence, run, seeded).await.expect("to seed");
        let snapshot = Snapshot { rows_read: rows.into(), changed_while_read: false };
        self.ledger.complete_snapshot(&self.fence, run, snapshot).await.expect("a snapshot");
        let terms = DueTerms {
            run: Some(run),
            job: None,
            kind: None,
            limit: rows,
            queue_idle: false,
            retake_after: LEASE,
        };
        let due = self.ledger.take_due(terms).await.expect("rows");
        let keys: Vec<_> = due.iter().map(|due| due.key).collect();
        self.ledger.note_published(&keys, LEASE).await.expect("to note");
        due
    }

    async fn claim(&self, batch: &[RowMessage]) -> Vec<Claimed> {
        let requests: Vec<_> = batch
            .iter()
            .map(|message| ClaimRequest { key: message.key, turn: message.turn, alone: false })
            .collect();
        let claims = self.ledger.claim(&requests, LEASE).await.expect("claims");
        let ours = |claim| if let Claim::Ours(row) = claim { *row } else { panic!("{claim:?}") };
        claims.into_iter().map(ours).collect()
    }

    async fn intend(&self, claimed: &[Claimed]) {
        let intent = |row: &Claimed| Intent {
            key: row.key,
            epoch: row.epoch,
            patient: "c".repeat(80),
            version: "1".into(),
            sealed_before: vec![7; SEALED[2]],
        };
        let intents: Vec<_> = claimed.iter().map(intent).collect();
        assert!(self.ledger.record_intents(&intents).await.expect("intents").iter().all(|ours| *ours));
    }

    async fn record(&self, claimed: &[Claimed]) {
        let record = |row: &Claimed| Record {
            key: row.key,
            epoch: row.epoch,
            settlement: Settlement::Done { outcome: Outcome::Updated, warnings: Vec::new(), previous: None },
            requests: 2,
            retries: 0,
            took: Duration::from_millis(80),
            exchanges: ["search", "update"]
                .map(|operation| Exchange { operation: operation.into(), answer: "ok".into(), millis: 31 })
                .to_vec(),
        };
        let records: Vec<_> = claimed.iter().map(record).collect();
        let recorded = self.ledger.record(&records).await.expect("records");
        assert!(!recorded.contains(&Recorded::Refused));
    }
}

/// Claims, announces and records a batch; what each step took.
async fn settle(bench: &Bench, batch: &[RowMessage]) -> [Duration; 3] {
    let began = Instant::now();
    let claimed = bench.claim(batch).await;
    let at_claimed = Instant::now();
    bench.intend(&claimed).await;
    let at_intended = Instant::now();
    bench.record(&claimed).await;
    [at_claimed - began, at_intended - at_claimed, at_intended.elapsed()]
}

pub(crate) fn batches(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let bench = runtime.block_on(Bench::open(folder.path()));
    let mut measure = |name: String, rows: u32, steps: std::ops::Range<usize>| {
        criterion.bench_function(&name, |bencher| {
            bencher.iter_custom(|times| {
                let all = rows * u32::try_from(times).expect("not so many");
                runtime.block_on(async {
                    let mut spent = Duration::ZERO;
                    for batch in bench.seed(all).await.chunks(rows as usize) {
                        spent += settle(&bench, batch).await[steps.clone()].iter().sum::<Duration>();
                    }
                    spent
                })
            });
        });
    };
    for (name, step) in [("claim", 0), ("intend", 1), ("record", 2)] {
        measure(format!("ledger: {name} {BATCH} rows"), BATCH, step..step + 1);
    }
    // A commit for each step: what few rows in a batch cost each of them.
    for rows in [3, 16, 48] {
        measure(format!("ledger: all three steps of {rows} rows"), rows, 0..3);
    }
}

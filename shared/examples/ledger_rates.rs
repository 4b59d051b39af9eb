//! Rows per second of the ledger's verbs on a real Postgres:
//! `DATABASE_URL=postgres://… cargo run --release --features postgres --example ledger_rates [ROWS]`.
//!
//! Each line is one way of batching, on a run of its own: `claim + record` is a claim and its record as two
//! transactions, `whole way` adds the intent between them. It leaves its runs behind: give it a database, or a
//! schema (`?options=-csearch_path%3DNAME`), that nobody needs.

use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use secrecy::SecretString;
use shared::clock::Clock;
use shared::data_key::KeyedHash;
use shared::domain::{Outcome, RunDate};
use shared::ledger::postgres::{PostgresAddress, PostgresLedger, PostgresTerms};
use shared::ledger::{
    Claim, ClaimRequest, DueTerms, Exchange, Fence, Intent, Ledger, LedgerView as _, LockAttempt, NewRun,
    Record, Recorded, RowKey, RowMessage, RunId, RunKind, SeedRow, Seeded, Selection, Settlement, Snapshot,
};

type Failure = Box<dyn std::error::Error + Send + Sync>;

const JOB: &str = "ledger-rates";
const LEASE: Duration = Duration::from_secs(600);
/// About what a NIK and a number take when they are sealed.
const SEALED: usize = 110;
/// What their sealed digests take.
const DIGESTS: usize = 106;

struct Bench {
    ledger: Arc<PostgresLedger>,
    clock: Clock,
    fence: Fence,
    rows: u32,
}

fn hash(kind: u64, of: u32) -> Result<KeyedHash, Failure> {
    // Spread like a real hash: neighbours in the sheet are no neighbours in an index.
    let spread = u64::from(of).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    Ok(format!("rates:{spread:016x}{kind:016x}").parse()?)
}

fn say(line: std::fmt::Arguments<'_>) {
    // A reader that went away is no failure of the ledger's.
    let _ = writeln!(std::io::stdout(), "{line}");
}

fn rate(what: &str, rows: u32, began: Instant) {
    let seconds = began.elapsed().as_secs_f64();
    say(format_args!("{what:<58} {:>9.0} rows/s", f64::from(rows) / seconds));
}

impl Bench {
    async fn seed(&self, window: u32, label: bool) -> Result<RunId, Failure> {
        let run = NewRun {
            id: RunId::new(self.clock.now()),
            kind: RunKind::Night,
            selection: Selection { reapply: true, ..Selection::default() },
            source: "rates".into(),
            started_by: "rates".into(),
            hashes: "rates".into(),
        };
        let run = self.ledger.open_run(&self.fence, run).await?.id;
        let mut windows = Vec::new();
        for start in (2..self.rows + 2).step_by(window as usize) {
            let end = (start + window - 1).min(self.rows + 1);
            let row = |sheet_row| {
                Ok(SeedRow {
                    sheet_row,
                    rejected: None,
                    nik: Some(hash(1, sheet_row)?),
                    number: Some(hash(2, sheet_row)?),
                    sealed: vec![7; SEALED],
                    digests: Some(vec![7; DIGESTS]),
                    warnings: Vec::new(),
                })
            };
            windows.push(Seeded {
                range: start..=end,
                rows: (start..=end).map(row).collect::<Result<_, Failure>>()?,
            });
        }
        let began = Instant::now();
        for seeded in windows {
            self.ledger.seed(&self.fence, run, seeded).await?;
        }
        if label {
            rate(&format!("seed, windows of {window}"), self.rows, began);
        }
        let began = Instant::now();
        let snapshot = Snapshot { rows_read: u64::from(self.rows), changed_while_read: false };
        self.ledger.complete_snapshot(&self.fence, run, snapshot).await?;
        if label {
            rate("complete the snapshot", self.rows, began);
        }
        Ok(run)
    }

    async fn publish(&self, run: RunId, window: u32, label: bool) -> Result<Vec<RowMessage>, Failure> {
        let began = Instant::now();
        let mut all = Vec::new();
        loop {
            let terms = DueTerms {
                run: Some(run),
                job: None,
                kind: None,
                limit: window,
                queue_idle: false,
                retake_after: LEASE,
            };
            let due = self.ledger.take_due(terms).await?;
            if due.is_empty() {
                break;
            }
            let keys: Vec<_> = due.iter().map(|due| due.key).collect();
            self.ledger.note_published(&keys, LEASE).await?;
            all.extend(due);
        }
        if label {
            rate(&format!("take due + note published, windows of {window}"), self.rows, began);
        }
        Ok(all)
    }

    /// Claims, perhaps intends, and records all rows, `at_once` batches at a time.
    async fn work(&self, batch: usize, at_once: usize, intents: bool, limit: usize) -> Result<(), Failure> {
        let run = self.seed(5_000, false).await?;
        let mut messages = self.publish(run, 1_000, false).await?;
        messages.truncate(limit);
        let rows = u32::try_from(messages.len())?;
        let mut batches: Vec<Vec<RowMessage>> = messages.chunks(batch).map(<[_]>::to_vec).collect();
        let share = batches.len().div_ceil(at_once);
        let began = Instant::now();
        let mut workers = tokio::task::JoinSet::new();
        while !batches.is_empty() {
            let own = batches.split_off(batches.len().saturating_sub(share));
            let ledger = self.ledger.clone();
            workers.spawn(async move {
                for batch in own {
                    settle(&ledger, &batch, intents).await?;
                }
                Ok::<_, Failure>(())
            });
        }
        while let Some(worker) = workers.join_next().await {
            worker??;
        }
        let way = if intents { "whole way" } else { "claim + record" };
        rate(&format!("{way}, batches of {batch}, {at_once} at a time"), rows, began);
        Ok(())
    }
}

async fn settle(ledger: &PostgresLedger, batch: &[RowMessage], intents: bool) -> Result<(), Failure> {
    let requests: Vec<_> = batch
        .iter()
        .map(|message| ClaimRequest { key: message.key, turn: message.turn, alone: false })
        .collect();
    let claimed: Vec<(RowKey, i64)> = ledger
        .claim(&requests, LEASE)
        .await?
        .into_iter()
        .filter_map(|claim| if let Claim::Ours(row) = claim { Some((row.key, row.epoch)) } else { None })
        .collect();
    if claimed.len() != batch.len() {
        return Err("a row was not claimed".into());
    }
    if intents {
        let intent = |&(key, epoch): &(RowKey, i64)| Intent {
            key,
            epoch,
            patient: "c".repeat(80),
            version: "1".into(),
            sealed_before: vec![7; 300],
        };
        ledger.record_intents(&claimed.iter().map(intent).collect::<Vec<_>>()).await?;
    }
    let record = |(key, epoch)| Record {
        key,
        epoch,
        settlement: Settlement::Done { outcome: Outcome::Updated, warnings: Vec::new(), previous: None },
        requests: 2,
        retries: 0,
        took: Duration::from_millis(80),
        exchanges: ["search", "update"]
            .map(|operation| Exchange { operation: operation.into(), answer: "ok".into(), millis: 31 })
            .to_vec(),
    };
    let recorded = ledger.record(&claimed.into_iter().map(record).collect::<Vec<_>>()).await?;
    if recorded.contains(&Recorded::Refused) {
        return Err("a record was refused".into());
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let uri = std::env::var("DATABASE_URL").map_err(|_| "DATABASE_URL is not set")?;
    let rows = std::env::args().nth(1).map_or(Ok(20_000), |rows| rows.parse())?;
    let address = PostgresAddress::parse(&SecretString::from(uri))?;
    let ledger = Arc::new(PostgresLedger::connect(&address, PostgresTerms::default()).await?);
    let clock = Clock::system();
    let date: RunDate = "2026-11-23".parse()?;
    let LockAttempt::Taken(fence) = ledger.lock(JOB, date, "rates", LEASE * 6).await? else {
        return Err("another one runs".into());
    };
    let bench = Bench { ledger, clock, fence, rows };
    say(format_args!("{rows} rows a run"));
    bench.seed(100, true).await?;
    bench.seed(1_000, true).await?;
    let run = bench.seed(5_000, true).await?;
    bench.publish(run, 1_000, true).await?;
    let began = Instant::now();
    for _ in 0..20 {
        bench.ledger.progress(run).await?;
    }
    say(format_args!(
        "{:<58} {:>9.1} ms",
        "progress with every row open",
        began.elapsed().as_secs_f64() * 50.0
    ));
    bench.work(1, 1, false, 1_000).await?;
    for batch in [100, 1_000] {
        for at_once in [1, 4] {
            bench.work(batch, at_once, false, usize::MAX).await?;
        }
    }
    bench.work(100, 4, true, usize::MAX).await?;
    bench.ledger.unlock(&bench.fence).await?;
    Ok(())
}

//! How long the pages, and what they are made of, take with a million rows in a run, on both ledgers:
//! `cargo run --release -p tests --example million_rows [ROWS]`. Prints a table; status 1 where something took longer
//! than a page may.
//!
//! Postgres is the one the tests use (private, or `TEST_DATABASE_URL`). Rows are put in place by SQL, as a night in
//! progress: nothing of them can be opened.

mod pages;

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use shared::clock::Clock;
use shared::domain::{Outcome, Reason, RunDate, Warning};
use shared::ledger::postgres::{PostgresLedger, PostgresTerms};
use shared::ledger::sqlite::SqliteLedger;
use shared::ledger::{
    Act, DeadLetterFilter, Ledger, LedgerError, LockAttempt, NewRun, Page, Replay, RowFilter, RunId, RunKind,
    Selection,
};
use tests::services::PostgresServer;

/// What a page may take in the ledger.
const LIMIT: Duration = Duration::from_millis(200);
const JOB: &str = "million-rows";
const SHOWN: u32 = 50;

/// Rows by what became of them: SQL over `n`, the place of a row from 0. The last twentieth is still open.
const SHAPE: &str = "
    SELECT n + 2 AS sheet_row,
           CASE WHEN n >= {open} THEN CASE n % 10 WHEN 0 THEN 'retrying' ELSE 'pending' END ELSE 'done' END AS state,
           CASE WHEN n >= {open} THEN NULL WHEN n = {open} - 1 THEN 'dead_lettered' WHEN n % 100 = 0 THEN 'rejected'
                WHEN n % 100 = 1 THEN 'dead_lettered' WHEN n % 100 < 10 THEN 'skipped_not_found'
                WHEN n % 100 < 60 THEN 'unchanged' ELSE 'updated' END AS outcome,
           CASE WHEN n >= {open} THEN NULL WHEN n = {open} - 1 THEN 'poison_message'
                WHEN n % 100 = 0 THEN CASE n % 3 WHEN 0 THEN 'phone_invalid' ELSE 'nik_not_16_digits' END
                WHEN n % 100 = 1 THEN CASE n % 3 WHEN 0 THEN 'retries_exhausted' ELSE 'patient_gone' END END AS reason,
           CASE WHEN n = {open} - 2 THEN 'nik_unlikely_province' WHEN n % 20 = 3 THEN 'phone_repeated' ELSE '' END AS warnings,
           n
    FROM numbers";

fn sqlite_sql(run: RunId, rows: u32) -> String {
    let run = format!("X'{}'", run.0.simple());
    let shape = SHAPE.replace("{open}", &(rows / 20 * 19).to_string());
    format!(
        "BEGIN;
         CREATE TEMP TABLE shape AS WITH RECURSIVE numbers (n) AS
           (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < {rows}) {shape};
         INSERT INTO row (run_id, sheet_row, state, outcome, reason, warnings, nik_hash, number_hash, sealed, attempts,
                          requests, sweep_at, ended_at, took, exchanges)
         SELECT {run}, sheet_row, state, outcome, reason, warnings, printf('1:%032x', n * 2654435761 % 4294967296),
                printf('1:%032x', n), zeroblob(110), 1, 2, n, CASE WHEN outcome IS NOT NULL THEN n + 1 END, 80000,
                '[{{\"o\":\"search\",\"a\":\"ok\",\"ms\":31}}]' FROM shape;
         INSERT INTO dead_letter (run_id, sheet_row, generation, reason, error, attempts, nik_hash, sealed, died_at)
         SELECT {run}, sheet_row, 1, reason, 'HTTP 503', 6, printf('1:%032x', n * 2654435761 % 4294967296), zeroblob(110), n
         FROM shape WHERE outcome = 'dead_lettered';
         INSERT INTO attempt (run_id, sheet_row, generation, epoch, ended_at, took, last, counted, error, exchanges)
         SELECT {run}, sheet_row, 1, epoch.value, n, 80000, 0, 1, 'HTTP 503', '[]'
         FROM shape, json_each('[1,2,3,4,5,6]') AS epoch WHERE outcome = 'dead_lettered';
         INSERT INTO run_count SELECT {run}, 'selected', '', COUNT(*) FROM shape;
         INSERT INTO run_count SELECT {run}, 'outcome', outcome, COUNT(*) FROM shape WHERE outcome IS NOT NULL GROUP BY outcome;
         INSERT INTO run_count SELECT {run}, 'reason', reason, COUNT(*) FROM shape WHERE reason IS NOT NULL GROUP BY reason;
         INSERT INTO run_count SELECT {run}, 'warning', warnings, COUNT(*) FROM shape
           WHERE outcome IS NOT NULL AND warnings <> '' GROUP BY warnings;
         INSERT INTO run_count SELECT {run}, 'requests', '', 2 * COUNT(*) FROM shape;
         UPDATE run SET state = 'open', snapshot_at = started_at WHERE run_id = {run};
         COMMIT;"
    )
}

fn postgres_sql(run: RunId, rows: u32) -> String {
    let run = format!("'{run}'::uuid");
    let shape = SHAPE.replace("{open}", &(rows / 20 * 19).to_string());
    let hash = "'1:' || lpad(to_hex(n::bigint * 2654435761 % 4294967296), 32, '0')";
    let sealed = "decode(repeat('00', 110), 'hex')";
    format!(
        "CREATE TABLE shape AS WITH numbers AS (SELECT n FROM generate_series(0, {rows} - 1) AS n) {shape};
         INSERT INTO row (run_id, sheet_row, state, outcome, reason, warnings, nik_hash, number_hash, sealed, attempts,
                          requests, sweep_at, ended_at, took, exchanges)
         SELECT {run}, sheet_row, state, outcome, reason, warnings, {hash}, '1:' || lpad(to_hex(n), 32, '0'), {sealed}, 1, 2,
                now(), CASE WHEN outcome IS NOT NULL THEN now() - ({rows} - n) * interval '1 millisecond' END, 80000, '[{{\"o\":\"search\",\"a\":\"ok\",\"ms\":31}}]' FROM shape;
         INSERT INTO dead_letter (run_id, sheet_row, generation, reason, error, attempts, nik_hash, sealed, died_at)
         SELECT {run}, sheet_row, 1, reason, 'HTTP 503', 6, {hash}, {sealed}, now()
         FROM shape WHERE outcome = 'dead_lettered';
         INSERT INTO attempt (run_id, sheet_row, generation, epoch, ended_at, took, last, counted, error, exchanges)
         SELECT {run}, sheet_row, 1, epoch, now(), 80000, FALSE, TRUE, 'HTTP 503', '[]'
         FROM shape, generate_series(1, 6) AS epoch WHERE outcome = 'dead_lettered';
         INSERT INTO run_count SELECT {run}, 'selected', '', 0, count(*) FROM shape;
         INSERT INTO run_count SELECT {run}, 'outcome', outcome, 0, count(*) FROM shape WHERE outcome IS NOT NULL GROUP BY outcome;
         INSERT INTO run_count SELECT {run}, 'reason', reason, 0, count(*) FROM shape WHERE reason IS NOT NULL GROUP BY reason;
         INSERT INTO run_count SELECT {run}, 'warning', warnings, 0, count(*) FROM shape
           WHERE outcome IS NOT NULL AND warnings <> '' GROUP BY warnings;
         INSERT INTO run_count SELECT {run}, 'requests', '', 0, 2 * count(*) FROM shape;
         UPDATE run SET state = 'open', snapshot_at = started_at, rows_selected = {rows} WHERE run_id = {run};
         DROP TABLE shape"
    )
}

/// Opens the run with the million rows, after two months of runs, and before a few more.
async fn runs(ledger: &dyn Ledger, clock: &Clock) -> Result<RunId, LedgerError> {
    let date: RunDate = "2026-11-23".parse().expect("a date");
    let lease = Duration::from_secs(600);
    let LockAttempt::Taken(fence) = ledger.lock(JOB, date, "measure", lease).await? else {
        panic!("another one runs");
    };
    let mut last = None;
    for number in 0..60 {
        let run = NewRun {
            id: RunId::new(clock.now()),
            kind: RunKind::Night,
            selection: Selection::default(),
            source: "file".into(),
            started_by: "measure".into(),
            hashes: "1".into(),
        };
        let run = ledger.open_run(&fence, run).await?;
        last = Some(run.id);
        for act in ["start", "reveal", "replay"] {
            let detail = serde_json::json!({ "run_id": run.id, "sheet_row": number });
            ledger.note_act(Act { who: "measure".into(), act: act.into(), detail }).await?;
        }
    }
    ledger.unlock(&fence).await?;
    Ok(last.expect("at least one"))
}

struct Measured {
    worst: Duration,
    over: u32,
}

impl Measured {
    async fn time<T, F>(&mut self, what: &str, ask: impl Fn() -> F)
    where
        F: Future<Output = Result<T, LedgerError>>,
    {
        let mut took = Vec::new();
        for _ in 0..5 {
            let began = Instant::now();
            ask().await.unwrap_or_else(|error| panic!("{what}: {}", shared::error_chain(&error)));
            took.push(began.elapsed());
        }
        took.sort_unstable();
        let (middle, longest) = (took[2], took[4]);
        let mark = if longest > LIMIT { "  TOO LONG" } else { "" };
        say(format_args!(
            "  {what:<52} {:>8.1} ms, at most {:>8.1} ms{mark}",
            millis(middle),
            millis(longest)
        ));
        self.worst = self.worst.max(longest);
        self.over += u32::from(longest > LIMIT);
    }
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

fn say(line: std::fmt::Arguments<'_>) {
    // A reader that went away is no failure of the ledger's.
    let _ = writeln!(std::io::stdout(), "{line}");
}

async fn measure<L: Ledger + 'static>(name: &str, ledger: &Arc<L>, run: RunId, rows: u32) -> u32 {
    say(format_args!("{name}, {rows} rows in a run"));
    let mut measured = Measured { worst: Duration::ZERO, over: 0 };
    let all = RowFilter::default;
    let outcome = |outcome| RowFilter { outcome: Some(outcome), ..all() };
    let reason = |reason| RowFilter { reason: Some(reason), ..all() };
    let warning = |warning| RowFilter { warning: Some(warning), ..all() };
    let nik = format!("1:{:032x}", u64::from(rows / 2) * 2_654_435_761 % 4_294_967_296);
    let nik = RowFilter { niks: vec![nik.parse().expect("a hash")], ..all() };
    let deep = rows / 10 * 9;
    let lists = [
        ("rows, first page", all(), Page::First),
        ("rows, deep", all(), Page::After(deep)),
        ("rows, last page", all(), Page::Before(u32::MAX / 2)),
        ("rows updated, first page", outcome(Outcome::Updated), Page::First),
        ("rows updated, previous page, deep", outcome(Outcome::Updated), Page::Before(deep)),
        ("rows dead-lettered, deep", outcome(Outcome::DeadLettered), Page::After(deep)),
        ("rows superseded (none)", outcome(Outcome::Superseded), Page::First),
        ("rows with a reason that one row has", reason(Reason::PoisonMessage), Page::First),
        ("rows with a reason, previous page", reason(Reason::PatientGone), Page::Before(deep)),
        ("rows with a warning", warning(Warning::PhoneRepeated), Page::First),
        ("rows with a warning that one row has", warning(Warning::NikUnlikelyProvince), Page::First),
        ("rows unfinished, first page", RowFilter { unfinished: true, ..all() }, Page::First),
        ("rows unfinished, last page", RowFilter { unfinished: true, ..all() }, Page::Before(u32::MAX / 2)),
        ("one row of the sheet", RowFilter { sheet_row: Some(deep), ..all() }, Page::First),
        ("a person's rows", nik, Page::First),
    ];
    for (what, filter, page) in lists {
        measured.time(what, || ledger.row_page(run, &filter, page, SHOWN)).await;
    }
    measured.time("one row's history", || ledger.history(run, rows / 100 * 40 + 3)).await;
    measured.time("a run's counts", || ledger.counted(run)).await;
    measured.time("runs, newest first", || ledger.run_page(JOB, Page::First, 30)).await;
    let date = |text: &str| text.parse::<RunDate>().expect("a date");
    let (from, to) = (date("2026-11-01"), date("2026-11-30"));
    measured.time("runs of a month", || ledger.runs_between(JOB, from, to)).await;
    measured.time("where the job stands", || ledger.standing(JOB)).await;
    measured.time("dead letters by reason", || ledger.dead_letter_groups(None)).await;
    measured.time("a run's dead letters by reason", || ledger.dead_letter_groups(Some(run))).await;
    let letters = DeadLetterFilter { open: true, ..DeadLetterFilter::default() };
    measured.time("open dead letters", || ledger.dead_letter_page(&letters, Page::First, SHOWN)).await;
    let gone = DeadLetterFilter { reason: Some(Reason::PatientGone), ..letters.clone() };
    measured
        .time("open dead letters with a reason", || ledger.dead_letter_page(&gone, Page::First, SHOWN))
        .await;
    let of_run = DeadLetterFilter { run: Some(run), ..letters };
    let before = Page::Before(i64::MAX);
    measured
        .time("a run's dead letters, last page", || ledger.dead_letter_page(&of_run, before, SHOWN))
        .await;
    measured.time("acts, newest first", || ledger.acts(None, Page::First, SHOWN)).await;
    measured.time("acts of a run", || ledger.acts(Some(run), Page::First, SHOWN)).await;
    measured.time("the gate", || ledger.gate()).await;
    say(format_args!("  at most {:.1} ms", millis(measured.worst)));
    measured.worst = Duration::ZERO;
    pages::measure(ledger, run, rows, &mut measured).await;
    let since = ledger.now().await.expect("the time");
    let replayed = ledger.replay(Replay::default()).await.expect("to replay").len();
    say(format_args!("  while {replayed} of its dead letters are replayed"));
    measured.time("the newest replays", || ledger.replays(since, 5)).await;
    pages::measure_replay(ledger, &mut measured).await;
    say(format_args!("  at most {:.1} ms", millis(measured.worst)));
    measured.over
}

#[tokio::main]
async fn main() -> ExitCode {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let rows = std::env::args().nth(1).map_or(1_000_000, |rows| rows.parse().expect("a number of rows"));
    let clock = Clock::system();

    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("ledger.db");
    let ledger =
        SqliteLedger::act(&path, clock.clone(), Duration::ZERO).await.expect("nobody else has this file");
    let ledger = Arc::new(ledger);
    let run = runs(&*ledger, &clock).await.expect("to open runs");
    let beside = rusqlite::Connection::open(&path).expect("the file");
    beside.execute_batch(&sqlite_sql(run, rows)).expect("to put rows in place");
    drop(beside);
    let mut over = measure("SQLite", &ledger, run, rows).await;
    drop((ledger, folder));

    let place = PostgresServer::get().await.place().await;
    let ledger =
        PostgresLedger::connect(&place.address(), PostgresTerms::default()).await.expect("to connect");
    let ledger = Arc::new(ledger);
    // The planner knows other runs, and nothing of this one: so it is while a night is young.
    let beside = place.client().await;
    beside.batch_execute("ALTER TABLE row SET (autovacuum_enabled = FALSE)").await.expect("to keep it so");
    let earlier = runs(&*ledger, &clock).await.expect("to open runs");
    beside.batch_execute(&postgres_sql(earlier, rows / 5)).await.expect("to put rows in place");
    beside.batch_execute("ANALYZE").await.expect("to analyze");
    let run = runs(&*ledger, &clock).await.expect("to open runs");
    beside.batch_execute(&postgres_sql(run, rows)).await.expect("to put rows in place");
    over += measure("Postgres", &ledger, run, rows).await;
    ExitCode::from(u8::from(over > 0))
}

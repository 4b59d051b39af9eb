//! What only the SQLite ledger promises: one acting process, whose death frees what it held at once; files that
//! nobody else can read; nothing in them in clear.

use std::path::{Path, PathBuf};
use std::time::Duration;

use shared::clock::Clock;
use shared::domain::{Outcome, Reason};
use shared::ledger::sqlite::SqliteLedger;
use shared::ledger::{
    Claim, ClaimRequest, Gate, GateKind, Ledger, LedgerError, LedgerView, LockAttempt, Replay, RowFilter,
    RowKey, RunId, RunState,
};
use tempfile::TempDir;
use tests::conformance::ledger::{JOB, LEASE, SqliteOnFile, Stage, closing, date, nik, number};
use tokio::time::{Instant, sleep, timeout};

const ON: &str = "2026-11-23";
const NEXT: &str = "2026-11-24";

fn place() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("nightly-sync.db");
    (folder, path)
}

async fn act(path: &Path, patience: Duration) -> Result<SqliteLedger, LedgerError> {
    SqliteLedger::act(path, Clock::system(), patience).await
}

async fn stage(path: &Path) -> Stage {
    Stage::new(SqliteOnFile::at(path).await)
}

fn key(run: RunId, sheet_row: u32) -> RowKey {
    RowKey { run, sheet_row, generation: 1 }
}

#[tokio::test(start_paused = true)]
async fn a_second_process_is_refused_when_its_patience_ends() {
    let (_folder, path) = place();
    let first = act(&path, Duration::ZERO).await.unwrap();
    for patience in [Duration::ZERO, Duration::from_secs(3)] {
        let began = Instant::now();
        let Err(refused) = act(&path, patience).await else { panic!("two act on one file") };
        assert!(began.elapsed() >= patience && began.elapsed() < patience + Duration::from_secs(1));
        let LedgerError::InUse { path: said, lock } = &refused else { panic!("{refused}") };
        assert_eq!(said, &path);
        assert!(lock.exists() && refused.to_string().contains(&lock.display().to_string()));
    }
    drop(first);
    act(&path, Duration::ZERO).await.expect("free as soon as the first is gone");
}

#[tokio::test(start_paused = true)]
async fn a_patient_process_takes_over() {
    let (_folder, path) = place();
    let first = act(&path, Duration::ZERO).await.unwrap();
    let began = Instant::now();
    let (second, ()) = tokio::join!(act(&path, Duration::from_secs(60)), async {
        sleep(Duration::from_secs(5)).await;
        drop(first);
    });
    second.expect("the first let it go");
    assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_dead_process_holds_nothing() {
    let (_folder, path) = place();
    let before = stage(&path).await;
    let run = before.night(ON, &[(2, 1, 1), (3, 2, 2)]).await;
    let other = before.night(NEXT, &[(2, 2, 9)]).await;
    let due = before.due().await;
    before.confirm(&due).await;
    let fence = before.lock(ON, "first").await;
    let lost = before.take(key(run, 2), 0).await;
    assert!(before.intend(&lost, "patient-1", "1").await);
    before.take(key(other, 2), 0).await;
    assert!(before.ledger().hold_duty("steward", "first", LEASE).await.unwrap());
    let gate = Gate { kind: GateKind::Throttled, reason: "Retry-After".into() };
    before.ledger().shut_gate(&gate, LEASE).await.unwrap();
    drop(before);

    let after = stage(&path).await;
    let next = after.lock(ON, "second").await;
    assert!(next.epoch > fence.epoch);
    assert!(!after.ledger().renew_lock(&fence, LEASE).await.unwrap());
    assert!(after.ledger().hold_duty("steward", "second", LEASE).await.unwrap());
    // What the FHIR server asked for holds for whoever comes.
    assert_eq!(after.ledger().gate().await.unwrap().map(|shut| shut.gate), Some(gate));
    // The NIK of a lost claim is free, and the lost claims come due, as crashes.
    after.take(key(run, 3), 0).await;
    let due = after.due().await;
    assert_eq!(
        due.iter().map(|due| (due.key, due.turn)).collect::<Vec<_>>(),
        [(key(run, 2), 1), (key(other, 2), 1)]
    );
    let claimed = after.take(key(run, 2), 1).await;
    assert_eq!(claimed.intent, Some(("patient-1".into(), "1".into())));
    assert!(claimed.epoch > lost.epoch);
    after.advance(LEASE).await;
    after.crash(key(run, 2), 1, 1).await;
    let third = after.ask(key(run, 2), 1).await;
    assert!(matches!(third, Claim::Suspect), "the death counted: {third:?}");
}

#[tokio::test]
async fn what_was_answered_outlives_the_process() {
    let (_folder, path) = place();
    let before = stage(&path).await;
    let run = before.night(ON, &[(2, 1, 1), (3, 2, 2), (4, 3, 3)]).await;
    before.finish(run, 2, Outcome::Updated).await;
    before.kill(key(run, 3), Reason::PatientGone).await;
    before.ledger().replay(Replay { reason: Some(Reason::PatientGone), ..Replay::default() }).await.unwrap();
    let (tally, opened) =
        (before.ledger().tally(run).await.unwrap(), before.ledger().run(run).await.unwrap());
    let letters = before.ledger().dead_letters(&Replay::default(), 0, 10).await.unwrap();
    drop(before);

    for _ in 0..2 {
        let after = stage(&path).await;
        assert_eq!(after.ledger().tally(run).await.unwrap(), tally);
        assert_eq!(after.ledger().run(run).await.unwrap(), opened);
        let kept = after.ledger().dead_letters(&Replay::default(), 0, 10).await.unwrap();
        assert_eq!((kept.len(), kept[0].key, kept[0].died_at), (1, letters[0].key, letters[0].died_at));
        let newest = after.ledger().newest_success(&after.nik_hash(1)).await.unwrap();
        assert_eq!(newest.map(|(_, number, _)| number), Some(after.number_hash(1)));
    }
    let after = stage(&path).await;
    let again = after.night(ON, &[(2, 1, 1)]).await;
    let order = after.ledger().run(again).await.unwrap().unwrap().order;
    assert!(order > opened.unwrap().order, "orders go on where they were");
}

#[tokio::test]
async fn a_looker_sees_what_is_done_and_changes_nothing() {
    let (_folder, path) = place();
    assert!(SqliteLedger::look(&path, Clock::system()).is_err(), "there is nothing to look at");
    assert!(!path.exists(), "and looking makes nothing");
    let acting = stage(&path).await;
    let looking = SqliteLedger::look(&path, Clock::system()).unwrap();
    let run = acting.night(ON, &[(2, 1, 1), (3, 2, 2)]).await;
    acting.finish(run, 2, Outcome::Updated).await;
    assert_eq!(looking.tally(run).await.unwrap(), acting.ledger().tally(run).await.unwrap());
    assert_eq!(looking.rows(run, &RowFilter::default(), 0, 10).await.unwrap().len(), 2);

    let refused = |what: &str, result: Result<(), LedgerError>| {
        assert!(matches!(result, Err(LedgerError::Database { .. })), "{what}: {result:?}");
    };
    let request = ClaimRequest { key: key(run, 3), turn: 0, alone: false };
    refused("lock", looking.lock(JOB, date(ON), "looker", LEASE).await.map(|_| ()));
    refused("claim", looking.claim(&[request], LEASE).await.map(|_| ()));
    refused("close", looking.close_run(run, &closing()).await.map(|_| ()));
    refused("replay", looking.replay(Replay::default()).await.map(|_| ()));
    let gate = Gate { kind: GateKind::Systemic, reason: "looked at".into() };
    refused("gate", looking.shut_gate(&gate, LEASE).await);
    refused("duty", looking.hold_duty("steward", "looker", LEASE).await.map(|_| ()));
    assert_eq!(acting.view(run, 3).await.state, "pending");

    // It holds no lock, and goes on seeing when the acting process is gone and when the next one came.
    drop(acting);
    assert_eq!(looking.tally(run).await.unwrap().count(Outcome::Updated), 1);
    let next = stage(&path).await;
    next.finish(run, 3, Outcome::Unchanged).await;
    assert!(next.ledger().close_run(run, &closing()).await.unwrap());
    assert_eq!(looking.run(run).await.unwrap().map(|run| run.state), Some(RunState::Closed));
    drop(next);
    let looking = SqliteLedger::look(&path, Clock::system()).expect("nobody has to act for somebody to look");
    assert_eq!(looking.tally(run).await.unwrap().open, 0);
}

#[cfg(unix)]
#[tokio::test]
async fn its_files_are_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt as _;

    let (folder, path) = place();
    let acting = stage(&path).await;
    acting.night(ON, &[(2, 1, 1)]).await;
    let mut files = 0;
    for file in std::fs::read_dir(folder.path()).unwrap() {
        let file = file.unwrap();
        let mode = file.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{:?}", file.file_name());
        files += 1;
    }
    assert!(files >= 3, "the database, its log and the lock: {files} files");
}

#[tokio::test]
async fn the_file_is_in_wal_mode() {
    let (_folder, path) = place();
    let _acting = stage(&path).await;
    let reader = rusqlite::Connection::open(&path).unwrap();
    let mode: String = reader.query_row("PRAGMA journal_mode", [], |row| row.get(0)).unwrap();
    assert_eq!(mode, "wal");
}

#[tokio::test]
async fn a_file_that_cannot_be_made_is_named() {
    let (folder, _) = place();
    let path = folder.path().join("nowhere").join("nightly-sync.db");
    let Err(error) = act(&path, Duration::ZERO).await else { panic!("it cannot be made") };
    assert!(matches!(error, LedgerError::File { .. }) && error.to_string().contains("nowhere"), "{error}");
}

#[tokio::test]
async fn no_reader_waits_for_the_writer() {
    let (_folder, path) = place();
    let acting = stage(&path).await;
    let run = acting.night(ON, &[(2, 1, 1)]).await;
    let writer = rusqlite::Connection::open(&path).unwrap();
    writer.execute_batch("BEGIN IMMEDIATE").unwrap();
    let tally =
        timeout(Duration::from_secs(5), acting.ledger().tally(run)).await.expect("it does not wait").unwrap();
    assert_eq!(tally.open, 1);
}

/// Every file beside the database, its log included.
fn bytes_on_disk(folder: &Path) -> Vec<u8> {
    let files = std::fs::read_dir(folder).expect("the folder");
    let paths = files.map(|file| file.expect("its entry").path());
    paths.flat_map(|path| std::fs::read(path).expect("a file")).collect()
}

#[tokio::test]
async fn the_files_hold_no_personal_data_in_clear() {
    let (folder, path) = place();
    let acting = stage(&path).await;
    // Every state, with everything that is ever written about a row.
    let run = acting
        .night(ON, &[(2, 1, 11), (3, 2, 12), (4, 3, 13), (5, 4, 14), (6, 4, 15), (7, 5, 16), (8, 5, 16)])
        .await;
    let claimed = acting.take(key(run, 2), 0).await;
    acting.intend(&claimed, "patient-1", "1").await;
    acting.finish(run, 3, Outcome::Updated).await;
    acting.kill(key(run, 4), Reason::RejectedByServer).await;
    acting.ledger().replay(Replay { niks: vec![acting.nik_hash(3)], ..Replay::default() }).await.unwrap();
    let fence = acting.lock(ON, "first").await;
    assert!(matches!(
        acting.ledger().lock(JOB, date(ON), "second", LEASE).await.unwrap(),
        LockAttempt::Held { .. }
    ));
    let seeding = acting.open(&fence, shared::ledger::RunKind::Night, Default::default()).await.id;
    acting.seed(&fence, seeding, 2..=2, vec![acting.rejected(seeding, 2, 6, Some(17))]).await;

    let log = path.with_file_name("nightly-sync.db-wal");
    assert!(std::fs::metadata(&log).unwrap().len() > 0, "the log is looked at before it is written back");
    let hash = acting.nik_hash(1);
    let assert_sealed = || {
        let bytes = bytes_on_disk(folder.path());
        assert!(
            contains(&bytes, hash.as_str().as_bytes()),
            "the hash is there, so these are the right files"
        );
        for who in 1..=6 {
            assert!(!contains(&bytes, nik(who).expose().as_bytes()), "a NIK in clear");
        }
        for which in 11..=17 {
            let number = number(which);
            let (e164, national) = (number.expose(), &number.expose()[3..]);
            assert!(
                !contains(&bytes, e164.as_bytes()) && !contains(&bytes, national.as_bytes()),
                "a number in clear"
            );
        }
    };
    assert_sealed();
    drop(acting);
    assert_sealed();
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

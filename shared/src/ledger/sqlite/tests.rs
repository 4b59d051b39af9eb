//! What the conformance suite in `tests/` cannot see from outside: the shared transaction and the pragmas.

use std::sync::{Arc, mpsc};
use std::time::Duration;

use rusqlite::Connection;

use super::Sql as _;
use super::file::prepare;
use super::writer::{Writer, failed};
use crate::ledger::LedgerError;

fn insert(db: &Connection, number: i64) -> Result<(), LedgerError> {
    db.execute("INSERT INTO counted (number) VALUES (?)", [number]).doing("count")?;
    Ok(())
}

/// A file with one table, and its writer.
fn written() -> (tempfile::TempDir, Arc<Writer>) {
    let folder = tempfile::tempdir().unwrap();
    let connection = Connection::open(folder.path().join("ledger.db")).unwrap();
    connection
        .execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE counted (number INTEGER PRIMARY KEY)")
        .unwrap();
    (folder, Arc::new(Writer::thread(connection).unwrap()))
}

fn numbers(folder: &tempfile::TempDir) -> Vec<i64> {
    let reader = Connection::open(folder.path().join("ledger.db")).unwrap();
    let mut found = reader.prepare("SELECT number FROM counted ORDER BY number").unwrap();
    found.query_map([], |row| row.get(0)).unwrap().collect::<rusqlite::Result<_>>().unwrap()
}

/// Keeps the writer busy until told to go on, so that what is asked meanwhile shares its next transaction.
fn keep_busy(writer: &Arc<Writer>) -> (mpsc::Sender<()>, tokio::task::JoinHandle<()>) {
    let (go_on, waits) = mpsc::channel();
    let (began, begins) = mpsc::channel();
    let busy = writer.clone();
    let busy = tokio::spawn(async move {
        let job = busy.write("wait", move |_| {
            began.send(()).map_err(|error| failed("wait", error))?;
            waits.recv().map_err(|error| failed("wait", error))
        });
        job.await.unwrap();
    });
    begins.recv_timeout(Duration::from_secs(10)).expect("the writer begins");
    (go_on, busy)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_fails_takes_nothing_back_from_its_neighbours() {
    let (folder, writer) = written();
    let (go_on, busy) = keep_busy(&writer);
    let before = writer.write("count", |db| insert(db, 1));
    // Writes, then fails: its own write must go with it.
    let fails = writer.write("count", |db| insert(db, 2).and_then(|()| insert(db, 1)));
    let after = writer.write("count", |db| insert(db, 3));
    let before_commit = writer.write("look", {
        let path = folder.path().join("ledger.db");
        move |db| {
            let own: i64 =
                db.query_row("SELECT COUNT(*) FROM counted", [], |row| row.get(0)).doing("look")?;
            let reader = Connection::open(path).doing("look")?;
            let others =
                reader.query_row("SELECT COUNT(*) FROM counted", [], |row| row.get(0)).doing("look")?;
            Ok((own, others))
        }
    });
    let release = async { go_on.send(()).unwrap() };
    let (before, fails, after, counts, ()) = tokio::join!(before, fails, after, before_commit, release);
    busy.await.unwrap();
    before.unwrap();
    assert!(matches!(fails, Err(LedgerError::Database { doing: "count", .. })), "{fails:?}");
    after.unwrap();
    let counts: (i64, i64) = counts.unwrap();
    assert_eq!(counts, (2, 0), "one transaction for all of them, and nobody answered before it is committed");
    assert_eq!(numbers(&folder), [1, 3]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_stands_although_its_asker_went_away() {
    let (folder, writer) = written();
    let (go_on, busy) = keep_busy(&writer);
    let asker = writer.clone();
    let asked =
        tokio::time::timeout(Duration::from_millis(1), asker.write("count", |db| insert(db, 7))).await;
    assert!(asked.is_err(), "the writer is busy");
    go_on.send(()).unwrap();
    busy.await.unwrap();
    drop(asker);
    drop(Arc::into_inner(writer).expect("the last one"));
    assert_eq!(numbers(&folder), [7], "the writer finishes what is queued before it goes");
}

#[test]
fn a_commit_is_on_disk_before_it_is_answered() {
    let folder = tempfile::tempdir().unwrap();
    let mut connection = Connection::open(folder.path().join("ledger.db")).unwrap();
    prepare(&mut connection).unwrap();
    let journal: String = connection.query_row("PRAGMA journal_mode", [], |row| row.get(0)).unwrap();
    let synchronous: i64 = connection.query_row("PRAGMA synchronous", [], |row| row.get(0)).unwrap();
    assert_eq!((journal.as_str(), synchronous), ("wal", 2), "2 is FULL");
}

#[test]
fn a_process_that_dies_between_a_change_of_the_tables_and_its_note_leaves_neither() {
    let folder = tempfile::tempdir().unwrap();
    let mut connection = Connection::open(folder.path().join("ledger.db")).unwrap();
    // The note fails, as it does where the process is killed before it.
    connection
        .execute_batch(
            "CREATE TABLE refinery_schema_history (version INTEGER PRIMARY KEY, name TEXT, applied_on TEXT,
               checksum TEXT);
             CREATE TRIGGER killed BEFORE INSERT ON refinery_schema_history WHEN NEW.version = 2
             BEGIN SELECT RAISE(ABORT, 'killed'); END;",
        )
        .unwrap();
    assert!(matches!(prepare(&mut connection), Err(LedgerError::Migration(_))));
    connection.execute_batch("DROP TRIGGER killed").unwrap();
    prepare(&mut connection).unwrap();
}

//! Deleting what is old enough, a batch in a transaction.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, Params, params};

use super::convert::needed;
use super::{Sql as _, micros};
use crate::ledger::prune::EXPIRY;
use crate::ledger::{Expiring, LedgerError, PruneTerms, Pruned, RunId};

const DOING: &str = "delete what is old";

// The oldest run of which nothing is wanted any more: it ended before ?2, none of its rows is being replayed, no
// dead letter of it is younger, and those that nobody replayed were announced before ?3.
const OLDEST: &str = "
    SELECT run_id FROM run
    WHERE job = ?1 AND state IN ('closed', 'abandoned') AND closed_at < ?2
      AND NOT (kind = 'night' AND EXISTS (SELECT 1 FROM row INDEXED BY row_open
                                          WHERE row.run_id = run.run_id AND row.state <> 'done'))
      AND NOT EXISTS (SELECT 1 FROM dead_letter WHERE dead_letter.run_id = run.run_id AND died_at >= ?2)
      AND (NOT EXISTS (SELECT 1 FROM dead_letter WHERE dead_letter.run_id = run.run_id AND replayed_at IS NULL)
           OR EXISTS (SELECT 1 FROM notice WHERE key = ?4 || lower(hex(run.run_id)) AND noted_at <= ?3))
    ORDER BY snapshot_order LIMIT 1";

// What hangs on rows up to ?2 of run ?1. Successes go by the rows' own keys: the table has no index by run.
const OF_ROWS: [&str; 5] = [
    "DELETE FROM success WHERE run_id = ?1 AND (run_date, nik_hash, number_hash) IN
       (SELECT run_date, nik_hash, number_hash FROM row JOIN run USING (run_id) WHERE run_id = ?1 AND sheet_row <= ?2)",
    "DELETE FROM intent WHERE run_id = ?1 AND sheet_row <= ?2",
    "DELETE FROM row_history WHERE run_id = ?1 AND sheet_row <= ?2",
    "DELETE FROM attempt WHERE run_id = ?1 AND sheet_row <= ?2",
    "DELETE FROM dead_letter WHERE run_id = ?1 AND sheet_row <= ?2 AND replayed_at IS NOT NULL",
];

// Locks and leases of so long ago guard nothing: whoever held them writes no more.
const LAPSED: [&str; 3] = [
    "DELETE FROM run_lock WHERE lease_until < ?1 AND run_date < date(?1 / 1000000, 'unixepoch')",
    "DELETE FROM nik_lease WHERE lease_until < ?1",
    "DELETE FROM duty WHERE lease_until < ?1",
];

pub(super) fn prune(db: &Connection, now: i64, terms: &PruneTerms) -> Result<Pruned, LedgerError> {
    let before = now - micros(terms.keep);
    let announced = now - micros(terms.announce);
    let oldest: Option<RunId> = db
        .prepare_cached(OLDEST)
        .and_then(|mut oldest| {
            oldest.query_row(params![terms.job, before, announced, EXPIRY], |row| row.get(0)).optional()
        })
        .doing(DOING)?;
    let mut pruned = match oldest {
        Some(run) => prune_run(db, run, terms.limit)?,
        None => Pruned::default(),
    };
    pruned.notices = aged(db, "notice", "number", "noted_at", (before, terms.limit))?;
    pruned.strays = aged(db, "stray", "number", "kept_at", (before, terms.limit))?;
    pruned.acts = aged(db, "act", "number", "at", (before, terms.limit))?;
    for lapsed in LAPSED {
        run(db, lapsed, [before])?;
    }
    Ok(pruned)
}

/// Deletes the first rows of a run; its last with the run itself.
fn prune_run(db: &Connection, id: RunId, limit: u32) -> Result<Pruned, LedgerError> {
    let last: Option<u32> = db
        .query_row(
            "SELECT MAX(sheet_row) FROM (SELECT sheet_row FROM row WHERE run_id = ? ORDER BY sheet_row LIMIT ?)",
            params![id, limit],
            |row| row.get(0),
        )
        .doing(DOING)?;
    let last = last.unwrap_or(0);
    let mut replayed = 0;
    for of_rows in OF_ROWS {
        // The last of them.
        replayed = run(db, of_rows, params![id, last])?;
    }
    let open = run(db, "DELETE FROM dead_letter WHERE run_id = ?1 AND sheet_row <= ?2", params![id, last])?;
    let rows = run(db, "DELETE FROM row WHERE run_id = ?1 AND sheet_row <= ?2", params![id, last])?;
    // The newest stays, without its rows: the next is ordered after it.
    let runs = run(
        db,
        "DELETE FROM run WHERE run_id = ?1 AND NOT EXISTS (SELECT 1 FROM row WHERE row.run_id = ?1)
           AND snapshot_order < (SELECT MAX(snapshot_order) FROM run)",
        [id],
    )?;
    if runs > 0 {
        run(db, "DELETE FROM run_count WHERE run_id = ?", [id])?;
    }
    Ok(Pruned { runs, rows, dead_letters: replayed, open_dead_letters: open, ..Pruned::default() })
}

fn aged(
    db: &Connection,
    table: &str,
    key: &str,
    at: &str,
    (before, limit): (i64, u32),
) -> Result<u64, LedgerError> {
    run(
        db,
        &format!(
            "DELETE FROM {table} WHERE {key} IN
               (SELECT {key} FROM {table} WHERE {at} < ?1 ORDER BY {key} LIMIT ?2)"
        ),
        params![before, limit],
    )
}

fn run(db: &Connection, sql: &str, params: impl Params) -> Result<u64, LedgerError> {
    let deleted = db.prepare_cached(sql).and_then(|mut statement| statement.execute(params)).doing(DOING)?;
    Ok(deleted as u64)
}

pub(super) fn expiring(
    db: &Connection,
    now: i64,
    job: &str,
    age: Duration,
) -> Result<Vec<Expiring>, LedgerError> {
    db.prepare_cached(
        "SELECT run_id, run_date, COUNT(*) AS dead_letters
         FROM dead_letter INDEXED BY dead_letter_open JOIN run USING (run_id)
         WHERE replayed_at IS NULL AND job = ?1 AND closed_at < ?2 GROUP BY run_id ORDER BY snapshot_order",
    )
    .and_then(|mut expiring| {
        expiring
            .query_map(params![job, now - micros(age)], |row| {
                Ok(Expiring {
                    run: row.get("run_id")?,
                    date: needed(row, "run_date")?,
                    dead_letters: row.get("dead_letters")?,
                })
            })?
            .collect()
    })
    .doing("list dead letters that go soon")
}

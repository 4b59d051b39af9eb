//! The run's life: lock, open, seed, complete, close; replays.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::convert::{instant, json, needed, warning_codes};
use super::counts::{self, Counts};
use super::outbox::post_notice;
use crate::domain::{Outcome, Reason, RunDate};
use crate::ledger::{
    Closing, Fence, LedgerError, LockAttempt, NewRun, Replay, RowKey, Run, RunId, RunState, Seeded, Snapshot,
};

use super::{Sql as _, keys, micros};

pub(super) const RUN_COLUMNS: &str = "run_id, job, run_date, kind, selection, snapshot_order, state, source, \
     started_at, snapshot_at, published_at, first_write_at, last_write_at, closed_at, rows_read, changed_while_read";

pub(super) fn read_run(row: &Row<'_>) -> rusqlite::Result<Run> {
    let selection: String = row.get("selection")?;
    Ok(Run {
        id: row.get("run_id")?,
        job: row.get("job")?,
        date: needed(row, "run_date")?,
        kind: needed(row, "kind")?,
        selection: serde_json::from_str(&selection).map_err(|error| {
            rusqlite::Error::FromSqlConversionFailure(4, rusqlite::types::Type::Text, error.into())
        })?,
        order: row.get("snapshot_order")?,
        state: needed(row, "state")?,
        source: row.get("source")?,
        started_at: instant(row, "started_at")?.unwrap_or_default(),
        snapshot_at: instant(row, "snapshot_at")?,
        published_at: instant(row, "published_at")?,
        first_write_at: instant(row, "first_write_at")?,
        last_write_at: instant(row, "last_write_at")?,
        closed_at: instant(row, "closed_at")?,
        rows_read: row.get("rows_read")?,
        changed_while_read: row.get("changed_while_read")?,
    })
}

pub(super) fn find_run(db: &Connection, run: RunId) -> Result<Option<Run>, LedgerError> {
    db.prepare_cached(&format!("SELECT {RUN_COLUMNS} FROM run WHERE run_id = ?"))
        .and_then(|mut found| found.query_row([run], read_run).optional())
        .doing("read a run")
}

pub(super) fn lock(
    db: &Connection,
    now: i64,
    (job, date, holder): (&str, RunDate, &str),
    lease: Duration,
) -> Result<LockAttempt, LedgerError> {
    let held: Option<(String, i64, i64)> = db
        .query_row(
            "SELECT holder, epoch, lease_until FROM run_lock WHERE job = ? AND run_date = ?",
            params![job, date],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
        )
        .optional()
        .doing("read the run lock")?;
    if let Some((other, _, until)) = &held
        && *until > now
        && other != holder
    {
        return Ok(LockAttempt::Held {
            holder: other.clone(),
            left: Duration::from_micros((until - now) as u64),
        });
    }
    let epoch = held.map_or(1, |(_, epoch, _)| epoch + 1);
    db.execute(
        "INSERT INTO run_lock (job, run_date, holder, epoch, lease_until) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT DO UPDATE SET holder = ?3, epoch = ?4, lease_until = ?5",
        params![job, date, holder, epoch, now + micros(lease)],
    )
    .doing("take the run lock")?;
    Ok(LockAttempt::Taken(Fence { job: job.to_owned(), date, epoch }))
}

pub(super) fn renew_lock(
    db: &Connection,
    now: i64,
    fence: &Fence,
    lease: Duration,
) -> Result<bool, LedgerError> {
    let renewed = db
        .execute(
            "UPDATE run_lock SET lease_until = ?4 WHERE job = ?1 AND run_date = ?2 AND epoch = ?3 AND lease_until > ?5",
            params![fence.job, fence.date, fence.epoch, now + micros(lease), now],
        )
        .doing("renew the run lock")?;
    Ok(renewed == 1)
}

pub(super) fn unlock(db: &Connection, fence: &Fence) -> Result<(), LedgerError> {
    // The row stays, so that epochs keep growing.
    db.execute(
        "UPDATE run_lock SET lease_until = 0 WHERE job = ? AND run_date = ? AND epoch = ?",
        params![fence.job, fence.date, fence.epoch],
    )
    .doing("give the run lock back")?;
    Ok(())
}

fn check_fence(db: &Connection, now: i64, fence: &Fence) -> Result<(), LedgerError> {
    let stands = db
        .prepare_cached(
            "SELECT 1 FROM run_lock WHERE job = ? AND run_date = ? AND epoch = ? AND lease_until > ?",
        )
        .and_then(|mut lock| lock.exists(params![fence.job, fence.date, fence.epoch, now]))
        .doing("check the run lock")?;
    if stands { Ok(()) } else { Err(LedgerError::Fenced) }
}

pub(super) fn open_run(db: &Connection, now: i64, fence: &Fence, run: NewRun) -> Result<Run, LedgerError> {
    check_fence(db, now, fence)?;
    keys::check(db, &run.hashes)?;
    let selection = serde_json::to_string(&run.selection).expect("a selection is plain data");
    db.execute(
        "INSERT INTO run (run_id, job, run_date, kind, selection, snapshot_order, state, source, started_by, started_at)
         VALUES (?1, ?2, ?3, ?4, ?5, (SELECT COALESCE(MAX(snapshot_order), 0) + 1 FROM run), 'seeding', ?6, ?7, ?8)",
        params![run.id, fence.job, fence.date, run.kind.as_str(), selection, run.source, run.started_by, now],
    )
    .doing("open a run")?;
    find_run(db, run.id)?.ok_or(LedgerError::Foreign { what: "run" })
}

pub(super) fn seed(
    db: &Connection,
    now: i64,
    fence: &Fence,
    run: RunId,
    seeded: Seeded,
) -> Result<(), LedgerError> {
    check_fence(db, now, fence)?;
    match find_run(db, run)?.map(|run| run.state) {
        Some(RunState::Seeding) => {}
        _ => return Err(LedgerError::Fenced),
    }
    db.prepare_cached("DELETE FROM row WHERE run_id = ? AND sheet_row BETWEEN ? AND ?")
        .and_then(|mut delete| delete.execute(params![run, seeded.range.start(), seeded.range.end()]))
        .doing("seed rows")?;
    let mut insert = db
        .prepare_cached(
            "INSERT INTO row (run_id, sheet_row, state, outcome, reason, column_name, found, warnings, nik_hash,
                              number_hash, sealed, digests)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .doing("seed rows")?;
    for row in seeded.rows {
        let rejected = row.rejected.as_ref();
        insert
            .execute(params![
                run,
                row.sheet_row,
                if rejected.is_some() { "done" } else { "pending" },
                rejected.map(|_| Outcome::Rejected.as_str()),
                rejected.map(|(reason, ..)| reason.as_str()),
                rejected.map(|(_, column, _)| column.as_str()),
                rejected.map(|(.., found)| found),
                warning_codes(&row.warnings),
                row.nik,
                row.number,
                row.sealed,
                row.digests,
            ])
            .doing("seed rows")?;
    }
    Ok(())
}

pub(super) fn complete_snapshot(
    db: &Connection,
    now: i64,
    fence: &Fence,
    run: RunId,
    snapshot: Snapshot,
) -> Result<(), LedgerError> {
    check_fence(db, now, fence)?;
    let Some(found) = find_run(db, run)? else { return Err(LedgerError::Foreign { what: "run" }) };
    if found.state != RunState::Seeding {
        return Ok(());
    }
    let step =
        |sql: &str, values: &[&dyn rusqlite::ToSql]| db.execute(sql, values).doing("complete a snapshot");
    // Conflicts before duplicates: where numbers differ, no row may stand for the others.
    step(
        "UPDATE row SET state = 'done', outcome = 'rejected', reason = 'conflicting_rows', column_name = 'phone',
                        found = conflict.rows
         FROM (SELECT nik_hash, substr('rows ' || group_concat(sheet_row, ', '), 1, 80) AS rows FROM row
               WHERE run_id = ?1 AND state = 'pending'
               GROUP BY nik_hash HAVING COUNT(DISTINCT number_hash) > 1) AS conflict
         WHERE run_id = ?1 AND state = 'pending' AND row.nik_hash = conflict.nik_hash",
        &[&run],
    )?;
    // The plus keeps SQLite from scanning the primary key for each pair: 28 s for 1,000 duplicates in 100,000 rows.
    step(
        "UPDATE row SET state = 'done', outcome = 'duplicate_row', found = 'row ' || double.first
         FROM (SELECT nik_hash, MIN(sheet_row) AS first FROM row
               WHERE run_id = ?1 AND state = 'pending'
               GROUP BY nik_hash HAVING COUNT(*) > 1) AS double
         WHERE run_id = ?1 AND state = 'pending' AND row.nik_hash = double.nik_hash AND +sheet_row > double.first",
        &[&run],
    )?;
    // Last: a row is not right because the one that contradicts it lies beyond the limit.
    if let Some(limit) = found.selection.limit {
        step(
            "DELETE FROM row WHERE run_id = ?1 AND sheet_row NOT IN
               (SELECT sheet_row FROM row WHERE run_id = ?1 ORDER BY sheet_row LIMIT ?2)",
            &[&run, &limit],
        )?;
    }
    step(
        "UPDATE run SET state = 'open', snapshot_at = ?2, rows_read = ?3, changed_while_read = ?4 WHERE run_id = ?1",
        &[&run, &now, &snapshot.rows_read, &snapshot.changed_while_read],
    )?;
    counts::begin(db, run)
}

pub(super) fn close_run(
    db: &Connection,
    now: i64,
    run: RunId,
    closing: &Closing,
) -> Result<bool, LedgerError> {
    let closed = db
        .execute(
            "UPDATE run SET state = 'closed', closed_at = ?2, report = ?3, first_write_at = ?4, last_write_at = ?5
             WHERE run_id = ?1 AND state = 'open'
             AND NOT EXISTS (SELECT 1 FROM row INDEXED BY row_open WHERE run_id = ?1 AND state <> 'done')",
            params![
                run,
                closing.closed_at.as_microsecond(),
                closing.report.to_string(),
                closing.writes.map(|(first, _)| first.as_microsecond()),
                closing.writes.map(|(_, last)| last.as_microsecond()),
            ],
        )
        .doing("close a run")?;
    if closed == 0 {
        return Ok(false);
    }
    if let Some(notice) = &closing.notice {
        post_notice(db, now, notice)?;
    }
    Ok(true)
}

pub(super) fn report(db: &Connection, run: RunId) -> Result<Option<serde_json::Value>, LedgerError> {
    db.prepare_cached("SELECT report FROM run WHERE run_id = ?")
        .and_then(|mut found| found.query_row([run], |row| json(row, "report")).optional())
        .map(Option::flatten)
        .doing("read a report")
}

pub(super) fn abandon_run(db: &Connection, now: i64, fence: &Fence, run: RunId) -> Result<(), LedgerError> {
    check_fence(db, now, fence)?;
    db.execute(
        "UPDATE run SET state = 'abandoned', closed_at = ?2
         WHERE run_id = ?1 AND kind = 'dry_run' AND state IN ('seeding', 'open')",
        params![run, now],
    )
    .doing("abandon a dry run")?;
    Ok(())
}

/// `WHERE` over `dead_letter d JOIN run` for a replay's terms. Lists are given as JSON: one of any length does
/// not become a statement of any length.
pub(super) fn replay_terms(replay: &Replay) -> (String, Vec<String>) {
    let mut terms = vec!["run.kind = 'night'".to_owned()];
    let mut values = Vec::new();
    let mut term = |sql: &str, value: String| {
        terms.push(sql.to_owned());
        values.push(value);
    };
    if let Some(from) = replay.from {
        term("run.run_date >= ?", from.to_string());
    }
    if let Some(to) = replay.to {
        term("run.run_date <= ?", to.to_string());
    }
    if let Some(reason) = replay.reason {
        term("d.reason = ?", Reason::as_str(reason).to_owned());
    }
    if !replay.niks.is_empty() {
        let niks: Vec<_> = replay.niks.iter().map(|nik| nik.as_str()).collect();
        let list = serde_json::to_string(&niks).expect("strings are JSON");
        term("d.nik_hash IN (SELECT value FROM json_each(?))", list);
    }
    if !replay.rows.is_empty() {
        let name = |row: &RowKey| format!("{:X}/{}/{}", row.run.0.simple(), row.sheet_row, row.generation);
        let list = serde_json::to_string(&replay.rows.iter().map(name).collect::<Vec<_>>())
            .expect("strings are JSON");
        let named = "hex(d.run_id) || '/' || d.sheet_row || '/' || d.generation";
        term(&format!("{named} IN (SELECT value FROM json_each(?))"), list);
    }
    (terms.join(" AND "), values)
}

pub(super) fn replay(db: &Connection, now: i64, replay: &Replay) -> Result<Vec<RowKey>, LedgerError> {
    keys::check_settled(db)?;
    let (terms, values) = replay_terms(replay);
    let letters: Vec<(i64, RunId, u32, u32)> = db
        .prepare(&format!(
            "SELECT d.number, d.run_id, d.sheet_row, d.generation FROM dead_letter d JOIN run USING (run_id)
             WHERE d.replayed_at IS NULL AND {terms} ORDER BY run.run_date, run.snapshot_order, d.sheet_row"
        ))
        .and_then(|mut found| {
            found
                .query_map(rusqlite::params_from_iter(values), |row| {
                    Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
                })?
                .collect()
        })
        .doing("find dead letters")?;
    let mut opened = Vec::new();
    let mut counts = Counts::default();
    for (number, run, sheet_row, generation) in letters {
        let key = RowKey { run, sheet_row, generation };
        let history = db
            .prepare_cached(
                "INSERT INTO row_history (run_id, sheet_row, generation, outcome, reason, found, attempts, ended_at)
                 SELECT run_id, sheet_row, generation, outcome, reason, found, attempts, ?4 FROM row
                 WHERE run_id = ?1 AND sheet_row = ?2 AND generation = ?3 AND state = 'done'",
            )
            .and_then(|mut insert| insert.execute(params![run, sheet_row, generation, now]))
            .doing("open a new generation")?;
        if history == 0 {
            continue;
        }
        counts.reopened(db, key)?;
        db.prepare_cached(
            "UPDATE row SET generation = generation + 1, state = 'pending', outcome = NULL, reason = NULL, found = NULL,
                            attempts = 0, turn = 0, crashes = 0, sweep_at = 0, sweeps = 0, published = 0, ended_at = NULL
             WHERE run_id = ? AND sheet_row = ? AND generation = ?",
        )
        .and_then(|mut update| update.execute(params![run, sheet_row, generation]))
        .doing("open a new generation")?;
        db.prepare_cached("UPDATE dead_letter SET replayed_at = ? WHERE number = ?")
            .and_then(|mut update| update.execute(params![now, number]))
            .doing("open a new generation")?;
        opened.push(RowKey { generation: generation + 1, ..key });
    }
    counts.keep(db)?;
    Ok(opened)
}

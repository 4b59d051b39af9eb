//! A run's life: opened, seeded, complete, closed or abandoned.

use tokio_postgres::Row;
use tokio_postgres::types::{Json, Type};

use super::convert::{get, instant, int, needed, total, warning_codes};
use super::session::Session;
use super::{counts, keys, lock};
use crate::data_key::KeyedHash;
use crate::domain::{Column, Outcome, Reason};
use crate::ledger::{Closing, Fence, LedgerError, NewRun, Run, RunId, RunState, Seeded, Selection, Snapshot};

pub(super) const RUN_COLUMNS: &str = "run_id, job, run_date, kind, selection, snapshot_order, state, source, \
     started_at, snapshot_at, published_at, first_write_at, last_write_at, closed_at, rows_read, changed_while_read";

pub(super) fn read_run(row: &Row) -> Result<Run, LedgerError> {
    let Json(selection) = get::<Json<Selection>>(row, "selection")?;
    Ok(Run {
        id: RunId(get(row, "run_id")?),
        job: get(row, "job")?,
        date: get(row, "run_date")?,
        kind: needed(row, "kind")?,
        selection,
        order: get(row, "snapshot_order")?,
        state: needed(row, "state")?,
        source: get(row, "source")?,
        started_at: instant(row, "started_at")?.unwrap_or_default(),
        snapshot_at: instant(row, "snapshot_at")?,
        published_at: instant(row, "published_at")?,
        first_write_at: instant(row, "first_write_at")?,
        last_write_at: instant(row, "last_write_at")?,
        closed_at: instant(row, "closed_at")?,
        rows_read: total(row, "rows_read")?,
        changed_while_read: get(row, "changed_while_read")?,
    })
}

fn find() -> String {
    format!("SELECT {RUN_COLUMNS} FROM run WHERE run_id = $1")
}

pub(super) async fn find_run(session: Session, run: RunId) -> Result<Option<Run>, LedgerError> {
    session.finish(&[(&find(), &[(&run.0, Type::UUID)])]).await?.first().map(read_run).transpose()
}

// Opened twice under one name is opened once: the answer to the first attempt may have got lost.
const OPEN: &str = "
    INSERT INTO run (run_id, job, run_date, kind, selection, state, source, started_by, started_at)
    VALUES ($1, $2, $3, $4, $5, 'seeding', $6, $7, ledger_now()) ON CONFLICT (run_id) DO NOTHING";

pub(super) async fn open_run(mut session: Session, fence: &Fence, run: NewRun) -> Result<Run, LedgerError> {
    lock::check(&mut session, fence).await?;
    keys::check(&mut session, &run.hashes).await?;
    let opened = session
        .finish(&[
            (
                OPEN,
                &[
                    (&run.id.0, Type::UUID),
                    (&fence.job, Type::TEXT),
                    (&fence.date, Type::DATE),
                    (&run.kind.as_str(), Type::TEXT),
                    (&Json(&run.selection), Type::JSONB),
                    (&run.source, Type::TEXT),
                    (&run.started_by, Type::TEXT),
                ],
            ),
            (&find(), &[(&run.id.0, Type::UUID)]),
        ])
        .await?;
    opened.first().map(read_run).transpose()?.ok_or(LedgerError::Foreign { what: "run" })
}

const CLEAR: &str = "DELETE FROM row WHERE run_id = $1 AND sheet_row BETWEEN $2 AND $3";

const SEED: &str = "
    INSERT INTO row (run_id, sheet_row, state, outcome, reason, column_name, found, warnings, nik_hash, number_hash, sealed,
      digests)
    SELECT $1, sheet_row, CASE WHEN reason IS NULL THEN 'pending' ELSE 'done' END,
           CASE WHEN reason IS NULL THEN NULL ELSE $10 END, reason, column_name, found, warnings, nik_hash, number_hash, sealed,
           digests
    FROM unnest($2, $3, $4, $5, $6, $7, $8, $9, $11)
      AS seeded (sheet_row, reason, column_name, found, warnings, nik_hash, number_hash, sealed, digests)";

/// Keeps the run's state as it is until the session ends.
const LOCK_TO_SEED: &str = "SELECT state FROM run WHERE run_id = $1 FOR SHARE";

pub(super) async fn seed(
    mut session: Session,
    fence: &Fence,
    run: RunId,
    seeded: Seeded,
) -> Result<(), LedgerError> {
    lock::check(&mut session, fence).await?;
    let state = session.run(&[(LOCK_TO_SEED, &[(&run.0, Type::UUID)])]).await?;
    match state.first().map(|row| needed(row, "state")).transpose()? {
        Some(RunState::Seeding) => {}
        _ => return Err(LedgerError::Fenced),
    }
    let Seeded { range, rows } = &seeded;
    let rejected = || rows.iter().map(|row| row.rejected.as_ref());
    let sheet_rows: Vec<_> = rows.iter().map(|row| int(row.sheet_row)).collect();
    let reasons: Vec<_> =
        rejected().map(|rejected| rejected.map(|(reason, ..)| Reason::as_str(*reason))).collect();
    let columns: Vec<_> =
        rejected().map(|rejected| rejected.map(|(_, column, _)| Column::as_str(*column))).collect();
    let found: Vec<_> = rejected().map(|rejected| rejected.map(|(.., found)| found.as_str())).collect();
    let warnings: Vec<_> = rows.iter().map(|row| warning_codes(&row.warnings)).collect();
    let niks: Vec<_> = rows.iter().map(|row| row.nik.as_ref().map(KeyedHash::as_str)).collect();
    let numbers: Vec<_> = rows.iter().map(|row| row.number.as_ref().map(KeyedHash::as_str)).collect();
    let sealed: Vec<_> = rows.iter().map(|row| row.sealed.as_slice()).collect();
    let digests: Vec<_> = rows.iter().map(|row| row.digests.as_deref()).collect();
    session
        .finish(&[
            (
                CLEAR,
                &[(&run.0, Type::UUID), (&int(*range.start()), Type::INT4), (&int(*range.end()), Type::INT4)],
            ),
            (
                SEED,
                &[
                    (&run.0, Type::UUID),
                    (&sheet_rows, Type::INT4_ARRAY),
                    (&reasons, Type::TEXT_ARRAY),
                    (&columns, Type::TEXT_ARRAY),
                    (&found, Type::TEXT_ARRAY),
                    (&warnings, Type::TEXT_ARRAY),
                    (&niks, Type::TEXT_ARRAY),
                    (&numbers, Type::TEXT_ARRAY),
                    (&sealed, Type::BYTEA_ARRAY),
                    (&Outcome::Rejected.as_str(), Type::TEXT),
                    (&digests, Type::BYTEA_ARRAY),
                ],
            ),
        ])
        .await?;
    Ok(())
}

const CUT: &str = "
    DELETE FROM row WHERE run_id = $1 AND sheet_row NOT IN
      (SELECT sheet_row FROM row WHERE run_id = $1 ORDER BY sheet_row LIMIT $2)";

// Conflicts before duplicates: where numbers differ, no row may stand for the others.
const CONFLICTS: &str = "
    UPDATE row AS r SET state = 'done', outcome = $2, reason = $3, column_name = $4, found = conflict.rows
    FROM (SELECT nik_hash, left('rows ' || string_agg(sheet_row::text, ', ' ORDER BY sheet_row), 80) AS rows
          FROM row WHERE run_id = $1 AND state = 'pending'
          GROUP BY nik_hash HAVING count(DISTINCT number_hash) > 1) AS conflict
    WHERE r.run_id = $1 AND r.state = 'pending' AND r.nik_hash = conflict.nik_hash";

const DUPLICATES: &str = "
    UPDATE row AS r SET state = 'done', outcome = $2, found = 'row ' || twin.first
    FROM (SELECT nik_hash, min(sheet_row) AS first FROM row WHERE run_id = $1 AND state = 'pending'
          GROUP BY nik_hash HAVING count(*) > 1) AS twin
    WHERE r.run_id = $1 AND r.state = 'pending' AND r.nik_hash = twin.nik_hash AND r.sheet_row > twin.first";

const COMPLETE: &str = "
    UPDATE run SET state = 'open', snapshot_at = ledger_now(), rows_read = $2, changed_while_read = $3,
      rows_selected = (SELECT count(*) FROM row WHERE run_id = $1)
    WHERE run_id = $1";

pub(super) async fn complete_snapshot(
    mut session: Session,
    fence: &Fence,
    run: RunId,
    snapshot: Snapshot,
) -> Result<(), LedgerError> {
    lock::check(&mut session, fence).await?;
    let locked = format!("{} FOR UPDATE", find());
    let found = session.run(&[(&locked, &[(&run.0, Type::UUID)])]).await?;
    let found = found.first().map(read_run).transpose()?.ok_or(LedgerError::Foreign { what: "run" })?;
    if found.state != RunState::Seeding {
        session.finish(&[]).await?;
        return Ok(());
    }
    session
        .run(&[
            (
                CONFLICTS,
                &[
                    (&run.0, Type::UUID),
                    (&Outcome::Rejected.as_str(), Type::TEXT),
                    (&Reason::ConflictingRows.as_str(), Type::TEXT),
                    (&Column::Phone.as_str(), Type::TEXT),
                ],
            ),
            (DUPLICATES, &[(&run.0, Type::UUID), (&Outcome::DuplicateRow.as_str(), Type::TEXT)]),
        ])
        .await?;
    // Last: a row is not right because the one that contradicts it lies beyond the limit.
    if let Some(limit) = found.selection.limit {
        session.run(&[(CUT, &[(&run.0, Type::UUID), (&i64::from(limit), Type::INT8)])]).await?;
    }
    session
        .finish(&[
            (
                COMPLETE,
                &[
                    (&run.0, Type::UUID),
                    (&i64::try_from(snapshot.rows_read).unwrap_or(i64::MAX), Type::INT8),
                    (&snapshot.changed_while_read, Type::BOOL),
                ],
            ),
            (counts::BEGIN, &[(&run.0, Type::UUID)]),
        ])
        .await?;
    Ok(())
}

const CLOSE: &str = "
    WITH closed AS (
      UPDATE run SET state = 'closed', closed_at = 'epoch'::timestamptz + $2 * interval '1 microsecond', report = $3,
        first_write_at = 'epoch'::timestamptz + $8 * interval '1 microsecond',
        last_write_at = 'epoch'::timestamptz + $9 * interval '1 microsecond'
      WHERE run_id = $1 AND state = 'open'
        AND NOT EXISTS (SELECT FROM row WHERE row.run_id = $1 AND row.state <> 'done')
      RETURNING run_id),
    noted AS (
      INSERT INTO notice (key, kind, text, detail, noted_at)
      SELECT $4, $5, $6, $7, ledger_now() FROM closed WHERE $4 IS NOT NULL
      ON CONFLICT (key) DO NOTHING)
    SELECT run_id FROM closed";

pub(super) async fn close_run(session: Session, run: RunId, closing: &Closing) -> Result<bool, LedgerError> {
    let Closing { closed_at, writes, report, notice } = closing;
    let notice = notice.as_ref();
    let closed = session
        .finish(&[(
            CLOSE,
            &[
                (&run.0, Type::UUID),
                (&closed_at.as_microsecond(), Type::INT8),
                (&Json(report), Type::JSON),
                (&notice.map(|notice| &notice.key), Type::TEXT),
                (&notice.map(|notice| &notice.kind), Type::TEXT),
                (&notice.map(|notice| &notice.text), Type::TEXT),
                (&notice.map(|notice| Json(&notice.detail)), Type::JSON),
                (&writes.map(|(first, _)| first.as_microsecond()), Type::INT8),
                (&writes.map(|(_, last)| last.as_microsecond()), Type::INT8),
            ],
        )])
        .await?;
    Ok(!closed.is_empty())
}

pub(super) async fn report(session: Session, run: RunId) -> Result<Option<serde_json::Value>, LedgerError> {
    let found =
        session.finish(&[("SELECT report FROM run WHERE run_id = $1", &[(&run.0, Type::UUID)])]).await?;
    let Some(row) = found.first() else { return Ok(None) };
    Ok(get::<Option<Json<serde_json::Value>>>(row, "report")?.map(|Json(report)| report))
}

const ABANDON: &str = "
    UPDATE run SET state = 'abandoned', closed_at = ledger_now()
    WHERE run_id = $1 AND kind = 'dry_run' AND state IN ('seeding', 'open')";

pub(super) async fn abandon_run(mut session: Session, fence: &Fence, run: RunId) -> Result<(), LedgerError> {
    lock::check(&mut session, fence).await?;
    session.finish(&[(ABANDON, &[(&run.0, Type::UUID)])]).await?;
    Ok(())
}

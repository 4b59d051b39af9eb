//! Whose data was in hand between two instants.

use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::convert::{get, instant, int, row_key, word};
use super::session::Session;
use crate::ledger::{Handled, LedgerError, RunId, Window};

// A generation is in hand from the reading of the sheet, or from its replay, until its outcome. Every generation but the
// newest ended as a dead letter.
const HANDLED: &str = "
    WITH span (sheet_row, begun, ended, is_open) AS (
      SELECT r.sheet_row, coalesce(before.replayed_at, run.started_at),
             coalesce(r.ended_at, run.snapshot_at, run.started_at), r.outcome IS NULL
      FROM run JOIN row AS r ON r.run_id = run.run_id
      LEFT JOIN dead_letter AS before ON before.run_id = r.run_id AND before.sheet_row = r.sheet_row
        AND before.generation = r.generation - 1
      WHERE run.run_id = $1 AND r.sheet_row > $4
      UNION ALL
      SELECT d.sheet_row, coalesce(before.replayed_at, run.started_at), d.died_at, FALSE
      FROM run JOIN dead_letter AS d ON d.run_id = run.run_id
      LEFT JOIN dead_letter AS before ON before.run_id = d.run_id AND before.sheet_row = d.sheet_row
        AND before.generation = d.generation - 1
      WHERE run.run_id = $1 AND d.sheet_row > $4 AND d.replayed_at IS NOT NULL),
    person AS (
      SELECT sheet_row, min(begun) AS begun, CASE WHEN bool_or(is_open) THEN NULL ELSE max(ended) END AS ended
      FROM span WHERE begun <= 'epoch'::timestamptz + $3 * interval '1 microsecond'
        AND (is_open OR ended >= 'epoch'::timestamptz + $2 * interval '1 microsecond')
      GROUP BY sheet_row ORDER BY sheet_row LIMIT $5)
    SELECT r.run_id, r.sheet_row, r.generation, r.nik_hash, r.sealed, person.begun, person.ended
    FROM person JOIN row AS r ON r.run_id = $1 AND r.sheet_row = person.sheet_row
    ORDER BY r.sheet_row";

pub(super) async fn handled(
    session: Session,
    run: RunId,
    window: Window,
    after: u32,
    limit: u32,
) -> Result<Vec<Handled>, LedgerError> {
    let (from, to) = (window.from.as_microsecond(), window.to.as_microsecond());
    let (after, limit) = (int(after), i64::from(limit));
    let rows = session
        .finish(&[(
            HANDLED,
            &[
                (&run.0, Type::UUID),
                (&from, Type::INT8),
                (&to, Type::INT8),
                (&after, Type::INT4),
                (&limit, Type::INT8),
            ],
        )])
        .await?;
    rows.iter().map(read).collect()
}

fn read(row: &Row) -> Result<Handled, LedgerError> {
    Ok(Handled {
        key: row_key(row)?,
        nik: word(row, "nik_hash")?,
        sealed: get(row, "sealed")?,
        from: instant(row, "begun")?.unwrap_or_default(),
        until: instant(row, "ended")?,
    })
}

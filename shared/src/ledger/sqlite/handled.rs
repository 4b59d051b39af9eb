//! Whose data was in hand between two instants.

use rusqlite::{Connection, Row, named_params};

use super::Sql as _;
use super::convert::{instant, row_key};
use crate::ledger::{Handled, LedgerError, RunId, Window};

// A generation is in hand from the reading of the sheet, or from its replay, until its outcome. Every generation but the
// newest ended as a dead letter.
const HANDLED: &str = "
    WITH span (sheet_row, begun, ended, is_open) AS (
      SELECT row.sheet_row, COALESCE(before.replayed_at, run.started_at),
             COALESCE(row.ended_at, run.snapshot_at, run.started_at), row.outcome IS NULL
      FROM run JOIN row USING (run_id)
      LEFT JOIN dead_letter AS before ON before.run_id = row.run_id AND before.sheet_row = row.sheet_row
        AND before.generation = row.generation - 1
      WHERE run.run_id = :run AND row.sheet_row > :after
      UNION ALL
      SELECT d.sheet_row, COALESCE(before.replayed_at, run.started_at), d.died_at, 0
      FROM run JOIN dead_letter AS d USING (run_id)
      LEFT JOIN dead_letter AS before ON before.run_id = d.run_id AND before.sheet_row = d.sheet_row
        AND before.generation = d.generation - 1
      WHERE run.run_id = :run AND d.sheet_row > :after AND d.replayed_at IS NOT NULL)
    SELECT row.run_id, row.sheet_row, row.generation, row.nik_hash, row.sealed, MIN(begun) AS begun,
           CASE WHEN MAX(is_open) THEN NULL ELSE MAX(span.ended) END AS ended
    FROM span JOIN row ON row.run_id = :run AND row.sheet_row = span.sheet_row
    WHERE begun <= :to AND (is_open OR span.ended >= :from)
    GROUP BY row.sheet_row ORDER BY row.sheet_row LIMIT :limit";

pub(super) fn handled(
    db: &Connection,
    run: RunId,
    window: Window,
    after: u32,
    limit: u32,
) -> Result<Vec<Handled>, LedgerError> {
    db.prepare_cached(HANDLED)
        .and_then(|mut rows| {
            let terms = named_params! {
                ":run": run,
                ":from": window.from.as_microsecond(),
                ":to": window.to.as_microsecond(),
                ":after": after,
                ":limit": limit,
            };
            rows.query_map(terms, read)?.collect()
        })
        .doing("list whose data was in hand")
}

fn read(row: &Row<'_>) -> rusqlite::Result<Handled> {
    Ok(Handled {
        key: row_key(row)?,
        nik: row.get("nik_hash")?,
        sealed: row.get("sealed")?,
        from: instant(row, "begun")?.unwrap_or_default(),
        until: instant(row, "ended")?,
    })
}

//! Which rows are to be published: for the first time, or again because something lost them.

use std::time::Duration;

use rusqlite::{Connection, params};

use super::convert::row_key;
use super::{Sql as _, micros};
use crate::ledger::{DueTerms, LedgerError, RowKey, RowMessage, RunId, RunKind};

/// Doublings of `retake_after`: with one minute, the longest interval is eight. So long a night that lost its queue after
/// it had waited in it for hours still stands, and so often a backlog is stamped.
const MOST_DOUBLINGS: u32 = 3;

struct Candidate {
    due: RowMessage,
    claimed: bool,
    published: bool,
    sweeps: u32,
}

pub(super) fn take_due(db: &Connection, now: i64, terms: &DueTerms) -> Result<Vec<RowMessage>, LedgerError> {
    // A snapshot that is not complete has nothing to publish.
    let runs: Vec<RunId> = db
        .prepare_cached(
            "SELECT run_id FROM run
             WHERE state IN ('open', 'closed') AND (?1 IS NULL OR run_id = ?1) AND (?2 IS NULL OR kind = ?2)
               AND (?3 IS NULL OR job = ?3)
             ORDER BY snapshot_order",
        )
        .and_then(|mut runs| {
            runs.query_map(params![terms.run, terms.kind.map(RunKind::as_str), terms.job], |row| row.get(0))?
                .collect()
        })
        .doing("list runs")?;
    let mut taken = Vec::new();
    for run in runs {
        let left = terms.limit as usize - taken.len();
        if left == 0 {
            break;
        }
        for candidate in candidates(db, now, run, left)? {
            if stamp(db, now, &candidate, terms)? {
                let mut due = candidate.due;
                due.turn += u32::from(candidate.claimed);
                taken.push(due);
            }
        }
    }
    Ok(taken)
}

fn candidates(db: &Connection, now: i64, run: RunId, limit: usize) -> Result<Vec<Candidate>, LedgerError> {
    // The partial index gives these in order of sweep_at, then sheet row: never-published rows come first, in
    // the sheet's order.
    db.prepare_cached(
        "SELECT run_id, sheet_row, generation, state, turn, published, sweeps, sealed FROM row
         WHERE run_id = ?1 AND state <> 'done' AND sweep_at <= ?2
         ORDER BY sweep_at, sheet_row LIMIT ?3",
    )
    .and_then(|mut found| {
        found
            .query_map(params![run, now, limit], |row| {
                Ok(Candidate {
                    due: RowMessage {
                        key: row_key(row)?,
                        turn: row.get("turn")?,
                        sealed: row.get("sealed")?,
                    },
                    claimed: row.get_ref("state")?.as_str()? == "claimed",
                    published: row.get("published")?,
                    sweeps: row.get("sweeps")?,
                })
            })?
            .collect()
    })
    .doing("find due rows")
}

/// Stamps a row, and tells whether it is to be published. One that was published and merely waits is only
/// stamped while the queue still holds messages: its own is most likely among them.
fn stamp(db: &Connection, now: i64, candidate: &Candidate, terms: &DueTerms) -> Result<bool, LedgerError> {
    let RowKey { run, sheet_row, .. } = candidate.due.key;
    let publish = candidate.claimed || !candidate.published || terms.queue_idle;
    let wait: Duration = terms.retake_after * 2u32.pow(candidate.sweeps.min(MOST_DOUBLINGS));
    // An expired claim is revoked here: its epoch moves on, so that what its holder still records is refused.
    db.prepare_cached(
        "UPDATE row SET sweep_at = ?3, sweeps = sweeps + 1,
                published = CASE WHEN ?4 THEN 0 ELSE published END,
                turn = turn + (state = 'claimed'), epoch = epoch + (state = 'claimed'),
                state = CASE WHEN state = 'claimed' THEN 'pending' ELSE state END
         WHERE run_id = ?1 AND sheet_row = ?2",
    )
    .and_then(|mut update| update.execute(params![run, sheet_row, now + micros(wait), publish]))
    .doing("stamp a due row")?;
    Ok(publish)
}

pub(super) fn note_published(
    db: &Connection,
    now: i64,
    rows: &[RowKey],
    stale_after: Duration,
) -> Result<(), LedgerError> {
    // A fast worker may have had the row already: then it has left these states, or came back to them by a
    // record or a burial, which set sweeps to 0. Its message is used up, and nothing is to be noted.
    let mut update = db
        .prepare_cached(
            "UPDATE row SET published = 1, sweep_at = ?4
             WHERE run_id = ?1 AND sheet_row = ?2 AND generation = ?3 AND state IN ('pending', 'retrying')
               AND published = 0 AND sweeps > 0",
        )
        .doing("note published rows")?;
    for row in rows {
        update
            .execute(params![row.run, row.sheet_row, row.generation, now + micros(stale_after)])
            .doing("note published rows")?;
    }
    Ok(())
}

pub(super) fn forget_published(db: &Connection, run: RunId) -> Result<(), LedgerError> {
    db.execute(
        "UPDATE row SET published = 0, sweep_at = 0, sweeps = 0 WHERE run_id = ? AND state <> 'done' AND state <> 'claimed'",
        [run],
    )
    .doing("forget what was published")?;
    Ok(())
}

//! Which rows are to be published: for the first time, or again because something lost them.

use std::time::Duration;

use tokio_postgres::types::Type;
use uuid::Uuid;

use super::claims::LOCK_ROWS;
use super::convert::{Keys, count, get, micros};
use super::session::{Param, Session};
use crate::ledger::{DueTerms, LedgerError, RowKey, RowMessage, RunId, RunKind};

// The clock is asked in a subquery of its own, once: a call for every row could not use the index.
const RUNS_WITH_DUE_ROWS: &str = "
    SELECT run_id FROM run
    WHERE state IN ('open', 'closed') AND ($1 IS NULL OR run_id = $1) AND ($2 IS NULL OR kind = $2)
      AND ($3 IS NULL OR job = $3)
      AND EXISTS (SELECT FROM row AS r
                  WHERE r.run_id = run.run_id AND r.state <> 'done' AND r.sweep_at <= (SELECT ledger_now()))
    ORDER BY snapshot_order";

// The partial index gives a run's open rows in order of sweep_at, then sheet row: those never published come
// first, in the sheet's order. Rows that somebody has locked are being claimed, recorded or swept: passed over.
//
// One that was published and merely waits is only stamped while the queue still holds messages: its own is most
// likely among them. An expired claim is revoked: its epoch moves on, so that what its holder still records is
// refused. The wait doubles three times at most: with one minute, the longest is eight. So long a night that lost its
// queue after it had waited in it for hours still stands, and so often a backlog is stamped.
//
// Rows are joined by what the CTE says of the run, not by $1: a run that came after the last ANALYZE looks empty to the
// planner, who would then read all of it for each row that is due.
const TAKE_DUE: &str = "
    WITH due AS MATERIALIZED (
      SELECT run_id, sheet_row, sweep_at, state = 'claimed' AS lost, state = 'claimed' OR NOT published OR $3 AS publish
      FROM row WHERE run_id = $1 AND state <> 'done' AND sweep_at <= (SELECT ledger_now())
      ORDER BY sweep_at, sheet_row LIMIT $2 FOR UPDATE SKIP LOCKED),
    ranked AS (SELECT *, row_number() OVER (ORDER BY sweep_at, sheet_row) AS place FROM due)
    UPDATE row AS r SET
      sweep_at = ledger_now() + $4 * (1 << least(r.sweeps, 3)) * interval '1 microsecond', sweeps = r.sweeps + 1,
      published = r.published AND NOT ranked.publish, turn = r.turn + lost::integer, epoch = r.epoch + lost::integer,
      state = CASE WHEN lost THEN 'pending' ELSE r.state END
    FROM ranked WHERE r.run_id = ranked.run_id AND r.sheet_row = ranked.sheet_row
    RETURNING ranked.place, ranked.publish, r.sheet_row, r.generation, r.turn, r.sealed";

pub(super) async fn take_due(mut session: Session, terms: DueTerms) -> Result<Vec<RowMessage>, LedgerError> {
    let only = terms.run.map(|run| run.0);
    let kind = terms.kind.map(RunKind::as_str);
    let runs = session
        .run(&[(RUNS_WITH_DUE_ROWS, &[(&only, Type::UUID), (&kind, Type::TEXT), (&terms.job, Type::TEXT)])])
        .await?;
    let retake_after = micros(terms.retake_after);
    let mut taken = Vec::new();
    for run in &runs {
        let run: Uuid = get(run, "run_id")?;
        let left = i64::from(terms.limit) - i64::try_from(taken.len()).unwrap_or(i64::MAX);
        if left <= 0 {
            break;
        }
        let stamped = session
            .run(&[(
                TAKE_DUE,
                &[
                    (&run, Type::UUID),
                    (&left, Type::INT8),
                    (&terms.queue_idle, Type::BOOL),
                    (&retake_after, Type::INT8),
                ],
            )])
            .await?;
        let mut due = Vec::with_capacity(stamped.len());
        for row in stamped.iter() {
            if get(row, "publish")? {
                let key = RowKey {
                    run: RunId(run),
                    sheet_row: count(row, "sheet_row")?,
                    generation: count(row, "generation")?,
                };
                let message = RowMessage { key, turn: count(row, "turn")?, sealed: get(row, "sealed")? };
                due.push((get::<i64>(row, "place")?, message));
            }
        }
        due.sort_unstable_by_key(|(place, _)| *place);
        taken.extend(due.into_iter().map(|(_, message)| message));
    }
    session.finish(&[]).await?;
    Ok(taken)
}

// A fast worker may have had the row already: then it has left these states, or came back to them by a record
// or a burial, which set sweeps to 0. Its message is used up, and nothing is to be noted.
const NOTE_PUBLISHED: &str = "
    UPDATE row AS r SET published = TRUE, sweep_at = ledger_now() + $4 * interval '1 microsecond'
    FROM unnest($1, $2, $3) AS asked (run_id, sheet_row, generation)
    WHERE r.run_id = asked.run_id AND r.sheet_row = asked.sheet_row AND r.generation = asked.generation
      AND r.state IN ('pending', 'retrying') AND NOT r.published AND r.sweeps > 0";

pub(super) async fn note_published(
    session: Session,
    rows: &[RowKey],
    stale_after: Duration,
) -> Result<(), LedgerError> {
    let keys: Keys = rows.iter().copied().collect();
    session
        .finish(&[
            (LOCK_ROWS, &[(&keys.runs, Type::UUID_ARRAY), (&keys.rows, Type::INT4_ARRAY)]),
            (
                NOTE_PUBLISHED,
                &[
                    (&keys.runs, Type::UUID_ARRAY),
                    (&keys.rows, Type::INT4_ARRAY),
                    (&keys.generations, Type::INT4_ARRAY),
                    (&micros(stale_after), Type::INT8),
                ],
            ),
        ])
        .await?;
    Ok(())
}

const LOCK_OPEN: &str = "SELECT count(*) FROM (
    SELECT FROM row WHERE run_id = $1 AND state <> 'done' ORDER BY run_id, sheet_row FOR UPDATE) AS locked";

const FORGET_PUBLISHED: &str = "
    UPDATE row SET published = FALSE, sweep_at = 'epoch', sweeps = 0
    WHERE run_id = $1 AND state <> 'done' AND state <> 'claimed'";

pub(super) async fn forget_published(session: Session, run: RunId) -> Result<(), LedgerError> {
    let run: &[Param<'_>] = &[(&run.0, Type::UUID)];
    session.finish(&[(LOCK_OPEN, run), (FORGET_PUBLISHED, run)]).await?;
    Ok(())
}

//! The side that is looked at. Every list pages by key; nothing here reads a million rows to show fifty.

use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::convert::{count, get, instant, needed, order, row_key, total, warnings, word};
use super::counts::counted;
use super::replays::{TERMS, Terms};
use super::runs::{RUN_COLUMNS, read_run};
use super::session::Session;
use crate::data_key::KeyedHash;
use crate::domain::{Outcome, Reason, RunDate};
use crate::ledger::{
    DeadLetterView, LedgerError, Order, Progress, Replay, RowMessage, RowView, Run, RunId, RunSummary, Tally,
};

pub(super) async fn unfinished_runs(
    session: Session,
    job: &str,
    date: Option<RunDate>,
) -> Result<Vec<Run>, LedgerError> {
    let sql = format!(
        "SELECT {RUN_COLUMNS} FROM run
         WHERE job = $1 AND ($2 IS NULL OR run_date = $2)
           AND (state IN ('seeding', 'open') OR state = 'closed' AND EXISTS
                 (SELECT FROM row WHERE row.run_id = run.run_id AND row.state <> 'done'))
         ORDER BY run_date, snapshot_order"
    );
    let runs = session.finish(&[(&sql, &[(&job, Type::TEXT), (&date, Type::DATE)])]).await?;
    runs.iter().map(read_run).collect()
}

pub(super) async fn runs(
    mut session: Session,
    job: &str,
    date: Option<RunDate>,
    limit: u32,
) -> Result<Vec<RunSummary>, LedgerError> {
    let sql = format!(
        "SELECT {RUN_COLUMNS} FROM run WHERE job = $1 AND ($2 IS NULL OR run_date = $2)
         ORDER BY snapshot_order DESC LIMIT $3"
    );
    let limit = i64::from(limit);
    let runs =
        session.run(&[(&sql, &[(&job, Type::TEXT), (&date, Type::DATE), (&limit, Type::INT8)])]).await?;
    let runs = runs.iter().map(read_run).collect::<Result<Vec<_>, _>>()?;
    summaries(session, runs).await
}

/// Runs with their counts.
pub(super) async fn summaries(session: Session, runs: Vec<Run>) -> Result<Vec<RunSummary>, LedgerError> {
    let mut tallies = counted(session, runs.iter().map(|run| run.id.0).collect()).await?;
    let summary = |run: Run| RunSummary { tally: tallies.remove(&run.id.0).unwrap_or_default(), run };
    Ok(runs.into_iter().map(summary).collect())
}

const COUNT: &str = "
    SELECT outcome, reason, warnings, count(*) AS alike, sum(requests)::bigint AS requests, sum(retries)::bigint AS retries
    FROM row WHERE run_id = $1 GROUP BY outcome, reason, warnings";

pub(super) async fn tally(session: Session, run: RunId) -> Result<Tally, LedgerError> {
    let mut tally = Tally::default();
    for row in session.finish(&[(COUNT, &[(&run.0, Type::UUID)])]).await? {
        let rows = total(&row, "alike")?;
        tally.requests += total(&row, "requests")?;
        tally.retries += total(&row, "retries")?;
        let Some(outcome) = word::<Outcome>(&row, "outcome")? else {
            tally.open += rows;
            continue;
        };
        *tally.outcomes.entry(outcome).or_default() += rows;
        if let Some(reason) = word::<Reason>(&row, "reason")? {
            *tally.reasons.entry(reason).or_default() += rows;
        }
        for warning in warnings(&row)? {
            *tally.warnings.entry(warning).or_default() += rows;
        }
    }
    Ok(tally)
}

// All rows are counted while the run is seeded; after that only the open ones and the dead, by partial indexes.
const PROGRESS: &str = "
    SELECT coalesce((SELECT rows_selected FROM run WHERE run_id = $1),
                    (SELECT count(*) FROM row WHERE run_id = $1)) AS selected,
           count(*) AS open, count(*) FILTER (WHERE state = 'retrying') AS retrying,
           count(*) FILTER (WHERE state = 'pending' AND NOT published) AS unpublished,
           count(*) FILTER (WHERE state = 'failed')
             + (SELECT count(*) FROM row WHERE run_id = $1 AND outcome = $2) AS dead
    FROM row WHERE run_id = $1 AND state <> 'done'";

pub(super) async fn progress(session: Session, run: RunId) -> Result<Progress, LedgerError> {
    let dead = Outcome::DeadLettered.as_str();
    let counted = session.finish(&[(PROGRESS, &[(&run.0, Type::UUID), (&dead, Type::TEXT)])]).await?;
    let row = counted.first().ok_or(LedgerError::Foreign { what: "progress" })?;
    Ok(Progress {
        selected: total(row, "selected")?,
        open: total(row, "open")?,
        retrying: total(row, "retrying")?,
        unpublished: total(row, "unpublished")?,
        dead: total(row, "dead")?,
    })
}

const IS_SETTLED: &str = "
    SELECT FROM run WHERE run_id = $1 AND state IN ('open', 'closed')
      AND NOT EXISTS (SELECT FROM row WHERE row.run_id = $1 AND row.state <> 'done')";

pub(super) async fn is_settled(session: Session, run: RunId) -> Result<bool, LedgerError> {
    let settled = session.finish(&[(IS_SETTLED, &[(&run.0, Type::UUID)])]).await?;
    Ok(!settled.is_empty())
}

pub(super) const ROW_COLUMNS: &str = "run_id, sheet_row, generation, state, outcome, reason, column_name, found, \
     warnings, attempts, nik_hash, sealed";

pub(super) fn read_row(row: &Row) -> Result<RowView, LedgerError> {
    Ok(RowView {
        key: row_key(row)?,
        outcome: word(row, "outcome")?,
        state: get(row, "state")?,
        reason: word(row, "reason")?,
        column: word(row, "column_name")?,
        found: get(row, "found")?,
        warnings: warnings(row)?,
        attempts: count(row, "attempts")?,
        nik: word(row, "nik_hash")?,
        sealed: get(row, "sealed")?,
    })
}

pub(super) async fn dead_letters(
    session: Session,
    filter: &Replay,
    after: i64,
    limit: u32,
) -> Result<Vec<DeadLetterView>, LedgerError> {
    let sql = format!(
        "SELECT {LETTER_COLUMNS} FROM dead_letter AS d JOIN run ON run.run_id = d.run_id
         WHERE {TERMS} AND d.number > $8 ORDER BY d.number LIMIT $9"
    );
    let terms = Terms::new(filter);
    let limit = i64::from(limit);
    let mut params = terms.params();
    params.push((&after, Type::INT8));
    params.push((&limit, Type::INT8));
    let letters = session.finish(&[(&sql, &params)]).await?;
    letters.iter().map(read_letter).collect()
}

pub(super) const LETTER_COLUMNS: &str = "d.number, d.run_id, d.sheet_row, d.generation, run.run_date, d.reason, \
     d.error, d.attempts, d.died_at, d.replayed_at, d.nik_hash, d.sealed";

pub(super) fn read_letter(row: &Row) -> Result<DeadLetterView, LedgerError> {
    Ok(DeadLetterView {
        number: get(row, "number")?,
        key: row_key(row)?,
        date: get(row, "run_date")?,
        reason: needed(row, "reason")?,
        error: get(row, "error")?,
        attempts: count(row, "attempts")?,
        died_at: instant(row, "died_at")?.unwrap_or_default(),
        replayed_at: instant(row, "replayed_at")?,
        nik: needed(row, "nik_hash")?,
        sealed: get(row, "sealed")?,
    })
}

const NEWEST_SUCCESS: &str = "
    SELECT n.run_date, n.snapshot_order, n.number_hash, r.run_id, r.sheet_row, r.generation, r.turn, r.sealed
    FROM newest_success AS n LEFT JOIN row AS r ON r.run_id = n.run_id AND r.sheet_row = n.sheet_row
    WHERE n.nik_hash = $1";

pub(super) async fn newest_success(
    session: Session,
    nik: &KeyedHash,
) -> Result<Option<(Order, KeyedHash, Option<RowMessage>)>, LedgerError> {
    let found = session.finish(&[(NEWEST_SUCCESS, &[(&nik.as_str(), Type::TEXT)])]).await?;
    let Some(row) = found.first() else { return Ok(None) };
    let kept = get::<Option<Uuid>>(row, "run_id")?.is_some();
    let source = kept.then(|| {
        Ok(RowMessage { key: row_key(row)?, turn: count(row, "turn")?, sealed: get(row, "sealed")? })
    });
    Ok(Some((order(row)?, needed(row, "number_hash")?, source.transpose()?)))
}

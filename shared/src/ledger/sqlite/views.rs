//! The side that is looked at. Every list pages by key; nothing here reads a million rows to show fifty.

use rusqlite::{Connection, OptionalExtension as _, Row, params, params_from_iter};

use super::Sql as _;
use super::claims::newest;
use super::convert::{instant, needed, row_key, warnings, word};
use super::counts::counted;
use super::pages::row_page;
use super::runs::{RUN_COLUMNS, read_run, replay_terms};
use crate::data_key::KeyedHash;
use crate::domain::{Outcome, Reason, RunDate};
use crate::ledger::{
    DeadLetterView, LedgerError, Order, Page, Progress, Replay, RowFilter, RowMessage, RowView, Run, RunId,
    RunSummary, Tally,
};

pub(super) fn unfinished_runs(
    db: &Connection,
    job: &str,
    date: Option<RunDate>,
) -> Result<Vec<Run>, LedgerError> {
    db.prepare_cached(&format!(
        "SELECT {RUN_COLUMNS} FROM run WHERE job = ?1 AND (?2 IS NULL OR run_date = ?2)
           AND (state IN ('seeding', 'open') OR state = 'closed' AND EXISTS
                 (SELECT 1 FROM row INDEXED BY row_open WHERE row.run_id = run.run_id AND row.state <> 'done'))
         ORDER BY run_date, snapshot_order"
    ))
    .and_then(|mut runs| runs.query_map(params![job, date], read_run)?.collect())
    .doing("list unfinished runs")
}

pub(super) fn runs(
    db: &Connection,
    job: &str,
    date: Option<RunDate>,
    limit: u32,
) -> Result<Vec<RunSummary>, LedgerError> {
    let runs: Vec<Run> = db
        .prepare_cached(&format!(
            "SELECT {RUN_COLUMNS} FROM run WHERE job = ?1 AND (?2 IS NULL OR run_date = ?2)
             ORDER BY snapshot_order DESC LIMIT ?3"
        ))
        .and_then(|mut runs| runs.query_map(params![job, date, limit], read_run)?.collect())
        .doing("list runs")?;
    summaries(db, runs)
}

/// Runs with their counts.
pub(super) fn summaries(db: &Connection, runs: Vec<Run>) -> Result<Vec<RunSummary>, LedgerError> {
    runs.into_iter().map(|run| Ok(RunSummary { tally: counted(db, run.id)?, run })).collect()
}

/// Rows that are alike: outcome, reason, warnings, how many, requests, retries.
type Counted = (Option<Outcome>, Option<Reason>, String, u64, u64, u64);

pub(super) fn tally(db: &Connection, run: RunId) -> Result<Tally, LedgerError> {
    let mut tally = Tally::default();
    let counted: Vec<Counted> = db
        .prepare_cached(
            "SELECT outcome, reason, warnings, COUNT(*) AS rows, SUM(requests) AS requests, SUM(retries) AS retries
             FROM row WHERE run_id = ? GROUP BY outcome, reason, warnings",
        )
        .and_then(|mut groups| {
            groups
                .query_map([run], |row| {
                    Ok((
                        word(row, "outcome")?,
                        word(row, "reason")?,
                        row.get("warnings")?,
                        row.get("rows")?,
                        row.get("requests")?,
                        row.get("retries")?,
                    ))
                })?
                .collect()
        })
        .doing("count rows")?;
    for (outcome, reason, codes, rows, requests, retries) in counted {
        tally.requests += requests;
        tally.retries += retries;
        let Some(outcome) = outcome else {
            tally.open += rows;
            continue;
        };
        *tally.outcomes.entry(outcome).or_default() += rows;
        if let Some(reason) = reason {
            *tally.reasons.entry(reason).or_default() += rows;
        }
        for warning in warnings(&codes) {
            *tally.warnings.entry(warning).or_default() += rows;
        }
    }
    Ok(tally)
}

pub(super) fn progress(db: &Connection, run: RunId) -> Result<Progress, LedgerError> {
    let open = db
        .prepare_cached(
            "SELECT COUNT(*) AS open, COUNT(*) FILTER (WHERE state = 'retrying') AS retrying,
                    COUNT(*) FILTER (WHERE state = 'failed') AS failed,
                    COUNT(*) FILTER (WHERE state = 'pending' AND NOT published) AS unpublished
             FROM row INDEXED BY row_open WHERE run_id = ? AND state <> 'done'",
        )
        .and_then(|mut open| {
            open.query_row([run], |row| {
                Ok(Progress {
                    selected: 0,
                    open: row.get("open")?,
                    retrying: row.get("retrying")?,
                    unpublished: row.get("unpublished")?,
                    dead: row.get("failed")?,
                })
            })
        })
        .doing("read a run's progress")?;
    let (selected, dead): (u64, u64) = db
        .prepare_cached(
            "SELECT COUNT(*), COALESCE(SUM(outcome = 'dead_lettered'), 0) FROM row INDEXED BY row_by_outcome
             WHERE run_id = ?",
        )
        .and_then(|mut all| all.query_row([run], |row| Ok((row.get(0)?, row.get(1)?))))
        .doing("read a run's progress")?;
    Ok(Progress { selected, dead: dead + open.dead, ..open })
}

pub(super) fn is_settled(db: &Connection, run: RunId) -> Result<bool, LedgerError> {
    db.prepare_cached(
        "SELECT 1 FROM run WHERE run_id = ?1 AND state IN ('open', 'closed')
           AND NOT EXISTS (SELECT 1 FROM row INDEXED BY row_open WHERE run_id = ?1 AND state <> 'done')",
    )
    .and_then(|mut settled| settled.exists([run]))
    .doing("ask whether a run is settled")
}

pub(super) fn rows(
    db: &Connection,
    run: RunId,
    filter: &RowFilter,
    after: u32,
    limit: u32,
) -> Result<Vec<RowView>, LedgerError> {
    row_page(db, run, filter, Page::After(after), limit)
}

pub(super) const ROW_COLUMNS: &str = "run_id, sheet_row, generation, state, outcome, reason, column_name, found, \
     warnings, attempts, nik_hash, sealed";

pub(super) fn read_row(row: &Row<'_>) -> rusqlite::Result<RowView> {
    Ok(RowView {
        key: row_key(row)?,
        outcome: word(row, "outcome")?,
        state: row.get("state")?,
        reason: word(row, "reason")?,
        column: word(row, "column_name")?,
        found: row.get("found")?,
        warnings: warnings(row.get_ref("warnings")?.as_str()?),
        attempts: row.get("attempts")?,
        nik: row.get("nik_hash")?,
        sealed: row.get("sealed")?,
    })
}

pub(super) fn dead_letters(
    db: &Connection,
    filter: &Replay,
    after: i64,
    limit: u32,
) -> Result<Vec<DeadLetterView>, LedgerError> {
    let (terms, mut values) = replay_terms(filter);
    values.push(after.to_string());
    db.prepare(&format!(
        "SELECT {LETTER_COLUMNS} FROM dead_letter d JOIN run USING (run_id)
         WHERE {terms} AND d.number > CAST(? AS INTEGER) ORDER BY d.number LIMIT {limit}"
    ))
    .and_then(|mut letters| letters.query_map(params_from_iter(values), read_letter)?.collect())
    .doing("list dead letters")
}

pub(super) const LETTER_COLUMNS: &str = "d.number, d.run_id, d.sheet_row, d.generation, run.run_date, d.reason, \
     d.error, d.attempts, d.died_at, d.replayed_at, d.nik_hash, d.sealed";

pub(super) fn read_letter(row: &Row<'_>) -> rusqlite::Result<DeadLetterView> {
    Ok(DeadLetterView {
        number: row.get("number")?,
        key: row_key(row)?,
        date: needed(row, "run_date")?,
        reason: needed(row, "reason")?,
        error: row.get("error")?,
        attempts: row.get("attempts")?,
        died_at: instant(row, "died_at")?.unwrap_or_default(),
        replayed_at: instant(row, "replayed_at")?,
        nik: row.get("nik_hash")?,
        sealed: row.get("sealed")?,
    })
}

pub(super) fn newest_success(
    db: &Connection,
    nik: &KeyedHash,
) -> Result<Option<(Order, KeyedHash, Option<RowMessage>)>, LedgerError> {
    let Some((order, number)) = newest(db, nik)? else { return Ok(None) };
    let source = db
        .prepare_cached(
            "SELECT row.run_id, row.sheet_row, generation, turn, sealed FROM row
             JOIN newest_success n ON n.run_id = row.run_id AND n.sheet_row = row.sheet_row WHERE n.nik_hash = ?",
        )
        .and_then(|mut row| {
            row.query_row([nik], |row| {
                Ok(RowMessage { key: row_key(row)?, turn: row.get("turn")?, sealed: row.get("sealed")? })
            })
            .optional()
        })
        .doing("read the newest success")?;
    Ok(Some((order, number, source)))
}

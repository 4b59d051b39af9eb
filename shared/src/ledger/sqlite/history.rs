//! One row's whole history, and what is kept for it.

use std::time::Duration;

use rusqlite::types::FromSqlError;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::convert::{instant, needed, word};
use super::views::{LETTER_COLUMNS, ROW_COLUMNS, read_letter, read_row};
use super::{Sql as _, micros};
use crate::ledger::{
    Attempt, Ending, Exchange, Generation, IntentView, LedgerError, Record, RowHistory, RunId, Settlement,
};

/// The stored form of what was asked.
pub(super) fn exchanges_json(exchanges: &[Exchange]) -> String {
    serde_json::to_string(exchanges).expect("exchanges are plain data")
}

/// Keeps a claim that came to no good end. One that was given back tried nothing to the end: it is not kept.
pub(super) fn note_attempt(db: &Connection, now: i64, record: &Record) -> Result<(), LedgerError> {
    let (last, counted, error) = match &record.settlement {
        Settlement::Retry { counted, error, .. } => (false, *counted, error),
        Settlement::Failed { error, .. } => (true, true, error),
        Settlement::Done { .. } | Settlement::Returned => return Ok(()),
    };
    let key = record.key;
    db.prepare_cached(
        "INSERT OR REPLACE INTO attempt
           (run_id, sheet_row, generation, epoch, ended_at, took, last, counted, error, exchanges)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .and_then(|mut insert| {
        insert.execute(params![
            key.run,
            key.sheet_row,
            key.generation,
            record.epoch,
            now,
            micros(record.took),
            last,
            counted,
            error,
            exchanges_json(&record.exchanges),
        ])
    })
    .doing("record outcomes")?;
    Ok(())
}

fn exchanges(row: &Row<'_>) -> rusqlite::Result<Vec<Exchange>> {
    let text: Option<String> = row.get("exchanges")?;
    text.map_or(Ok(Vec::new()), |text| {
        serde_json::from_str(&text).map_err(|error| FromSqlError::Other(Box::new(error)).into())
    })
}

fn took(row: &Row<'_>) -> rusqlite::Result<Duration> {
    let micros: Option<i64> = row.get("took")?;
    Ok(Duration::from_micros(micros.and_then(|micros| u64::try_from(micros).ok()).unwrap_or(0)))
}

const DOING: &str = "read a row's history";

/// All lines about one row.
fn lines<T>(
    db: &Connection,
    sql: &str,
    (run, sheet_row): (RunId, u32),
    read: fn(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Vec<T>, LedgerError> {
    db.prepare_cached(sql)
        .and_then(|mut lines| lines.query_map(params![run, sheet_row], read)?.collect())
        .doing(DOING)
}

pub(super) fn history(
    db: &Connection,
    run: RunId,
    sheet_row: u32,
) -> Result<Option<RowHistory>, LedgerError> {
    let found = db
        .prepare_cached(&format!(
            "SELECT {ROW_COLUMNS}, requests, retries, ended_at, took, exchanges FROM row WHERE run_id = ? AND sheet_row = ?"
        ))
        .and_then(|mut found| found.query_row(params![run, sheet_row], read_standing).optional())
        .doing(DOING)?;
    let Some(standing) = found else { return Ok(None) };
    let of = (run, sheet_row);
    Ok(Some(RowHistory {
        attempts: lines(
            db,
            "SELECT generation, ended_at, took, last, counted, error, exchanges FROM attempt
             WHERE run_id = ? AND sheet_row = ? ORDER BY generation, epoch",
            of,
            read_attempt,
        )?,
        generations: lines(
            db,
            "SELECT generation, outcome, reason, found, attempts, ended_at FROM row_history
             WHERE run_id = ? AND sheet_row = ? ORDER BY generation",
            of,
            read_generation,
        )?,
        intents: lines(
            db,
            "SELECT generation, patient_id, version_id, sealed_before, intended_at FROM intent
             WHERE run_id = ? AND sheet_row = ? ORDER BY generation",
            of,
            read_intent,
        )?,
        dead_letters: lines(
            db,
            &format!(
                "SELECT {LETTER_COLUMNS} FROM dead_letter d JOIN run USING (run_id)
                 WHERE d.run_id = ? AND d.sheet_row = ? ORDER BY d.generation"
            ),
            of,
            read_letter,
        )?,
        ..standing
    }))
}

fn read_standing(row: &Row<'_>) -> rusqlite::Result<RowHistory> {
    let ending = instant(row, "ended_at")?
        .map(|at| Ok::<_, rusqlite::Error>(Ending { at, took: took(row)?, exchanges: exchanges(row)? }))
        .transpose()?;
    Ok(RowHistory {
        row: read_row(row)?,
        requests: row.get("requests")?,
        retries: row.get("retries")?,
        ending,
        attempts: Vec::new(),
        generations: Vec::new(),
        intents: Vec::new(),
        dead_letters: Vec::new(),
    })
}

fn read_attempt(row: &Row<'_>) -> rusqlite::Result<Attempt> {
    Ok(Attempt {
        generation: row.get("generation")?,
        at: instant(row, "ended_at")?.unwrap_or_default(),
        took: took(row)?,
        last: row.get("last")?,
        counted: row.get("counted")?,
        error: row.get("error")?,
        exchanges: exchanges(row)?,
    })
}

fn read_generation(row: &Row<'_>) -> rusqlite::Result<Generation> {
    Ok(Generation {
        generation: row.get("generation")?,
        outcome: needed(row, "outcome")?,
        reason: word(row, "reason")?,
        found: row.get("found")?,
        attempts: row.get("attempts")?,
        replayed_at: instant(row, "ended_at")?.unwrap_or_default(),
    })
}

fn read_intent(row: &Row<'_>) -> rusqlite::Result<IntentView> {
    Ok(IntentView {
        generation: row.get("generation")?,
        patient: row.get("patient_id")?,
        version: row.get("version_id")?,
        sealed_before: row.get("sealed_before")?,
        at: instant(row, "intended_at")?.unwrap_or_default(),
    })
}

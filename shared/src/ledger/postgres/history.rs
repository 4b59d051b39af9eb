//! One row's whole history.

use std::time::Duration;

use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::convert::{count, get, instant, int, needed, word};
use super::session::{Param, Session};
use super::views::{LETTER_COLUMNS, ROW_COLUMNS, read_letter, read_row};
use crate::ledger::{Attempt, Ending, Exchange, Generation, IntentView, LedgerError, RowHistory, RunId};

/// The stored form of what was asked.
pub(super) fn exchanges_json(exchanges: &[Exchange]) -> String {
    serde_json::to_string(exchanges).expect("exchanges are plain data")
}

fn exchanges(row: &Row) -> Result<Vec<Exchange>, LedgerError> {
    let text: Option<&str> = get(row, "exchanges")?;
    text.map_or(Ok(Vec::new()), |text| {
        serde_json::from_str(text).map_err(|_| LedgerError::Foreign { what: "exchanges" })
    })
}

fn took(row: &Row) -> Result<Duration, LedgerError> {
    let micros: Option<i64> = get(row, "took")?;
    Ok(Duration::from_micros(micros.and_then(|micros| u64::try_from(micros).ok()).unwrap_or(0)))
}

const ATTEMPTS: &str = "
    SELECT generation, ended_at, took, last, counted, error, exchanges FROM attempt
    WHERE run_id = $1 AND sheet_row = $2 ORDER BY generation, epoch";

const GENERATIONS: &str = "
    SELECT generation, outcome, reason, found, attempts, ended_at FROM row_history
    WHERE run_id = $1 AND sheet_row = $2 ORDER BY generation";

const INTENTS: &str = "
    SELECT generation, patient_id, version_id, sealed_before, intended_at FROM intent
    WHERE run_id = $1 AND sheet_row = $2 ORDER BY generation";

pub(super) async fn history(
    mut session: Session,
    run: RunId,
    sheet_row: u32,
) -> Result<Option<RowHistory>, LedgerError> {
    let standing = format!(
        "SELECT {ROW_COLUMNS}, requests, retries, ended_at, took, exchanges FROM row WHERE run_id = $1 AND sheet_row = $2"
    );
    let letters = format!(
        "SELECT {LETTER_COLUMNS} FROM dead_letter AS d JOIN run ON run.run_id = d.run_id
         WHERE d.run_id = $1 AND d.sheet_row = $2 ORDER BY d.generation"
    );
    let sheet_row = int(sheet_row);
    let of: &[Param<'_>] = &[(&run.0, Type::UUID), (&sheet_row, Type::INT4)];
    let answers = session
        .all(&[(&standing, of), (ATTEMPTS, of), (GENERATIONS, of), (INTENTS, of), (&letters, of)])
        .await?;
    session.finish(&[]).await?;
    let [standing, attempts, generations, intents, letters] = answers.as_slice() else {
        return Err(LedgerError::Foreign { what: "history" });
    };
    let Some(row) = standing.first() else { return Ok(None) };
    let ending = instant(row, "ended_at")?
        .map(|at| Ok(Ending { at, took: took(row)?, exchanges: exchanges(row)? }))
        .transpose()?;
    Ok(Some(RowHistory {
        row: read_row(row)?,
        requests: count(row, "requests")?,
        retries: count(row, "retries")?,
        ending,
        attempts: attempts.iter().map(read_attempt).collect::<Result<_, _>>()?,
        generations: generations.iter().map(read_generation).collect::<Result<_, _>>()?,
        intents: intents.iter().map(read_intent).collect::<Result<_, _>>()?,
        dead_letters: letters.iter().map(read_letter).collect::<Result<_, _>>()?,
    }))
}

fn read_attempt(row: &Row) -> Result<Attempt, LedgerError> {
    Ok(Attempt {
        generation: count(row, "generation")?,
        at: instant(row, "ended_at")?.unwrap_or_default(),
        took: took(row)?,
        last: get(row, "last")?,
        counted: get(row, "counted")?,
        error: get(row, "error")?,
        exchanges: exchanges(row)?,
    })
}

fn read_generation(row: &Row) -> Result<Generation, LedgerError> {
    Ok(Generation {
        generation: count(row, "generation")?,
        outcome: needed(row, "outcome")?,
        reason: word(row, "reason")?,
        found: get(row, "found")?,
        attempts: count(row, "attempts")?,
        replayed_at: instant(row, "ended_at")?.unwrap_or_default(),
    })
}

fn read_intent(row: &Row) -> Result<IntentView, LedgerError> {
    Ok(IntentView {
        generation: count(row, "generation")?,
        patient: get(row, "patient_id")?,
        version: get(row, "version_id")?,
        sealed_before: get(row, "sealed_before")?,
        at: instant(row, "intended_at")?.unwrap_or_default(),
    })
}

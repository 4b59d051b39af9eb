//! How claims end, and how dead letters are completed.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::claims::Runs;
use super::convert::warning_codes;
use super::counts::Counts;
use super::history::{exchanges_json, note_attempt};
use super::{Sql as _, micros};
use crate::data_key::KeyedHash;
use crate::domain::{Outcome, Reason};
use crate::ledger::{Burial, LedgerError, Order, Record, Recorded, RowKey, RunKind, Settlement};

/// How long after its due time a retrying or failed row whose message got lost comes due for the sweep.
pub(super) const GRACE: Duration = Duration::from_secs(30);

pub(super) fn record(db: &Connection, now: i64, records: &[Record]) -> Result<Vec<Recorded>, LedgerError> {
    let (mut counts, mut runs) = (Counts::default(), Runs::new(db));
    let recorded = records
        .iter()
        .map(|record| record_one(db, now, record, &mut counts, &mut runs))
        .collect::<Result<_, _>>()?;
    counts.keep(db)?;
    Ok(recorded)
}

/// What a settlement makes of a row's columns.
struct After<'a> {
    state: &'static str,
    outcome: Option<Outcome>,
    reason: Option<Reason>,
    found: Option<&'a str>,
    warnings: String,
    sweep_at: i64,
    attempts: u32,
    turns: u32,
}

impl<'a> After<'a> {
    fn new(now: i64, settlement: &'a Settlement) -> Self {
        let plain = |state, sweep_at| Self {
            state,
            outcome: None,
            reason: None,
            found: None,
            warnings: String::new(),
            sweep_at,
            attempts: 0,
            turns: 0,
        };
        match settlement {
            Settlement::Done { outcome, warnings, previous } => Self {
                outcome: Some(*outcome),
                found: previous.as_deref(),
                warnings: warning_codes(warnings),
                attempts: 1,
                ..plain("done", 0)
            },
            Settlement::Retry { after, counted, error } => Self {
                found: Some(error),
                attempts: u32::from(*counted),
                turns: 1,
                ..plain("retrying", now + micros(*after + GRACE))
            },
            Settlement::Failed { reason, error } => Self {
                reason: Some(*reason),
                found: Some(error),
                attempts: 1,
                ..plain("failed", now + micros(GRACE))
            },
            Settlement::Returned => Self { turns: 1, ..plain("pending", 0) },
        }
    }
}

fn record_one(
    db: &Connection,
    now: i64,
    record: &Record,
    counts: &mut Counts,
    runs: &mut Runs<'_>,
) -> Result<Recorded, LedgerError> {
    let key = record.key;
    // The end of the lease is not asked here: while the epoch stands, nobody else has touched the row, and
    // while its NIK's lease is where the claim left it, nobody else the Patient.
    let Some(row) = claimed(db, record)? else { return Ok(Recorded::Refused) };
    let given_back = db
        .prepare_cached(
            "DELETE FROM nik_lease WHERE nik_hash = ? AND run_id = ? AND sheet_row = ? AND epoch = ?",
        )
        .and_then(|mut lease| lease.execute(params![row.nik, key.run, key.sheet_row, record.epoch]))
        .doing("record outcomes")?;
    if given_back == 0 {
        return Ok(Recorded::Refused);
    }
    let after = After::new(now, &record.settlement);
    let ended = after.outcome.is_some();
    let warnings = [row.warnings.as_str(), after.warnings.as_str()].join(" ");
    let warnings = warnings.trim();
    db.prepare_cached(
        "UPDATE row SET state = ?3, outcome = ?4, reason = ?5, found = ?6, warnings = ?7,
                        sweep_at = ?8, attempts = attempts + ?9, turn = turn + ?10, requests = requests + ?11,
                        retries = retries + ?12, published = 0, sweeps = 0, crashes = 0,
                        ended_at = ?13, took = ?14, exchanges = ?15
         WHERE run_id = ?1 AND sheet_row = ?2",
    )
    .and_then(|mut update| {
        update.execute(params![
            key.run,
            key.sheet_row,
            after.state,
            after.outcome.map(Outcome::as_str),
            after.reason.map(Reason::as_str),
            after.found,
            warnings,
            after.sweep_at,
            after.attempts,
            after.turns,
            record.requests,
            record.retries,
            ended.then_some(now),
            ended.then(|| micros(record.took)),
            ended.then(|| exchanges_json(&record.exchanges)),
        ])
    })
    .doing("record outcomes")?;
    counts.effort(key.run, record.requests, record.retries);
    match after.outcome {
        Some(outcome) => counts.ended_in(key.run, outcome, warnings),
        None => note_attempt(db, now, record)?,
    }
    // A dry run's findings change no record.
    let is_success = matches!(after.outcome, Some(Outcome::Updated | Outcome::Unchanged));
    if is_success
        && let Some(run) = runs.get(key.run)?
        && run.kind == RunKind::Night
    {
        note_success(db, now, key, &row, run.order)?;
    }
    Ok(Recorded::Yes { turn: row.turn + after.turns })
}

/// A claimed row, as far as its record needs it.
struct ClaimedRow {
    turn: u32,
    nik: Option<KeyedHash>,
    number: Option<KeyedHash>,
    digests: Option<Vec<u8>>,
    warnings: String,
}

/// The row, if its claim stands.
fn claimed(db: &Connection, Record { key, epoch, .. }: &Record) -> Result<Option<ClaimedRow>, LedgerError> {
    let read = |row: &Row<'_>| {
        Ok(ClaimedRow {
            turn: row.get(0)?,
            nik: row.get(1)?,
            number: row.get(2)?,
            digests: row.get(3)?,
            warnings: row.get(4)?,
        })
    };
    db.prepare_cached(
        "SELECT turn, nik_hash, number_hash, digests, warnings FROM row
         WHERE run_id = ? AND sheet_row = ? AND state = 'claimed' AND generation = ? AND epoch = ?",
    )
    .and_then(|mut found| {
        found.query_row(params![key.run, key.sheet_row, key.generation, epoch], read).optional()
    })
    .doing("record outcomes")
}

/// Notes a success, and the NIK's newest one unless a newer stands.
fn note_success(
    db: &Connection,
    now: i64,
    key: RowKey,
    row: &ClaimedRow,
    order: Order,
) -> Result<(), LedgerError> {
    db.prepare_cached(
        "INSERT INTO success (run_date, nik_hash, number_hash, run_id, sheet_row, succeeded_at) VALUES (?, ?, ?, ?, ?, ?)
         ON CONFLICT DO UPDATE SET run_id = excluded.run_id, sheet_row = excluded.sheet_row,
           succeeded_at = excluded.succeeded_at",
    )
    .and_then(|mut insert| {
        insert.execute(params![order.date, row.nik, row.number, key.run, key.sheet_row, now])
    })
    .doing("record outcomes")?;
    db.prepare_cached(
        "INSERT INTO newest_success (nik_hash, run_date, snapshot_order, number_hash, run_id, sheet_row, succeeded_at, digests)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT DO UPDATE SET run_date = excluded.run_date, snapshot_order = excluded.snapshot_order,
           number_hash = excluded.number_hash, run_id = excluded.run_id, sheet_row = excluded.sheet_row,
           succeeded_at = excluded.succeeded_at, digests = excluded.digests
         WHERE (excluded.run_date, excluded.snapshot_order) >= (newest_success.run_date, newest_success.snapshot_order)",
    )
    .and_then(|mut insert| {
        insert.execute(params![
            row.nik,
            order.date,
            order.snapshot,
            row.number,
            key.run,
            key.sheet_row,
            now,
            row.digests
        ])
    })
    .doing("record outcomes")?;
    Ok(())
}

pub(super) fn bury(db: &Connection, now: i64, burials: &[Burial]) -> Result<(), LedgerError> {
    let mut counts = Counts::default();
    for Burial { key, deaths } in burials {
        let state = state_of(db, *key)?;
        match state.as_ref().map(|(state, generation)| (state.as_str(), *generation == key.generation)) {
            Some(("failed", true)) => {
                bury_one(db, now, *key, deaths.as_deref())?;
                counts.ended(db, *key)?;
            }
            // Its message died, the row did not: the sweep publishes it again.
            Some(("pending" | "retrying", true)) => {
                db.prepare_cached("UPDATE row SET published = 0, sweep_at = 0, sweeps = 0 WHERE run_id = ? AND sheet_row = ?")
                    .and_then(|mut update| update.execute(params![key.run, key.sheet_row]))
                    .doing("bury dead letters")?;
            }
            _ => {}
        }
    }
    counts.keep(db)
}

/// What burials ask of a row first: its state and generation.
fn state_of(db: &Connection, key: RowKey) -> Result<Option<(String, u32)>, LedgerError> {
    db.prepare_cached("SELECT state, generation FROM row WHERE run_id = ? AND sheet_row = ?")
        .and_then(|mut found| {
            found.query_row(params![key.run, key.sheet_row], |row| Ok((row.get(0)?, row.get(1)?))).optional()
        })
        .doing("read a row's state")
}

fn bury_one(db: &Connection, now: i64, key: RowKey, deaths: Option<&str>) -> Result<(), LedgerError> {
    db.prepare_cached(
        "INSERT OR IGNORE INTO dead_letter
           (run_id, sheet_row, generation, reason, error, attempts, deaths, nik_hash, sealed, died_at)
         SELECT run_id, sheet_row, generation, reason, COALESCE(found, ''), attempts, ?3, nik_hash, sealed, ?4
         FROM row JOIN run USING (run_id) WHERE run_id = ?1 AND sheet_row = ?2 AND kind = 'night'",
    )
    .and_then(|mut insert| insert.execute(params![key.run, key.sheet_row, deaths, now]))
    .doing("bury dead letters")?;
    db.prepare_cached(
        "UPDATE row SET state = 'done', outcome = 'dead_lettered', ended_at = ?3 WHERE run_id = ?1 AND sheet_row = ?2",
    )
    .and_then(|mut update| update.execute(params![key.run, key.sheet_row, now]))
    .doing("bury dead letters")?;
    Ok(())
}

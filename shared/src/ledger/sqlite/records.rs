//! How claims end, and how dead letters are completed.

use std::time::Duration;

use rusqlite::{Connection, params};

use super::claims::state_of;
use super::convert::warning_codes;
use super::counts::Counts;
use super::history::{exchanges_json, note_attempt};
use super::{Sql as _, micros};
use crate::domain::{Outcome, Reason};
use crate::ledger::{Burial, LedgerError, Record, Recorded, RowKey, Settlement};

/// How long after its due time a retrying or failed row whose message got lost comes due for the sweep.
pub(super) const GRACE: Duration = Duration::from_secs(30);

pub(super) fn record(db: &Connection, now: i64, records: &[Record]) -> Result<Vec<Recorded>, LedgerError> {
    let mut counts = Counts::default();
    let recorded =
        records.iter().map(|record| record_one(db, now, record, &mut counts)).collect::<Result<_, _>>()?;
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
) -> Result<Recorded, LedgerError> {
    let key = record.key;
    // The end of the lease is not asked here: while the epoch stands, nobody else has touched the row, and
    // while its NIK's lease is where the claim left it, nobody else the Patient.
    let turn = match state_of(db, key)? {
        Some(row)
            if row.state == "claimed" && row.generation == key.generation && row.epoch == record.epoch =>
        {
            let given_back = db
                .prepare_cached(
                    "DELETE FROM nik_lease WHERE nik_hash = ? AND run_id = ? AND sheet_row = ? AND epoch = ?",
                )
                .and_then(|mut lease| lease.execute(params![row.nik, key.run, key.sheet_row, record.epoch]))
                .doing("record outcomes")?;
            if given_back == 0 {
                return Ok(Recorded::Refused);
            }
            row.turn
        }
        _ => return Ok(Recorded::Refused),
    };
    let after = After::new(now, &record.settlement);
    let ended = after.outcome.is_some();
    db.prepare_cached(
        "UPDATE row SET state = ?3, outcome = ?4, reason = ?5, found = ?6, warnings = TRIM(warnings || ' ' || ?7),
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
            after.warnings,
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
    if ended {
        counts.ended(db, key)?;
    } else {
        note_attempt(db, now, record)?;
    }
    if matches!(after.outcome, Some(Outcome::Updated | Outcome::Unchanged)) {
        note_success(db, now, key)?;
    }
    Ok(Recorded::Yes { turn: turn + after.turns })
}

/// Notes a success, and the NIK's newest one unless a newer stands. A dry run's findings change no record.
fn note_success(db: &Connection, now: i64, key: RowKey) -> Result<(), LedgerError> {
    db.prepare_cached(
        "INSERT INTO success (run_date, nik_hash, number_hash, run_id, sheet_row, succeeded_at)
         SELECT run_date, nik_hash, number_hash, run_id, sheet_row, ?3 FROM row JOIN run USING (run_id)
         WHERE run_id = ?1 AND sheet_row = ?2 AND kind = 'night'
         ON CONFLICT DO UPDATE SET run_id = excluded.run_id, sheet_row = excluded.sheet_row, succeeded_at = ?3",
    )
    .and_then(|mut insert| insert.execute(params![key.run, key.sheet_row, now]))
    .doing("record outcomes")?;
    db.prepare_cached(
        "INSERT INTO newest_success (nik_hash, run_date, snapshot_order, number_hash, run_id, sheet_row, succeeded_at, digests)
         SELECT nik_hash, run_date, snapshot_order, number_hash, run_id, sheet_row, ?3, digests FROM row JOIN run USING (run_id)
         WHERE run_id = ?1 AND sheet_row = ?2 AND kind = 'night'
         ON CONFLICT DO UPDATE SET run_date = excluded.run_date, snapshot_order = excluded.snapshot_order,
           number_hash = excluded.number_hash, run_id = excluded.run_id, sheet_row = excluded.sheet_row, succeeded_at = ?3,
           digests = excluded.digests
         WHERE (excluded.run_date, excluded.snapshot_order) >= (newest_success.run_date, newest_success.snapshot_order)",
    )
    .and_then(|mut insert| insert.execute(params![key.run, key.sheet_row, now]))
    .doing("record outcomes")?;
    Ok(())
}

pub(super) fn bury(db: &Connection, now: i64, burials: &[Burial]) -> Result<(), LedgerError> {
    let mut counts = Counts::default();
    for Burial { key, deaths } in burials {
        let state = state_of(db, *key)?;
        match state.as_ref().map(|row| (row.state.as_str(), row.generation == key.generation)) {
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

//! Claims and intents: what a worker must hold before it may touch a Patient.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::convert::{needed, order};
use super::counts::Counts;
use super::records::GRACE;
use super::{Sql as _, micros, micros_left};
use crate::data_key::KeyedHash;
use crate::domain::{Outcome, Reason};
use crate::ledger::crashes::{is_poison, is_suspect, poison_error};
use crate::ledger::{Claim, ClaimRequest, Claimed, Intent, LedgerError, Order, RowKey, RunId, RunKind};

struct Stored {
    state: String,
    turn: u32,
    sweep_at: i64,
    crashes: u32,
    reapply: bool,
    claimed: Claimed,
}

pub(super) fn claim(
    db: &Connection,
    now: i64,
    requests: &[ClaimRequest],
    lease: Duration,
) -> Result<Vec<Claim>, LedgerError> {
    let (mut counts, mut runs) = (Counts::default(), Runs::new(db));
    let claims = requests
        .iter()
        .map(|request| claim_one(db, now, *request, lease, (&mut counts, &mut runs)))
        .collect::<Result<_, _>>()?;
    counts.keep(db)?;
    Ok(claims)
}

fn claim_one(
    db: &Connection,
    now: i64,
    request: ClaimRequest,
    lease: Duration,
    (counts, runs): (&mut Counts, &mut Runs<'_>),
) -> Result<Claim, LedgerError> {
    let Some(run) = runs.get(request.key.run)? else { return Ok(Claim::Stale) };
    let Some(mut row) = find(db, request.key, run)? else { return Ok(Claim::Stale) };
    if request.key.generation != row.claimed.key.generation || request.turn < row.turn {
        return Ok(Claim::Stale);
    }
    match row.state.as_str() {
        "done" => return Ok(Claim::Settled(None)),
        "failed" => return failed_reason(db, request.key),
        "claimed" if row.sweep_at > now => return Ok(Claim::Leased { left: micros_left(row.sweep_at, now) }),
        _ => {}
    }
    if let Some(until) = nik_leased_until(db, now, &row.claimed)? {
        return Ok(Claim::Leased { left: micros_left(until, now) });
    }
    row.claimed.intent = standing_intent(db, request.key)?;
    // A dry run too: it tells what a night would do now.
    match overtaken(db, &row)? {
        // A write of ours may have gone through after the newer success: the worker has to look.
        Some(Outcome::Superseded) if row.claimed.intent.is_some() => row.claimed.superseded = true,
        Some(outcome) => {
            settle(db, now, request.key, outcome)?;
            counts.ended(db, request.key)?;
            if outcome == Outcome::SkippedAlreadyApplied && row.claimed.kind == RunKind::Night {
                confirm_newest(db, &row.claimed)?;
            }
            return Ok(Claim::Settled(Some(outcome)));
        }
        None => {}
    }
    if is_poison(row.crashes) {
        give_up(db, now, &row)?;
        return Ok(Claim::Failed(Reason::PoisonMessage));
    }
    if is_suspect(row.crashes) && !request.alone {
        return Ok(Claim::Suspect);
    }
    row.claimed.epoch += 1;
    row.claimed.lease = lease;
    let (key, until) = (request.key, now + micros(lease));
    // The crash is counted in advance, and taken back by whatever record ends the claim.
    db.prepare_cached(
        "UPDATE row SET state = 'claimed', epoch = ?3, sweep_at = ?4, crashes = crashes + 1
         WHERE run_id = ?1 AND sheet_row = ?2",
    )
    .and_then(|mut update| update.execute(params![key.run, key.sheet_row, row.claimed.epoch, until]))
    .doing("claim rows")?;
    db.prepare_cached(
        "INSERT INTO nik_lease (nik_hash, run_id, sheet_row, epoch, lease_until) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT DO UPDATE SET run_id = ?2, sheet_row = ?3, epoch = ?4, lease_until = ?5",
    )
    .and_then(|mut insert| {
        insert.execute(params![row.claimed.nik, key.run, key.sheet_row, row.claimed.epoch, until])
    })
    .doing("claim rows")?;
    Ok(Claim::Ours(Box::new(row.claimed)))
}

/// What a run says of all its rows.
pub(super) struct RunTerms {
    pub(super) kind: RunKind,
    pub(super) order: Order,
    reapply: bool,
    /// Whether its snapshot is complete, and it was not abandoned.
    is_workable: bool,
}

/// The runs of one call's rows, each read once.
pub(super) struct Runs<'a> {
    db: &'a Connection,
    read: HashMap<RunId, Option<RunTerms>>,
}

impl<'a> Runs<'a> {
    pub(super) fn new(db: &'a Connection) -> Self {
        Self { db, read: HashMap::new() }
    }

    /// None where there is no such run (any more).
    pub(super) fn get(&mut self, run: RunId) -> Result<Option<&RunTerms>, LedgerError> {
        let known = match self.read.entry(run) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) => unknown.insert(run_terms(self.db, run)?),
        };
        Ok(known.as_ref())
    }
}

fn run_terms(db: &Connection, run: RunId) -> Result<Option<RunTerms>, LedgerError> {
    let read = |row: &Row<'_>| {
        Ok(RunTerms {
            kind: needed(row, "kind")?,
            order: order(row)?,
            reapply: row.get("reapply")?,
            is_workable: row.get("is_workable")?,
        })
    };
    db.prepare_cached(
        "SELECT run_date, snapshot_order, kind, selection ->> '$.reapply' IS NOT NULL AS reapply,
                state IN ('open', 'closed') AS is_workable
         FROM run WHERE run_id = ?",
    )
    .and_then(|mut found| found.query_row([run], read).optional())
    .doing("read a run")
}

fn find(db: &Connection, key: RowKey, run: &RunTerms) -> Result<Option<Stored>, LedgerError> {
    if !run.is_workable {
        return Ok(None);
    }
    let read = |row: &Row<'_>| {
        let Some(nik) = row.get::<_, Option<KeyedHash>>("nik_hash")? else { return Ok(None) };
        let Some(number) = row.get::<_, Option<KeyedHash>>("number_hash")? else { return Ok(None) };
        Ok(Some(Stored {
            state: row.get("state")?,
            turn: row.get("turn")?,
            sweep_at: row.get("sweep_at")?,
            crashes: row.get("crashes")?,
            reapply: run.reapply,
            claimed: Claimed {
                key: RowKey { generation: row.get("generation")?, ..key },
                epoch: row.get("epoch")?,
                lease: Duration::ZERO,
                attempts: row.get("attempts")?,
                kind: run.kind,
                order: run.order,
                sealed: row.get("sealed")?,
                nik,
                number,
                intent: None,
                superseded: false,
            },
        }))
    };
    db.prepare_cached(
        "SELECT state, generation, turn, sweep_at, crashes, epoch, attempts, sealed, nik_hash, number_hash
         FROM row WHERE run_id = ? AND sheet_row = ?",
    )
    .and_then(|mut found| found.query_row(params![key.run, key.sheet_row], read).optional())
    .map(Option::flatten)
    .doing("claim rows")
}

fn failed_reason(db: &Connection, key: RowKey) -> Result<Claim, LedgerError> {
    db.prepare_cached("SELECT reason FROM row WHERE run_id = ? AND sheet_row = ?")
        .and_then(|mut found| found.query_row(params![key.run, key.sheet_row], |row| needed(row, "reason")))
        .map(Claim::Failed)
        .doing("claim rows")
}

/// One writer per NIK: until when another row holds it. Dry runs only read, but keep to it too, so that what
/// they report is not a state in the middle of a write.
fn nik_leased_until(db: &Connection, now: i64, row: &Claimed) -> Result<Option<i64>, LedgerError> {
    db.prepare_cached(
        "SELECT lease_until FROM nik_lease WHERE nik_hash = ? AND lease_until > ? AND NOT (run_id = ? AND sheet_row = ?)",
    )
    .and_then(|mut lease| {
        lease
            .query_row(params![row.nik, now, row.key.run, row.key.sheet_row], |found| found.get(0))
            .optional()
    })
    .doing("claim rows")
}

fn standing_intent(db: &Connection, key: RowKey) -> Result<Option<(String, String)>, LedgerError> {
    db.prepare_cached(
        "SELECT patient_id, version_id FROM intent WHERE run_id = ? AND sheet_row = ? AND generation = ?",
    )
    .and_then(|mut intent| {
        intent
            .query_row(params![key.run, key.sheet_row, key.generation], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()
    })
    .doing("claim rows")
}

/// The newest success of a NIK: its order and its number's hash.
pub(super) fn newest(db: &Connection, nik: &KeyedHash) -> Result<Option<(Order, KeyedHash)>, LedgerError> {
    db.prepare_cached("SELECT run_date, snapshot_order, number_hash FROM newest_success WHERE nik_hash = ?")
        .and_then(|mut found| {
            found.query_row([nik], |row| Ok((order(row)?, row.get("number_hash")?))).optional()
        })
        .doing("read the newest success")
}

/// What the NIK's newest success leaves of this row, if anything stands against it.
fn overtaken(db: &Connection, row: &Stored) -> Result<Option<Outcome>, LedgerError> {
    let Some((newest, number)) = newest(db, &row.claimed.nik)? else { return Ok(None) };
    let ours = row.claimed.order;
    // An intent of ours standing means that success may be our own, recorded by nobody: it has to be looked at.
    if !row.reapply
        && newest.date == ours.date
        && number == row.claimed.number
        && row.claimed.intent.is_none()
    {
        return Ok(Some(Outcome::SkippedAlreadyApplied));
    }
    Ok((newest > ours).then_some(Outcome::Superseded))
}

/// A later snapshot that says the same number again makes that the newest word: a replay of a snapshot in between,
/// with another number, comes too late.
fn confirm_newest(db: &Connection, row: &Claimed) -> Result<(), LedgerError> {
    db.prepare_cached(
        "UPDATE newest_success SET snapshot_order = ?3, run_id = ?4, sheet_row = ?5
         WHERE nik_hash = ?1 AND run_date = ?2 AND snapshot_order < ?3",
    )
    .and_then(|mut update| {
        update.execute(params![row.nik, row.order.date, row.order.snapshot, row.key.run, row.key.sheet_row])
    })
    .doing("claim rows")?;
    Ok(())
}

fn settle(db: &Connection, now: i64, key: RowKey, outcome: Outcome) -> Result<(), LedgerError> {
    db.prepare_cached(
        "UPDATE row SET state = 'done', outcome = ?3, found = NULL, crashes = 0, epoch = epoch + 1, ended_at = ?4
         WHERE run_id = ?1 AND sheet_row = ?2",
    )
    .and_then(|mut update| update.execute(params![key.run, key.sheet_row, outcome.as_str(), now]))
    .doing("claim rows")?;
    Ok(())
}

/// Fails a row that crashed too often, as a worker's record would. Its crashes stay, for whoever looks into it.
fn give_up(db: &Connection, now: i64, row: &Stored) -> Result<(), LedgerError> {
    let Claimed { key, nik, intent, .. } = &row.claimed;
    let error = poison_error(row.crashes, intent.is_some());
    db.prepare_cached(
        "UPDATE row SET state = 'failed', reason = ?3, found = ?4, sweep_at = ?5, attempts = attempts + 1,
                        epoch = epoch + 1, published = 0, sweeps = 0
         WHERE run_id = ?1 AND sheet_row = ?2",
    )
    .and_then(|mut update| {
        let due = now + micros(GRACE);
        update.execute(params![key.run, key.sheet_row, Reason::PoisonMessage.as_str(), error, due])
    })
    .doing("claim rows")?;
    db.prepare_cached("DELETE FROM nik_lease WHERE nik_hash = ? AND run_id = ? AND sheet_row = ?")
        .and_then(|mut lease| lease.execute(params![nik, key.run, key.sheet_row]))
        .doing("claim rows")?;
    Ok(())
}

pub(super) fn record_intents(
    db: &Connection,
    now: i64,
    intents: &[Intent],
) -> Result<Vec<bool>, LedgerError> {
    let mut ours = db
        .prepare_cached(
            "SELECT 1 FROM row WHERE run_id = ? AND sheet_row = ? AND generation = ? AND state = 'claimed' AND epoch = ?
               AND sweep_at > ?",
        )
        .doing("record intents")?;
    let mut insert = db
        .prepare_cached(
            "INSERT OR REPLACE INTO intent
               (run_id, sheet_row, generation, patient_id, version_id, sealed_before, intended_at)
             VALUES (?, ?, ?, ?, ?, ?, ?)",
        )
        .doing("record intents")?;
    let mut answers = Vec::with_capacity(intents.len());
    for Intent { key, epoch, patient, version, sealed_before } in intents {
        let stands = ours
            .exists(params![key.run, key.sheet_row, key.generation, epoch, now])
            .doing("record intents")?;
        if stands {
            insert
                .execute(params![
                    key.run,
                    key.sheet_row,
                    key.generation,
                    patient,
                    version,
                    sealed_before,
                    now
                ])
                .doing("record intents")?;
        }
        answers.push(stands);
    }
    Ok(answers)
}

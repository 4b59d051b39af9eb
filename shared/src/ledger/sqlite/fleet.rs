//! What the whole fleet shares: the gate, the duties, and what operators did.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::convert::{instant, needed};
use super::{Sql as _, micros, micros_left};
use crate::ledger::{Act, Gate, LedgerError, ShutGate};

pub(super) fn note_act(db: &Connection, now: i64, act: &Act) -> Result<(), LedgerError> {
    db.execute(
        "INSERT INTO act (at, who, act, detail) VALUES (?, ?, ?, ?)",
        params![now, act.who, act.act, act.detail.to_string()],
    )
    .doing("note an operator's act")?;
    Ok(())
}

pub(super) fn shut_gate(db: &Connection, now: i64, gate: &Gate, lasts: Duration) -> Result<(), LedgerError> {
    let standing: Option<(Gate, i64, i64)> = db
        .query_row("SELECT kind, reason, shut_until, shut_at FROM gate WHERE shut_until > ?", [now], |row| {
            Ok((read_gate(row)?, row.get("shut_until")?, row.get("shut_at")?))
        })
        .optional()
        .doing("shut the gate")?;
    let (mut shut, mut until, mut since) = (gate, now + micros(lasts), now);
    // A pause for a deeper reason is not renamed by a shallower one, and none is shortened. Its end is the mark of a
    // shutting, so each moves it.
    if let Some((standing, stands_until, stands_since)) = &standing {
        shut = if standing.kind > gate.kind { standing } else { gate };
        until = until.max(stands_until + 1);
        since = *stands_since;
    }
    db.execute(
        "INSERT OR REPLACE INTO gate (only, kind, reason, shut_until, shut_at) VALUES (1, ?, ?, ?, ?)",
        params![shut.kind.as_str(), shut.reason, until, since],
    )
    .doing("shut the gate")?;
    Ok(())
}

pub(super) fn open_gate(db: &Connection, mark: i64) -> Result<bool, LedgerError> {
    let opened = db.execute("DELETE FROM gate WHERE shut_until = ?", [mark]).doing("open the gate")?;
    Ok(opened == 1)
}

pub(super) fn gate(db: &Connection, now: i64) -> Result<Option<ShutGate>, LedgerError> {
    db.query_row("SELECT kind, reason, shut_until, shut_at FROM gate WHERE shut_until > ?", [now], |row| {
        let until = row.get("shut_until")?;
        Ok(ShutGate {
            gate: read_gate(row)?,
            since: instant(row, "shut_at")?.unwrap_or_default(),
            left: micros_left(until, now),
            mark: until,
        })
    })
    .optional()
    .doing("read the gate")
}

fn read_gate(row: &Row<'_>) -> rusqlite::Result<Gate> {
    Ok(Gate { kind: needed(row, "kind")?, reason: row.get("reason")? })
}

pub(super) fn hold_duty(
    db: &Connection,
    now: i64,
    (duty, holder): (&str, &str),
    lease: Duration,
) -> Result<bool, LedgerError> {
    let taken = db
        .execute(
            "INSERT INTO duty (duty, holder, lease_until) VALUES (?1, ?2, ?3)
             ON CONFLICT DO UPDATE SET holder = ?2, lease_until = ?3 WHERE holder = ?2 OR lease_until <= ?4",
            params![duty, holder, now + micros(lease), now],
        )
        .doing("take a duty")?;
    Ok(taken == 1)
}

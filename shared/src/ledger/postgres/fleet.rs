//! What the whole fleet shares: the clock, the gate, the duties, and what operators did.

use std::time::Duration;

use jiff::Timestamp;
use tokio_postgres::types::{Json, Type};

use super::convert::{get, instant, left, micros, needed};
use super::session::Session;
use crate::ledger::{Act, Gate, GateKind, LedgerError, ShutGate};

// A pause for a deeper reason is not renamed by a shallower one, and none is shortened. Its end is the mark of a
// shutting, so each moves it.
const SHUT: &str = "
    WITH depth AS (SELECT $4 AS kinds)
    INSERT INTO gate AS standing (kind, reason, shut_until, shut_at)
    VALUES ($1, $2, ledger_now() + $3 * interval '1 microsecond', ledger_now())
    ON CONFLICT (single) DO UPDATE SET (kind, reason, shut_until, shut_at) = (
      SELECT CASE WHEN stays THEN standing.kind ELSE excluded.kind END,
             CASE WHEN stays THEN standing.reason ELSE excluded.reason END,
             greatest(standing.shut_until + interval '1 microsecond', excluded.shut_until),
             CASE WHEN stands THEN standing.shut_at ELSE excluded.shut_at END
      FROM (SELECT standing.shut_until > ledger_now() AS stands,
              standing.shut_until > ledger_now()
              AND array_position(kinds, standing.kind) > array_position(kinds, excluded.kind) AS stays
            FROM depth) AS compared)";

pub(super) async fn shut_gate(session: Session, gate: &Gate, lasts: Duration) -> Result<(), LedgerError> {
    let by_depth: Vec<_> = GateKind::ALL.iter().map(|kind| kind.as_str()).collect();
    session
        .finish(&[(
            SHUT,
            &[
                (&gate.kind.as_str(), Type::TEXT),
                (&gate.reason, Type::TEXT),
                (&micros(lasts), Type::INT8),
                (&by_depth, Type::TEXT_ARRAY),
            ],
        )])
        .await?;
    Ok(())
}

const OPEN: &str =
    "DELETE FROM gate WHERE (extract(epoch FROM shut_until) * 1000000)::bigint = $1 RETURNING single";

pub(super) async fn open_gate(session: Session, mark: i64) -> Result<bool, LedgerError> {
    let opened = session.finish(&[(OPEN, &[(&mark, Type::INT8)])]).await?;
    Ok(!opened.is_empty())
}

pub(super) async fn now(session: Session) -> Result<Timestamp, LedgerError> {
    let now = session.finish(&[("SELECT ledger_now() AS now", &[])]).await?;
    now.first()
        .map(|row| instant(row, "now"))
        .transpose()?
        .flatten()
        .ok_or(LedgerError::Foreign { what: "clock" })
}

const GATE: &str = "
    SELECT kind, reason, shut_at, (extract(epoch FROM shut_until - ledger_now()) * 1000000)::bigint AS micros_left,
      (extract(epoch FROM shut_until) * 1000000)::bigint AS mark
    FROM gate";

pub(super) async fn gate(session: Session) -> Result<Option<ShutGate>, LedgerError> {
    let standing = session.finish(&[(GATE, &[])]).await?;
    let Some(row) = standing.first() else { return Ok(None) };
    let gate = Gate { kind: needed(row, "kind")?, reason: get(row, "reason")? };
    let since = instant(row, "shut_at")?.unwrap_or_default();
    let mark = get(row, "mark")?;
    Ok(left(row, "micros_left")?.map(|left| ShutGate { gate, since, left, mark }))
}

const HOLD: &str = "
    INSERT INTO duty AS held (duty, holder, lease_until)
    VALUES ($1, $2, ledger_now() + $3 * interval '1 microsecond')
    ON CONFLICT (duty) DO UPDATE SET holder = excluded.holder, lease_until = excluded.lease_until
    WHERE held.holder = excluded.holder OR held.lease_until <= ledger_now()
    RETURNING duty";

pub(super) async fn hold_duty(
    session: Session,
    (duty, holder): (&str, &str),
    lease: Duration,
) -> Result<bool, LedgerError> {
    let held = session
        .finish(&[(HOLD, &[(&duty, Type::TEXT), (&holder, Type::TEXT), (&micros(lease), Type::INT8)])])
        .await?;
    Ok(!held.is_empty())
}

const NOTE_ACT: &str = "INSERT INTO act (at, who, act, detail) VALUES (ledger_now(), $1, $2, $3)";

pub(super) async fn note_act(session: Session, act: &Act) -> Result<(), LedgerError> {
    session
        .finish(&[(
            NOTE_ACT,
            &[(&act.who, Type::TEXT), (&act.act, Type::TEXT), (&Json(&act.detail), Type::JSONB)],
        )])
        .await?;
    Ok(())
}

//! The run lock, and the fence that every write of its holder must pass.
//!
//! A fenced write holds the lock's row with `FOR KEY SHARE` until it commits. That leaves renewals alone, while
//! a take-over, which wants `FOR UPDATE`, waits for it: nothing is committed by a holder after another began.

use std::time::Duration;

use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::convert::{get, left, micros};
use super::session::{Param, Session};
use crate::domain::RunDate;
use crate::ledger::{Fence, LedgerError, LockAttempt};

const READ: &str = "
    SELECT holder, (extract(epoch FROM lease_until - ledger_now()) * 1000000)::bigint AS micros_left
    FROM run_lock WHERE job = $1 AND run_date = $2";

const MAKE: &str = "
    INSERT INTO run_lock (job, run_date, holder, epoch, lease_until) VALUES ($1, $2, '', 0, 'epoch')
    ON CONFLICT (job, run_date) DO NOTHING";

const TAKE: &str = "
    UPDATE run_lock SET holder = $3, epoch = epoch + 1, lease_until = ledger_now() + $4 * interval '1 microsecond'
    WHERE job = $1 AND run_date = $2 RETURNING epoch";

const RENEW: &str = "
    UPDATE run_lock SET lease_until = ledger_now() + $4 * interval '1 microsecond'
    WHERE job = $1 AND run_date = $2 AND epoch = $3 AND lease_until > ledger_now() RETURNING epoch";

// The row stays, so that epochs keep growing.
const GIVE_BACK: &str =
    "UPDATE run_lock SET lease_until = 'epoch' WHERE job = $1 AND run_date = $2 AND epoch = $3";

const CHECK: &str = "
    SELECT epoch FROM run_lock WHERE job = $1 AND run_date = $2 AND epoch = $3 AND lease_until > ledger_now()
    FOR KEY SHARE";

fn held(rows: &[Row], by_other_than: &str) -> Result<Option<LockAttempt>, LedgerError> {
    let Some(row) = rows.first() else { return Ok(None) };
    let holder: String = get(row, "holder")?;
    let left = left(row, "micros_left")?.filter(|_| holder != by_other_than);
    Ok(left.map(|left| LockAttempt::Held { holder, left }))
}

pub(super) async fn lock(
    mut session: Session,
    (job, date, holder): (&str, RunDate, &str),
    lease: Duration,
) -> Result<LockAttempt, LedgerError> {
    let key: &[Param<'_>] = &[(&job, Type::TEXT), (&date, Type::DATE)];
    // Looked at before it is waited for: a starter need not sit out its holder's long write to hear of it.
    if let Some(held) = held(&session.run(&[(READ, key)]).await?, holder)? {
        session.finish(&[]).await?;
        return Ok(held);
    }
    let locked = format!("{READ} FOR UPDATE");
    let found = session.run(&[(MAKE, key), (&locked, key)]).await?;
    if let Some(held) = held(&found, holder)? {
        session.finish(&[]).await?;
        return Ok(held);
    }
    let taken = session
        .finish(&[(
            TAKE,
            &[(&job, Type::TEXT), (&date, Type::DATE), (&holder, Type::TEXT), (&micros(lease), Type::INT8)],
        )])
        .await?;
    let epoch = taken.first().ok_or(LedgerError::Foreign { what: "run lock" })?;
    Ok(LockAttempt::Taken(Fence { job: job.to_owned(), date, epoch: get(epoch, "epoch")? }))
}

pub(super) async fn renew(session: Session, fence: &Fence, lease: Duration) -> Result<bool, LedgerError> {
    let renewed = session
        .finish(&[(
            RENEW,
            &[
                (&fence.job, Type::TEXT),
                (&fence.date, Type::DATE),
                (&fence.epoch, Type::INT8),
                (&micros(lease), Type::INT8),
            ],
        )])
        .await?;
    Ok(!renewed.is_empty())
}

pub(super) async fn unlock(session: Session, fence: &Fence) -> Result<(), LedgerError> {
    session.finish(&[(GIVE_BACK, &fence_params(fence))]).await?;
    Ok(())
}

fn fence_params(fence: &Fence) -> [Param<'_>; 3] {
    [(&fence.job, Type::TEXT), (&fence.date, Type::DATE), (&fence.epoch, Type::INT8)]
}

/// Fails unless the lock is still held, and keeps it from being taken over until the session ends.
pub(super) async fn check(session: &mut Session, fence: &Fence) -> Result<(), LedgerError> {
    let stands = session.run(&[(CHECK, &fence_params(fence))]).await?;
    if stands.is_empty() { Err(LedgerError::Fenced) } else { Ok(()) }
}

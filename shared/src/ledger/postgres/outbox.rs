//! Notices on their way to people, and messages that nobody could read.

use tokio_postgres::Row;
use tokio_postgres::types::{Json, Type};

use super::convert::{count, get, instant};
use super::session::Session;
use crate::ledger::{KeptNotice, LedgerError, Notice, StrayMessage, StrayView};

const POST: &str = "
    INSERT INTO notice (key, kind, text, detail, noted_at) VALUES ($1, $2, $3, $4, ledger_now())
    ON CONFLICT (key) DO NOTHING";

pub(super) async fn post_notice(session: Session, notice: &Notice) -> Result<(), LedgerError> {
    session
        .finish(&[(
            POST,
            &[
                (&notice.key, Type::TEXT),
                (&notice.kind, Type::TEXT),
                (&notice.text, Type::TEXT),
                (&Json(&notice.detail), Type::JSON),
            ],
        )])
        .await?;
    Ok(())
}

const OPEN: &str = "
    SELECT number, key, kind, text, detail, noted_at, attempts FROM notice
    WHERE posted_at IS NULL ORDER BY number LIMIT $1";

pub(super) async fn open_notices(session: Session, limit: u32) -> Result<Vec<KeptNotice>, LedgerError> {
    session.finish(&[(OPEN, &[(&i64::from(limit), Type::INT8)])]).await?.iter().map(read_notice).collect()
}

const LATEST: &str = "
    SELECT number, key, kind, text, detail, noted_at, attempts FROM notice
    WHERE starts_with(key, $1) ORDER BY number DESC LIMIT 1";

pub(super) async fn latest_notice(
    session: Session,
    key_begins: &str,
) -> Result<Option<KeptNotice>, LedgerError> {
    let latest = session.finish(&[(LATEST, &[(&key_begins, Type::TEXT)])]).await?;
    latest.first().map(read_notice).transpose()
}

fn read_notice(row: &Row) -> Result<KeptNotice, LedgerError> {
    let Json(detail) = get(row, "detail")?;
    let notice = Notice { key: get(row, "key")?, kind: get(row, "kind")?, text: get(row, "text")?, detail };
    Ok(KeptNotice {
        number: get(row, "number")?,
        notice,
        noted_at: instant(row, "noted_at")?.unwrap_or_default(),
        attempts: count(row, "attempts")?,
    })
}

const NOTE: &str = "
    UPDATE notice SET posted_at = CASE WHEN $2 THEN ledger_now() END, attempts = attempts + (NOT $2)::integer
    WHERE number = $1 AND posted_at IS NULL";

pub(super) async fn note_notice(session: Session, number: i64, posted: bool) -> Result<(), LedgerError> {
    session.finish(&[(NOTE, &[(&number, Type::INT8), (&posted, Type::BOOL)])]).await?;
    Ok(())
}

const KEEP: &str = "
    INSERT INTO stray (queue, message_id, content_type, fault, sealed, kept_at)
    VALUES ($1, $2, $3, $4, $5, ledger_now()) ON CONFLICT (queue, message_id) DO NOTHING";

pub(super) async fn keep_stray(session: Session, stray: &StrayMessage) -> Result<(), LedgerError> {
    session
        .finish(&[(
            KEEP,
            &[
                (&stray.queue, Type::TEXT),
                (&stray.message_id, Type::TEXT),
                (&stray.content_type, Type::TEXT),
                (&stray.fault, Type::TEXT),
                (&stray.sealed, Type::BYTEA),
            ],
        )])
        .await?;
    Ok(())
}

const STRAYS: &str = "
    SELECT number, queue, message_id, content_type, fault, sealed, kept_at FROM stray
    WHERE number > $1 ORDER BY number LIMIT $2";

pub(super) async fn strays(session: Session, after: i64, limit: u32) -> Result<Vec<StrayView>, LedgerError> {
    let read = |row: &Row| {
        let message = StrayMessage {
            queue: get(row, "queue")?,
            message_id: get(row, "message_id")?,
            content_type: get(row, "content_type")?,
            fault: get(row, "fault")?,
            sealed: get(row, "sealed")?,
        };
        let kept_at = instant(row, "kept_at")?.unwrap_or_default();
        Ok(StrayView { number: get(row, "number")?, message, kept_at })
    };
    let page = session.finish(&[(STRAYS, &[(&after, Type::INT8), (&i64::from(limit), Type::INT8)])]).await?;
    page.iter().map(read).collect()
}

//! Notices on their way to people, and messages that nobody could read.

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::Sql as _;
use super::convert::{instant, json};
use crate::ledger::{KeptNotice, LedgerError, Notice, StrayMessage, StrayView};

pub(super) fn post_notice(db: &Connection, now: i64, notice: &Notice) -> Result<(), LedgerError> {
    db.execute(
        "INSERT INTO notice (key, kind, text, detail, noted_at) VALUES (?, ?, ?, ?, ?) ON CONFLICT (key) DO NOTHING",
        params![notice.key, notice.kind, notice.text, notice.detail.to_string(), now],
    )
    .doing("note a notice")?;
    Ok(())
}

pub(super) fn open_notices(db: &Connection, limit: u32) -> Result<Vec<KeptNotice>, LedgerError> {
    db.prepare_cached(
        "SELECT number, key, kind, text, detail, noted_at, attempts FROM notice INDEXED BY notice_open
         WHERE posted_at IS NULL ORDER BY number LIMIT ?",
    )
    .and_then(|mut open| open.query_map([limit], read_notice)?.collect())
    .doing("list open notices")
}

pub(super) fn latest_notice(db: &Connection, key_begins: &str) -> Result<Option<KeptNotice>, LedgerError> {
    db.prepare_cached(
        "SELECT number, key, kind, text, detail, noted_at, attempts FROM notice
         WHERE substr(key, 1, length(?1)) = ?1 ORDER BY number DESC LIMIT 1",
    )
    .and_then(|mut latest| latest.query_row([key_begins], read_notice).optional())
    .doing("read the latest notice")
}

fn read_notice(row: &Row<'_>) -> rusqlite::Result<KeptNotice> {
    Ok(KeptNotice {
        number: row.get("number")?,
        notice: Notice {
            key: row.get("key")?,
            kind: row.get("kind")?,
            text: row.get("text")?,
            detail: json(row, "detail")?.unwrap_or_default(),
        },
        noted_at: instant(row, "noted_at")?.unwrap_or_default(),
        attempts: row.get("attempts")?,
    })
}

pub(super) fn note_notice(db: &Connection, now: i64, number: i64, posted: bool) -> Result<(), LedgerError> {
    db.execute(
        "UPDATE notice SET posted_at = CASE WHEN ?2 THEN ?3 END, attempts = attempts + NOT ?2
         WHERE number = ?1 AND posted_at IS NULL",
        params![number, posted, now],
    )
    .doing("note what became of a notice")?;
    Ok(())
}

pub(super) fn keep_stray(db: &Connection, now: i64, stray: &StrayMessage) -> Result<(), LedgerError> {
    db.execute(
        "INSERT INTO stray (queue, message_id, content_type, fault, sealed, kept_at) VALUES (?, ?, ?, ?, ?, ?)
         ON CONFLICT (queue, message_id) DO NOTHING",
        params![stray.queue, stray.message_id, stray.content_type, stray.fault, stray.sealed, now],
    )
    .doing("keep a stray message")?;
    Ok(())
}

pub(super) fn strays(db: &Connection, after: i64, limit: u32) -> Result<Vec<StrayView>, LedgerError> {
    let read = |row: &Row<'_>| {
        Ok(StrayView {
            number: row.get("number")?,
            message: StrayMessage {
                queue: row.get("queue")?,
                message_id: row.get("message_id")?,
                content_type: row.get("content_type")?,
                fault: row.get("fault")?,
                sealed: row.get("sealed")?,
            },
            kept_at: instant(row, "kept_at")?.unwrap_or_default(),
        })
    };
    db.prepare_cached(
        "SELECT number, queue, message_id, content_type, fault, sealed, kept_at FROM stray
         WHERE number > ? ORDER BY number LIMIT ?",
    )
    .and_then(|mut strays| strays.query_map(params![after, limit], read)?.collect())
    .doing("list stray messages")
}

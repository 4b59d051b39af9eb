//! What is held under a data key, listed and replaced.

use async_trait::async_trait;
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::PostgresLedger;
use super::convert::{count, get, int, needed, word};
use super::session::{Param, Session};
use crate::data_key::KeyedHash;
use crate::ledger::{Held, HeldKind, KeyState, LedgerError, LedgerKeys, RowKey, RunId, StrayMessage};

const DOING: &str = "change the data key";

const NOTE: &str = "INSERT INTO data_key (hashes) VALUES ($1) ON CONFLICT (single) DO NOTHING";

/// Held to the end of the session: no change begins meanwhile.
const LOCK: &str = "SELECT hashes, next FROM data_key FOR SHARE";

fn read_state(rows: &[Row]) -> Result<Option<KeyState>, LedgerError> {
    let read = |row: &Row| Ok(KeyState { hashes: get(row, "hashes")?, next: get(row, "next")? });
    rows.first().map(read).transpose()
}

/// Refuses a run whose hashes would not compare with those that are here.
pub(super) async fn check(session: &mut Session, hashes: &str) -> Result<(), LedgerError> {
    let found = session.run(&[(NOTE, &[(&hashes, Type::TEXT)]), (LOCK, &[])]).await?;
    read_state(&found)?.ok_or(LedgerError::Foreign { what: "data key" })?.admits(hashes)
}

/// Refuses while hashes are being changed.
pub(super) async fn check_settled(session: &mut Session) -> Result<(), LedgerError> {
    match read_state(&session.run(&[(LOCK, &[])]).await?)? {
        Some(KeyState { next: Some(_), .. }) => Err(LedgerError::Rekeying),
        _ => Ok(()),
    }
}

const LOCK_TO_BEGIN: &str = "SELECT FROM data_key FOR UPDATE";

const UNFINISHED: &str = "
    SELECT run_id FROM run WHERE state IN ('seeding', 'open')
      OR (state = 'closed' AND kind = 'night' AND EXISTS
          (SELECT FROM row AS r WHERE r.run_id = run.run_id AND r.state <> 'done')) LIMIT 1";

const BEGIN: &str = "UPDATE data_key SET next = $1";

// No row is open, so none of them guards anything.
const LEASES: &str = "DELETE FROM nik_lease";

const END: &str = "UPDATE data_key SET hashes = $1, next = NULL WHERE next = $1 RETURNING single";

const ROW: &str =
    "SELECT run_id, sheet_row, 1 AS generation, nik_hash, number_hash, sealed, digests FROM row";

const NEWEST: &str = "
    SELECT newest.nik_hash, newest.number_hash, newest.digests, newest.run_id, newest.sheet_row, 1 AS generation, r.sealed
    FROM newest_success AS newest
    LEFT JOIN row AS r ON r.run_id = newest.run_id AND r.sheet_row = newest.sheet_row";

/// A kind's statement: $1 to $5 are the number, run, sheet row, generation and hash it goes on after, $6 is the limit.
fn statement(kind: HeldKind) -> String {
    let (select, terms) = match kind {
        HeldKind::Selection => {
            ("SELECT run_id, selection::text AS json FROM run".into(), "run_id > $2 ORDER BY run_id")
        }
        HeldKind::Act => {
            ("SELECT number, detail::text AS json FROM act".into(), "number > $1 ORDER BY number")
        }
        HeldKind::Row => (ROW.to_owned(), "(run_id, sheet_row) > ($2, $3) ORDER BY run_id, sheet_row"),
        HeldKind::DeadLetter => (
            "SELECT number, run_id, sheet_row, generation, nik_hash, sealed FROM dead_letter".into(),
            "number > $1 ORDER BY number",
        ),
        HeldKind::Intent => (
            "SELECT run_id, sheet_row, generation, patient_id, sealed_before FROM intent".into(),
            "(run_id, sheet_row, generation) > ($2, $3, $4) ORDER BY run_id, sheet_row, generation",
        ),
        HeldKind::Stray => {
            ("SELECT number, queue, message_id, sealed FROM stray".into(), "number > $1 ORDER BY number")
        }
        HeldKind::Newest => (NEWEST.to_owned(), "newest.nik_hash > $5 ORDER BY newest.nik_hash"),
    };
    // Every parameter is given a type by its use, whichever of them the kind needs.
    let unused = "$1 IS NOT NULL AND $2 IS NOT NULL AND $3 IS NOT NULL AND $4 IS NOT NULL AND $5 IS NOT NULL";
    format!("{select} WHERE {unused} AND {terms} LIMIT $6")
}

fn row_key(row: &Row) -> Result<RowKey, LedgerError> {
    Ok(RowKey {
        run: RunId(get(row, "run_id")?),
        sheet_row: count(row, "sheet_row")?,
        generation: count(row, "generation")?,
    })
}

fn read(kind: HeldKind, row: &Row) -> Result<Held, LedgerError> {
    Ok(match kind {
        HeldKind::Selection => Held::Selection { run: RunId(get(row, "run_id")?), json: get(row, "json")? },
        HeldKind::Act => Held::Act { number: get(row, "number")?, json: get(row, "json")? },
        HeldKind::Row => Held::Row {
            key: row_key(row)?,
            nik: word(row, "nik_hash")?,
            number: word(row, "number_hash")?,
            sealed: get(row, "sealed")?,
            digests: get(row, "digests")?,
        },
        HeldKind::DeadLetter => Held::DeadLetter {
            number: get(row, "number")?,
            key: row_key(row)?,
            nik: needed(row, "nik_hash")?,
            sealed: get(row, "sealed")?,
        },
        HeldKind::Intent => Held::Intent {
            key: row_key(row)?,
            patient: get(row, "patient_id")?,
            before: get(row, "sealed_before")?,
        },
        HeldKind::Stray => {
            let (queue, id): (&str, Option<&str>) = (get(row, "queue")?, get(row, "message_id")?);
            Held::Stray {
                number: get(row, "number")?,
                place: StrayMessage::place(queue, id),
                sealed: get(row, "sealed")?,
            }
        }
        HeldKind::Newest => Held::Newest {
            nik: needed(row, "nik_hash")?,
            number: needed(row, "number_hash")?,
            digests: get(row, "digests")?,
            key: row_key(row)?,
            sealed: get(row, "sealed")?,
        },
    })
}

const SUCCESS: &str = "
    UPDATE success SET nik_hash = $4, number_hash = $5
    WHERE run_date = (SELECT run_date FROM run WHERE run_id = $1) AND nik_hash = $2 AND number_hash = $3";

const REPLACE_ROW: &str = "
    UPDATE row SET nik_hash = $3, number_hash = $4, sealed = $5, digests = $6 WHERE run_id = $1 AND sheet_row = $2";

const REPLACE_INTENT: &str = "
    UPDATE intent SET patient_id = $4, sealed_before = $5 WHERE run_id = $1 AND sheet_row = $2 AND generation = $3";

const REPLACE_NEWEST: &str =
    "UPDATE newest_success SET nik_hash = $2, number_hash = $3, digests = $4 WHERE nik_hash = $1";

async fn replace(session: &mut Session, before: &Held, after: &Held) -> Result<(), LedgerError> {
    let text = |hash: &Option<KeyedHash>| hash.as_ref().map(|hash| hash.as_str().to_owned());
    match after {
        Held::Selection { run, json } => {
            let sql = "UPDATE run SET selection = $2::jsonb WHERE run_id = $1";
            session.run(&[(sql, &[(&run.0, Type::UUID), (json, Type::TEXT)])]).await?
        }
        Held::Act { number, json } => {
            let sql = "UPDATE act SET detail = $2::jsonb WHERE number = $1";
            session.run(&[(sql, &[(number, Type::INT8), (json, Type::TEXT)])]).await?
        }
        Held::Row { key, nik, number, sealed, digests } => {
            let (run, sheet_row): (Param<'_>, _) = ((&key.run.0, Type::UUID), int(key.sheet_row));
            let (nik, number) = (text(nik), text(number));
            if let Held::Row { nik: Some(old), number: Some(old_number), .. } = before {
                let (old, old_number) = (old.as_str(), old_number.as_str());
                let values: [Param<'_>; 5] = [
                    run.clone(),
                    (&old, Type::TEXT),
                    (&old_number, Type::TEXT),
                    (&nik, Type::TEXT),
                    (&number, Type::TEXT),
                ];
                session.run(&[(SUCCESS, &values)]).await?;
            }
            let values: [Param<'_>; 6] = [
                run,
                (&sheet_row, Type::INT4),
                (&nik, Type::TEXT),
                (&number, Type::TEXT),
                (sealed, Type::BYTEA),
                (digests, Type::BYTEA),
            ];
            session.run(&[(REPLACE_ROW, &values)]).await?
        }
        Held::DeadLetter { number, nik, sealed, .. } => {
            let sql = "UPDATE dead_letter SET nik_hash = $2, sealed = $3 WHERE number = $1";
            let nik = nik.as_str();
            let values: [Param<'_>; 3] = [(number, Type::INT8), (&nik, Type::TEXT), (sealed, Type::BYTEA)];
            session.run(&[(sql, &values)]).await?
        }
        Held::Intent { key, patient, before } => {
            let (sheet_row, generation) = (int(key.sheet_row), int(key.generation));
            let values: [Param<'_>; 5] = [
                (&key.run.0, Type::UUID),
                (&sheet_row, Type::INT4),
                (&generation, Type::INT4),
                (patient, Type::TEXT),
                (before, Type::BYTEA),
            ];
            session.run(&[(REPLACE_INTENT, &values)]).await?
        }
        Held::Stray { number, sealed, .. } => {
            let sql = "UPDATE stray SET sealed = $2 WHERE number = $1";
            session.run(&[(sql, &[(number, Type::INT8), (sealed, Type::BYTEA)])]).await?
        }
        Held::Newest { nik, number, digests, .. } => {
            let Held::Newest { nik: old, .. } = before else { return Ok(()) };
            let (old, nik, number) = (old.as_str(), nik.as_str(), number.as_str());
            let values: [Param<'_>; 4] =
                [(&old, Type::TEXT), (&nik, Type::TEXT), (&number, Type::TEXT), (digests, Type::BYTEA)];
            session.run(&[(REPLACE_NEWEST, &values)]).await?
        }
    };
    Ok(())
}

#[async_trait]
impl LedgerKeys for PostgresLedger {
    async fn key_state(&self) -> Result<Option<KeyState>, LedgerError> {
        let session = self.session("read the data key's name").await?;
        read_state(&session.finish(&[("SELECT hashes, next FROM data_key", &[])]).await?)
    }

    async fn begin_rekey(&self, to: &str) -> Result<(), LedgerError> {
        let mut session = self.session(DOING).await?;
        let named: Param<'_> = (&to, Type::TEXT);
        let note = [named.clone()];
        let found = session.run(&[(NOTE, &note), (LOCK_TO_BEGIN, &[]), (UNFINISHED, &[])]).await?;
        if let Some(run) = found.first() {
            return Err(LedgerError::Unfinished { run: RunId(get(run, "run_id")?) });
        }
        session.finish(&[(BEGIN, &[named]), (LEASES, &[])]).await?;
        Ok(())
    }

    async fn held(&self, kind: HeldKind, after: Option<&Held>, limit: u32) -> Result<Vec<Held>, LedgerError> {
        let number = match after {
            Some(Held::Act { number, .. } | Held::DeadLetter { number, .. } | Held::Stray { number, .. }) => {
                *number
            }
            _ => 0,
        };
        let key = match after {
            Some(Held::Row { key, .. } | Held::Intent { key, .. }) => *key,
            Some(Held::Selection { run, .. }) => RowKey { run: *run, sheet_row: 0, generation: 0 },
            _ => RowKey { run: RunId(Uuid::nil()), sheet_row: 0, generation: 0 },
        };
        let nik = match after {
            Some(Held::Newest { nik, .. }) => nik.as_str(),
            _ => "",
        };
        let found = self
            .session(DOING)
            .await?
            .finish(&[(
                &statement(kind),
                &[
                    (&number, Type::INT8),
                    (&key.run.0, Type::UUID),
                    (&int(key.sheet_row), Type::INT4),
                    (&int(key.generation), Type::INT4),
                    (&nik, Type::TEXT),
                    (&i64::from(limit), Type::INT8),
                ],
            )])
            .await?;
        found.iter().map(|row| read(kind, row)).collect()
    }

    async fn held_of(&self, nik: &KeyedHash) -> Result<Option<Held>, LedgerError> {
        let nik = nik.as_str();
        let (row, newest) =
            (format!("{ROW} WHERE nik_hash = $1 LIMIT 1"), format!("{NEWEST} WHERE newest.nik_hash = $1"));
        let mut session = self.session(DOING).await?;
        let found = session.all(&[(&row, &[(&nik, Type::TEXT)]), (&newest, &[(&nik, Type::TEXT)])]).await?;
        session.finish(&[]).await?;
        let [rows, newest] = found.as_slice() else { return Ok(None) };
        let row = rows.first().map(|row| read(HeldKind::Row, row));
        row.or_else(|| newest.first().map(|row| read(HeldKind::Newest, row))).transpose()
    }

    async fn replace_held(&self, changes: Vec<(Held, Held)>) -> Result<(), LedgerError> {
        let mut session = self.session(DOING).await?;
        for (before, after) in &changes {
            replace(&mut session, before, after).await?;
        }
        session.finish(&[]).await?;
        Ok(())
    }

    async fn end_rekey(&self, to: &str) -> Result<bool, LedgerError> {
        let ended = self.session(DOING).await?.finish(&[(END, &[(&to, Type::TEXT)])]).await?;
        Ok(!ended.is_empty())
    }
}

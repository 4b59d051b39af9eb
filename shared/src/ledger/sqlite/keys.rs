//! What is held under a data key, listed and replaced.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::{Sql as _, SqliteLedger};
use crate::data_key::KeyedHash;
use crate::ledger::{Held, HeldKind, KeyState, LedgerError, LedgerKeys, RowKey, RunId, StrayMessage};

const DOING: &str = "change the data key";

fn key_state(db: &Connection) -> Result<Option<KeyState>, LedgerError> {
    let read = |row: &Row<'_>| Ok(KeyState { hashes: row.get(0)?, next: row.get(1)? });
    db.query_row("SELECT hashes, next FROM data_key", [], read).optional().doing("read the data key's name")
}

/// Refuses a run whose hashes would not compare with those that are here.
pub(super) fn check(db: &Connection, hashes: &str) -> Result<(), LedgerError> {
    match key_state(db)? {
        None => {
            let noted = db.execute("INSERT INTO data_key (only, hashes) VALUES (1, ?)", [hashes]);
            noted.doing("note the data key's name")?;
            Ok(())
        }
        Some(state) => state.admits(hashes),
    }
}

/// Refuses while hashes are being changed.
pub(super) fn check_settled(db: &Connection) -> Result<(), LedgerError> {
    match key_state(db)? {
        Some(KeyState { next: Some(_), .. }) => Err(LedgerError::Rekeying),
        _ => Ok(()),
    }
}

fn begin(db: &Connection, to: &str) -> Result<(), LedgerError> {
    let unfinished: Option<RunId> = db
        .query_row(
            "SELECT run_id FROM run WHERE state IN ('seeding', 'open')
             OR (state = 'closed' AND kind = 'night' AND EXISTS
                 (SELECT 1 FROM row INDEXED BY row_open WHERE row.run_id = run.run_id AND row.state <> 'done')) LIMIT 1",
            [],
            |row| row.get(0),
        )
        .optional()
        .doing(DOING)?;
    if let Some(run) = unfinished {
        return Err(LedgerError::Unfinished { run });
    }
    db.execute(
        "INSERT INTO data_key (only, hashes, next) VALUES (1, ?1, ?1) ON CONFLICT DO UPDATE SET next = ?1",
        [to],
    )
    .doing(DOING)?;
    // No row is open, so none of them guards anything.
    db.execute("DELETE FROM nik_lease", []).doing(DOING)?;
    Ok(())
}

const ROW: &str = "SELECT run_id, sheet_row, generation, nik_hash, number_hash, sealed, digests FROM row";

const NEWEST: &str =
    "SELECT newest.nik_hash, newest.number_hash, newest.digests, newest.run_id, newest.sheet_row, row.sealed
     FROM newest_success AS newest LEFT JOIN row USING (run_id, sheet_row)";

fn row_key(row: &Row<'_>) -> rusqlite::Result<RowKey> {
    Ok(RowKey { run: row.get("run_id")?, sheet_row: row.get("sheet_row")?, generation: 1 })
}

fn read_row(row: &Row<'_>) -> rusqlite::Result<Held> {
    Ok(Held::Row {
        key: row_key(row)?,
        nik: row.get("nik_hash")?,
        number: row.get("number_hash")?,
        sealed: row.get("sealed")?,
        digests: row.get("digests")?,
    })
}

fn read_newest(row: &Row<'_>) -> rusqlite::Result<Held> {
    Ok(Held::Newest {
        nik: row.get(0)?,
        number: row.get(1)?,
        digests: row.get(2)?,
        key: RowKey { run: row.get(3)?, sheet_row: row.get(4)?, generation: 1 },
        sealed: row.get(5)?,
    })
}

fn held(db: &Connection, kind: HeldKind, after: Option<&Held>, limit: u32) -> Result<Vec<Held>, LedgerError> {
    let number = match after {
        Some(Held::Act { number, .. } | Held::DeadLetter { number, .. } | Held::Stray { number, .. }) => {
            *number
        }
        _ => 0,
    };
    let key = match after {
        Some(Held::Row { key, .. } | Held::Intent { key, .. }) => *key,
        Some(Held::Selection { run, .. }) => RowKey { run: *run, sheet_row: 0, generation: 0 },
        _ => RowKey { run: RunId(uuid::Uuid::nil()), sheet_row: 0, generation: 0 },
    };
    let nik = match after {
        Some(Held::Newest { nik, .. }) => nik.as_str(),
        _ => "",
    };
    match kind {
        HeldKind::Selection => list(
            db,
            "SELECT run_id, selection FROM run WHERE run_id > ? ORDER BY run_id LIMIT ?",
            params![key.run, limit],
            |row| Ok(Held::Selection { run: row.get(0)?, json: row.get(1)? }),
        ),
        HeldKind::Act => list(
            db,
            "SELECT number, detail FROM act WHERE number > ? ORDER BY number LIMIT ?",
            params![number, limit],
            |row| Ok(Held::Act { number: row.get(0)?, json: row.get(1)? }),
        ),
        HeldKind::Row => list(
            db,
            &format!("{ROW} WHERE (run_id, sheet_row) > (?, ?) ORDER BY run_id, sheet_row LIMIT ?"),
            params![key.run, key.sheet_row, limit],
            read_row,
        ),
        HeldKind::DeadLetter => list(
            db,
            "SELECT number, run_id, sheet_row, nik_hash, sealed FROM dead_letter WHERE number > ? ORDER BY number LIMIT ?",
            params![number, limit],
            |row| {
                let key = row_key(row)?;
                Ok(Held::DeadLetter { number: row.get(0)?, key, nik: row.get(3)?, sealed: row.get(4)? })
            },
        ),
        HeldKind::Intent => list(
            db,
            "SELECT run_id, sheet_row, generation, patient_id, sealed_before FROM intent
             WHERE (run_id, sheet_row, generation) > (?, ?, ?) ORDER BY run_id, sheet_row, generation LIMIT ?",
            params![key.run, key.sheet_row, key.generation, limit],
            |row| {
                let key = RowKey { generation: row.get(2)?, ..row_key(row)? };
                Ok(Held::Intent { key, patient: row.get(3)?, before: row.get(4)? })
            },
        ),
        HeldKind::Stray => list(
            db,
            "SELECT number, queue, message_id, sealed FROM stray WHERE number > ? ORDER BY number LIMIT ?",
            params![number, limit],
            |row| {
                let (queue, id): (String, Option<String>) = (row.get(1)?, row.get(2)?);
                let place = StrayMessage::place(&queue, id.as_deref());
                Ok(Held::Stray { number: row.get(0)?, place, sealed: row.get(3)? })
            },
        ),
        HeldKind::Newest => list(
            db,
            &format!("{NEWEST} WHERE newest.nik_hash > ? ORDER BY newest.nik_hash LIMIT ?"),
            params![nik, limit],
            read_newest,
        ),
    }
}

fn list(
    db: &Connection,
    sql: &str,
    values: &[&dyn rusqlite::ToSql],
    read: impl Fn(&Row<'_>) -> rusqlite::Result<Held>,
) -> Result<Vec<Held>, LedgerError> {
    db.prepare_cached(sql).and_then(|mut found| found.query_map(values, read)?.collect()).doing(DOING)
}

fn held_of(db: &Connection, nik: &KeyedHash) -> Result<Option<Held>, LedgerError> {
    let rows = list(db, &format!("{ROW} WHERE nik_hash = ? LIMIT 1"), params![nik], read_row)?;
    if let Some(row) = rows.into_iter().next() {
        return Ok(Some(row));
    }
    let newest = list(db, &format!("{NEWEST} WHERE newest.nik_hash = ?"), params![nik], read_newest)?;
    Ok(newest.into_iter().next())
}

fn replace(db: &Connection, changes: &[(Held, Held)]) -> Result<(), LedgerError> {
    let change = |sql: &str, values: &[&dyn rusqlite::ToSql]| {
        db.prepare_cached(sql).and_then(|mut update| update.execute(values)).doing(DOING)
    };
    for (before, after) in changes {
        match after {
            Held::Selection { run, json } => {
                change("UPDATE run SET selection = ?2 WHERE run_id = ?1", params![run, json])?
            }
            Held::Act { number, json } => {
                change("UPDATE act SET detail = ?2 WHERE number = ?1", params![number, json])?
            }
            Held::Row { key, nik, number, sealed, digests } => {
                if let Held::Row { nik: Some(old), number: Some(old_number), .. } = before {
                    change(
                        "UPDATE success SET nik_hash = ?4, number_hash = ?5
                         WHERE run_date = (SELECT run_date FROM run WHERE run_id = ?1) AND nik_hash = ?2 AND number_hash = ?3",
                        params![key.run, old, old_number, nik, number],
                    )?;
                }
                change(
                    "UPDATE row SET nik_hash = ?3, number_hash = ?4, sealed = ?5, digests = ?6
                     WHERE run_id = ?1 AND sheet_row = ?2",
                    params![key.run, key.sheet_row, nik, number, sealed, digests],
                )?
            }
            Held::DeadLetter { number, nik, sealed, .. } => change(
                "UPDATE dead_letter SET nik_hash = ?2, sealed = ?3 WHERE number = ?1",
                params![number, nik, sealed],
            )?,
            Held::Intent { key, patient, before } => change(
                "UPDATE intent SET patient_id = ?4, sealed_before = ?5
                 WHERE run_id = ?1 AND sheet_row = ?2 AND generation = ?3",
                params![key.run, key.sheet_row, key.generation, patient, before],
            )?,
            Held::Stray { number, sealed, .. } => {
                change("UPDATE stray SET sealed = ?2 WHERE number = ?1", params![number, sealed])?
            }
            Held::Newest { nik, number, digests, .. } => {
                let Held::Newest { nik: old, .. } = before else { continue };
                change(
                    "UPDATE newest_success SET nik_hash = ?2, number_hash = ?3, digests = ?4 WHERE nik_hash = ?1",
                    params![old, nik, number, digests],
                )?
            }
        };
    }
    Ok(())
}

#[async_trait]
impl LedgerKeys for SqliteLedger {
    async fn key_state(&self) -> Result<Option<KeyState>, LedgerError> {
        self.read("read the data key's name", key_state).await
    }

    async fn begin_rekey(&self, to: &str) -> Result<(), LedgerError> {
        let to = to.to_owned();
        self.write(DOING, move |db, _| begin(db, &to)).await
    }

    async fn held(&self, kind: HeldKind, after: Option<&Held>, limit: u32) -> Result<Vec<Held>, LedgerError> {
        let after = after.cloned();
        self.read(DOING, move |db| held(db, kind, after.as_ref(), limit)).await
    }

    async fn held_of(&self, nik: &KeyedHash) -> Result<Option<Held>, LedgerError> {
        let nik = nik.clone();
        self.read(DOING, move |db| held_of(db, &nik)).await
    }

    async fn replace_held(&self, changes: Vec<(Held, Held)>) -> Result<(), LedgerError> {
        self.write(DOING, move |db, _| replace(db, &changes)).await
    }

    async fn end_rekey(&self, to: &str) -> Result<bool, LedgerError> {
        let to = to.to_owned();
        let ended = move |db: &Connection, _| {
            let sql = "UPDATE data_key SET hashes = ?1, next = NULL WHERE next = ?1";
            db.execute(sql, [&to]).map(|ended| ended == 1).doing(DOING)
        };
        self.write(DOING, ended).await
    }
}

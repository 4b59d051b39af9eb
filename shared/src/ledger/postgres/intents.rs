//! Intents: what is about to be written, recorded before it is.

use std::collections::{HashMap, HashSet};

use tokio_postgres::types::Type;

use super::claims::LOCK_ROWS;
use super::convert::{Keys, get, row_key};
use super::session::Session;
use crate::ledger::{Intent, LedgerError, RowKey};

const INTEND: &str = "
    WITH asked AS (SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7)
                   AS asked (run_id, sheet_row, generation, epoch, patient_id, version_id, sealed_before))
    INSERT INTO intent AS i (run_id, sheet_row, generation, patient_id, version_id, sealed_before, intended_at)
    SELECT asked.run_id, asked.sheet_row, asked.generation, patient_id, version_id, sealed_before, ledger_now()
    FROM asked JOIN row AS r ON r.run_id = asked.run_id AND r.sheet_row = asked.sheet_row
      AND r.generation = asked.generation AND r.epoch = asked.epoch AND r.state = 'claimed' AND r.sweep_at > ledger_now()
    ON CONFLICT (run_id, sheet_row, generation) DO UPDATE SET patient_id = excluded.patient_id,
      version_id = excluded.version_id, sealed_before = excluded.sealed_before, intended_at = excluded.intended_at
    RETURNING i.run_id, i.sheet_row, i.generation,
      (SELECT epoch FROM row AS r WHERE r.run_id = i.run_id AND r.sheet_row = i.sheet_row)";

pub(super) async fn record_intents(session: Session, intents: &[Intent]) -> Result<Vec<bool>, LedgerError> {
    // Of several for one claim the last stands; of several epochs of one row at most one does.
    let last: HashMap<(RowKey, i64), &Intent> =
        intents.iter().map(|intent| ((intent.key, intent.epoch), intent)).collect();
    let last: Vec<_> = last.into_values().collect();
    let keys: Keys = last.iter().map(|intent| intent.key).collect();
    let epochs: Vec<_> = last.iter().map(|intent| intent.epoch).collect();
    let patients: Vec<_> = last.iter().map(|intent| intent.patient.as_str()).collect();
    let versions: Vec<_> = last.iter().map(|intent| intent.version.as_str()).collect();
    let sealed: Vec<_> = last.iter().map(|intent| intent.sealed_before.as_slice()).collect();
    let rows = session
        .finish(&[
            (LOCK_ROWS, &[(&keys.runs, Type::UUID_ARRAY), (&keys.rows, Type::INT4_ARRAY)]),
            (
                INTEND,
                &[
                    (&keys.runs, Type::UUID_ARRAY),
                    (&keys.rows, Type::INT4_ARRAY),
                    (&keys.generations, Type::INT4_ARRAY),
                    (&epochs, Type::INT8_ARRAY),
                    (&patients, Type::TEXT_ARRAY),
                    (&versions, Type::TEXT_ARRAY),
                    (&sealed, Type::BYTEA_ARRAY),
                ],
            ),
        ])
        .await?;
    let standing = rows.iter().map(|row| Ok((row_key(row)?, get(row, "epoch")?)));
    let standing: HashSet<(RowKey, i64)> = standing.collect::<Result<_, LedgerError>>()?;
    Ok(intents.iter().map(|intent| standing.contains(&(intent.key, intent.epoch))).collect())
}

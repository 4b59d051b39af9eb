//! Where a job stands.

use rusqlite::{Connection, OptionalExtension as _};

use super::Sql as _;
use super::convert::instant;
use super::counts::counted;
use super::runs::{RUN_COLUMNS, read_run};
use crate::ledger::{LedgerError, RunSummary, Standing};

const DOING: &str = "read where a job stands";

pub(super) fn standing(db: &Connection, job: &str) -> Result<Standing, LedgerError> {
    let newest = db
        .prepare_cached(&format!(
            "SELECT {RUN_COLUMNS} FROM run WHERE job = ? AND kind = 'night' ORDER BY snapshot_order DESC LIMIT 1"
        ))
        .and_then(|mut newest| newest.query_row([job], read_run).optional())
        .doing(DOING)?;
    let newest = match newest {
        Some(run) => Some(RunSummary { tally: counted(db, run.id)?, run }),
        None => None,
    };
    db.prepare_cached(
        "SELECT (SELECT MAX(closed_at) FROM run WHERE job = ?1 AND kind = 'night' AND state = 'closed'
                   AND json_extract(selection, '$.limit') IS NULL AND json_extract(selection, '$.niks') IS NULL)
                  AS last_success,
                (SELECT COUNT(*) FROM dead_letter INDEXED BY dead_letter_open JOIN run USING (run_id)
                 WHERE run.job = ?1 AND replayed_at IS NULL) AS dead_letters_open,
                (SELECT COUNT(*) FROM notice
                 WHERE kind = 'overlap_refused' AND substr(key, 1, length(?2)) = ?2) AS overlaps_refused,
                (SELECT MAX(at) FROM act WHERE act = 'prune' AND json_extract(detail, '$.job') = ?1) AS last_prune",
    )
    .and_then(|mut rest| {
        rest.query_row([job, &format!("overlap:{job}:")], |row| {
            Ok(Standing {
                newest,
                last_success: instant(row, "last_success")?,
                dead_letters_open: row.get("dead_letters_open")?,
                last_prune: instant(row, "last_prune")?,
                overlaps_refused: row.get("overlaps_refused")?,
            })
        })
    })
    .doing(DOING)
}

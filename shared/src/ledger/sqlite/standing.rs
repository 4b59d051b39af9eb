//! Where a job stands.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::Sql as _;
use super::convert::{instant, needed};
use super::counts::counted;
use super::runs::{RUN_COLUMNS, read_run};
use crate::domain::Outcome;
use crate::ledger::{LedgerError, RECENT_NIGHTS, RECENT_ROWS, RunId, RunSummary, Standing};

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
    let recent = recent(db, job)?;
    let last_ended = newest.as_ref().map(|newest| last_ended(db, newest.run.id)).transpose()?.flatten();
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
                last_ended,
                recent,
                last_success: instant(row, "last_success")?,
                dead_letters_open: row.get("dead_letters_open")?,
                last_prune: instant(row, "last_prune")?,
                overlaps_refused: row.get("overlaps_refused")?,
            })
        })
    })
    .doing(DOING)
}

/// The rows of nights that ended last, by outcome. Of each night after the first only those are read that ended after
/// the oldest so far: usually none.
fn recent(db: &Connection, job: &str) -> Result<BTreeMap<Outcome, u64>, LedgerError> {
    let nights: Vec<RunId> = db
        .prepare_cached(
            "SELECT run_id FROM run WHERE job = ? AND kind = 'night' ORDER BY snapshot_order DESC LIMIT ?",
        )
        .and_then(|mut nights| nights.query_map(params![job, RECENT_NIGHTS], |row| row.get(0))?.collect())
        .doing(DOING)?;
    let mut ended: Vec<(i64, Outcome)> = Vec::new();
    for night in nights {
        let is_full = ended.len() == RECENT_ROWS as usize;
        let since = ended.last().filter(|_| is_full).map_or(i64::MIN, |(oldest, _)| *oldest);
        let later: Vec<(i64, Outcome)> = db
            .prepare_cached(
                "SELECT ended_at, outcome FROM row INDEXED BY row_ended
                 WHERE run_id = ? AND ended_at IS NOT NULL AND ended_at > ? ORDER BY ended_at DESC LIMIT ?",
            )
            .and_then(|mut rows| {
                rows.query_map(params![night, since, RECENT_ROWS], |row| {
                    Ok((row.get("ended_at")?, needed(row, "outcome")?))
                })?
                .collect()
            })
            .doing(DOING)?;
        ended.extend(later);
        ended.sort_unstable_by(|one, other| other.cmp(one));
        ended.truncate(RECENT_ROWS as usize);
    }
    let mut recent = BTreeMap::new();
    for (_, outcome) in ended {
        *recent.entry(outcome).or_default() += 1;
    }
    Ok(recent)
}

fn last_ended(db: &Connection, run: RunId) -> Result<Option<Timestamp>, LedgerError> {
    db.prepare_cached(
        "SELECT MAX(ended_at) AS last_ended FROM row INDEXED BY row_ended WHERE run_id = ? AND ended_at IS NOT NULL",
    )
    .and_then(|mut last| last.query_row([run], |row| instant(row, "last_ended")))
    .doing(DOING)
}

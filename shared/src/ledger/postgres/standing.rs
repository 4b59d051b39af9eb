//! Where a job stands.

use tokio_postgres::types::Type;

use super::convert::{instant, needed, total};
use super::counts::counted;
use super::runs::{RUN_COLUMNS, read_run};
use super::session::Session;
use crate::ledger::{LedgerError, RECENT_NIGHTS, RECENT_ROWS, RunSummary, Standing};

const REST: &str = "
    SELECT (SELECT max(closed_at) FROM run WHERE job = $1 AND kind = 'night' AND state = 'closed'
              AND selection -> 'limit' IS NULL AND selection -> 'niks' IS NULL) AS last_success,
           (SELECT count(*) FROM dead_letter JOIN run USING (run_id)
            WHERE run.job = $1 AND replayed_at IS NULL) AS dead_letters_open,
           (SELECT count(*) FROM notice
            WHERE kind = 'overlap_refused' AND starts_with(key, $2)) AS overlaps_refused,
           (SELECT max(at) FROM act WHERE act = 'prune' AND detail ->> 'job' = $1) AS last_prune";

// Of each night no more rows are read than are counted of all, backwards along the index.
const RECENT: &str = "
    SELECT outcome, count(*) AS alike
    FROM (SELECT ended.outcome FROM
            (SELECT run_id FROM run WHERE job = $1 AND kind = 'night' ORDER BY snapshot_order DESC LIMIT $2) AS night
            CROSS JOIN LATERAL
            (SELECT outcome, ended_at FROM row WHERE row.run_id = night.run_id AND ended_at IS NOT NULL
             ORDER BY ended_at DESC LIMIT $3) AS ended
          ORDER BY ended_at DESC LIMIT $3) AS recent
    GROUP BY outcome";

const LAST_ENDED: &str = "
    SELECT max(ended_at) AS last_ended FROM row WHERE ended_at IS NOT NULL AND run_id =
      (SELECT run_id FROM run WHERE job = $1 AND kind = 'night' ORDER BY snapshot_order DESC LIMIT 1)";

pub(super) async fn standing(mut session: Session, job: &str) -> Result<Standing, LedgerError> {
    let newest = format!(
        "SELECT {RUN_COLUMNS} FROM run WHERE job = $1 AND kind = 'night' ORDER BY snapshot_order DESC LIMIT 1"
    );
    let overlaps = format!("overlap:{job}:");
    let (nights, rows) = (i64::from(RECENT_NIGHTS), i64::from(RECENT_ROWS));
    let job = (&job as _, Type::TEXT);
    let answers = session
        .all(&[
            (&newest, std::slice::from_ref(&job)),
            (REST, &[job.clone(), (&overlaps, Type::TEXT)]),
            (RECENT, &[job.clone(), (&nights, Type::INT8), (&rows, Type::INT8)]),
            (LAST_ENDED, std::slice::from_ref(&job)),
        ])
        .await?;
    let [newest, rest, recent, last_ended] = answers.as_slice() else {
        return Err(LedgerError::Foreign { what: "standing" });
    };
    let (Some(rest), Some(last_ended)) = (rest.first(), last_ended.first()) else {
        return Err(LedgerError::Foreign { what: "standing" });
    };
    let recent = recent.iter().map(|row| Ok((needed(row, "outcome")?, total(row, "alike")?)));
    let mut standing = Standing {
        newest: None,
        last_ended: instant(last_ended, "last_ended")?,
        recent: recent.collect::<Result<_, LedgerError>>()?,
        last_success: instant(rest, "last_success")?,
        dead_letters_open: total(rest, "dead_letters_open")?,
        last_prune: instant(rest, "last_prune")?,
        overlaps_refused: total(rest, "overlaps_refused")?,
    };
    let newest = newest.first().map(read_run).transpose()?;
    let mut counted = counted(session, newest.iter().map(|run| run.id.0).collect()).await?;
    standing.newest =
        newest.map(|run| RunSummary { tally: counted.remove(&run.id.0).unwrap_or_default(), run });
    Ok(standing)
}

//! Where a job stands.

use tokio_postgres::types::Type;

use super::convert::{instant, total};
use super::counts::counted;
use super::runs::{RUN_COLUMNS, read_run};
use super::session::Session;
use crate::ledger::{LedgerError, RunSummary, Standing};

const REST: &str = "
    SELECT (SELECT max(closed_at) FROM run WHERE job = $1 AND kind = 'night' AND state = 'closed'
              AND selection -> 'limit' IS NULL AND selection -> 'niks' IS NULL) AS last_success,
           (SELECT count(*) FROM dead_letter JOIN run USING (run_id)
            WHERE run.job = $1 AND replayed_at IS NULL) AS dead_letters_open,
           (SELECT count(*) FROM notice
            WHERE kind = 'overlap_refused' AND starts_with(key, $2)) AS overlaps_refused,
           (SELECT max(at) FROM act WHERE act = 'prune' AND detail ->> 'job' = $1) AS last_prune";

pub(super) async fn standing(mut session: Session, job: &str) -> Result<Standing, LedgerError> {
    let newest = format!(
        "SELECT {RUN_COLUMNS} FROM run WHERE job = $1 AND kind = 'night' ORDER BY snapshot_order DESC LIMIT 1"
    );
    let overlaps = format!("overlap:{job}:");
    let answers = session
        .all(&[(&newest, &[(&job, Type::TEXT)]), (REST, &[(&job, Type::TEXT), (&overlaps, Type::TEXT)])])
        .await?;
    let [newest, rest] = answers.as_slice() else { return Err(LedgerError::Foreign { what: "standing" }) };
    let rest = rest.first().ok_or(LedgerError::Foreign { what: "standing" })?;
    let mut standing = Standing {
        newest: None,
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

//! The counts kept beside the rows: a part of the statement that changes an outcome, or the last of its transaction.
//!
//! Lines are locked in the order of their keys, and after everything else: transactions that wait for each other
//! here hold nothing that the other still wants.

use std::collections::HashMap;

use tokio_postgres::types::Type;
use uuid::Uuid;

use super::convert::{get, needed, total};
use super::session::Session;
use crate::domain::{Outcome, Reason};
use crate::ledger::{LedgerError, RunId, Tally};

/// `INSERT` of what `changes` (run_id, what, code, amount) come to.
macro_rules! keep_counts {
    ($($changes:expr),+) => {
        concat!(
            "INSERT INTO run_count AS kept (run_id, what, code, slot, amount)
             SELECT run_id, what, code, pg_backend_pid() % 16, sum(amount) FROM (", $($changes),+, ")
               AS changes (run_id, what, code, amount)
             GROUP BY run_id, what, code HAVING sum(amount) <> 0 ORDER BY run_id, what, code
             ON CONFLICT (run_id, what, code, slot) DO UPDATE SET amount = kept.amount + excluded.amount"
        )
    };
}

/// The changes by rows (run_id, outcome, reason, warnings) that got an outcome, or by -1 lose it.
macro_rules! outcomes_of {
    ($rows:literal, $amount:literal) => {
        concat!(
            "SELECT run_id, 'outcome', outcome, ",
            $amount,
            " FROM ",
            $rows,
            "
             UNION ALL SELECT run_id, 'reason', reason, ",
            $amount,
            " FROM ",
            $rows,
            " WHERE reason IS NOT NULL
             UNION ALL SELECT run_id, 'warning', code, ",
            $amount,
            " FROM ",
            $rows,
            ",
               unnest(string_to_array(warnings, ' ')) AS code WHERE warnings <> ''"
        )
    };
}

pub(super) use {keep_counts, outcomes_of};

/// Counts a run whose snapshot is complete, for the first time.
pub(super) const BEGIN: &str = concat!(
    "WITH done AS MATERIALIZED (
       SELECT run_id, outcome, reason, warnings FROM row WHERE run_id = $1 AND outcome IS NOT NULL) ",
    keep_counts!(
        "SELECT $1, 'selected', '', count(*) FROM row WHERE run_id = $1 UNION ALL ",
        outcomes_of!("done", "1")
    )
);

const COUNTED: &str = "
    SELECT run_id, what, code, sum(amount)::bigint AS amount FROM run_count WHERE run_id = ANY ($1)
    GROUP BY run_id, what, code HAVING sum(amount) <> 0";

/// The tallies that the counts come to.
pub(super) async fn counted(session: Session, runs: Vec<Uuid>) -> Result<HashMap<Uuid, Tally>, LedgerError> {
    let mut tallies: HashMap<Uuid, Tally> = HashMap::new();
    for line in session.finish(&[(COUNTED, &[(&runs, Type::UUID_ARRAY)])]).await? {
        let tally = tallies.entry(get(&line, "run_id")?).or_default();
        let amount = total(&line, "amount")?;
        match get::<&str>(&line, "what")? {
            "selected" => tally.open = amount,
            "requests" => tally.requests = amount,
            "retries" => tally.retries = amount,
            "outcome" => {
                tally.outcomes.insert(needed::<Outcome>(&line, "code")?, amount);
            }
            "reason" => {
                tally.reasons.insert(needed::<Reason>(&line, "code")?, amount);
            }
            // A code of another version is left out: it is a remark, not the outcome.
            _ => {
                tally.warnings.extend(get::<&str>(&line, "code")?.parse().ok().map(|code| (code, amount)));
            }
        }
    }
    for tally in tallies.values_mut() {
        tally.open = tally.open.saturating_sub(tally.outcomes.values().sum());
    }
    Ok(tallies)
}

/// One run's.
pub(super) async fn counted_of(session: Session, run: RunId) -> Result<Tally, LedgerError> {
    Ok(counted(session, vec![run.0]).await?.remove(&run.0).unwrap_or_default())
}

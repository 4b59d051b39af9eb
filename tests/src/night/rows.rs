//! How rows ended, in a form that tests compare.

use shared::domain::{Outcome, Reason};
use shared::ledger::{LedgerView, RowFilter, RowView, RunId};

use super::scene::Scene;

/// How one row ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ending {
    /// The outcome.
    pub outcome: Outcome,
    /// The reason of a rejected or dead-lettered row.
    pub reason: Option<Reason>,
    /// Failed attempts, and the one that ended it.
    pub attempts: u32,
    /// 1, and one more with each replay.
    pub generation: u32,
}

impl Scene {
    /// The rows of a run in sheet order.
    pub async fn rows(&self, run: RunId) -> Vec<RowView> {
        let ledger = self.look();
        let (mut rows, mut after) = (Vec::new(), 0);
        loop {
            let page = ledger.rows(run, &RowFilter::default(), after, 1_000).await.expect("a list");
            let Some(last) = page.last() else { return rows };
            after = last.key.sheet_row;
            rows.extend(page);
        }
    }

    /// The newest run.
    pub async fn newest_run(&self) -> RunId {
        let runs = self.look().runs(&self.settings().job, None, 1).await.expect("a list");
        runs.first().expect("a run").run.id
    }

    /// How the rows of the newest run ended, in sheet order.
    pub async fn endings(&self) -> Vec<Ending> {
        endings(&self.rows(self.newest_run().await).await)
    }

    /// The outcomes of the newest run, in sheet order.
    pub async fn outcomes(&self) -> Vec<Outcome> {
        self.endings().await.iter().map(|ending| ending.outcome).collect()
    }
}

/// How these rows ended.
///
/// # Panics
/// One of them did not.
pub fn endings(rows: &[RowView]) -> Vec<Ending> {
    let ending = |row: &RowView| Ending {
        outcome: row.outcome.unwrap_or_else(|| panic!("row {} is {}", row.key.sheet_row, row.state)),
        reason: row.reason,
        attempts: row.attempts,
        generation: row.key.generation,
    };
    rows.iter().map(ending).collect()
}

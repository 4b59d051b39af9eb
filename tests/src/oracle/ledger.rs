//! Runs, rows and dead letters: one terminal outcome for each row and generation.

use std::collections::BTreeMap;

use shared::domain::Outcome;
use shared::ledger::{LedgerError, Replay, RowFilter, RowKey, RowView, RunId, RunKind, RunState, RunSummary};
use shared::payload::Payload;

use super::{Oracle, Verdict};

/// How often the nights say `updated`, by NIK.
pub(super) type Updates = BTreeMap<String, u32>;

impl Oracle<'_> {
    pub(super) async fn judge_ledger(&self, verdict: &mut Verdict) -> Updates {
        let mut updates = Updates::new();
        if let Err(error) = self.judge_runs(verdict, &mut updates).await {
            verdict.wrong(true, || format!("the ledger cannot be looked at: {error}"));
        }
        updates
    }

    async fn judge_runs(&self, verdict: &mut Verdict, updates: &mut Updates) -> Result<(), LedgerError> {
        let mut dead = Vec::new();
        for summary in self.ledger.runs(self.job, None, 1_000).await? {
            let RunSummary { run, tally } = &summary;
            if run.state == RunState::Abandoned {
                let is_night = run.kind != RunKind::DryRun;
                verdict.wrong(is_night, || format!("run {} was abandoned, which is no dry run", run.id));
                continue;
            }
            let unclosed = u64::from(run.state != RunState::Closed);
            verdict.stuck(unclosed, || format!("run {} of {} is {}", run.id, run.date, run.state));
            let counted = self.ledger.tally(run.id).await?;
            verdict
                .wrong(*tally != counted, || format!("run {}: kept {tally:?}, counted {counted:?}", run.id));
            let rows = self.rows(run.id).await?;
            let (selected, there) = (tally.selected(), rows.len() as u64);
            let expected = self.rows.filter(|_| run.kind == RunKind::Night).unwrap_or(selected);
            verdict.lost(expected.abs_diff(there).max(selected.abs_diff(there)), || {
                format!(
                    "run {}: {expected} rows must be there, {selected} were selected, {there} are",
                    run.id
                )
            });
            rows.iter().for_each(|row| judge_row(verdict, row));
            if run.kind == RunKind::Night {
                verdict.rows += rows.len() as u64;
                self.count_updates(verdict, &rows, updates);
                dead.extend(
                    rows.iter().filter(|row| row.outcome == Some(Outcome::DeadLettered)).map(|row| row.key),
                );
            }
        }
        self.judge_dead_letters(verdict, dead).await
    }

    async fn rows(&self, run: RunId) -> Result<Vec<RowView>, LedgerError> {
        let (mut rows, mut after) = (Vec::new(), 0);
        loop {
            let page = self.ledger.rows(run, &RowFilter::default(), after, 1_000).await?;
            let Some(last) = page.last() else { return Ok(rows) };
            after = last.key.sheet_row;
            rows.extend(page);
        }
    }

    fn count_updates(&self, verdict: &mut Verdict, rows: &[RowView], updates: &mut Updates) {
        for row in rows.iter().filter(|row| row.outcome == Some(Outcome::Updated)) {
            match Payload::open(self.keys, &row.key, &row.sealed) {
                Ok(Payload { nik: Some(nik), .. }) => {
                    *updates.entry(nik.expose().to_owned()).or_default() += 1
                }
                _ => verdict.wrong(true, || format!("the NIK of row {} is not there", row.key.sheet_row)),
            }
        }
    }

    async fn judge_dead_letters(
        &self,
        verdict: &mut Verdict,
        mut dead: Vec<RowKey>,
    ) -> Result<(), LedgerError> {
        let letters = self.ledger.dead_letters(&Replay::default(), 0, 100_000).await?;
        let mut open: Vec<RowKey> =
            letters.iter().filter(|letter| letter.replayed_at.is_none()).map(|letter| letter.key).collect();
        open.sort();
        dead.sort();
        let without = dead.iter().filter(|key| open.binary_search(key).is_err()).count();
        verdict.lost(without as u64, || format!("{without} dead rows have no open dead letter"));
        let beyond = open.len().saturating_sub(dead.len() - without);
        verdict.doubled(beyond as u64, || format!("{beyond} open dead letters are of no dead row"));
        let (replayed, endings) = (letters.len() - open.len(), "SELECT COUNT(*) FROM row_history");
        let endings = self.world.count(endings).await;
        let earlier = self.world.count("SELECT COALESCE(SUM(generation - 1), 0) FROM row").await;
        verdict.wrong(endings != replayed as u64 || endings != earlier, || {
            format!("{earlier} generations before the last left {endings} endings and {replayed} replayed dead letters")
        });
        let others = "SELECT COUNT(*) FROM row_history WHERE outcome <> 'dead_lettered'";
        let others = self.world.count(others).await;
        verdict.wrong(others > 0, || format!("{others} generations that were no dead letters were replayed"));
        Ok(())
    }
}

fn judge_row(verdict: &mut Verdict, row: &RowView) {
    let place =
        |key: &RowKey| format!("row {} of run {}, generation {}", key.sheet_row, key.run, key.generation);
    let is_open = row.outcome.is_none() || row.state != "done";
    verdict.stuck(u64::from(is_open), || format!("{} is {}, {:?}", place(&row.key), row.state, row.outcome));
    let says_why = matches!(row.outcome, Some(Outcome::Rejected | Outcome::DeadLettered));
    verdict.wrong(!is_open && row.reason.is_some() != says_why, || {
        format!("{} is {:?} for {:?}", place(&row.key), row.outcome, row.reason)
    });
}

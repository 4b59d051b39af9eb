//! The counts kept beside the rows: what a verb changes is gathered while it works, and written once at its end.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension as _, params};

use super::Sql as _;
use super::convert::word;
use crate::domain::{Outcome, Reason};
use crate::ledger::{LedgerError, RowKey, RunId, Tally};

const DOING: &str = "keep the counts";

/// Changes of counts, by run, what is counted, and code.
#[derive(Default)]
pub(super) struct Counts(BTreeMap<(RunId, &'static str, String), i64>);

impl Counts {
    fn add(&mut self, run: RunId, what: &'static str, code: &str, amount: i64) {
        if amount != 0 {
            *self.0.entry((run, what, code.to_owned())).or_default() += amount;
        }
    }

    /// Requests and retries of a claim.
    pub(super) fn effort(&mut self, run: RunId, requests: u32, retries: u32) {
        self.add(run, "requests", "", requests.into());
        self.add(run, "retries", "", retries.into());
    }

    /// A row that has this outcome now, without a reason, and all these warnings.
    pub(super) fn ended_in(&mut self, run: RunId, outcome: Outcome, warnings: &str) {
        self.add(run, "outcome", outcome.as_str(), 1);
        for warning in warnings.split_whitespace() {
            self.add(run, "warning", warning, 1);
        }
    }

    /// A row that has its outcome now.
    pub(super) fn ended(&mut self, db: &Connection, key: RowKey) -> Result<(), LedgerError> {
        self.row(db, key, 1)
    }

    /// A row that has its outcome still, and is about to lose it.
    pub(super) fn reopened(&mut self, db: &Connection, key: RowKey) -> Result<(), LedgerError> {
        self.row(db, key, -1)
    }

    fn row(&mut self, db: &Connection, key: RowKey, amount: i64) -> Result<(), LedgerError> {
        let found = db
            .prepare_cached("SELECT outcome, reason, warnings FROM row WHERE run_id = ? AND sheet_row = ? AND outcome IS NOT NULL")
            .and_then(|mut row| {
                row.query_row(params![key.run, key.sheet_row], |row| {
                    Ok((row.get::<_, String>(0)?, row.get::<_, Option<String>>(1)?, row.get::<_, String>(2)?))
                })
                .optional()
            })
            .doing(DOING)?;
        let Some((outcome, reason, warnings)) = found else { return Ok(()) };
        self.add(key.run, "outcome", &outcome, amount);
        if let Some(reason) = reason {
            self.add(key.run, "reason", &reason, amount);
        }
        for warning in warnings.split_whitespace() {
            self.add(key.run, "warning", warning, amount);
        }
        Ok(())
    }

    /// Writes them.
    pub(super) fn keep(self, db: &Connection) -> Result<(), LedgerError> {
        let mut upsert = db
            .prepare_cached(
                "INSERT INTO run_count (run_id, what, code, amount) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT DO UPDATE SET amount = amount + ?4",
            )
            .doing(DOING)?;
        for ((run, what, code), amount) in self.0 {
            upsert.execute(params![run, what, code, amount]).doing(DOING)?;
        }
        Ok(())
    }
}

/// Counts a run whose snapshot is complete, for the first time.
pub(super) fn begin(db: &Connection, run: RunId) -> Result<(), LedgerError> {
    db.execute(
        "INSERT INTO run_count (run_id, what, code, amount)
         SELECT ?1, 'selected', '', COUNT(*) FROM row WHERE run_id = ?1
         UNION ALL
         SELECT ?1, 'outcome', outcome, COUNT(*) FROM row WHERE run_id = ?1 AND outcome IS NOT NULL GROUP BY outcome
         UNION ALL
         SELECT ?1, 'reason', reason, COUNT(*) FROM row
         WHERE run_id = ?1 AND outcome IS NOT NULL AND reason IS NOT NULL GROUP BY reason
         UNION ALL
         SELECT ?1, 'warning', code.value, COUNT(*)
         FROM row, json_each('[\"' || replace(warnings, ' ', '\",\"') || '\"]') AS code
         WHERE run_id = ?1 AND outcome IS NOT NULL AND warnings <> '' GROUP BY code.value",
        [run],
    )
    .doing(DOING)?;
    Ok(())
}

/// The tally that the counts come to.
pub(super) fn counted(db: &Connection, run: RunId) -> Result<Tally, LedgerError> {
    let mut tally = Tally::default();
    let mut lines = db
        .prepare_cached("SELECT what, code, amount FROM run_count WHERE run_id = ? AND amount <> 0")
        .doing(DOING)?;
    let mut lines = lines.query([run]).doing(DOING)?;
    while let Some(line) = lines.next().doing(DOING)? {
        let what = line.get_ref("what").and_then(|what| Ok(what.as_str()?)).doing(DOING)?;
        let amount: u64 = line.get("amount").doing(DOING)?;
        match what {
            "selected" => tally.open = amount,
            "requests" => tally.requests = amount,
            "retries" => tally.retries = amount,
            "outcome" => {
                tally.outcomes.extend(word::<Outcome>(line, "code").doing(DOING)?.map(|code| (code, amount)));
            }
            "reason" => {
                tally.reasons.extend(word::<Reason>(line, "code").doing(DOING)?.map(|code| (code, amount)));
            }
            // A code of another version is left out: it is a remark, not the outcome.
            _ => {
                let code: String = line.get("code").doing(DOING)?;
                tally.warnings.extend(code.parse().ok().map(|code| (code, amount)));
            }
        }
    }
    tally.open = tally.open.saturating_sub(tally.outcomes.values().sum());
    Ok(tally)
}

//! Reading the source into the ledger's snapshot: which rows belong to the run, what is wrong with the others.

use std::ops::RangeInclusive;
use std::sync::Arc;

use async_trait::async_trait;
use shared::data_key::DataKeys;
use shared::domain::{Reading, RowRules, SourceRow};
use shared::ledger::{Fence, Ledger, LedgerError, RowKey, Run, SeedRow, Seeded, Snapshot};
use shared::payload::Payload;
use shared::testing::Failpoint;

use crate::source::{RowSink, RowSource, SinkError, SourceError};

/// Why a snapshot was not completed.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The sheet or file could not be read.
    #[error(transparent)]
    Source(SourceError),
    /// The ledger failed.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// Reads the whole source into the run's snapshot and completes it.
pub async fn take(
    ledger: &Arc<dyn Ledger>,
    keys: &DataKeys,
    rules: &RowRules,
    fence: &Fence,
    run: &Run,
    source: &mut dyn RowSource,
) -> Result<(), SnapshotError> {
    let mut sink = Sink { ledger: ledger.as_ref(), keys, rules, fence, run };
    let summary = source.read(&mut sink).await.map_err(|error| match error {
        SourceError::Sink(inner) => match inner.downcast::<LedgerError>() {
            Ok(failed) => SnapshotError::Ledger(*failed),
            Err(inner) => SnapshotError::Source(SourceError::Sink(inner)),
        },
        error => SnapshotError::Source(error),
    })?;
    if summary.rereads > 0 {
        tracing::info!(run_id = %run.id, rereads = summary.rereads, "the sheet changed while it was read and was read again");
    }
    let snapshot = Snapshot { rows_read: summary.rows_read, changed_while_read: summary.changed_while_read };
    ledger.complete_snapshot(fence, run.id, snapshot).await?;
    Failpoint::SnapshotComplete.pass();
    Ok(())
}

struct Sink<'a> {
    ledger: &'a dyn Ledger,
    keys: &'a DataKeys,
    rules: &'a RowRules,
    fence: &'a Fence,
    run: &'a Run,
}

#[async_trait]
impl RowSink for Sink<'_> {
    async fn replace(&mut self, range: RangeInclusive<u32>, rows: Vec<SourceRow>) -> Result<(), SinkError> {
        let rows = rows.iter().filter_map(|row| self.selected(row)).collect();
        self.ledger.seed(self.fence, self.run.id, Seeded { range, rows }).await?;
        Failpoint::Seeded.pass();
        Ok(())
    }
}

impl Sink<'_> {
    /// The row as it is seeded, if it belongs to the run.
    fn selected(&self, row: &SourceRow) -> Option<SeedRow> {
        let (sheet_row, nik, number, warnings, rejected) = match self.rules.read(row) {
            Reading::Blank | Reading::OtherDate => return None,
            Reading::Valid(row) => (row.sheet_row, Some(row.nik), Some(row.phone), row.warnings, None),
            Reading::Rejected(bad) => {
                let rejected = Some((bad.reason, bad.column, bad.found));
                (bad.sheet_row, bad.nik, bad.phone, bad.warnings, rejected)
            }
        };
        let key = RowKey { run: self.run.id, sheet_row, generation: 1 };
        let niks = &self.run.selection.niks;
        if !niks.is_empty() {
            // The list may hold hashes under an older key too.
            let asked_for = nik.as_ref().is_some_and(|nik| {
                self.keys.nik_hashes(nik).iter().any(|hash| niks.iter().any(|wanted| wanted == hash.as_str()))
            });
            if !asked_for {
                return None;
            }
        }
        let payload = Payload { nik, number };
        let (nik, number) = payload.hashes(self.keys);
        Some(SeedRow {
            sheet_row,
            rejected,
            nik,
            number,
            sealed: payload.seal(self.keys, &key),
            digests: payload.digests(self.keys),
            warnings,
        })
    }
}

//! What must hold at each moment of a simulated night, and not only after it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use shared::clock::Clock;
use shared::ledger::RowKey;
use shared::ledger::sqlite::SqliteLedger;
use shared::queue::Settle;

use super::plan::Without;
use super::trace::Trace;

/// The claims that one process was given and whose end it has not recorded yet. Clones are the same.
#[derive(Clone)]
pub(super) struct Claims {
    held: Arc<Mutex<BTreeMap<RowKey, i64>>>,
    ledger: Arc<SqliteLedger>,
    trace: Trace,
    clock: Clock,
    without: Option<Without>,
}

impl Claims {
    pub(super) fn new(
        ledger: Arc<SqliteLedger>,
        trace: Trace,
        clock: Clock,
        without: Option<Without>,
    ) -> Self {
        Self { held: Arc::default(), ledger, trace, clock, without }
    }

    /// After a call to the ledger, what this world does without is taken away.
    pub(super) fn deprive(&self, call: &str) {
        if self.without == Some(Without::Intents) && call == "record_intents" {
            // An error: there was none.
            let _ = self.ledger.count_in_memory("DELETE FROM intent RETURNING 1");
        }
    }

    pub(super) fn given(&self, key: RowKey, epoch: i64) {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).insert(key, epoch);
    }

    /// No delivery is done with while a claim of this process stands without a record: were it to die now, nothing but
    /// the sweep would ever come back to the row.
    pub(super) fn settles(&self, key: RowKey, turn: u32, how: Settle) {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner).get(&key).copied();
        let Some(epoch) = held.filter(|_| !matches!(how, Settle::RetryAfter(..))) else { return };
        let (run, row) = (key.run.to_string().replace('-', ""), key.sheet_row);
        // A stale message of an older turn is done with beside the claim; a claim whose lease is over is the sweep's.
        let now = self.clock.micros();
        let stands = self.ledger.count_in_memory(&format!(
            "SELECT COUNT(*) FROM row WHERE run_id = x'{run}' AND sheet_row = {row} AND state = 'claimed'
               AND epoch = {epoch} AND turn = {turn} AND sweep_at > {now}"
        ));
        if stands.expect("a ledger in memory") > 0 {
            self.trace.violated(format!("row {row} was settled before its claim had an end"));
        }
    }
}

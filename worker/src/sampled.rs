//! What a worker adds to the series of the runs it works on: its limiter, once to each point.
//!
//! Each worker adds to the same point, so a series is as long with a hundred workers as with one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use shared::error_chain;
use shared::ledger::{LimiterSample, RunId};

use crate::worker::Worker;

/// Between two looks at whether there is a new point.
const EVERY: Duration = Duration::from_secs(1);

/// Runs whose rows were claimed since somebody asked.
#[derive(Default)]
pub struct BusyWith(Mutex<BTreeSet<RunId>>);

impl BusyWith {
    pub(crate) fn note(&self, run: RunId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(run);
    }

    fn take(&self) -> BTreeSet<RunId> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Worker {
    /// For as long as it is polled. What cannot be added now is a gap in a picture.
    pub(crate) async fn sample(&self) {
        let mut last: BTreeMap<RunId, u32> = BTreeMap::new();
        loop {
            tokio::time::sleep(EVERY).await;
            let busy = self.rows.busy_with.take();
            last.retain(|run, _| busy.contains(run));
            let state = self.rows.server.limiter.snapshot();
            let limiter = LimiterSample { limit: state.limit, in_flight: state.in_flight as u64 };
            for run in busy {
                let number = last.entry(run).or_default();
                match self.ledger.add_limiter(run, *number, limiter).await {
                    Ok(added) => *number = added.unwrap_or(*number),
                    Err(error) => {
                        tracing::debug!(error = error_chain(&error), "a sample could not be added to");
                    }
                }
            }
        }
    }
}

//! How fast runs go, as this process sees it: kept in memory, from the moment the page is served.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use shared::ledger::{Page, RunId, RunState};

use crate::marks::seconds;
use crate::server::Dashboard;

/// Between two looks.
const EVERY: Duration = Duration::from_secs(2);

/// Samples of one run; when there are so many, every other one goes.
const MOST: usize = 600;

/// Runs that are kept.
const RUNS: usize = 20;

/// How far a run was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sample {
    /// Seconds since the run was opened.
    pub(crate) at: u64,
    /// Rows with an outcome.
    pub(crate) done: u64,
    /// Rows without.
    pub(crate) open: u64,
}

/// See the module.
#[derive(Default)]
pub(crate) struct Samples(Mutex<BTreeMap<RunId, Vec<Sample>>>);

impl Samples {
    pub(crate) fn of(&self, run: RunId) -> Vec<Sample> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&run).cloned().unwrap_or_default()
    }

    fn add(&self, run: RunId, sample: Sample) {
        let mut runs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let samples = runs.entry(run).or_default();
        if samples
            .last()
            .is_some_and(|last| (last.done, last.open) == (sample.done, sample.open) && sample.open == 0)
        {
            return;
        }
        samples.push(sample);
        if samples.len() > MOST {
            let mut index = 0;
            samples.retain(|_| {
                index += 1;
                index % 2 == 1
            });
        }
        if runs.len() > RUNS {
            // Ids are ordered by time: the first is the oldest.
            runs.pop_first();
        }
    }
}

impl Dashboard {
    /// Looks at the newest runs for ever.
    pub(crate) async fn sample(&self) {
        let mut open: Option<RunId> = None;
        loop {
            tokio::time::sleep(EVERY).await;
            // What cannot be read now is a gap in a picture.
            let Ok(now) = self.ledger.now().await else { continue };
            let Ok(runs) = self.ledger.run_page(&self.job, Page::First, 3).await else { continue };
            for run in runs {
                let is_open = run.run.state == RunState::Open;
                // Once more after it closed, for its end.
                if is_open || open == Some(run.run.id) {
                    let at = seconds(run.run.started_at, run.run.closed_at.unwrap_or(now));
                    let left = run.tally.open;
                    self.samples
                        .add(run.run.id, Sample { at, done: run.tally.selected() - left, open: left });
                    open = is_open.then_some(run.run.id);
                }
            }
        }
    }
}

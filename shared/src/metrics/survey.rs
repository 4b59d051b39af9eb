//! What is true of a job, as the ledger and the queues have it now.
//!
//! Each survey has a recorder of its own: what could not be asked is left out, and never shown as it was.

use std::time::Duration;

use jiff::Timestamp;
use metrics::{counter, gauge, with_local_recorder};
use metrics_exporter_prometheus::PrometheusRecorder;

use super::names;
use crate::domain::Outcome;
use crate::ledger::{LedgerError, LedgerView, RunState, RunSummary, Standing};
use crate::queue::{QueueError, Queues};

/// See the module.
pub(super) struct Survey(PrometheusRecorder);

impl Survey {
    pub(super) fn new() -> Self {
        Self(names::recorder())
    }

    pub(super) fn render(&self) -> String {
        self.0.handle().render()
    }

    pub(super) fn gauge(&self, name: &'static str, value: f64) {
        with_local_recorder(&self.0, || gauge!(name).set(value));
    }

    fn count(&self, name: &'static str, value: u64) {
        with_local_recorder(&self.0, || counter!(name).absolute(value));
    }

    pub(super) async fn of_ledger(
        &self,
        ledger: &dyn LedgerView,
        job: &str,
        deadline: Duration,
    ) -> Result<(), LedgerError> {
        let standing = ledger.standing(job).await?;
        let now = ledger.now().await?;
        let Standing {
            newest,
            last_ended,
            recent,
            last_success,
            dead_letters_open,
            last_prune,
            overlaps_refused,
        } = standing;
        with_local_recorder(&self.0, || {
            for outcome in Outcome::ALL {
                let rows = recent.get(outcome).copied().unwrap_or(0);
                gauge!(names::RECENT_ROWS, "outcome" => outcome.as_str()).set(rows as f64);
            }
        });
        self.gauge(names::DEAD_LETTERS_OPEN, dead_letters_open as f64);
        self.count(names::LOCK_REFUSED, overlaps_refused);
        if let Some(at) = last_success {
            self.gauge(names::RUN_LAST_SUCCESS, seconds(at));
        }
        if let Some(at) = last_prune {
            self.gauge(names::PRUNE_LAST_SUCCESS, seconds(at));
        }
        if let Some(newest) = newest {
            self.of_run(&newest, now);
            let run = &newest.run;
            self.gauge(names::RUN_DEADLINE, seconds(run.started_at) + deadline.as_secs_f64());
            if let Some(at) = last_ended.or(run.snapshot_at) {
                self.gauge(names::RUN_LAST_ROW, seconds(at));
            }
        }
        Ok(())
    }

    fn of_run(&self, RunSummary { run, tally }: &RunSummary, now: Timestamp) {
        with_local_recorder(&self.0, || {
            for outcome in Outcome::ALL {
                counter!(names::ROWS, "outcome" => outcome.as_str()).absolute(tally.count(*outcome));
            }
            for state in RunState::ALL {
                gauge!(names::RUN_STATE, "state" => state.as_str()).set(f64::from(*state == run.state));
            }
        });
        self.count(names::ROWS_READ, run.rows_read);
        self.gauge(names::RUN_LAST_START, seconds(run.started_at));
        self.gauge(names::RUN_PROGRESS, progress(run.state, tally.selected() - tally.open, tally.selected()));
        let done = tally.selected() - tally.open;
        let projected = match (run.state, run.closed_at, run.snapshot_at) {
            (RunState::Closed, closed_at, _) => closed_at.map(seconds),
            (RunState::Open, _, Some(since)) => projected(seconds(since), seconds(now), done, tally.open),
            _ => None,
        };
        if let Some(projected) = projected {
            self.gauge(names::RUN_PROJECTED, projected);
        }
    }

    pub(super) async fn of_queues(&self, queues: &Queues) -> Result<(), QueueError> {
        let depth = queues.night.depth().await?;
        let mut depths = vec![("work", depth.ready), ("retry", depth.waiting), ("dead", depth.dead)];
        if let Some(apart) = queues.apart() {
            let depth = apart.depth().await?;
            depths.extend([
                ("dry_run_work", depth.ready),
                ("dry_run_retry", depth.waiting),
                ("dry_run_dead", depth.dead),
            ]);
        }
        with_local_recorder(&self.0, || {
            for (queue, waiting) in depths {
                gauge!(names::QUEUE_DEPTH, "queue" => queue).set(waiting as f64);
            }
        });
        self.gauge(names::QUEUE_CONSUMERS, queues.night.consumers().await? as f64);
        Ok(())
    }
}

fn seconds(at: Timestamp) -> f64 {
    at.as_microsecond() as f64 / 1e6
}

/// A snapshot that is not complete has no whole to be a part of; one without rows is done.
fn progress(state: RunState, done: u64, selected: u64) -> f64 {
    match (state, selected) {
        (RunState::Seeding, _) => 0.0,
        (_, 0) => 1.0,
        _ => done as f64 / selected as f64,
    }
}

/// When the rest is done too, at the pace so far; unknown before the first row.
fn projected(since: f64, now: f64, done: u64, open: u64) -> Option<f64> {
    let passed = (now - since).max(0.0);
    (done > 0).then(|| now + passed * open as f64 / done as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_takes_as_long_a_row_as_what_is_done() {
        assert_eq!(projected(100.0, 110.0, 50, 100), Some(130.0));
        assert_eq!(projected(100.0, 110.0, 50, 0), Some(110.0));
        assert_eq!(projected(100.0, 110.0, 0, 100), None);
    }

    #[test]
    fn progress_is_a_part_of_a_complete_snapshot() {
        assert_eq!(progress(RunState::Seeding, 5, 10), 0.0);
        assert_eq!(progress(RunState::Open, 5, 10), 0.5);
        assert_eq!(progress(RunState::Closed, 0, 0), 1.0);
    }
}

//! The steward: the periodic duties that any live process can hold, one at a time. It publishes what is due,
//! for the first time or again, and closes runs that are settled.
//!
//! It runs in the producer while that watches, and in every worker, so a run is finished whoever dies.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::error_chain;
use crate::ledger::{Closing, DueTerms, Ledger, LedgerError, Run, RunId, RunKind, RunState};
use crate::queue::{Queue, QueueError};
use crate::report::Report;
use crate::testing::{Failpoint, hurried, hurried_to};
use crate::traces;

mod samples;

/// Intervals of the steward; tests shorten them.
#[derive(Clone, Copy, Debug)]
pub struct StewardTerms {
    /// Between two rounds.
    pub every: Duration,
    /// How long the duty is held without being renewed.
    pub lease: Duration,
    /// Rows published in one window.
    pub window: u32,
    /// When a row that was taken but never confirmed published comes due again.
    pub retake_after: Duration,
    /// When a row that was published and nobody claimed comes due again.
    pub stale_after: Duration,
}

impl Default for StewardTerms {
    fn default() -> Self {
        Self {
            every: Duration::from_millis(250),
            lease: hurried_to(Duration::from_secs(3), Duration::from_secs(15)),
            window: 1_000,
            retake_after: hurried(Duration::from_secs(60)),
            stale_after: hurried(Duration::from_secs(60)),
        }
    }
}

/// A steward's failure: of the ledger or of the queue. The next round tries again.
#[derive(Debug, thiserror::Error)]
pub enum StewardError {
    /// The ledger failed.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The queue failed.
    #[error(transparent)]
    Queue(#[from] QueueError),
}

/// See the module.
pub struct Steward {
    ledger: Arc<dyn Ledger>,
    queue: Arc<dyn Queue>,
    holder: String,
    terms: StewardTerms,
    scope: Scope,
    queue_fails: Mutex<Option<QueueFails>>,
    /// Whether the duty was ours when it was last asked for.
    holds: watch::Sender<bool>,
}

/// A queue that failed in every round since.
#[derive(Clone, Debug)]
pub struct QueueFails {
    /// Since when.
    pub since: Instant,
    /// How it failed last, with its causes.
    pub error: String,
}

/// Which runs a steward serves.
#[derive(Clone, Debug)]
pub enum Scope {
    /// Publishes what is due in any run of a job and a kind, replays of finished ones included, and closes them: a
    /// worker's steward.
    Job {
        /// `JOB_NAME`.
        job: String,
        /// The kind of runs whose messages go into this steward's queue.
        kind: RunKind,
    },
    /// These only: a command's steward. A dry run must not publish what an interrupted night left behind.
    Runs(Vec<RunId>),
}

impl Steward {
    /// A steward; `holder` names this process among its peers.
    pub fn new(
        ledger: Arc<dyn Ledger>,
        queue: Arc<dyn Queue>,
        holder: String,
        terms: StewardTerms,
        scope: Scope,
    ) -> Self {
        Self {
            ledger,
            queue,
            holder,
            terms,
            scope,
            queue_fails: Mutex::default(),
            holds: watch::Sender::default(),
        }
    }

    /// Whether the queue fails. A steward that does not hold its duty does not find out.
    pub fn queue_fails(&self) -> Option<QueueFails> {
        self.queue_fails.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note_queue(&self, round: &Result<Vec<RunId>, StewardError>) {
        let mut fails = self.queue_fails.lock().unwrap_or_else(PoisonError::into_inner);
        match round {
            Ok(_) => *fails = None,
            Err(StewardError::Queue(error)) => {
                let since = fails.as_ref().map_or_else(Instant::now, |fails| fails.since);
                *fails = Some(QueueFails { since, error: error_chain(error) });
            }
            // It says nothing of the queue.
            Err(StewardError::Ledger(_)) => {}
        }
    }

    /// Serves until `stop`; a failed round is logged and tried again. Samples are taken beside the rounds: one may wait
    /// long for room in the queue.
    pub async fn serve(&self, stop: CancellationToken) {
        tokio::join!(self.rounds(&stop), self.sample(&stop));
    }

    async fn rounds(&self, stop: &CancellationToken) {
        let mut failed_before = false;
        while !stop.is_cancelled() {
            let round = tokio::select! {
                biased;
                round = self.round() => round,
                () = stop.cancelled() => break,
            };
            self.note_queue(&round);
            if let Err(error) = &round
                && !failed_before
            {
                tracing::warn!(error = error_chain(error), "publishing or closing failed; trying again");
            }
            failed_before = round.is_err();
            tokio::select! {
                biased;
                () = tokio::time::sleep(self.terms.every) => {}
                () = stop.cancelled() => break,
            }
        }
    }

    /// One round: publish all that is due, close what is settled. Tells which runs it closed.
    pub async fn round(&self) -> Result<Vec<RunId>, StewardError> {
        let runs: Vec<Option<RunId>> = match &self.scope {
            Scope::Job { .. } => vec![None],
            Scope::Runs(runs) => runs.iter().copied().map(Some).collect(),
        };
        for run in runs {
            loop {
                let holds = self.ledger.hold_duty(&self.duty(), &self.holder, self.terms.lease).await?;
                self.holds.send_replace(holds);
                if !holds {
                    return Ok(Vec::new());
                }
                if self.publish_window(run).await? < self.terms.window as usize {
                    break;
                }
            }
        }
        let mut closed = Vec::new();
        for run in self.unfinished().await? {
            if run.published_at.is_none() {
                self.ledger.note_all_published(run.id).await?;
            }
            if self.ledger.is_settled(run.id).await? && self.close(&run).await? {
                tracing::info!(run_id = %run.id, "run closed");
                closed.push(run.id);
            }
        }
        Ok(closed)
    }

    /// Closes a run with its report, and a notice where anybody waits for one. Its rows are done: what is counted now
    /// is what the transaction that closes it finds, or finds it closed by another.
    async fn close(&self, run: &Run) -> Result<bool, StewardError> {
        let closed_at = self.ledger.now().await?;
        let tally = self.ledger.tally(run.id).await?;
        // A dry run's `updated` is what would be written.
        let writes = match run.kind {
            RunKind::Night => self.ledger.writes(run.id).await?,
            RunKind::DryRun => None,
        };
        // Read again: this round may have noted when it was published.
        let Some(run) = self.ledger.run(run.id).await? else { return Ok(false) };
        let closed = Run {
            state: RunState::Closed,
            closed_at: Some(closed_at),
            first_write_at: writes.map(|(first, _)| first),
            last_write_at: writes.map(|(_, last)| last),
            ..run.clone()
        };
        let report = Report::new(&closed, &tally, closed_at);
        let closing = Closing {
            closed_at,
            writes,
            report: serde_json::to_value(&report).expect("a report is plain data"),
            notice: (run.kind == RunKind::Night).then(|| report.notice()),
        };
        Failpoint::Settled.pass();
        let is_ours = self.ledger.close_run(run.id, &closing).await?;
        if is_ours {
            Failpoint::Closed.pass();
            traces::closed(&closed);
        }
        Ok(is_ours)
    }

    /// A duty of its own for each scope: a command's steward, which serves one night, must not keep a worker's
    /// from all others. Where both take the same run, no row is taken twice: taking stamps it.
    fn duty(&self) -> String {
        match &self.scope {
            Scope::Job { job, kind } => format!("steward of {job}, {kind}"),
            Scope::Runs(runs) => {
                runs.first().map_or_else(|| "steward".to_owned(), |run| format!("steward of {run}"))
            }
        }
    }

    /// Runs that may be settled and are not closed yet.
    async fn unfinished(&self) -> Result<Vec<Run>, StewardError> {
        let mut found = Vec::new();
        match &self.scope {
            Scope::Job { job, kind } => {
                found = self.ledger.unfinished_runs(job, None).await?;
                found.retain(|run| run.kind == *kind);
            }
            Scope::Runs(runs) => {
                for run in runs {
                    found.extend(self.ledger.run(*run).await?);
                }
            }
        }
        found.retain(|run| run.state == RunState::Open);
        Ok(found)
    }

    async fn publish_window(&self, run: Option<RunId>) -> Result<usize, StewardError> {
        let depth = self.queue.depth().await?;
        let (job, kind) = match &self.scope {
            Scope::Job { job, kind } => (Some(job.clone()), Some(*kind)),
            Scope::Runs(_) => (None, None),
        };
        let terms = DueTerms {
            run,
            job,
            kind,
            limit: self.terms.window,
            queue_idle: depth.ready == 0,
            retake_after: self.terms.retake_after,
        };
        let due = self.ledger.take_due(terms).await?;
        let taken = due.len();
        if taken > 0 {
            Failpoint::Taken.pass();
            let confirmed = self.queue.publish(due).await?;
            Failpoint::Confirmed.pass();
            self.ledger.note_published(&confirmed, self.terms.stale_after).await?;
            Failpoint::NotedPublished.pass();
        }
        Ok(taken)
    }
}

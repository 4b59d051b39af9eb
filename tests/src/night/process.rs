//! One start of the program, composed as `standalone` composes it.

use std::sync::Arc;

use producer::{Ended, Order, Producer, ProducerError, Replayed, Sources};
use shared::backing::Backing;
use shared::ledger::{Ledger, Replay, RunSummary, Tally};
use shared::queue::{Depth, InProcessQueue, Queues};
use shared::settings::Settings;
use standalone::composition::Common;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use worker::{Company, Fhir};

use super::held_ledger::{Hold, Point};
use super::wait::until;
use super::watched_ledger::WatchedLedger;

/// A running process; whatever of it runs ends when it and its futures are dropped.
pub struct Process {
    /// Ledger, queue, keys, clock, intervals.
    pub common: Common,
    /// As the environment had them at its start.
    pub settings: Settings,
    /// How many workers work in it.
    pub workers: usize,
    /// Where it reads rows.
    pub sources: Arc<dyn Sources>,
    /// SIGTERM.
    pub stop: CancellationToken,
}

impl Process {
    /// Its producer, whose `RUN_DEADLINE` is counted from this call.
    pub fn producer(&self) -> Producer {
        self.common.producer(&self.settings, self.sources.clone())
    }

    /// Another process on the same ledger, with a queue of its own: what only a cluster has, on SQLite.
    pub fn companion(&self) -> Self {
        let queues = Queues::one(Arc::new(InProcessQueue::new()));
        let backing = Backing { queues, ..self.common.backing.clone() };
        let common = Common { backing, company: Company::default(), ..self.common.clone() };
        let (settings, sources) = (self.settings.clone(), self.sources.clone());
        Self { common, settings, workers: self.workers, sources, stop: CancellationToken::new() }
    }

    /// Stops it at a point, once; see [`Hold`].
    pub fn hold(&mut self, point: Point) -> Hold {
        let hold = Hold::at(point);
        let ledger = &mut self.common.backing.ledger;
        *ledger = WatchedLedger::over(ledger.clone(), hold.clone());
        hold
    }

    /// The ledger.
    pub fn ledger(&self) -> &dyn Ledger {
        self.common.backing.ledger.as_ref()
    }

    /// Runs a date.
    ///
    /// # Errors
    /// As [`Producer::night`].
    pub async fn night(&self, date: &str, order: &Order) -> Result<Ended, ProducerError> {
        let (producer, date) = (self.producer(), date.parse().expect("a date"));
        self.beside_workers(producer.night(date, order, &self.stop)).await
    }

    /// Replays dead letters.
    ///
    /// # Errors
    /// As [`Producer::replay`].
    pub async fn replay(&self, replay: Replay) -> Result<Replayed, ProducerError> {
        let producer = self.producer();
        self.beside_workers(producer.replay(replay, &self.stop)).await
    }

    /// Runs a command while the workers work, then lets them drain.
    pub async fn beside_workers<T>(&self, command: impl Future<Output = T>) -> T {
        let drain = CancellationToken::new();
        // Spawned, so that dropping this future aborts them in the middle of what they do.
        let mut working = JoinSet::new();
        for _ in 0..self.workers {
            let fhir =
                Fhir::prepare(&self.settings, &self.common.backing.clock).await.expect("usable settings");
            let (worker, drain) = (self.common.worker(&self.settings, fhir), drain.clone());
            working.spawn(async move { worker.run(drain, CancellationToken::new()).await });
        }
        let ended = command.await;
        drain.cancel();
        while let Some(worker) = working.join_next().await {
            worker.expect("a worker does not panic");
        }
        ended
    }

    /// The newest run, with its counts.
    pub async fn newest(&self) -> Option<RunSummary> {
        self.ledger().runs(&self.settings.job, None, 1).await.expect("a list").pop()
    }

    /// Waits until so many rows of the newest run have their outcome.
    pub async fn until_done(&self, rows: u64) {
        let done = |tally: &Tally| tally.outcomes.values().sum::<u64>();
        let look = || async { self.newest().await.map(|summary| summary.tally) };
        until(&format!("{rows} rows to be done"), look, |seen| {
            seen.as_ref().is_some_and(|seen| done(seen) >= rows)
        })
        .await;
    }

    /// How much waits in its queue.
    pub async fn depth(&self) -> Depth {
        self.common.backing.queues.night.depth().await.expect("a depth")
    }
}

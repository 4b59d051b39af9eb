//! The producer while its runs are worked on: publishes, shows how far they are, and sees when it may leave.

use std::time::Duration;

use shared::error_chain;
use shared::ledger::{Gate, GateKind, LedgerError, RunId, RunKind, RunState};
use shared::steward::{Scope, Steward};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::lock::RunLock;
use crate::producer::{Halt, Producer, ProducerError, Until};
use crate::progress::Display;

/// How long a ledger may fail before a watch gives up.
const LEDGER_PATIENCE: Duration = Duration::from_secs(60);

/// How long nothing may move before a queue that fails ends a watch past its deadline.
const STILL: Duration = Duration::from_secs(10);

impl Producer {
    /// Publishes, and watches for as long as it is told to, or until something halts it.
    pub(crate) async fn watch(
        &self,
        runs: &[RunId],
        kind: RunKind,
        lock: Option<&RunLock>,
        stop: &CancellationToken,
    ) -> Result<Option<Halt>, ProducerError> {
        let steward = Steward::new(
            self.backing.ledger.clone(),
            self.backing.queues.of(kind).clone(),
            self.holder.clone(),
            self.terms.steward,
            Scope::Runs(runs.to_vec()),
        );
        let never = CancellationToken::new();
        let lost = lock.map_or(&never, |lock| &lock.lost);
        tokio::select! {
            biased;
            () = steward.serve(CancellationToken::new()) => Ok(None),
            halt = self.look(runs, &steward) => halt,
            () = stop.cancelled() => Ok(Some(Halt::Interrupted)),
            () = lost.cancelled() => Err(ProducerError::LockLost),
        }
    }

    async fn look(&self, runs: &[RunId], steward: &Steward) -> Result<Option<Halt>, ProducerError> {
        for run in runs {
            let mut watch = Watch::new(*run);
            let halt = loop {
                match self.look_once(&mut watch, steward).await {
                    Ok(Some(end)) => break end,
                    Ok(None) => watch.failing_since = None,
                    // A database that restarts is no reason to give up. The lock has its own, shorter patience.
                    Err(error) => {
                        let since = *watch.failing_since.get_or_insert_with(|| {
                            tracing::warn!(error = error_chain(&error), "the ledger failed; looking again");
                            Instant::now()
                        });
                        if since.elapsed() >= LEDGER_PATIENCE {
                            return Err(error.into());
                        }
                    }
                }
                tokio::time::sleep(self.terms.look_every).await;
            };
            watch.display.finish();
            if halt.is_some() {
                return Ok(halt);
            }
        }
        Ok(None)
    }

    /// One look at a run: whether the watch over it ends, and with what.
    async fn look_once(
        &self,
        watch: &mut Watch,
        steward: &Steward,
    ) -> Result<Option<Option<Halt>>, LedgerError> {
        let ledger = &self.backing.ledger;
        if self.is_over(watch.run).await? {
            return Ok(Some(None));
        }
        let gate = ledger.gate().await?.map(|shut| shut.gate);
        match &gate {
            Some(Gate { kind: GateKind::Guard, reason }) => {
                return Ok(Some(Some(Halt::Stopped(reason.clone()))));
            }
            Some(Gate { kind: GateKind::Systemic, reason })
                if self.started.elapsed() >= self.terms.deadline =>
            {
                let why = format!("still paused past RUN_DEADLINE: {reason}");
                return Ok(Some(Some(Halt::Stopped(why))));
            }
            _ => {}
        }
        if self.started.elapsed() >= self.terms.deadline
            && let Some(fails) = steward.queue_fails()
        {
            let open = ledger.progress(watch.run).await?.open;
            if watch.stands_still(open, fails.since) {
                let why = format!("the queue fails past RUN_DEADLINE: {}", fails.error);
                return Ok(Some(Some(Halt::Stopped(why))));
            }
        }
        if watch.shown.elapsed() >= watch.show_every {
            let asked = Instant::now();
            let progress = ledger.progress(watch.run).await?;
            let newest = ledger.samples(watch.run).await?.pop();
            let limiters = newest.filter(|point| point.workers > 0).map(|point| point.limiter);
            watch.display.show(progress, gate.as_ref(), limiters);
            // Counting a million rows takes a while: never more than a twentieth of the time.
            watch.show_every = (asked.elapsed() * 20).max(Duration::from_millis(500));
            watch.shown = Instant::now();
        }
        Ok(None)
    }

    async fn is_over(&self, run: RunId) -> Result<bool, LedgerError> {
        let ledger = &self.backing.ledger;
        match self.terms.until {
            Until::Closed => Ok(ledger.run(run).await?.is_none_or(|run| run.state == RunState::Closed)
                && ledger.is_settled(run).await?),
            Until::Published => Ok(ledger.progress(run).await?.unpublished == 0),
        }
    }
}

/// A watch over one run.
struct Watch {
    run: RunId,
    display: Display,
    shown: Instant,
    show_every: Duration,
    failing_since: Option<Instant>,
    /// How many rows were open since when.
    open_since: (u64, Instant),
}

impl Watch {
    fn new(run: RunId) -> Self {
        let (display, shown) = (Display::new(run), Instant::now());
        let (show_every, open_since) = (Duration::ZERO, (0, shown));
        Self { run, display, shown, show_every, failing_since: None, open_since }
    }

    /// Whether no row came to its end while something failed: workers may have plenty in hand.
    fn stands_still(&mut self, open: u64, failing_since: Instant) -> bool {
        if self.open_since.0 != open {
            self.open_since = (open, Instant::now());
        }
        self.open_since.1.max(failing_since).elapsed() >= STILL
    }
}

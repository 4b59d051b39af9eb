//! The producer's work: lock, snapshot, publish, watch, report; and replays.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use jiff::tz::TimeZone;
use shared::backing::Backing;
use shared::data_key::KeyedHash;
use shared::domain::{DateOrder, Outcome, RowRules, RunDate};
use shared::error_chain;
use shared::ledger::{
    Act, Fence, GateKind, LedgerError, NewRun, Replay, RowFilter, RowKey, Run, RunId, RunKind, RunState,
    Selection,
};
use shared::rekey::RekeyError;
use shared::report::Report;
use shared::status::Status;
use shared::steward::StewardTerms;
use shared::testing::Failpoint;
use shared::traces;
use tokio::sync::OnceCell;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::hash_key;
use crate::lock::{self, LockTerms, RunLock};
use crate::snapshot::{self, SnapshotError};
use crate::source::{RowSource, SourceError};

/// Makes the row source when the sheet is to be read: a run that is carried on from its snapshot needs none.
#[async_trait]
pub trait Sources: Send + Sync {
    /// A source that has read nothing yet.
    async fn open(&self) -> Result<Box<dyn RowSource>, SourceError>;

    /// A word for reports: `google-sheets` or `file`.
    fn describe(&self) -> String;
}

/// Intervals of a producer; tests shorten them.
#[derive(Clone, Copy, Debug)]
pub struct ProducerTerms {
    /// The run lock.
    pub lock: LockTerms,
    /// Publishing and sweeping.
    pub steward: StewardTerms,
    /// How often the run is looked at.
    pub look_every: Duration,
    /// `RUN_DEADLINE`.
    pub deadline: Duration,
    /// How long it stays.
    pub until: Until,
}

/// How long a producer stays with a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// Until every row has its outcome and the run is closed.
    Closed,
    /// Until every row is published and confirmed; workers finish, close and report the run (`--detach`).
    Published,
}

/// What a producer works with.
pub struct Producer {
    /// Ledger, queues, keys, clock.
    pub backing: Backing,
    /// Where rows come from.
    pub sources: Arc<dyn Sources>,
    /// `JOB_NAME`.
    pub job: String,
    /// `RUN_TIMEZONE`.
    pub zone: TimeZone,
    /// `SHEET_DATE_ORDER`.
    pub date_order: DateOrder,
    /// Names this process among its peers.
    pub holder: String,
    /// Who started it: OS user and host.
    pub who: String,
    /// When this process started: the deadline is counted from here.
    pub started: Instant,
    /// Intervals.
    pub terms: ProducerTerms,
    /// Whether a guard that stood before this command was opened.
    pub(crate) guard_opened: OnceCell<()>,
}

/// What to run on one date.
#[derive(Clone, Debug)]
pub struct Order {
    /// Whether it writes.
    pub kind: RunKind,
    /// Which rows.
    pub selection: Selection,
}

/// How a command ended, with the reports of the runs it finished or left.
#[derive(Debug, Default)]
pub struct Ended {
    /// Why it did not simply finish.
    pub halt: Option<Halt>,
    /// In the order they were worked on.
    pub reports: Vec<Report>,
}

/// Why a command stopped before its end.
#[derive(Debug)]
pub enum Halt {
    /// Another process holds the lock.
    Locked,
    /// A guard or a systemic failure; in words.
    Stopped(String),
    /// It was told to stop, and drained.
    Interrupted,
}

/// An unexpected failure; starting again carries the run on.
#[derive(Debug, thiserror::Error)]
pub enum ProducerError {
    /// The ledger failed.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The data key that is needed is not here.
    #[error(transparent)]
    Rekey(#[from] RekeyError),
    /// The sheet or file could not be read, for a reason of our own making.
    #[error(transparent)]
    Source(SourceError),
    /// The run lock was lost to another process.
    #[error("the run lock was lost; another process may have taken over, see the log")]
    LockLost,
}

impl Ended {
    /// What the finished runs' reports stand for together.
    pub fn status(&self) -> Status {
        self.reports.iter().map(Report::status).fold(Status::Done, Status::and)
    }
}

impl Producer {
    /// Runs one date: carries on what is unfinished, then, unless that was the same order, opens a run of its own.
    pub async fn night(
        &self,
        date: RunDate,
        order: &Order,
        stop: &CancellationToken,
    ) -> Result<Ended, ProducerError> {
        let Some(lock) =
            lock::take(&self.backing.ledger, &self.job, date, &self.holder, self.terms.lock).await?
        else {
            return Ok(Ended { halt: Some(Halt::Locked), reports: Vec::new() });
        };
        let result = self.locked_night(date, order, &lock, stop).await;
        lock.give_back().await;
        result
    }

    async fn locked_night(
        &self,
        date: RunDate,
        order: &Order,
        lock: &RunLock,
        stop: &CancellationToken,
    ) -> Result<Ended, ProducerError> {
        let mut ended = Ended { halt: hash_key::settle(self, stop).await?, reports: Vec::new() };
        if ended.halt.is_some() {
            return Ok(ended);
        }
        for unfinished in self.backing.ledger.unfinished_runs(&self.job, Some(date)).await? {
            if unfinished.kind == RunKind::DryRun {
                self.backing.ledger.abandon_run(&lock.fence, unfinished.id).await?;
                continue;
            }
            // A dry run tells what a run would do now; it must not finish somebody's night.
            if order.kind == RunKind::DryRun {
                continue;
            }
            tracing::info!(run_id = %unfinished.id, run_date = %date, "carrying on the unfinished run");
            // A replay that was interrupted is finished first, but it is not the night that was ordered.
            let same = unfinished.selection == order.selection && unfinished.state != RunState::Closed;
            self.work(unfinished, lock, stop, &mut ended).await?;
            if same || ended.halt.is_some() {
                return Ok(ended);
            }
        }
        let run = self.open(&lock.fence, order).await?;
        self.work(run, lock, stop, &mut ended).await?;
        Ok(ended)
    }

    async fn open(&self, fence: &Fence, order: &Order) -> Result<Run, ProducerError> {
        let new = NewRun {
            id: RunId::new(self.backing.clock.now()),
            kind: order.kind,
            selection: order.selection.clone(),
            source: self.sources.describe(),
            started_by: self.who.clone(),
            hashes: self.backing.keys.hashes_under(),
        };
        let run = self.backing.ledger.open_run(fence, new).await?;
        Failpoint::RunOpened.pass();
        let detail = serde_json::json!({ "run_id": run.id, "run_date": run.date, "kind": run.kind.as_str(),
            "selection": run.selection });
        let act = if order.selection.reapply { "reapply" } else { "start" };
        self.backing.ledger.note_act(Act { who: self.who.clone(), act: act.into(), detail }).await?;
        tracing::info!(run_id = %run.id, run_date = %run.date, kind = %run.kind, "run opened");
        Ok(run)
    }

    /// Carries on the unfinished run of `date`, or the newest one. None: there is none.
    pub async fn resume(
        &self,
        date: Option<RunDate>,
        stop: &CancellationToken,
    ) -> Result<Option<Ended>, ProducerError> {
        let unfinished = self.backing.ledger.unfinished_runs(&self.job, date).await?;
        let Some(run) = unfinished.into_iter().rev().find(|run| run.kind == RunKind::Night) else {
            return Ok(None);
        };
        let Some(lock) =
            lock::take(&self.backing.ledger, &self.job, run.date, &self.holder, self.terms.lock).await?
        else {
            return Ok(Some(Ended { halt: Some(Halt::Locked), reports: Vec::new() }));
        };
        let detail = serde_json::json!({ "run_id": run.id, "run_date": run.date });
        self.backing.ledger.note_act(Act { who: self.who.clone(), act: "resume".into(), detail }).await?;
        let mut ended = Ended::default();
        let result = async {
            ended.halt = hash_key::settle(self, stop).await?;
            if ended.halt.is_none() {
                self.work(run, &lock, stop, &mut ended).await?;
            }
            Ok(Some(ended))
        };
        let result = result.await;
        lock.give_back().await;
        result
    }

    /// The report of the same run as it stands now.
    pub async fn report_again(&self, report: &Report) -> Result<Option<Report>, ProducerError> {
        let Ok(id) = report.run_id.parse() else { return Ok(None) };
        let Some(run) = self.backing.ledger.run(id).await? else { return Ok(None) };
        Ok(Some(Report::new(&run, &self.backing.ledger.tally(id).await?, self.backing.clock.now())))
    }

    /// The report of the newest night of `date`, or of all.
    pub async fn last_report(&self, date: Option<RunDate>) -> Result<Option<Report>, ProducerError> {
        // Dry runs in between are no nights; so many in a row are unlikely.
        let runs = self.backing.ledger.runs(&self.job, date, 100).await?;
        let last = runs.iter().find(|summary| summary.run.kind == RunKind::Night);
        Ok(last.map(|summary| Report::new(&summary.run, &summary.tally, self.backing.clock.now())))
    }

    /// Replays dead letters and waits for the end of each.
    pub async fn replay(&self, replay: Replay, stop: &CancellationToken) -> Result<Replayed, ProducerError> {
        if let Some(halt) = hash_key::settle(self, stop).await? {
            return Ok(Replayed { replayed: 0, died_again: 0, halt: Some(halt) });
        }
        self.open_a_guard().await?;
        let detail = serde_json::json!({ "niks": replay.niks.iter().map(KeyedHash::as_str).collect::<Vec<_>>(),
            "from": replay.from, "to": replay.to, "reason": replay.reason.map(|reason| reason.as_str()) });
        let rows = self.backing.ledger.replay(replay).await?;
        Failpoint::Replayed.pass();
        let mut runs: Vec<RunId> = rows.iter().map(|row| row.run).collect();
        runs.sort_unstable();
        runs.dedup();
        let detail = serde_json::json!({ "filter": detail, "count": rows.len(), "runs": runs });
        self.backing.ledger.note_act(Act { who: self.who.clone(), act: "replay".into(), detail }).await?;
        // What an interrupted replay left behind is no open dead letter any more, and nobody else's either.
        let unfinished = self.backing.ledger.unfinished_runs(&self.job, None).await?;
        runs.extend(unfinished.iter().filter(|run| run.state == RunState::Closed).map(|run| run.id));
        runs.sort_unstable();
        runs.dedup();
        // Dry runs leave no dead letters.
        let kind = RunKind::Night;
        if !self.backing.queues.of(kind).durable() {
            for run in &runs {
                self.backing.ledger.forget_published(*run).await?;
            }
        }
        let halt = self.watch(&runs, kind, None, stop).await?;
        let mut died_again = 0;
        for run in runs {
            died_again += self.dead_among(run, &rows).await?;
        }
        Ok(Replayed { replayed: rows.len() as u64, died_again, halt })
    }

    async fn dead_among(&self, run: RunId, rows: &[RowKey]) -> Result<u64, ProducerError> {
        let filter = RowFilter { outcome: Some(Outcome::DeadLettered), ..RowFilter::default() };
        let (mut after, mut dead) = (0, 0);
        loop {
            let page = self.backing.ledger.rows(run, &filter, after, 1_000).await?;
            let Some(last) = page.last() else { return Ok(dead) };
            after = last.key.sheet_row;
            dead += page.iter().filter(|row| rows.contains(&row.key)).count() as u64;
        }
    }

    /// Works a run through to its end, or to what halts it, and adds its report.
    async fn work(
        &self,
        run: Run,
        lock: &RunLock,
        stop: &CancellationToken,
        ended: &mut Ended,
    ) -> Result<(), ProducerError> {
        self.open_a_guard().await?;
        let halt = self.snapshot_and_watch(&run, lock, stop).await;
        self.note_a_stop(&run, &halt).await;
        ended.halt = halt?;
        let run = self.backing.ledger.run(run.id).await?.ok_or(LedgerError::Foreign { what: "run" })?;
        let tally = self.backing.ledger.tally(run.id).await?;
        let report = Report::new(&run, &tally, self.backing.clock.now());
        tracing::info!(run_id = %run.id, run_date = %run.date, state = %run.state, rows_selected = report.rows_selected,
            rows_open = report.rows_open, seconds = report.duration_seconds.round(), "run ended");
        ended.reports.push(report);
        Ok(())
    }

    async fn snapshot_and_watch(
        &self,
        run: &Run,
        lock: &RunLock,
        stop: &CancellationToken,
    ) -> Result<Option<Halt>, ProducerError> {
        if run.state == RunState::Seeding {
            let mut source = match self.sources.open().await {
                Ok(source) => source,
                Err(error) => return halted(error),
            };
            let rules = RowRules { run_date: run.date, zone: self.zone.clone(), date_order: self.date_order };
            let (ledger, keys) = (&self.backing.ledger, &self.backing.keys);
            let take = snapshot::take(ledger, keys, &rules, &lock.fence, run, source.as_mut());
            let taken = tokio::select! {
                biased;
                taken = take.instrument(traces::snapshot(run.id)) => taken,
                () = stop.cancelled() => return Ok(Some(Halt::Interrupted)),
                () = lock.lost.cancelled() => return Err(ProducerError::LockLost),
            };
            match taken {
                Ok(()) => tracing::info!(run_id = %run.id, "snapshot complete"),
                Err(SnapshotError::Source(error)) => return halted(error),
                Err(SnapshotError::Ledger(error)) => return Err(error.into()),
            }
        } else if !self.backing.queues.of(run.kind).durable() {
            self.backing.ledger.forget_published(run.id).await?;
        }
        self.watch(&[run.id], run.kind, Some(lock), stop).await
    }

    /// A guard stands until an operator starts again: that is now, once. One that is found while this command works on
    /// its first date stands for the second, too.
    async fn open_a_guard(&self) -> Result<(), ProducerError> {
        let opened = self.guard_opened.get_or_try_init(async || {
            let shut = self.backing.ledger.gate().await?;
            if let Some(guard) = shut.filter(|shut| shut.gate.kind == GateKind::Guard) {
                self.backing.ledger.open_gate(&guard).await?;
            }
            Ok(())
        });
        opened.await.copied()
    }
}

/// What became of a replay.
#[derive(Debug)]
pub struct Replayed {
    /// Rows that got a new generation.
    pub replayed: u64,
    /// Those of them that became dead letters again.
    pub died_again: u64,
    /// Why it did not simply finish.
    pub halt: Option<Halt>,
}

fn halted(error: SourceError) -> Result<Option<Halt>, ProducerError> {
    if error.is_systemic() {
        Ok(Some(Halt::Stopped(error_chain(&error))))
    } else {
        Err(ProducerError::Source(error))
    }
}

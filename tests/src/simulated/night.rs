//! One simulated night from its plan to its verdict.

use std::sync::Arc;
use std::time::Duration;

use producer::{Order, Until};
use shared::ledger::{LedgerView as _, Replay, RunState, Selection};
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::life::Life;
use super::plan::{DAYS, Plan, What, Without};
use super::trace::Trace;
use super::world::World;
use crate::night::{reapplied, whole};
use crate::oracle::{Verdict, World as _};

/// What a worker has to finish what it has in hand.
const DRAIN: Duration = Duration::from_secs(25);

/// What a night may still take once nothing fails any more: claims of the dead, doubled sweeps of lost messages.
const BOUND: Duration = Duration::from_secs(3 * 3_600);

/// Between two looks whether everything has come to rest.
const LOOK: Duration = Duration::from_secs(5);

/// How a simulated night went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// The oracle's verdict, and what did not hold on the way.
    pub verdict: Verdict,
    /// Of everything that happened, in order.
    pub digest: u64,
    /// How many steps the processes made.
    pub steps: u64,
    /// Everything that happened, where it was asked for.
    pub lines: Vec<String>,
}

/// Plays a plan on a runtime of its own, under paused time.
///
/// # Panics
/// No runtime can be made.
pub fn play(plan: &Plan, in_words: bool) -> Told {
    play_all(plan, in_words, None)
}

/// Plays a plan in a world that lacks something.
///
/// # Panics
/// As [`play`].
pub fn play_without(plan: &Plan, what: Without) -> Told {
    play_all(plan, false, Some(what))
}

fn play_all(plan: &Plan, in_words: bool, without: Option<Without>) -> Told {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime").block_on(Box::pin(async {
        let trace = Trace::new(in_words);
        let night = Night::new(plan, trace.clone(), without);
        let rest = tokio::select! {
            biased;
            () = trace.overrun().cancelled() => Err("it goes round in circles"),
            rest = night.pass() => rest,
        };
        let mut verdict = night.world.verdict().await;
        night.tell_dead_letters(&mut verdict).await;
        let (digest, steps, violations, lines) = trace.take();
        verdict.violations.extend(violations);
        if let Err(why) = rest {
            verdict.violations.push(why.to_owned());
        }
        Told { verdict, digest, steps, lines }
    }))
}

struct Night<'a> {
    plan: &'a Plan,
    world: Arc<World>,
    workers: Vec<Slot>,
}

/// A place where a worker runs, again and again.
#[derive(Clone, Default)]
struct Slot {
    now: Arc<std::sync::Mutex<Option<Worker>>>,
    starts: Arc<std::sync::atomic::AtomicU32>,
}

#[derive(Clone)]
struct Worker {
    life: Life,
    drain: CancellationToken,
    back_after: Arc<std::sync::atomic::AtomicU64>,
}

/// A producer that was started.
struct Command {
    life: Life,
    stop: CancellationToken,
    runs: JoinHandle<()>,
}

impl<'a> Night<'a> {
    fn new(plan: &'a Plan, trace: Trace, without: Option<Without>) -> Self {
        let world = Arc::new(World::of(plan, trace, without));
        Self { plan, world, workers: vec![Slot::default(); plan.workers] }
    }

    /// Lets everything happen, then waits until all has come to rest.
    async fn pass(&self) -> Result<(), &'static str> {
        let keepers: Vec<_> = (0..self.plan.workers).map(|at| self.keep_worker(at)).collect();
        let mut commands: Vec<Command> = Vec::new();
        let mut events = self.plan.events.clone();
        events.sort_by_key(|event| event.at);
        for event in events {
            sleep(Duration::from_millis(event.at.saturating_sub(self.world.trace.now()))).await;
            self.let_happen(event.what, &mut commands);
        }
        sleep(Duration::from_millis(self.plan.ends().saturating_sub(self.world.trace.now()))).await;
        self.world.trace.note("night", "nothing fails any more");
        let looks = BOUND.as_secs() / LOOK.as_secs();
        let mut rest = Err("it did not come to rest");
        for look in 0..looks {
            commands.retain(|command| !command.runs.is_finished());
            if commands.is_empty() && self.is_at_rest().await {
                rest = Ok(());
                break;
            }
            // What nobody carries on an operator does in the end, as one does the next morning.
            if look % 12 == 11 && commands.is_empty() {
                self.carry_on(&mut commands).await;
            }
            sleep(LOOK).await;
        }
        keepers.iter().for_each(JoinHandle::abort);
        rest
    }

    async fn is_at_rest(&self) -> bool {
        let runs = self.world.ledger.runs(&self.world.settings.job, None, 100).await.expect("a list");
        let ended = |state| matches!(state, RunState::Closed | RunState::Abandoned);
        runs.iter().all(|summary| ended(summary.run.state) && summary.tally.open == 0)
            && self.world.depths().await.iter().all(|depth| *depth == shared::queue::Depth::default())
            && self.world.held().await == (0, 0)
            && self.world.ledger.gate().await.expect("an answer").is_none()
    }

    async fn carry_on(&self, commands: &mut Vec<Command>) {
        let job = &self.world.settings.job;
        let unfinished = self.world.ledger.unfinished_runs(job, None).await.expect("a list");
        let Some(run) = unfinished.first() else { return };
        match run.state {
            RunState::Closed => self.command(commands, What::Replay),
            _ => self.command(commands, What::Resume),
        }
    }

    fn let_happen(&self, what: What, commands: &mut Vec<Command>) {
        self.world.trace.note("night", &format!("{what:?}"));
        let newest = commands.last();
        match what {
            What::Start { .. } | What::Resume | What::Replay | What::Reapply { .. } => {
                self.command(commands, what)
            }
            What::ProducerKilled { steps } => {
                newest.into_iter().for_each(|command| command.life.kill_after(steps))
            }
            What::ProducerStopped => newest.into_iter().for_each(|command| command.stop.cancel()),
            What::QueueEmptied if self.plan.workers > 0 => self.world.broker.empty(),
            What::ClockJumps { by } => self.world.move_clock(by),
            What::Retyped { row, number } => self.world.sheet.retype(row, number),
            What::Touched { person } => self.world.server.touch_person(person),
            What::WorkerKilled { worker, steps, away } => {
                if let Some(worker) = self.worker(worker) {
                    worker.back_after.store(away, std::sync::atomic::Ordering::Relaxed);
                    worker.life.kill_after(steps);
                } else if let (0, Some(command)) = (self.plan.workers, newest) {
                    command.life.kill_after(steps);
                }
            }
            What::WorkerStopped { worker, away } => {
                if let Some(worker) = self.worker(worker) {
                    worker.back_after.store(away, std::sync::atomic::Ordering::Relaxed);
                    worker.drain.cancel();
                }
            }
            What::WorkerFrozen { worker, lasts } => {
                let life = self.worker(worker).map(|worker| worker.life);
                let life = life.or_else(|| newest.map(|command| command.life.clone()));
                life.into_iter().for_each(|life| life.freeze(Duration::from_millis(lasts)));
            }
            What::QueueEmptied
            | What::Server { .. }
            | What::Refused { .. }
            | What::Ledger { .. }
            | What::Queue { .. } => {}
        }
    }

    fn worker(&self, at: usize) -> Option<Worker> {
        self.workers.get(at)?.now.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// A worker, started again whenever it ends, as a cluster does.
    fn keep_worker(&self, at: usize) -> JoinHandle<()> {
        let (world, slot) = (self.world.clone(), self.workers[at].clone());
        tokio::spawn(async move {
            loop {
                let start = slot.starts.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                let start = world.start(format!("worker {at}.{start}"));
                let worker = Worker {
                    life: start.life.clone(),
                    drain: CancellationToken::new(),
                    back_after: Arc::default(),
                };
                *slot.now.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(worker.clone());
                let (working, steward) = (world.worker(&start).await, world.steward(&start));
                let duties = CancellationToken::new();
                let works = async {
                    tokio::join!(steward.serve(duties.clone()), async {
                        working.run_at_most(worker.drain.clone(), CancellationToken::new(), DRAIN).await;
                        duties.cancel();
                    });
                };
                tokio::select! {
                    biased;
                    () = worker.life.dead().cancelled() => {}
                    () = works => {}
                }
                drop((working, steward, start));
                sleep(Duration::from_millis(worker.back_after.load(std::sync::atomic::Ordering::Relaxed)))
                    .await;
            }
        })
    }

    fn command(&self, commands: &mut Vec<Command>, what: What) {
        commands.retain(|command| !command.runs.is_finished());
        // Where everything is one process the operating system's lock lets in one.
        if self.plan.workers == 0 && !commands.is_empty() {
            self.world.trace.note("night", "the lock turns it away");
            return;
        }
        let number = self.world.trace.next();
        let start = self.world.start(format!("producer {number}"));
        let (life, stop) = (start.life.clone(), CancellationToken::new());
        let (world, alone, stopped, died) =
            (self.world.clone(), self.plan.workers == 0, stop.clone(), life.clone());
        let runs = tokio::spawn(async move {
            if alone {
                // The process that held the lock is dead: an acting start voids what it left.
                world.broker.empty();
            }
            let until = if matches!(what, What::Start { detach: true, .. }) && !alone {
                Until::Published
            } else {
                Until::Closed
            };
            let producer = world.producer(&start, until);
            let command = async {
                match what {
                    What::Replay => {
                        format!("{:?}", producer.replay(Replay::default(), &stopped).await.map(|it| it.halt))
                    }
                    What::Resume => {
                        format!("{:?}", producer.resume(None, &stopped).await.map(|it| it.map(|it| it.halt)))
                    }
                    What::Reapply { day } => told(producer.night(date(day), &reapplied(), &stopped).await),
                    What::Start { day, .. } => told(producer.night(date(day), &order(), &stopped).await),
                    _ => unreachable!("no command"),
                }
            };
            let whole = async {
                if !alone {
                    return command.await;
                }
                let worker = world.worker(&start).await;
                let drain = CancellationToken::new();
                let (told, ()) = tokio::join!(
                    async {
                        let told = command.await;
                        drain.cancel();
                        told
                    },
                    worker.run_at_most(drain.clone(), CancellationToken::new(), DRAIN)
                );
                told
            };
            tokio::select! {
                biased;
                () = died.dead().cancelled() => {}
                told = whole => world.trace.note(died.name(), &format!("ends: {told}")),
            }
        });
        commands.push(Command { life, stop, runs });
    }

    /// Nobody's row dies of what is wrong for everybody.
    async fn tell_dead_letters(&self, verdict: &mut Verdict) {
        let refuses = |event: &super::plan::Event| matches!(event.what, What::Refused { .. });
        if self.plan.events.iter().any(refuses) {
            return;
        }
        let dead =
            self.world.count("SELECT COUNT(*) FROM dead_letter WHERE reason = 'rejected_by_server'").await;
        if dead > 0 {
            verdict
                .violations
                .push(format!("{dead} rows were given up as rejected, and nothing rejects a row"));
        }
    }
}

fn order() -> Order {
    Order { selection: Selection::default(), ..whole() }
}

fn date(day: usize) -> shared::domain::RunDate {
    DAYS[day].parse().expect("a date")
}

fn told(ended: Result<producer::Ended, producer::ProducerError>) -> String {
    match ended {
        Ok(ended) => format!("{:?}, {} reports", ended.halt, ended.reports.len()),
        Err(error) => error.to_string(),
    }
}

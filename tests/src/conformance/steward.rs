//! The steward between a ledger and a queue: publishes what is due, closes what is settled, one at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::json;
use shared::domain::{Outcome, Reason};
use shared::ledger::{Notice, Replay, RowKey, RowMessage, RunId, RunKind, RunState, Selection};
use shared::queue::{Channel, Deliveries, Depth, Queue, QueueError, Settle};
use shared::report::Report;
use shared::steward::{Scope, Steward, StewardTerms};
use tokio_util::sync::CancellationToken;

use super::ledger::{self, JOB, LEASE, RETAKE, STALE, done};
use super::{published, queue};
use crate::night::until;

const ON: &str = "2026-11-23";

fn job(name: &str) -> Scope {
    Scope::Job { job: name.into(), kind: RunKind::Night }
}

/// A ledger with a queue beside it.
pub struct Stage {
    ledger: ledger::Stage,
    queue: Box<dyn queue::Adapter>,
}

impl Stage {
    /// A stage for one case.
    pub fn new((ledger, queue): (impl ledger::Adapter + 'static, impl queue::Adapter + 'static)) -> Self {
        Self { ledger: ledger::Stage::new(ledger), queue: Box::new(queue) }
    }

    fn steward(&self, holder: &str) -> Steward {
        self.steward_of(holder, self.queue.queue().clone(), job(JOB))
    }

    fn steward_of(&self, holder: &str, queue: Arc<dyn Queue>, scope: Scope) -> Steward {
        let terms = StewardTerms {
            every: Duration::from_millis(10),
            lease: LEASE,
            window: 100,
            retake_after: RETAKE,
            stale_after: STALE,
        };
        Steward::new(self.ledger.ledger().clone(), queue, holder.into(), terms, scope)
    }

    async fn night(&self, on: &str, rows: u32) -> RunId {
        let rows: Vec<_> = (2..2 + rows).map(|row| (row, row, row)).collect();
        self.ledger.night(on, &rows).await
    }

    async fn ready(&self) -> u64 {
        self.queue.queue().depth().await.expect("a depth").ready
    }

    /// Waits until as many are ready: what somebody gave back may still be on its way.
    async fn until_ready(&self, expected: u64) {
        until("messages to be ready", || self.ready(), |ready| *ready == expected).await;
    }

    /// Takes everything that is ready, and is done with it.
    async fn lose_all(&self) {
        // What is on its way to a subscriber is not counted: once it is there, no count tells the end.
        let ready = self.ready().await;
        let mut work = self.queue.queue().subscribe(Channel::Work, 10).await.expect("to subscribe");
        for _ in 0..ready {
            let delivery = work.next().await.expect("the subscription goes on");
            delivery.settle(Settle::Done).await.expect("to settle");
        }
    }
}

async fn round(steward: &Steward) -> Vec<RunId> {
    steward.round().await.expect("a round")
}

/// The cases of the steward's suite, handed to the macro named first, after the arguments given here.
#[macro_export]
macro_rules! steward_cases {
    ([$($with:tt)+] $($argument:tt)*) => {
        $($with)+! {
            $($argument)*
            rounds {
                a_round_publishes_all_that_is_due,
                a_round_publishes_nothing_twice,
                an_unfinished_snapshot_is_not_published,
                lost_messages_are_published_again,
                rows_of_lost_claims_are_published_again,
                what_the_queue_does_not_confirm_is_published_again,
                a_round_closes_what_is_settled,
                a_run_closes_with_a_report_as_of_then,
                a_closing_makes_news_of_a_night_only,
                another_jobs_runs_are_left_open,
                a_commands_steward_serves_its_own_runs_only,
                one_steward_serves_at_a_time,
                a_steward_serves_until_it_is_stopped,
            }
        }
    };
}

steward_cases!([published] cases);

/// Makes the tests of one pair of adapters: `steward_suite!(name, paused, (Ledger::new(), Queue::new()))`, with
/// `real` instead of `paused` where tokio's time must run.
#[macro_export]
macro_rules! steward_suite {
    ($name:ident, paused, $adapter:expr) => {
        mod $name {
            use super::*;

            $crate::steward_cases!([$crate::suite_tests] (start_paused = true) steward cases ($adapter));
        }
    };
    ($name:ident, real, $adapter:expr) => {
        mod $name {
            use super::*;

            $crate::steward_cases!([$crate::suite_tests] () steward cases ($adapter));
        }
    };
}

mod rounds {
    use super::*;

    pub(super) async fn a_round_publishes_all_that_is_due(stage: Stage) {
        // More than two windows, in two runs, the older snapshot first.
        let (first, second) = (stage.night("2026-11-24", 220).await, stage.night(ON, 30).await);
        assert!(round(&stage.steward("one")).await.is_empty());
        assert_eq!(stage.ready().await, 250);
        let mut work = stage.queue.queue().subscribe(Channel::Work, 1).await.expect("to subscribe");
        let expected = (2..222).map(|row| (first, row)).chain((2..32).map(|row| (second, row)));
        for (run, sheet_row) in expected {
            let delivery = work.next().await.expect("the subscription goes on");
            assert_eq!(delivery.message.key, RowKey { run, sheet_row, generation: 1 });
            delivery.settle(Settle::Done).await.expect("to settle");
        }
    }

    pub(super) async fn a_round_publishes_nothing_twice(stage: Stage) {
        stage.night(ON, 130).await;
        let steward = stage.steward("one");
        for _ in 0..4 {
            round(&steward).await;
            assert_eq!(stage.ready().await, 130);
            stage.ledger.advance(STALE).await;
        }
    }

    pub(super) async fn an_unfinished_snapshot_is_not_published(stage: Stage) {
        let fence = stage.ledger.lock(ON, "producer").await;
        let run = stage.ledger.open(&fence, shared::ledger::RunKind::Night, Default::default()).await.id;
        stage.ledger.seed(&fence, run, 2..=2, vec![stage.ledger.row(run, 2, 1, 1)]).await;
        assert!(round(&stage.steward("one")).await.is_empty());
        assert_eq!(stage.ready().await, 0);
        stage.ledger.complete(&fence, run).await;
        round(&stage.steward("one")).await;
        assert_eq!(stage.ready().await, 1);
    }

    pub(super) async fn lost_messages_are_published_again(stage: Stage) {
        let run = stage.night(ON, 3).await;
        let steward = stage.steward("one");
        round(&steward).await;
        stage.lose_all().await;
        stage.ledger.advance(STALE / 2).await;
        round(&steward).await;
        assert_eq!(stage.ready().await, 0, "they may still be in somebody's hands");
        stage.ledger.finish(run, 3, Outcome::Updated).await;
        stage.ledger.advance(STALE / 2).await;
        round(&steward).await;
        assert_eq!(stage.ready().await, 2);
    }

    pub(super) async fn rows_of_lost_claims_are_published_again(stage: Stage) {
        let run = stage.night(ON, 3).await;
        let steward = stage.steward("one");
        round(&steward).await;
        let mut work = stage.queue.queue().subscribe(Channel::Work, 10).await.expect("to subscribe");
        let delivery = work.next().await.expect("the subscription goes on");
        stage.ledger.take(delivery.message.key, delivery.message.turn).await;
        drop(work);
        delivery.settle(Settle::Done).await.expect("to settle");
        stage.until_ready(2).await;
        stage.ledger.advance(LEASE).await;
        // The queue is not idle, and yet nobody else will bring this one.
        round(&steward).await;
        assert_eq!(stage.ready().await, 3);
        stage.ledger.take(RowKey { run, sheet_row: 2, generation: 1 }, 1).await;
    }

    pub(super) async fn what_the_queue_does_not_confirm_is_published_again(stage: Stage) {
        stage.night(ON, 6).await;
        let halving = Arc::new(Halving { queue: stage.queue.queue().clone(), fails: AtomicBool::new(true) });
        let steward = stage.steward_of("one", halving, job(JOB));
        steward.round().await.expect_err("the queue fails");
        assert_eq!(stage.ready().await, 0);
        stage.ledger.advance(RETAKE).await;
        round(&steward).await;
        assert_eq!(stage.ready().await, 3);
        stage.ledger.advance(RETAKE * 2).await;
        round(&steward).await;
        assert_eq!(stage.ready().await, 4, "of the three that were not confirmed, one more is");
    }

    pub(super) async fn a_round_closes_what_is_settled(stage: Stage) {
        let (settled, open, empty) =
            (stage.night(ON, 1).await, stage.night(ON, 2).await, stage.night(ON, 0).await);
        stage.ledger.finish(settled, 2, Outcome::SkippedNotFound).await;
        let steward = stage.steward("one");
        assert_eq!(round(&steward).await, [settled, empty]);
        assert!(round(&steward).await.is_empty());
        for (run, state) in [(settled, RunState::Closed), (open, RunState::Open), (empty, RunState::Closed)] {
            let run = stage.ledger.ledger().run(run).await.expect("a run").expect("it is there");
            assert_eq!(run.state, state);
        }
    }

    pub(super) async fn a_run_closes_with_a_report_as_of_then(stage: Stage) {
        let run = stage.night(ON, 3).await;
        let ledger = stage.ledger.ledger();
        stage.ledger.finish(run, 2, Outcome::Updated).await;
        stage.ledger.finish(run, 3, Outcome::Unchanged).await;
        stage.ledger.kill(RowKey { run, sheet_row: 4, generation: 1 }, Reason::PatientGone).await;
        stage.ledger.advance(Duration::from_secs(90)).await;
        assert_eq!(round(&stage.steward("one")).await, [run]);
        let closed = ledger.run(run).await.expect("a run").expect("it is there");
        let report = ledger.report(run).await.expect("an answer").expect("a report");
        // One time for both.
        let counted = Report::new(&closed, &ledger.tally(run).await.expect("a tally"), Timestamp::MAX);
        assert_eq!(report.to_string(), counted.json());
        assert_eq!((&report["state"], &report["outcomes"]["dead_lettered"]), (&json!("closed"), &json!(1)));
        assert!(report["duration_seconds"].as_f64().expect("seconds") >= 90.0, "{report}");
        // A replay finds another end, and the report of that night stays.
        ledger.replay(Replay::default()).await.expect("to replay");
        let claimed = stage.ledger.take(RowKey { run, sheet_row: 4, generation: 2 }, 0).await;
        stage.ledger.record(&claimed, done(Outcome::Updated)).await;
        assert!(round(&stage.steward("one")).await.is_empty());
        assert_eq!(ledger.tally(run).await.expect("a tally").count(Outcome::Updated), 2);
        assert_eq!(ledger.report(run).await.expect("an answer"), Some(report));
    }

    pub(super) async fn a_closing_makes_news_of_a_night_only(stage: Stage) {
        let run = stage.night(ON, 2).await;
        let dry = stage.ledger.run_of(ON, RunKind::DryRun, Selection::default(), &[]).await;
        stage.ledger.finish(run, 2, Outcome::Updated).await;
        stage.ledger.kill(RowKey { run, sheet_row: 3, generation: 1 }, Reason::PatientGone).await;
        let steward = stage.steward_of("one", stage.queue.queue().clone(), Scope::Runs(vec![run, dry]));
        assert_eq!(round(&steward).await, [run, dry]);
        let ledger = stage.ledger.ledger();
        let open = ledger.open_notices(10).await.expect("notices");
        let [news] = &open[..] else { panic!("{open:?}") };
        let Notice { key, kind, text, detail } = &news.notice;
        assert_eq!((key, kind.as_str()), (&format!("closed:{run}"), "closed"));
        for part in [JOB, ON, "is closed after", "1 updated, 1 dead lettered", "One dead letter waits"] {
            assert!(text.contains(part), "{text}");
        }
        assert_eq!(Some(detail), ledger.report(run).await.expect("an answer").as_ref());
        assert!(ledger.report(dry).await.expect("an answer").is_some());
    }

    pub(super) async fn another_jobs_runs_are_left_open(stage: Stage) {
        let run = stage.night(ON, 0).await;
        let other = stage.steward_of("one", stage.queue.queue().clone(), job("another job"));
        assert!(round(&other).await.is_empty());
        assert_eq!(round(&stage.steward("one")).await, [run]);
    }

    pub(super) async fn a_commands_steward_serves_its_own_runs_only(stage: Stage) {
        let (own, other) = (stage.night(ON, 130).await, stage.night(ON, 40).await);
        let (settled, left) = (stage.night(ON, 0).await, stage.night(ON, 0).await);
        let scope = Scope::Runs(vec![own, settled]);
        let steward = stage.steward_of("one", stage.queue.queue().clone(), scope);
        assert_eq!(round(&steward).await, [settled]);
        assert_eq!(stage.ready().await, 130);
        assert!(round(&steward).await.is_empty(), "it was closed before");
        // A worker's steward serves the others, once the command has ended.
        stage.ledger.advance(LEASE).await;
        assert_eq!(round(&stage.steward("other")).await, [left]);
        assert_eq!(stage.ready().await, 170);
        assert_eq!(stage.ledger.outcome(other, 2).await, None);
    }

    pub(super) async fn one_steward_serves_at_a_time(stage: Stage) {
        let (one, other) = (stage.steward("one"), stage.steward("other"));
        let empty = stage.night(ON, 0).await;
        assert_eq!(round(&one).await, [empty]);
        let empty = stage.night(ON, 0).await;
        stage.night(ON, 5).await;
        assert!(round(&other).await.is_empty(), "it has not the duty");
        assert_eq!(stage.ready().await, 0);
        assert_eq!(round(&one).await, [empty]);
        assert_eq!(stage.ready().await, 5);
        // The one dies; the other takes over when its lease has run out.
        let empty = stage.night(ON, 0).await;
        stage.ledger.advance(LEASE).await;
        assert_eq!(round(&other).await, [empty]);
        assert!(round(&one).await.is_empty());
        assert_eq!(stage.ready().await, 5, "nothing was published twice");
    }

    pub(super) async fn a_steward_serves_until_it_is_stopped(stage: Stage) {
        let run = stage.night(ON, 20).await;
        let stop = CancellationToken::new();
        let (serving, stopped) = (stage.steward("one"), stop.clone());
        let serving = tokio::spawn(async move { serving.serve(stopped).await });
        let mut work = stage.queue.queue().subscribe(Channel::Work, 10).await.expect("to subscribe");
        for _ in 0..20 {
            let delivery = work.next().await.expect("the subscription goes on");
            stage
                .ledger
                .finish(delivery.message.key.run, delivery.message.key.sheet_row, Outcome::Updated)
                .await;
            delivery.settle(Settle::Done).await.expect("to settle");
        }
        let state = async || stage.ledger.ledger().run(run).await.expect("a run").map(|run| run.state);
        until("the run to be closed", state, |state| *state == Some(RunState::Closed)).await;
        stop.cancel();
        serving.await.expect("it stops without a panic");
        assert_eq!(stage.queue.queue().depth().await.expect("a depth"), Depth::default());
    }
}

/// A queue that fails once, and then confirms every other message and loses the rest.
struct Halving {
    queue: Arc<dyn Queue>,
    fails: AtomicBool,
}

#[async_trait]
impl Queue for Halving {
    fn durable(&self) -> bool {
        self.queue.durable()
    }

    async fn publish(&self, messages: Vec<RowMessage>) -> Result<Vec<RowKey>, QueueError> {
        if self.fails.swap(false, Ordering::Relaxed) {
            return Err(QueueError::Failed { doing: "publish", source: "the broker is away".into() });
        }
        let half = messages.into_iter().skip(1).step_by(2).collect();
        self.queue.publish(half).await
    }

    async fn subscribe(&self, channel: Channel, prefetch: usize) -> Result<Box<dyn Deliveries>, QueueError> {
        self.queue.subscribe(channel, prefetch).await
    }

    async fn depth(&self) -> Result<Depth, QueueError> {
        self.queue.depth().await
    }

    async fn consumers(&self) -> Result<u64, QueueError> {
        self.queue.consumers().await
    }
}

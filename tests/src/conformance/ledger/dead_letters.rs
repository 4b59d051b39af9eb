//! Burials, and the end of a run.

use std::sync::Arc;

use shared::domain::{Outcome, Reason};
use shared::ledger::{Burial, Closing, DeadLetterView, Recorded, Replay, RunKind, RunState, Selection};
use shared::payload::Payload;

use super::stage::{JOB, LEASE, Stage, closing, date, done, failed, key, number, sheet_rows};

const ON: &str = "2026-11-23";

async fn letters(stage: &Stage) -> Vec<DeadLetterView> {
    stage.ledger().dead_letters(&Replay::default(), 0, 1_000).await.expect("dead letters")
}

pub(super) async fn a_failed_row_becomes_one_dead_letter(stage: Stage) {
    let run = stage.night(ON, &[(2, 1, 1)]).await;
    let claimed = stage.take(key(run, 2), 0).await;
    stage.record(&claimed, failed(Reason::AmbiguousPatient)).await;
    assert!(letters(&stage).await.is_empty());
    stage.bury(key(run, 2)).await;
    let row = stage.view(run, 2).await;
    assert_eq!((row.outcome, row.state.as_str()), (Some(Outcome::DeadLettered), "done"));
    assert_eq!((row.reason, row.attempts), (Some(Reason::AmbiguousPatient), 1));
    let letters = letters(&stage).await;
    let [letter] = letters.as_slice() else { panic!("one row, one dead letter: {letters:?}") };
    assert_eq!((letter.key, letter.date, letter.reason), (key(run, 2), date(ON), Reason::AmbiguousPatient));
    assert_eq!((letter.error.as_str(), letter.attempts, letter.replayed_at), ("HTTP 422: no", 1, None));
    assert_eq!(letter.nik, stage.nik_hash(1));
    let payload = Payload::open(stage.keys(), &letter.key, &letter.sealed).expect("sealed for its row");
    assert_eq!(payload.number, Some(number(1)));
}

pub(super) async fn burying_again_changes_nothing(stage: Stage) {
    let run = stage.night(ON, &[(2, 1, 1), (3, 2, 2)]).await;
    let claimed = stage.take(key(run, 2), 0).await;
    stage.record(&claimed, failed(Reason::PatientGone)).await;
    let burial = Burial { key: key(run, 2), deaths: None };
    // Two consumers with the same message, and one of them twice in a batch.
    let twice = [burial.clone(), burial.clone()];
    let (first, second) = tokio::join!(stage.ledger().bury(&twice), stage.ledger().bury(&twice));
    first.and(second).expect("to bury");
    let before = letters(&stage).await;
    assert_eq!(before.len(), 1);
    stage.advance(LEASE).await;
    stage.bury(key(run, 2)).await;
    let after = letters(&stage).await;
    assert_eq!((after.len(), after[0].number, after[0].died_at), (1, before[0].number, before[0].died_at));
    // Nor does burying what has another outcome, or is no row at all.
    stage.finish(run, 3, Outcome::Updated).await;
    stage.bury(key(run, 3)).await;
    stage.bury(key(run, 99)).await;
    assert_eq!(stage.outcome(run, 3).await, Some(Outcome::Updated));
    assert_eq!(letters(&stage).await.len(), 1);
}

pub(super) async fn a_message_that_died_alone_sends_its_row_back(stage: Stage) {
    let run = stage.night(ON, &[(2, 1, 1), (3, 2, 2)]).await;
    let due = stage.due().await;
    stage.confirm(&due).await;
    stage.bury(key(run, 2)).await;
    assert!(letters(&stage).await.is_empty());
    let row = stage.view(run, 2).await;
    assert_eq!((row.outcome, row.state.as_str(), row.attempts), (None, "pending", 0));
    assert_eq!(sheet_rows(&stage.due().await), [2], "it is published again at once");
    stage.finish(run, 2, Outcome::Updated).await;
}

pub(super) async fn a_claimed_row_is_not_buried(stage: Stage) {
    let run = stage.night(ON, &[(2, 1, 1)]).await;
    let claimed = stage.take(key(run, 2), 0).await;
    stage.bury(key(run, 2)).await;
    assert_eq!(stage.view(run, 2).await.state, "claimed");
    assert_eq!(stage.record(&claimed, done(Outcome::Updated)).await, Recorded::Yes { turn: 0 });
    assert!(letters(&stage).await.is_empty());
}

pub(super) async fn a_dry_run_leaves_no_dead_letter(stage: Stage) {
    let run = stage.run_of(ON, RunKind::DryRun, Selection::default(), &[(2, 1, 1)]).await;
    stage.kill(key(run, 2), Reason::AmbiguousPatient).await;
    let row = stage.view(run, 2).await;
    assert_eq!((row.outcome, row.reason), (Some(Outcome::DeadLettered), Some(Reason::AmbiguousPatient)));
    assert!(letters(&stage).await.is_empty());
    assert!(stage.ledger().replay(Replay::default()).await.expect("to replay").is_empty());
    assert!(stage.close(run).await);
}

pub(super) async fn a_run_closes_once_and_only_when_all_is_done(stage: Stage) {
    let run = stage.night(ON, &[(2, 1, 1), (3, 2, 2)]).await;
    let closes = async || stage.close(run).await;
    let settled = async || stage.ledger().is_settled(run).await.expect("an answer");
    assert!(!closes().await && !settled().await, "two are pending");
    stage.finish(run, 2, Outcome::Updated).await;
    let claimed = stage.take(key(run, 3), 0).await;
    assert!(!closes().await && !settled().await, "one is claimed");
    stage.record(&claimed, failed(Reason::PatientGone)).await;
    assert!(!closes().await && !settled().await, "one is not buried");
    stage.bury(key(run, 3)).await;
    assert!(settled().await);
    assert_eq!(stage.ledger().run(run).await.expect("a run").map(|run| run.state), Some(RunState::Open));
    assert!(closes().await, "all is done");
    assert!(!closes().await, "somebody closed it already");
    let closed = stage.ledger().run(run).await.expect("a run").expect("it is there");
    assert_eq!(closed.state, RunState::Closed);
    assert!(closed.closed_at.is_some_and(|at| Some(at) >= closed.snapshot_at));
    assert!(settled().await);
    assert!(stage.ledger().unfinished_runs(JOB, None).await.expect("runs").is_empty());

    let fence = stage.lock(ON, "producer").await;
    let seeding = stage.open(&fence, RunKind::Night, Selection::default()).await.id;
    assert!(!stage.close(seeding).await, "its snapshot is not complete");
}

pub(super) async fn of_many_closers_one_closes(stage: Stage) {
    let run = stage.night(ON, &[(2, 1, 1)]).await;
    stage.finish(run, 2, Outcome::Updated).await;
    let mut stewards = tokio::task::JoinSet::new();
    for steward in 0..8 {
        let ledger = Arc::clone(stage.ledger());
        let closed_at = ledger.now().await.expect("a clock");
        let closing = Closing { closed_at, report: serde_json::json!({ "steward": steward }), ..closing() };
        stewards.spawn(async move {
            let closed = ledger.close_run(run, &closing).await.expect("an answer");
            closed.then_some(closing)
        });
    }
    let closed: Vec<_> = stewards.join_all().await.into_iter().flatten().collect();
    let [closing] = &closed[..] else { panic!("{closed:?} closed it") };
    // Time and report are that one's.
    let run = stage.ledger().run(run).await.expect("a run").expect("it is there");
    assert_eq!(run.closed_at, Some(closing.closed_at));
    assert_eq!(stage.ledger().report(run.id).await.expect("an answer").as_ref(), Some(&closing.report));
}

//! The run lock: one holder at a time, and nothing written by one that lost it.

use std::sync::Arc;
use std::time::Duration;

use shared::ledger::{LedgerError, LockAttempt, RunKind, Seeded, Selection, Snapshot};

use super::stage::{JOB, LEASE, Stage, assert_about, date, new_run};

const ON: &str = "2026-11-23";

async fn attempt(stage: &Stage, holder: &str) -> LockAttempt {
    stage.ledger().lock(JOB, date(ON), holder, LEASE).await.expect("an answer")
}

pub(super) async fn one_holder_at_a_time(stage: Stage) {
    stage.lock(ON, "first").await;
    let LockAttempt::Held { holder, left } = attempt(&stage, "second").await else {
        panic!("two hold the lock")
    };
    assert_eq!(holder, "first");
    assert_about(left, LEASE);
    stage.advance(LEASE / 2).await;
    let LockAttempt::Held { left, .. } = attempt(&stage, "second").await else { panic!("two hold the lock") };
    assert_about(left, LEASE / 2);
    // Another date and another job have locks of their own.
    stage.lock("2026-11-24", "second").await;
    let other = stage.ledger().lock("another job", date(ON), "second", LEASE).await.expect("an answer");
    assert!(matches!(other, LockAttempt::Taken(_)));
}

pub(super) async fn a_lease_that_ran_out_is_taken_over_with_a_higher_epoch(stage: Stage) {
    let first = stage.lock(ON, "first").await;
    stage.advance(LEASE).await;
    let second = stage.lock(ON, "second").await;
    assert!(second.epoch > first.epoch);
    assert_eq!((second.job.as_str(), second.date), (JOB, date(ON)));
}

pub(super) async fn a_former_holder_writes_nothing(stage: Stage) {
    let ledger = stage.ledger();
    let first = stage.lock(ON, "first").await;
    let run = stage.open(&first, RunKind::DryRun, Selection::default()).await.id;
    stage.advance(LEASE).await;
    let second = stage.lock(ON, "second").await;
    let fenced = |result: Result<(), LedgerError>| {
        assert!(matches!(result, Err(LedgerError::Fenced)), "a former holder wrote: {result:?}");
    };
    fenced(ledger.open_run(&first, new_run(RunKind::Night, Selection::default())).await.map(|_| ()));
    let rows = vec![stage.row(run, 2, 1, 1)];
    fenced(ledger.seed(&first, run, Seeded { range: 2..=2, rows }).await);
    fenced(ledger.complete_snapshot(&first, run, Snapshot { rows_read: 1, changed_while_read: false }).await);
    fenced(ledger.abandon_run(&first, run).await);
    // The new holder carries the same run on.
    stage.seed(&second, run, 2..=2, vec![stage.row(run, 2, 1, 2)]).await;
    stage.complete(&second, run).await;
    assert_eq!(ledger.tally(run).await.expect("a tally").open, 1);
    assert_eq!(ledger.unfinished_runs(JOB, None).await.expect("runs").len(), 1);
}

pub(super) async fn a_holder_past_its_lease_writes_nothing(stage: Stage) {
    let fence = stage.lock(ON, "first").await;
    stage.advance(LEASE).await;
    let opened = stage.ledger().open_run(&fence, new_run(RunKind::Night, Selection::default())).await;
    assert!(matches!(opened, Err(LedgerError::Fenced)));
    assert!(stage.ledger().runs(JOB, None, 10).await.expect("runs").is_empty());
}

pub(super) async fn a_renewed_lease_runs_anew(stage: Stage) {
    let fence = stage.lock(ON, "first").await;
    for _ in 0..3 {
        stage.advance(LEASE / 2).await;
        assert!(stage.ledger().renew_lock(&fence, LEASE).await.expect("an answer"));
    }
    let LockAttempt::Held { left, .. } = attempt(&stage, "second").await else { panic!("two hold the lock") };
    assert_about(left, LEASE);
    stage.open(&fence, RunKind::Night, Selection::default()).await;
}

pub(super) async fn a_lost_lease_is_not_renewed(stage: Stage) {
    let first = stage.lock(ON, "first").await;
    stage.advance(LEASE).await;
    assert!(!stage.ledger().renew_lock(&first, LEASE).await.expect("an answer"), "it ran out");
    let second = stage.lock(ON, "second").await;
    assert!(!stage.ledger().renew_lock(&first, LEASE).await.expect("an answer"), "it was taken over");
    assert!(stage.ledger().renew_lock(&second, LEASE).await.expect("an answer"));
}

pub(super) async fn a_lock_given_back_is_free_at_once(stage: Stage) {
    let first = stage.lock(ON, "first").await;
    stage.ledger().unlock(&first).await.expect("to unlock");
    let opened = stage.ledger().open_run(&first, new_run(RunKind::Night, Selection::default())).await;
    assert!(matches!(opened, Err(LedgerError::Fenced)));
    let second = stage.lock(ON, "second").await;
    assert!(second.epoch > first.epoch, "epochs grow across a lock given back");
}

pub(super) async fn a_former_holder_gives_nothing_back(stage: Stage) {
    let first = stage.lock(ON, "first").await;
    stage.advance(LEASE).await;
    stage.lock(ON, "second").await;
    stage.ledger().unlock(&first).await.expect("an unlock that does nothing");
    assert!(matches!(attempt(&stage, "third").await, LockAttempt::Held { holder, .. } if holder == "second"));
}

pub(super) async fn a_holder_that_comes_again_fences_off_its_former_self(stage: Stage) {
    let before = stage.lock(ON, "first").await;
    let after = stage.lock(ON, "first").await;
    assert!(after.epoch > before.epoch);
    assert!(!stage.ledger().renew_lock(&before, LEASE).await.expect("an answer"));
    assert!(stage.ledger().renew_lock(&after, Duration::from_secs(1)).await.expect("an answer"));
}

pub(super) async fn of_many_starters_one_gets_the_lock(stage: Stage) {
    let mut starters = tokio::task::JoinSet::new();
    for starter in 0..10 {
        let ledger = Arc::clone(stage.ledger());
        starters.spawn(async move { ledger.lock(JOB, date(ON), &format!("starter {starter}"), LEASE).await });
    }
    let attempts = starters.join_all().await;
    let taken = attempts.iter().filter(|attempt| matches!(attempt, Ok(LockAttempt::Taken(_)))).count();
    let held = attempts.iter().filter(|attempt| matches!(attempt, Ok(LockAttempt::Held { .. }))).count();
    assert_eq!((taken, held), (1, 9));
}

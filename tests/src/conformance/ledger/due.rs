//! Which rows come due for publishing, when, and how often.

use std::sync::Arc;
use std::time::Duration;

use super::stage::JOB;
use shared::domain::{Outcome, Reason};
use shared::ledger::{Claim, DueTerms, Recorded, RowMessage, RunKind, Selection, Settlement};
use shared::payload::Payload;

use super::stage::{LEASE, RETAKE, STALE, Stage, done, failed, key, retry, sheet_rows};

const ON: &str = "2026-11-23";
/// More than any grace that an adapter may give a lost message.
const GRACE: Duration = Duration::from_secs(60);

fn turns(messages: &[RowMessage]) -> Vec<(u32, u32)> {
    messages.iter().map(|message| (message.key.sheet_row, message.turn)).collect()
}

pub(super) async fn nothing_is_due_before_the_snapshot_is_complete(stage: Stage) {
    let fence = stage.lock(ON, "producer").await;
    let run = stage.open(&fence, RunKind::Night, Selection::default()).await.id;
    stage.seed(&fence, run, 2..=2, vec![stage.row(run, 2, 1, 1)]).await;
    assert!(stage.due_when_idle().await.is_empty());
    assert!(stage.take_due(Some(run), 10, true).await.is_empty());
    assert!(!stage.ledger().is_settled(run).await.expect("an answer"));
    stage.complete(&fence, run).await;
    assert_eq!(sheet_rows(&stage.due().await), [2]);
}

pub(super) async fn rows_come_due_in_the_sheets_order(stage: Stage) {
    let fence = stage.lock(ON, "producer").await;
    let run = stage.open(&fence, RunKind::Night, Selection::default()).await.id;
    for start in [40, 2, 20] {
        let rows = (start..start + 5).rev().map(|row| stage.row(run, row, row, row)).collect();
        stage.seed(&fence, run, start..=start + 5, rows).await;
    }
    stage.complete(&fence, run).await;
    assert_eq!(sheet_rows(&stage.take_due(None, 7, false).await), [2, 3, 4, 5, 6, 20, 21]);
    assert_eq!(sheet_rows(&stage.take_due(Some(run), 7, false).await), [22, 23, 24, 40, 41, 42, 43]);
    assert_eq!(sheet_rows(&stage.take_due(None, 7, false).await), [44]);
    assert!(stage.due_when_idle().await.is_empty(), "all are stamped");
}

pub(super) async fn rows_that_ended_at_seeding_are_never_due(stage: Stage) {
    let fence = stage.lock(ON, "producer").await;
    let run = stage.open(&fence, RunKind::Night, Selection::default()).await.id;
    let rows = vec![
        stage.rejected(run, 2, 1, None),
        stage.row(run, 3, 2, 1),
        stage.row(run, 4, 2, 2),
        stage.row(run, 5, 3, 1),
        stage.row(run, 6, 3, 1),
    ];
    stage.seed(&fence, run, 2..=6, rows).await;
    stage.complete(&fence, run).await;
    assert_eq!(sheet_rows(&stage.due().await), [5]);
}

pub(super) async fn a_due_row_carries_its_sealed_payload(stage: Stage) {
    let run = stage.night(ON, &[(2, 1, 1)]).await;
    let due = stage.due().await;
    assert_eq!((due[0].key, due[0].turn), (key(run, 2), 0));
    let payload = Payload::open(stage.keys(), &due[0].key, &due[0].sealed).expect("sealed for this row");
    assert_eq!((payload.nik, payload.number), (Some(super::nik(1)), Some(super::number(1))));
}

pub(super) async fn a_row_never_confirmed_comes_again_ever_later(stage: Stage) {
    stage.night(ON, &[(2, 1, 1)]).await;
    assert_eq!(sheet_rows(&stage.due().await), [2]);
    let mut wait = RETAKE;
    for _ in 0..4 {
        stage.advance(wait / 2).await;
        assert!(stage.due_when_idle().await.is_empty(), "it was taken not {wait:?} ago");
        stage.advance(wait / 2).await;
        assert_eq!(turns(&stage.due().await), [(2, 0)], "after {wait:?}");
        wait *= 2;
    }
}

pub(super) async fn a_confirmed_row_comes_again_when_stale_and_the_queue_is_idle(stage: Stage) {
    stage.night(ON, &[(2, 1, 1), (3, 2, 2)]).await;
    let due = stage.due().await;
    stage.confirm(&due[..1]).await;
    stage.advance(RETAKE).await;
    let again = stage.due_when_idle().await;
    assert_eq!(sheet_rows(&again), [3], "only the first was confirmed");
    stage.confirm(&again).await;
    stage.advance(STALE - RETAKE).await;
    let again = stage.due_when_idle().await;
    assert_eq!(turns(&again), [(2, 0)], "nobody claimed it and its message is not in the queue");
    // Published once more and confirmed once more, it has as long as the first time.
    stage.confirm(&again).await;
    stage.advance(RETAKE).await;
    let other = stage.due_when_idle().await;
    assert_eq!(sheet_rows(&other), [3]);
    stage.confirm(&other).await;
    stage.advance(STALE - RETAKE).await;
    assert_eq!(sheet_rows(&stage.due_when_idle().await), [2]);
}

pub(super) async fn a_healthy_backlog_is_not_published_again(stage: Stage) {
    stage.night(ON, &[(2, 1, 1), (3, 2, 2)]).await;
    let due = stage.due().await;
    stage.confirm(&due).await;
    let mut waited = Duration::ZERO;
    while waited < STALE * 6 {
        stage.advance(STALE / 2).await;
        waited += STALE / 2;
        assert!(stage.due().await.is_empty(), "the queue still held messages after {waited:?}");
    }
    // It runs dry, and they were not among what it held.
    stage.advance(waited * 2).await;
    assert_eq!(sheet_rows(&stage.due_when_idle().await), [2, 3]);
}

/// An operator purges the queue of a night that had waited in it for long.
pub(super) async fn a_backlog_that_is_lost_late_comes_due_within_eight_retakes(stage: Stage) {
    stage.night(ON, &[(2, 1, 1), (3, 2, 2)]).await;
    let due = stage.due().await;
    stage.confirm(&due).await;
    for _ in 0..40 {
        stage.advance(STALE).await;
        assert!(stage.due().await.is_empty(), "the queue still holds messages");
    }
    stage.advance(RETAKE * 8).await;
    assert_eq!(sheet_rows(&stage.due_when_idle().await), [2, 3]);
}

pub(super) async fn forgotten_rows_are_due_at_once(stage: Stage) {
    let run = stage.night(ON, &[(2, 1, 1), (3, 2, 2), (4, 3, 3), (5, 4, 4), (6, 5, 5), (7, 6, 6)]).await;
    let other = stage.night("2026-11-24", &[(2, 7, 1)]).await;
    let due = stage.due().await;
    stage.confirm(&due[..5]).await;
    let retrying = stage.take(key(run, 2), 0).await;
    stage.record(&retrying, retry(Duration::from_secs(3_000), true)).await;
    stage.finish(run, 3, Outcome::Updated).await;
    stage.take(key(run, 4), 0).await;
    let failing = stage.take(key(run, 5), 0).await;
    stage.record(&failing, failed(Reason::PatientGone)).await;
    stage.ledger().forget_published(run).await.expect("to forget");
    // Not the one that has its outcome, and not the one that somebody works on.
    assert_eq!(turns(&stage.due().await), [(2, 1), (5, 0), (6, 0), (7, 0)]);
    assert!(stage.take_due(Some(other), 10, false).await.is_empty());
}

pub(super) async fn one_run_is_swept_or_every_open_one(stage: Stage) {
    let first = stage.night(ON, &[(2, 1, 1), (3, 2, 2)]).await;
    let second = stage.night("2026-11-24", &[(2, 3, 3)]).await;
    let third = stage.run_of(ON, RunKind::DryRun, Selection::default(), &[(2, 1, 1)]).await;
    let due = stage.take_due(Some(second), 10, false).await;
    assert_eq!(due.iter().map(|message| message.key).collect::<Vec<_>>(), [key(second, 2)]);
    let due = stage.take_due(None, 10, false).await;
    let keys: Vec<_> = due.iter().map(|message| message.key).collect();
    assert_eq!(keys, [key(first, 2), key(first, 3), key(third, 2)]);
}

pub(super) async fn one_kind_of_run_is_swept_or_every_kind(stage: Stage) {
    let night = stage.night(ON, &[(2, 1, 1)]).await;
    let dry = stage.run_of(ON, RunKind::DryRun, Selection::default(), &[(2, 1, 1), (3, 2, 2)]).await;
    let take = async |run, kind| {
        let terms = DueTerms { run, job: None, kind, limit: 10, queue_idle: true, retake_after: RETAKE };
        stage.take_due_on(terms).await.iter().map(|message| message.key).collect::<Vec<_>>()
    };
    assert!(take(Some(dry), Some(RunKind::Night)).await.is_empty());
    assert_eq!(take(None, Some(RunKind::Night)).await, [key(night, 2)]);
    assert_eq!(take(Some(dry), Some(RunKind::DryRun)).await, [key(dry, 2), key(dry, 3)]);
    stage.advance(RETAKE).await;
    let of_job = async |job: &str| {
        let terms = DueTerms {
            run: None,
            job: Some(job.into()),
            kind: None,
            limit: 10,
            queue_idle: true,
            retake_after: RETAKE,
        };
        stage.take_due_on(terms).await.len()
    };
    assert_eq!(of_job("another job").await, 0, "another job's rows are its own workers'");
    assert_eq!(of_job(JOB).await, 3);
    stage.advance(RETAKE * 2).await;
    assert_eq!(take(None, None).await, [key(night, 2), key(dry, 2), key(dry, 3)]);
}

pub(super) async fn two_sweeps_at_once_take_no_row_twice(stage: Stage) {
    let rows: Vec<_> = (2..202).map(|row| (row, row, row)).collect();
    stage.night(ON, &rows).await;
    let mut sweeps = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let ledger = Arc::clone(stage.ledger());
        let terms =
            DueTerms { run: None, job: None, kind: None, limit: 50, queue_idle: true, retake_after: RETAKE };
        sweeps.spawn(async move { ledger.take_due(terms).await.expect("to take what is due") });
    }
    let mut taken: Vec<_> = sweeps.join_all().await.iter().flat_map(|due| sheet_rows(due)).collect();
    taken.sort_unstable();
    assert_eq!(taken, (2..202).collect::<Vec<_>>());
}

pub(super) async fn a_claimed_row_is_left_alone_within_its_lease(stage: Stage) {
    let run = stage.night(ON, &[(2, 1, 1)]).await;
    // Whether it was confirmed before it was claimed must not matter.
    let due = stage.due().await;
    let claimed = stage.take(key(run, 2), 0).await;
    stage.confirm(&due).await;
    stage.advance(LEASE / 2).await;
    assert!(stage.due_when_idle().await.is_empty());
    assert_eq!(stage.record(&claimed, done(Outcome::Updated)).await, Recorded::Yes { turn: 0 });
}

pub(super) async fn an_expired_claim_is_revoked_and_published_as_a_new_turn(stage: Stage) {
    let run = stage.night(ON, &[(2, 1, 1)]).await;
    let due = stage.due().await;
    stage.confirm(&due).await;
    let lost = stage.take(key(run, 2), 0).await;
    stage.advance(LEASE).await;
    // However long the queue is: whoever had its message is gone.
    assert_eq!(turns(&stage.due().await), [(2, 1)]);
    assert_eq!(stage.record(&lost, done(Outcome::Updated)).await, Recorded::Refused);
    assert!(!stage.intend(&lost, "p1", "1").await);
    assert!(matches!(stage.ask(key(run, 2), 0).await, Claim::Stale), "the message that was lost turns up");
    let claimed = stage.take(key(run, 2), 1).await;
    assert!(claimed.epoch > lost.epoch);
    assert_eq!(stage.outcome(run, 2).await, None);
}

pub(super) async fn a_retrying_row_comes_due_only_after_its_time(stage: Stage) {
    let run = stage.night(ON, &[(2, 1, 1)]).await;
    let due = stage.due().await;
    stage.confirm(&due).await;
    let claimed = stage.take(key(run, 2), 0).await;
    let after = Duration::from_secs(300);
    stage.record(&claimed, retry(after, true)).await;
    stage.advance(after).await;
    assert!(stage.due_when_idle().await.is_empty(), "its message is on its way");
    stage.advance(GRACE).await;
    assert_eq!(turns(&stage.due().await), [(2, 1)], "its message got lost");
}

pub(super) async fn a_failed_row_whose_burial_got_lost_comes_due(stage: Stage) {
    let run = stage.night(ON, &[(2, 1, 1)]).await;
    let due = stage.due().await;
    stage.confirm(&due).await;
    let claimed = stage.take(key(run, 2), 0).await;
    stage.record(&claimed, failed(Reason::AmbiguousPatient)).await;
    assert!(stage.due_when_idle().await.is_empty(), "its message is on its way to be buried");
    stage.advance(GRACE).await;
    let due = stage.due().await;
    assert_eq!(sheet_rows(&due), [2]);
    let claim = stage.ask(due[0].key, due[0].turn).await;
    assert!(matches!(claim, Claim::Failed(Reason::AmbiguousPatient)), "{claim:?}");
}

pub(super) async fn a_late_confirmation_does_not_hide_a_returned_row(stage: Stage) {
    let run = stage.night(ON, &[(2, 1, 1)]).await;
    let due = stage.due().await;
    // A worker is faster than the publisher's note: the confirmed message is used up already.
    let claimed = stage.take(key(run, 2), 0).await;
    stage.record(&claimed, Settlement::Returned).await;
    stage.confirm(&due).await;
    assert_eq!(turns(&stage.due().await), [(2, 1)]);
}

pub(super) async fn a_late_confirmation_does_not_hide_a_retrying_row(stage: Stage) {
    let run = stage.night(ON, &[(2, 1, 1)]).await;
    let due = stage.due().await;
    let claimed = stage.take(key(run, 2), 0).await;
    stage.record(&claimed, retry(Duration::from_secs(10), true)).await;
    stage.confirm(&due).await;
    stage.advance(Duration::from_secs(10) + GRACE).await;
    assert_eq!(turns(&stage.due().await), [(2, 1)]);
}

pub(super) async fn a_late_confirmation_does_not_hide_a_row_whose_message_died(stage: Stage) {
    let run = stage.night(ON, &[(2, 1, 1)]).await;
    let due = stage.due().await;
    stage.bury(key(run, 2)).await;
    stage.confirm(&due).await;
    assert_eq!(sheet_rows(&stage.due().await), [2]);
}

pub(super) async fn a_confirmation_of_an_older_generation_is_ignored(stage: Stage) {
    let run = stage.night(ON, &[(2, 1, 1)]).await;
    let due = stage.due().await;
    stage.kill(key(run, 2), Reason::RejectedByServer).await;
    stage.ledger().replay(shared::ledger::Replay::default()).await.expect("to replay");
    stage.confirm(&due).await;
    let again = stage.due().await;
    assert_eq!(again.iter().map(|message| message.key.generation).collect::<Vec<_>>(), [2]);
}

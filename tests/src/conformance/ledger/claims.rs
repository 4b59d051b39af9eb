//! Claims: who may work on a row, and what an old message gets instead.

use std::sync::Arc;
use std::time::Duration;

use shared::domain::{Outcome, Reason};
use shared::ledger::{Claim, ClaimRequest, Recorded, Replay, RowKey, RunId, RunKind, Selection, Settlement};
use uuid::Uuid;

use super::stage::{LEASE, Stage, assert_about, done, failed, key, retry};

const ON: &str = "2026-11-23";

pub(super) async fn a_claim_hands_over_the_row(stage: Stage) {
    let run = stage.night(ON, &[(2, 1, 7)]).await;
    let claimed = stage.take(key(run, 2), 0).await;
    assert_eq!((claimed.key, claimed.attempts, claimed.kind), (key(run, 2), 0, RunKind::Night));
    assert_eq!((&claimed.nik, &claimed.number), (&stage.nik_hash(1), &stage.number_hash(7)));
    assert_eq!((&claimed.intent, claimed.superseded), (&None, false));
    let order = stage.ledger().run(run).await.expect("a run").expect("it is there").order;
    assert_eq!((claimed.order.date, claimed.order.snapshot), (super::date(ON), order));
    assert_about(claimed.lease, LEASE);
    let payload =
        shared::payload::Payload::open(stage.keys(), &claimed.key, &claimed.sealed).expect("sealed for it");
    assert_eq!(payload.number, Some(super::number(7)));
    assert_eq!(stage.view(run, 2).await.state, "claimed");
}

pub(super) async fn a_second_claim_hears_what_is_left_of_the_lease(stage: Stage) {
    let run = stage.night(ON, &[(2, 1, 1)]).await;
    let first = stage.take(key(run, 2), 0).await;
    stage.advance(LEASE / 3).await;
    let Claim::Leased { left } = stage.ask(key(run, 2), 0).await else { panic!("two claims of one row") };
    assert_about(left, LEASE - LEASE / 3);
    // Asking takes nothing away from the holder.
    assert_eq!(stage.record(&first, done(Outcome::Updated)).await, Recorded::Yes { turn: 0 });
    assert_eq!(stage.view(run, 2).await.attempts, 1);
}

pub(super) async fn of_many_claims_at_once_one_gets_the_row(stage: Stage) {
    // Two rows of one NIK: of all who ask for either, one gets one.
    let first = stage.night(ON, &[(2, 1, 1)]).await;
    let second = stage.night("2026-11-24", &[(2, 1, 2)]).await;
    let mut workers = tokio::task::JoinSet::new();
    for worker in 0..16 {
        let ledger = Arc::clone(stage.ledger());
        let key = key(if worker % 2 == 0 { first } else { second }, 2);
        workers.spawn(async move {
            ledger.claim(&[ClaimRequest { key, turn: 0, alone: false }], LEASE).await.expect("an answer")
        });
    }
    let claims = workers.join_all().await.concat();
    let ours = claims.iter().filter(|claim| matches!(claim, Claim::Ours(_))).count();
    let leased = claims.iter().filter(|claim| matches!(claim, Claim::Leased { .. })).count();
    assert_eq!((ours, leased), (1, 15));
}

pub(super) async fn answers_come_in_the_order_asked(stage: Stage) {
    let run = stage.night(ON, &[(2, 1, 1), (3, 2, 2), (4, 3, 3), (5, 4, 4), (6, 5, 5)]).await;
    let other = stage.night("2026-11-24", &[(2, 1, 9)]).await;
    stage.finish(run, 3, Outcome::Unchanged).await;
    let failing = stage.take(key(run, 4), 0).await;
    stage.record(&failing, failed(Reason::PatientGone)).await;
    let returning = stage.take(key(run, 5), 0).await;
    stage.record(&returning, Settlement::Returned).await;
    let asked = [key(run, 6), key(run, 5), key(run, 2), key(other, 2), key(run, 4), key(run, 3)];
    let requests = asked.map(|key| ClaimRequest { key, turn: 0, alone: false });
    let claims = stage.ledger().claim(&requests, LEASE).await.expect("an answer");
    assert_eq!(claims.len(), 6);
    assert!(matches!(&claims[0], Claim::Ours(claimed) if claimed.key == key(run, 6)), "{:?}", claims[0]);
    assert!(matches!(claims[1], Claim::Stale), "{:?}", claims[1]);
    assert!(matches!(&claims[2], Claim::Ours(claimed) if claimed.key == key(run, 2)), "{:?}", claims[2]);
    assert!(matches!(claims[3], Claim::Leased { .. }), "{:?}", claims[3]);
    assert!(matches!(claims[4], Claim::Failed(Reason::PatientGone)), "{:?}", claims[4]);
    assert!(matches!(claims[5], Claim::Settled(_)), "{:?}", claims[5]);
    assert!(stage.ledger().claim(&[], LEASE).await.expect("an answer").is_empty());
}

pub(super) async fn one_nik_is_leased_once_across_runs_and_dates(stage: Stage) {
    let night = stage.night(ON, &[(2, 1, 1), (3, 2, 1)]).await;
    let same_date = stage.night(ON, &[(2, 1, 2)]).await;
    let newer = stage.night("2026-11-24", &[(9, 1, 3)]).await;
    let dry = stage.run_of("2026-11-24", RunKind::DryRun, Selection::default(), &[(9, 1, 3)]).await;
    stage.take(key(night, 2), 0).await;
    stage.advance(LEASE / 2).await;
    for other in [key(same_date, 2), key(newer, 9), key(dry, 9)] {
        let Claim::Leased { left } = stage.ask(other, 0).await else { panic!("two writers of one NIK") };
        assert_about(left, LEASE / 2);
        assert_eq!(stage.view(other.run, other.sheet_row).await.state, "pending");
    }
    // Another's row goes on.
    stage.take(key(night, 3), 0).await;
}

pub(super) async fn a_nik_is_free_again_when_its_row_is_recorded(stage: Stage) {
    let first = stage.night(ON, &[(2, 1, 1)]).await;
    let second = stage.night("2026-11-24", &[(2, 1, 2)]).await;
    let ends = [retry(Duration::from_secs(1), true), Settlement::Returned, failed(Reason::WriteConflict)];
    for (turn, settlement) in (0..).zip(ends) {
        let claimed = stage.take(key(first, 2), turn).await;
        assert!(matches!(stage.ask(key(second, 2), turn).await, Claim::Leased { .. }), "{settlement:?}");
        stage.record(&claimed, settlement).await;
        let other = stage.take(key(second, 2), turn).await;
        stage.record(&other, Settlement::Returned).await;
    }
}

pub(super) async fn an_expired_lease_is_claimed_with_a_higher_epoch(stage: Stage) {
    let run = stage.night(ON, &[(2, 1, 1)]).await;
    let lost = stage.take(key(run, 2), 0).await;
    stage.advance(LEASE).await;
    // No sweep came by: the message was delivered again, of the same turn.
    let claimed = stage.take(key(run, 2), 0).await;
    assert!(claimed.epoch > lost.epoch);
    assert_eq!(stage.record(&lost, done(Outcome::Updated)).await, Recorded::Refused);
    assert_eq!(stage.record(&claimed, done(Outcome::Unchanged)).await, Recorded::Yes { turn: 0 });
    assert_eq!(stage.outcome(run, 2).await, Some(Outcome::Unchanged));
}

pub(super) async fn a_message_of_an_older_turn_is_stale(stage: Stage) {
    let run = stage.night(ON, &[(2, 1, 1)]).await;
    let claimed = stage.take(key(run, 2), 0).await;
    let recorded = stage.record(&claimed, retry(Duration::from_secs(1), true)).await;
    assert_eq!(recorded, Recorded::Yes { turn: 1 });
    assert!(matches!(stage.ask(key(run, 2), 0).await, Claim::Stale));
    stage.take(key(run, 2), 1).await;
}

pub(super) async fn a_message_of_an_older_generation_is_stale(stage: Stage) {
    let run = stage.night(ON, &[(2, 1, 1)]).await;
    stage.kill(key(run, 2), Reason::PatientInactive).await;
    stage.ledger().replay(Replay::default()).await.expect("to replay");
    // However many turns the old generation had.
    for turn in [0, 1, 50] {
        assert!(matches!(stage.ask(key(run, 2), turn).await, Claim::Stale));
    }
    stage.take(RowKey { generation: 2, ..key(run, 2) }, 0).await;
}

pub(super) async fn a_message_of_no_row_is_stale(stage: Stage) {
    let run = stage.night(ON, &[(2, 1, 1)]).await;
    assert!(matches!(stage.ask(key(run, 3), 0).await, Claim::Stale));
    assert!(matches!(stage.ask(key(RunId(Uuid::nil()), 2), 0).await, Claim::Stale));
    assert!(matches!(stage.ask(RowKey { generation: 2, ..key(run, 2) }, 0).await, Claim::Stale));
}

pub(super) async fn a_message_of_an_abandoned_run_is_stale(stage: Stage) {
    let run = stage.run_of(ON, RunKind::DryRun, Selection::default(), &[(2, 1, 1)]).await;
    let fence = stage.lock(ON, "producer").await;
    stage.ledger().abandon_run(&fence, run).await.expect("to abandon");
    assert!(matches!(stage.ask(key(run, 2), 0).await, Claim::Stale));
}

pub(super) async fn a_settled_row_is_not_claimed(stage: Stage) {
    let run = stage.night(ON, &[(2, 1, 1), (3, 2, 2), (4, 2, 2)]).await;
    stage.finish(run, 2, Outcome::Updated).await;
    assert!(matches!(stage.ask(key(run, 2), 0).await, Claim::Settled(_)));
    assert!(matches!(stage.ask(key(run, 4), 0).await, Claim::Settled(_)), "decided at seeding");
    assert_eq!(stage.outcome(run, 4).await, Some(Outcome::DuplicateRow));
    stage.kill(key(run, 3), Reason::RejectedByServer).await;
    assert!(matches!(stage.ask(key(run, 3), 0).await, Claim::Settled(_)));
    // It holds no NIK either.
    let later = stage.night("2026-11-24", &[(2, 1, 3), (3, 2, 3)]).await;
    stage.take(key(later, 2), 0).await;
    stage.take(key(later, 3), 0).await;
}

pub(super) async fn a_failed_row_is_not_claimed_but_names_its_reason(stage: Stage) {
    let run = stage.night(ON, &[(2, 1, 1)]).await;
    let claimed = stage.take(key(run, 2), 0).await;
    stage.record(&claimed, failed(Reason::ResourceIncomplete)).await;
    for _ in 0..2 {
        let claim = stage.ask(key(run, 2), 0).await;
        assert!(matches!(claim, Claim::Failed(Reason::ResourceIncomplete)), "{claim:?}");
    }
}

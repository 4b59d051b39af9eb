//! Intents: what a crash between a write and its record leaves behind.

use std::time::Duration;

use shared::domain::{Outcome, Reason};
use shared::ledger::{Claim, Claimed, Recorded, Replay, RowKey};

use super::stage::{LEASE, Stage, done, key, retry};

const ON: &str = "2026-11-23";
const NEXT: &str = "2026-11-24";

fn standing(claimed: &Claimed) -> Option<(&str, &str)> {
    claimed.intent.as_ref().map(|(patient, version)| (patient.as_str(), version.as_str()))
}

pub(super) async fn a_standing_intent_comes_with_the_next_claim(stage: Stage) {
    let run = stage.night(ON, &[(2, 1, 1), (3, 2, 2)]).await;
    let claimed = stage.take(key(run, 2), 0).await;
    assert!(stage.intend(&claimed, "patient-1", "W/7").await);
    stage.take(key(run, 3), 0).await;
    stage.advance(LEASE).await;
    let again = stage.take(key(run, 2), 0).await;
    assert_eq!(standing(&again), Some(("patient-1", "W/7")));
    assert!(!again.superseded);
    assert_eq!(standing(&stage.take(key(run, 3), 0).await), None, "its own row's only");
}

pub(super) async fn the_latest_intent_stands(stage: Stage) {
    let run = stage.night(ON, &[(2, 1, 1)]).await;
    let claimed = stage.take(key(run, 2), 0).await;
    for version in ["1", "2"] {
        assert!(stage.intend(&claimed, "patient-1", version).await, "a lost write is tried again");
    }
    stage.advance(LEASE).await;
    let claimed = stage.take(key(run, 2), 0).await;
    assert!(stage.intend(&claimed, "patient-2", "3").await);
    stage.advance(LEASE).await;
    assert_eq!(standing(&stage.take(key(run, 2), 0).await), Some(("patient-2", "3")));
}

pub(super) async fn an_intent_outlives_a_retry(stage: Stage) {
    let run = stage.night(ON, &[(2, 1, 1)]).await;
    let claimed = stage.take(key(run, 2), 0).await;
    stage.intend(&claimed, "patient-1", "1").await;
    // The reply was lost: the write may have gone through.
    stage.record(&claimed, retry(Duration::ZERO, true)).await;
    assert_eq!(standing(&stage.take(key(run, 2), 1).await), Some(("patient-1", "1")));
}

pub(super) async fn an_intent_belongs_to_its_generation(stage: Stage) {
    let run = stage.night(ON, &[(2, 1, 1)]).await;
    let claimed = stage.take(key(run, 2), 0).await;
    stage.intend(&claimed, "patient-1", "1").await;
    stage.record(&claimed, super::stage::failed(Reason::WriteConflict)).await;
    stage.bury(key(run, 2)).await;
    stage.ledger().replay(Replay::default()).await.expect("to replay");
    let claimed = stage.take(RowKey { generation: 2, ..key(run, 2) }, 0).await;
    assert_eq!(standing(&claimed), None, "the former generation ended knowing how its write went");
}

pub(super) async fn no_intent_past_the_lease(stage: Stage) {
    let run = stage.night(ON, &[(2, 1, 1)]).await;
    let claimed = stage.take(key(run, 2), 0).await;
    stage.advance(LEASE).await;
    assert!(!stage.intend(&claimed, "patient-1", "1").await);
    assert_eq!(standing(&stage.take(key(run, 2), 0).await), None);
}

pub(super) async fn no_intent_for_another_epoch(stage: Stage) {
    let run = stage.night(ON, &[(2, 1, 1), (3, 2, 2)]).await;
    let lost = stage.take(key(run, 2), 0).await;
    stage.advance(LEASE).await;
    let claimed = stage.take(key(run, 2), 0).await;
    assert!(!stage.intend(&lost, "patient-1", "1").await, "another claim stands");
    stage.record(&claimed, done(Outcome::Updated)).await;
    assert!(!stage.intend(&claimed, "patient-1", "2").await, "the row has its outcome");
    // In a batch, each intent is judged by itself.
    let ours = stage.take(key(run, 3), 0).await;
    let intents = [(&lost, "1"), (&ours, "5")].map(|(claimed, version)| shared::ledger::Intent {
        key: claimed.key,
        epoch: claimed.epoch,
        patient: "patient-3".into(),
        version: version.into(),
        sealed_before: vec![1, 2, 3],
    });
    assert_eq!(stage.ledger().record_intents(&intents).await.expect("answers"), [false, true]);
}

pub(super) async fn an_intent_keeps_an_applied_number_from_being_skipped(stage: Stage) {
    // The success of the same number may be what our own lost write is taken for: it has to be looked at.
    let first = stage.night(ON, &[(2, 1, 1)]).await;
    let second = stage.night(ON, &[(2, 1, 1)]).await;
    let claimed = stage.take(key(second, 2), 0).await;
    stage.intend(&claimed, "patient-1", "1").await;
    stage.advance(LEASE).await;
    stage.finish(first, 2, Outcome::Updated).await;
    let claimed = stage.take(key(second, 2), 0).await;
    assert_eq!((standing(&claimed), claimed.superseded), (Some(("patient-1", "1")), false));
    assert_eq!(stage.record(&claimed, done(Outcome::Updated)).await, Recorded::Yes { turn: 0 });
}

pub(super) async fn an_intent_is_looked_at_even_when_a_newer_success_stands(stage: Stage) {
    let older = stage.night(ON, &[(2, 1, 1), (3, 2, 1)]).await;
    let newer = stage.night(NEXT, &[(2, 1, 2), (3, 2, 2)]).await;
    let claimed = stage.take(key(older, 2), 0).await;
    stage.intend(&claimed, "patient-1", "1").await;
    stage.take(key(older, 3), 0).await;
    stage.advance(LEASE).await;
    stage.finish(newer, 2, Outcome::Updated).await;
    stage.finish(newer, 3, Outcome::Updated).await;
    let claimed = stage.take(key(older, 2), 0).await;
    assert_eq!((standing(&claimed), claimed.superseded), (Some(("patient-1", "1")), true));
    assert_eq!(stage.record(&claimed, done(Outcome::Superseded)).await, Recorded::Yes { turn: 0 });
    assert_eq!(stage.outcome(older, 2).await, Some(Outcome::Superseded));
    // Without an intent nothing can have been written: the ledger decides by itself.
    let claim = stage.ask(key(older, 3), 0).await;
    assert!(matches!(claim, Claim::Settled(Some(Outcome::Superseded))), "{claim:?}");
}

//! What the whole fleet shares: the gate to the FHIR server, and duties that one process at a time has.

use std::time::Duration;

use shared::ledger::{Gate, GateKind, ShutGate};

use super::stage::{LEASE, MOMENT, Stage, assert_about};

const SHORT: Duration = Duration::from_secs(60);
const LONG: Duration = Duration::from_secs(300);

fn gate(kind: GateKind, reason: &str) -> Gate {
    Gate { kind, reason: reason.into() }
}

async fn shut(stage: &Stage, kind: GateKind, lasts: Duration) {
    stage.ledger().shut_gate(&gate(kind, "it is shut"), lasts).await.expect("to shut the gate");
}

async fn kind(stage: &Stage) -> Option<GateKind> {
    standing(stage).await.map(|gate| gate.kind)
}

async fn standing(stage: &Stage) -> Option<Gate> {
    stage.ledger().gate().await.expect("an answer").map(|shut| shut.gate)
}

async fn seen(stage: &Stage) -> ShutGate {
    stage.ledger().gate().await.expect("an answer").expect("it is shut")
}

async fn left(stage: &Stage) -> Duration {
    seen(stage).await.left
}

async fn open(stage: &Stage, seen: &ShutGate) -> bool {
    stage.ledger().open_gate(seen).await.expect("an answer")
}

pub(super) async fn a_gate_stands_until_it_lapses(stage: Stage) {
    assert_eq!(standing(&stage).await, None);
    let shut = gate(GateKind::Systemic, "the FHIR server refuses our credentials (401)");
    stage.ledger().shut_gate(&shut, LONG).await.expect("to shut the gate");
    assert_eq!(standing(&stage).await, Some(shut.clone()));
    stage.advance(LONG / 2).await;
    assert_eq!(standing(&stage).await, Some(shut));
    stage.advance(LONG / 2).await;
    assert_eq!(standing(&stage).await, None);
}

pub(super) async fn a_gate_tells_when_it_lapses(stage: Stage) {
    shut(&stage, GateKind::Systemic, LONG).await;
    assert_about(left(&stage).await, LONG);
    stage.advance(LONG / 3).await;
    assert_about(left(&stage).await, LONG - LONG / 3);
    // Neither a shorter pause nor a shallower one changes the end; a longer one does.
    shut(&stage, GateKind::Systemic, SHORT).await;
    assert_about(left(&stage).await, LONG - LONG / 3);
    shut(&stage, GateKind::Throttled, LONG).await;
    assert_about(left(&stage).await, LONG);
}

pub(super) async fn a_gate_can_be_opened(stage: Stage) {
    for every in GateKind::ALL {
        shut(&stage, *every, LONG).await;
        let seen = seen(&stage).await;
        assert!(open(&stage, &seen).await);
        assert_eq!(kind(&stage).await, None);
        assert!(!open(&stage, &seen).await, "it stands no more");
    }
}

/// A worker reads the gate, probes, and opens what it read: what was found meanwhile must stand.
pub(super) async fn a_gate_that_is_shut_meanwhile_is_not_opened(stage: Stage) {
    for before in GateKind::ALL {
        for meanwhile in GateKind::ALL {
            for lasts in [SHORT, LONG, LONG * 2] {
                shut(&stage, *before, LONG).await;
                let seen_before = seen(&stage).await;
                shut(&stage, *meanwhile, lasts).await;
                let what = format!("{before}, then {meanwhile} for {lasts:?}");
                assert!(!open(&stage, &seen_before).await, "{what}");
                assert_eq!(kind(&stage).await, Some(*before.max(meanwhile)), "{what}");
                assert!(open(&stage, &seen(&stage).await).await, "{what}");
            }
        }
    }
}

pub(super) async fn a_gate_that_is_shut_after_it_was_opened_stands(stage: Stage) {
    shut(&stage, GateKind::Systemic, SHORT).await;
    let first = seen(&stage).await;
    assert!(open(&stage, &first).await);
    stage.advance(SHORT / 2).await;
    shut(&stage, GateKind::Systemic, SHORT).await;
    assert!(!open(&stage, &first).await);
    assert_eq!(kind(&stage).await, Some(GateKind::Systemic));
}

pub(super) async fn a_deeper_gate_is_not_renamed_by_a_shallower_one(stage: Stage) {
    for (deep, shallow) in [
        (GateKind::Systemic, GateKind::Throttled),
        (GateKind::Guard, GateKind::Throttled),
        (GateKind::Guard, GateKind::Systemic),
    ] {
        shut(&stage, deep, LONG).await;
        shut(&stage, shallow, SHORT).await;
        assert_eq!(kind(&stage).await, Some(deep), "{shallow} came after {deep}");
        stage.advance(LONG - SHORT / 2).await;
        assert_eq!(kind(&stage).await, Some(deep), "{shallow} came after {deep}");
        let deep = seen(&stage).await;
        assert!(open(&stage, &deep).await);
    }
}

pub(super) async fn a_deeper_gate_replaces_a_shallower_one(stage: Stage) {
    for deeper in [GateKind::Throttled, GateKind::Systemic, GateKind::Guard] {
        shut(&stage, deeper, LONG).await;
        assert_eq!(kind(&stage).await, Some(deeper));
    }
}

pub(super) async fn a_gate_is_prolonged_by_its_own_kind(stage: Stage) {
    for every in GateKind::ALL {
        for _ in 0..3 {
            shut(&stage, *every, SHORT).await;
            stage.advance(SHORT / 2).await;
        }
        assert_eq!(kind(&stage).await, Some(*every));
        let again = gate(*every, "another word for it");
        stage.ledger().shut_gate(&again, SHORT).await.expect("to shut the gate");
        assert_eq!(standing(&stage).await, Some(again));
        stage.advance(SHORT).await;
        assert_eq!(kind(&stage).await, None);
    }
}

pub(super) async fn a_gate_is_never_shortened(stage: Stage) {
    // Two workers are asked to wait, one of them for longer.
    shut(&stage, GateKind::Throttled, LONG).await;
    shut(&stage, GateKind::Throttled, SHORT).await;
    stage.advance(LONG / 2).await;
    assert_eq!(kind(&stage).await, Some(GateKind::Throttled));
    shut(&stage, GateKind::Systemic, SHORT).await;
    stage.advance(SHORT * 2).await;
    assert_eq!(kind(&stage).await, Some(GateKind::Systemic), "the server asked for this long");
    stage.advance(LONG / 2 - SHORT * 2 + MOMENT).await;
    assert_eq!(kind(&stage).await, None);
}

pub(super) async fn a_shallower_gate_may_last_longer(stage: Stage) {
    shut(&stage, GateKind::Systemic, SHORT).await;
    shut(&stage, GateKind::Throttled, LONG).await;
    stage.advance(LONG - SHORT / 2).await;
    assert_eq!(kind(&stage).await, Some(GateKind::Systemic), "the server asked for this long");
    stage.advance(SHORT / 2 + MOMENT).await;
    assert_eq!(kind(&stage).await, None);
}

pub(super) async fn a_lapsed_gate_yields_to_any(stage: Stage) {
    shut(&stage, GateKind::Guard, SHORT).await;
    stage.advance(SHORT).await;
    shut(&stage, GateKind::Throttled, SHORT).await;
    assert_eq!(kind(&stage).await, Some(GateKind::Throttled));
    stage.advance(SHORT).await;
    assert_eq!(kind(&stage).await, None);
}

async fn holds(stage: &Stage, duty: &str, holder: &str) -> bool {
    stage.ledger().hold_duty(duty, holder, LEASE).await.expect("an answer")
}

pub(super) async fn a_duty_has_one_holder_at_a_time(stage: Stage) {
    assert!(holds(&stage, "steward", "one").await);
    assert!(!holds(&stage, "steward", "other").await);
    assert!(holds(&stage, "prune", "other").await, "each duty is held by itself");
    stage.advance(LEASE).await;
    assert!(holds(&stage, "steward", "other").await);
    assert!(!holds(&stage, "steward", "one").await);
}

pub(super) async fn a_duty_is_kept_by_renewing_it(stage: Stage) {
    for _ in 0..4 {
        assert!(holds(&stage, "steward", "one").await);
        stage.advance(LEASE / 2).await;
        assert!(!holds(&stage, "steward", "other").await);
    }
}

//! The lookout over a ledger: each change of state is told once, whoever sees it.

use std::time::Duration;

use shared::domain::{Outcome, Reason};
use shared::ledger::{Gate, GateKind, Replay, RunId};
use shared::lookout::{Lookout, LookoutTerms};

use super::stage::{JOB, Stage, key};

const ON: &str = "2026-11-23";
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);

/// A duty is held for four times `every`.
const TERMS: LookoutTerms =
    LookoutTerms { every: MINUTE, paused_for: MINUTE, still_for: HOUR, calm: Duration::ZERO };

fn lookout(stage: &Stage, holder: &str) -> Lookout {
    lookout_on(stage, holder, TERMS)
}

fn lookout_on(stage: &Stage, holder: &str, terms: LookoutTerms) -> Lookout {
    Lookout::new(stage.ledger().clone(), JOB.into(), holder.into(), terms)
}

async fn look(lookout: &Lookout) {
    lookout.look().await.expect("a look");
}

/// The kinds of all that was told, oldest first.
async fn told(stage: &Stage) -> Vec<String> {
    let notices = stage.ledger().open_notices(100).await.expect("notices");
    notices.into_iter().map(|kept| kept.notice.kind).collect()
}

async fn shut(stage: &Stage, kind: GateKind) {
    let gate = Gate { kind, reason: "it answers 401".into() };
    stage.ledger().shut_gate(&gate, HOUR * 24).await.expect("to shut the gate");
}

async fn open(stage: &Stage) {
    let shut = stage.ledger().gate().await.expect("an answer").expect("a gate that is shut");
    assert!(stage.ledger().open_gate(&shut).await.expect("an answer"));
}

async fn night(stage: &Stage, rows: u32) -> RunId {
    stage.night(ON, &(2..2 + rows).map(|row| (row, row, row)).collect::<Vec<_>>()).await
}

pub(super) async fn a_pause_and_its_end_are_told_once_each_by_whoever_looks(stage: Stage) {
    let lookouts = ["one", "another", "a third"].map(|holder| lookout(&stage, holder));
    shut(&stage, GateKind::Systemic).await;
    for lookout in &lookouts {
        look(lookout).await;
    }
    assert!(told(&stage).await.is_empty(), "it may be over in a moment");
    stage.advance(MINUTE).await;
    for lookout in lookouts.iter().chain(&lookouts) {
        look(lookout).await;
        // The next has the duty.
        stage.advance(MINUTE * 5).await;
        shut(&stage, GateKind::Systemic).await;
    }
    assert_eq!(told(&stage).await, ["paused"]);
    let notice = stage.ledger().open_notices(1).await.expect("notices").remove(0).notice;
    assert!(notice.text.contains("it answers 401") && notice.text.starts_with(JOB), "{}", notice.text);
    open(&stage).await;
    for lookout in lookouts.iter().chain(&lookouts) {
        look(lookout).await;
        stage.advance(MINUTE * 5).await;
    }
    assert_eq!(told(&stage).await, ["paused", "resumed"]);
    let notice = stage.ledger().open_notices(2).await.expect("notices").remove(1).notice;
    assert!(notice.text.contains("31 min"), "{}", notice.text);
    // A process that knows nothing reads what was told.
    look(&lookout(&stage, "a fourth")).await;
    shut(&stage, GateKind::Systemic).await;
    stage.advance(MINUTE * 5).await;
    look(&lookout(&stage, "a fifth")).await;
    assert_eq!(told(&stage).await, ["paused", "resumed", "paused"]);
}

pub(super) async fn a_pause_that_comes_back_soon_is_one(stage: Stage) {
    let lookout = lookout_on(&stage, "one", LookoutTerms { calm: MINUTE * 10, ..TERMS });
    for _ in 0..3 {
        shut(&stage, GateKind::Systemic).await;
        stage.advance(MINUTE).await;
        look(&lookout).await;
        open(&stage).await;
        stage.advance(MINUTE).await;
        look(&lookout).await;
    }
    assert_eq!(told(&stage).await, ["paused"]);
    stage.advance(MINUTE * 10).await;
    look(&lookout).await;
    assert_eq!(told(&stage).await, ["paused", "resumed"]);
    shut(&stage, GateKind::Systemic).await;
    stage.advance(MINUTE).await;
    look(&lookout).await;
    open(&stage).await;
    lookout.look_last().await.expect("a look");
    assert_eq!(told(&stage).await, ["paused", "resumed", "paused", "resumed"], "who leaves does not wait");
}

pub(super) async fn a_guard_is_told_at_once_and_a_wait_that_is_asked_for_is_not(stage: Stage) {
    let lookout = lookout(&stage, "one");
    shut(&stage, GateKind::Throttled).await;
    stage.advance(HOUR).await;
    look(&lookout).await;
    assert!(told(&stage).await.is_empty());
    shut(&stage, GateKind::Guard).await;
    look(&lookout).await;
    assert_eq!(told(&stage).await, ["paused"]);
}

pub(super) async fn a_pause_is_not_over_because_nobody_is_left_to_prolong_it(stage: Stage) {
    let run = night(&stage, 2).await;
    stage.finish(run, 2, Outcome::Updated).await;
    let lookout = lookout(&stage, "one");
    let gate = Gate { kind: GateKind::Systemic, reason: "it is down".into() };
    stage.ledger().shut_gate(&gate, MINUTE * 3).await.expect("to shut the gate");
    stage.advance(MINUTE * 2).await;
    look(&lookout).await;
    stage.advance(MINUTE * 2).await;
    assert_eq!(stage.ledger().gate().await.expect("an answer"), None, "it lapsed");
    look(&lookout).await;
    assert_eq!(told(&stage).await, ["paused"]);
    stage.finish(run, 3, Outcome::Updated).await;
    look(&lookout).await;
    assert_eq!(told(&stage).await, ["paused", "resumed"]);
}

pub(super) async fn a_standstill_is_told_and_that_rows_end_again(stage: Stage) {
    let run = night(&stage, 3).await;
    let lookout = lookout(&stage, "one");
    look(&lookout).await;
    stage.advance(HOUR / 2).await;
    stage.finish(run, 2, Outcome::Updated).await;
    stage.advance(HOUR / 2 + MINUTE).await;
    look(&lookout).await;
    assert!(told(&stage).await.is_empty(), "a row ended half an hour ago");
    stage.advance(HOUR / 2).await;
    look(&lookout).await;
    look(&lookout).await;
    assert_eq!(told(&stage).await, ["stalled"]);
    let notice = stage.ledger().open_notices(1).await.expect("notices").remove(0).notice;
    assert!(notice.text.contains("1 h 1 min") && notice.text.contains("2 are open"), "{}", notice.text);
    stage.finish(run, 3, Outcome::Updated).await;
    look(&lookout).await;
    assert_eq!(told(&stage).await, ["stalled", "moving"]);
    stage.advance(HOUR).await;
    look(&lookout).await;
    stage.finish(run, 4, Outcome::Updated).await;
    assert!(stage.close(run).await);
    stage.advance(HOUR).await;
    look(&lookout).await;
    look(&lookout).await;
    assert_eq!(
        told(&stage).await,
        ["stalled", "moving", "stalled", "moving"],
        "a closed run stands still by right"
    );
}

pub(super) async fn a_night_that_comes_out_of_a_pause_does_not_stand_still_yet(stage: Stage) {
    let run = night(&stage, 2).await;
    let lookout = lookout(&stage, "one");
    shut(&stage, GateKind::Systemic).await;
    stage.advance(HOUR * 2).await;
    look(&lookout).await;
    open(&stage).await;
    look(&lookout).await;
    stage.advance(MINUTE * 2).await;
    look(&lookout).await;
    assert_eq!(told(&stage).await, ["paused"]);
    stage.finish(run, 2, Outcome::Updated).await;
    look(&lookout).await;
    assert_eq!(told(&stage).await, ["paused", "resumed"]);
}

pub(super) async fn many_dead_letters_are_told_and_that_they_are_done(stage: Stage) {
    let run = night(&stage, 30).await;
    let lookout = lookout(&stage, "one");
    for sheet_row in 2..11 {
        stage.kill(key(run, sheet_row), Reason::RejectedByServer).await;
    }
    for sheet_row in 11..20 {
        stage.finish(run, sheet_row, Outcome::Updated).await;
    }
    look(&lookout).await;
    assert!(told(&stage).await.is_empty(), "nine are few");
    stage.kill(key(run, 20), Reason::RejectedByServer).await;
    look(&lookout).await;
    look(&lookout).await;
    assert_eq!(told(&stage).await, ["failing"]);
    let notice = stage.ledger().open_notices(1).await.expect("notices").remove(0).notice;
    assert!(notice.text.contains("10 of the last 19 rows"), "{}", notice.text);
    stage.ledger().replay(Replay::default()).await.expect("to replay");
    look(&lookout).await;
    look(&lookout).await;
    assert_eq!(told(&stage).await, ["failing", "recovered"]);
}

pub(super) async fn another_jobs_trouble_is_not_ours(stage: Stage) {
    night(&stage, 2).await;
    let others = Lookout::new(stage.ledger().clone(), "another job".into(), "one".into(), TERMS);
    others.look().await.expect("a look");
    stage.advance(HOUR * 2).await;
    others.look().await.expect("a look");
    assert!(told(&stage).await.is_empty());
}

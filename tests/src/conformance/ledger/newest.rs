//! Newest wins: per NIK an older order never takes the place of a newer success, and what is applied is skipped.

use std::time::Duration;

use shared::domain::{Outcome, Reason};
use shared::ledger::{Claim, Order, Recorded, RunId, RunKind, Selection};
use shared::payload::Payload;

use super::stage::{Stage, done, key, number, retry};

const ON: &str = "2026-11-23";
const NEXT: &str = "2026-11-24";

/// Whether the NIK's newest success is this number's, of this run.
async fn assert_newest(stage: &Stage, who: u32, expected: Option<(RunId, u32)>) {
    let found = stage.ledger().newest_success(&stage.nik_hash(who)).await.expect("an answer");
    let Some((run, which)) = expected else {
        assert!(found.is_none(), "there was no success: {found:?}");
        return;
    };
    let (order, hash, _) = found.expect("there was a success");
    let run = stage.ledger().run(run).await.expect("a run").expect("it is there");
    assert_eq!(order, Order { date: run.date, snapshot: run.order });
    assert_eq!(hash, stage.number_hash(which));
}

async fn assert_settled_by_the_ledger(stage: &Stage, run: RunId, outcome: Outcome) {
    let claim = stage.ask(key(run, 2), 0).await;
    assert!(matches!(claim, Claim::Settled(Some(settled)) if settled == outcome), "{claim:?}");
    let row = stage.view(run, 2).await;
    assert_eq!((row.outcome, row.state.as_str()), (Some(outcome), "done"));
    assert!(matches!(stage.ask(key(run, 2), 0).await, Claim::Settled(_)), "and stays so");
    assert!(stage.ledger().is_settled(run).await.expect("an answer"));
}

pub(super) async fn the_newest_success_is_kept(stage: Stage) {
    assert_newest(&stage, 1, None).await;
    let first = stage.night(ON, &[(2, 1, 1), (3, 2, 1)]).await;
    stage.finish(first, 2, Outcome::Updated).await;
    assert_newest(&stage, 1, Some((first, 1))).await;
    assert_newest(&stage, 2, None).await;
    let second = stage.night(NEXT, &[(2, 1, 2)]).await;
    stage.finish(second, 2, Outcome::Unchanged).await;
    assert_newest(&stage, 1, Some((second, 2))).await;
}

pub(super) async fn an_older_success_recorded_later_does_not_replace_it(stage: Stage) {
    let older = stage.night(NEXT, &[(2, 1, 1)]).await;
    let newer = stage.night(NEXT, &[(2, 1, 2)]).await;
    let claimed = stage.take(key(older, 2), 0).await;
    stage.intend(&claimed, "patient-1", "1").await;
    stage.advance(super::LEASE).await;
    stage.finish(newer, 2, Outcome::Updated).await;
    let claimed = stage.take(key(older, 2), 0).await;
    assert_eq!(stage.record(&claimed, done(Outcome::Updated)).await, Recorded::Yes { turn: 0 });
    assert_newest(&stage, 1, Some((newer, 2))).await;
    // So the older number can be applied again by a run that is newer than both.
    let newest = stage.night(NEXT, &[(2, 1, 1)]).await;
    stage.finish(newest, 2, Outcome::Updated).await;
    assert_newest(&stage, 1, Some((newest, 1))).await;
}

pub(super) async fn a_newest_success_leads_to_its_payload(stage: Stage) {
    let run = stage.night(ON, &[(2, 1, 4)]).await;
    stage.finish(run, 2, Outcome::Updated).await;
    let newest = stage.ledger().newest_success(&stage.nik_hash(1)).await.expect("an answer");
    let Some((_, _, Some(source))) = newest else { panic!("the row is still there") };
    assert_eq!(source.key, key(run, 2));
    let payload = Payload::open(stage.keys(), &source.key, &source.sealed).expect("sealed for its row");
    assert_eq!(payload.number, Some(number(4)));
}

pub(super) async fn what_is_applied_already_is_skipped(stage: Stage) {
    let first = stage.night(ON, &[(2, 1, 1)]).await;
    let second = stage.night(ON, &[(2, 1, 1)]).await;
    stage.finish(first, 2, Outcome::Unchanged).await;
    assert_settled_by_the_ledger(&stage, second, Outcome::SkippedAlreadyApplied).await;
    // It applied nothing itself, but said the number again: that is the newest word now.
    assert_newest(&stage, 1, Some((second, 1))).await;
    let third = stage.night(ON, &[(2, 1, 1)]).await;
    assert_settled_by_the_ledger(&stage, third, Outcome::SkippedAlreadyApplied).await;
}

pub(super) async fn a_number_corrected_back_on_one_day_is_applied_again(stage: Stage) {
    let mut last = None;
    for which in [1, 2, 1] {
        let run = stage.night(ON, &[(2, 1, which)]).await;
        stage.finish(run, 2, Outcome::Updated).await;
        last = Some((run, which));
    }
    assert_newest(&stage, 1, last).await;
}

pub(super) async fn an_older_date_is_superseded(stage: Stage) {
    let newer = stage.night(NEXT, &[(2, 1, 2)]).await;
    stage.finish(newer, 2, Outcome::Updated).await;
    // Opened later, for an older date: the date decides. With the same number too: it is not that date's.
    for which in [1, 2] {
        let older = stage.night(ON, &[(2, 1, which)]).await;
        assert_settled_by_the_ledger(&stage, older, Outcome::Superseded).await;
    }
    assert_newest(&stage, 1, Some((newer, 2))).await;
}

pub(super) async fn an_earlier_snapshot_of_the_date_is_superseded(stage: Stage) {
    let earlier = stage.night(ON, &[(2, 1, 1)]).await;
    let later = stage.night(ON, &[(2, 1, 2)]).await;
    stage.finish(later, 2, Outcome::Updated).await;
    assert_settled_by_the_ledger(&stage, earlier, Outcome::Superseded).await;
}

pub(super) async fn a_row_settled_by_the_ledger_keeps_no_earlier_error(stage: Stage) {
    let older = stage.night(ON, &[(2, 1, 1)]).await;
    let claimed = stage.take(key(older, 2), 0).await;
    stage.record(&claimed, retry(Duration::ZERO, true)).await;
    let newer = stage.night(NEXT, &[(2, 1, 2)]).await;
    stage.finish(newer, 2, Outcome::Updated).await;
    let claim = stage.ask(key(older, 2), 1).await;
    assert!(matches!(claim, Claim::Settled(Some(Outcome::Superseded))), "{claim:?}");
    let row = stage.view(older, 2).await;
    assert_eq!((row.outcome, row.reason, row.found), (Some(Outcome::Superseded), None, None));
}

pub(super) async fn a_newer_date_applies_the_same_number_again(stage: Stage) {
    let first = stage.night(ON, &[(2, 1, 1)]).await;
    stage.finish(first, 2, Outcome::Updated).await;
    let second = stage.night(NEXT, &[(2, 1, 1)]).await;
    stage.finish(second, 2, Outcome::Unchanged).await;
    assert_newest(&stage, 1, Some((second, 1))).await;
}

fn reapply() -> Selection {
    Selection { reapply: true, ..Selection::default() }
}

pub(super) async fn a_reapplying_run_skips_nothing(stage: Stage) {
    let first = stage.night(ON, &[(2, 1, 1)]).await;
    stage.finish(first, 2, Outcome::Updated).await;
    let again = stage.run_of(ON, RunKind::Night, reapply(), &[(2, 1, 1)]).await;
    stage.finish(again, 2, Outcome::Updated).await;
    assert_newest(&stage, 1, Some((again, 1))).await;
}

pub(super) async fn a_reapplying_run_of_an_older_date_is_superseded_all_the_same(stage: Stage) {
    let newer = stage.night(NEXT, &[(2, 1, 2)]).await;
    stage.finish(newer, 2, Outcome::Updated).await;
    let older = stage.run_of(ON, RunKind::Night, reapply(), &[(2, 1, 1)]).await;
    assert_settled_by_the_ledger(&stage, older, Outcome::Superseded).await;
}

pub(super) async fn outcomes_without_a_write_are_no_success(stage: Stage) {
    let run = stage.night(ON, &[(2, 1, 1), (3, 2, 2), (4, 3, 3)]).await;
    stage.finish(run, 2, Outcome::SkippedNotFound).await;
    stage.finish(run, 3, Outcome::Superseded).await;
    stage.kill(key(run, 4), Reason::PatientInactive).await;
    for who in 1..=3 {
        assert_newest(&stage, who, None).await;
    }
    let again = stage.night(ON, &[(2, 1, 1)]).await;
    stage.finish(again, 2, Outcome::Updated).await;
}

pub(super) async fn a_dry_run_changes_no_record(stage: Stage) {
    let dry = stage.run_of(ON, RunKind::DryRun, Selection::default(), &[(2, 1, 1), (3, 2, 2)]).await;
    let claimed = stage.take(key(dry, 2), 0).await;
    assert_eq!(claimed.kind, RunKind::DryRun);
    stage.record(&claimed, done(Outcome::Updated)).await;
    stage.finish(dry, 3, Outcome::Unchanged).await;
    assert_newest(&stage, 1, None).await;
    assert_newest(&stage, 2, None).await;
    assert_eq!(stage.outcome(dry, 2).await, Some(Outcome::Updated), "its own report has it");
    let night = stage.night(ON, &[(2, 1, 1)]).await;
    stage.finish(night, 2, Outcome::Updated).await;
    assert_newest(&stage, 1, Some((night, 1))).await;
}

pub(super) async fn a_dry_run_is_told_what_a_night_would_be_told(stage: Stage) {
    let night = stage.night(ON, &[(2, 1, 1), (3, 2, 2)]).await;
    stage.finish(night, 2, Outcome::Updated).await;
    let newer = stage.night(NEXT, &[(2, 2, 3)]).await;
    stage.finish(newer, 2, Outcome::Updated).await;
    let dry = stage.run_of(ON, RunKind::DryRun, Selection::default(), &[(2, 1, 1), (3, 2, 2)]).await;
    assert!(matches!(stage.ask(key(dry, 2), 0).await, Claim::Settled(Some(Outcome::SkippedAlreadyApplied))));
    assert!(matches!(stage.ask(key(dry, 3), 0).await, Claim::Settled(Some(Outcome::Superseded))));
    assert_newest(&stage, 1, Some((night, 1))).await;
}

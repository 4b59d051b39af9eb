//! Crashes: claims that end without a record, and what the ledger makes of them.

use std::time::Duration;

use shared::domain::{Outcome, Reason};
use shared::ledger::{
    CRASHES_ALONE, CRASHES_IN_COMPANY, Claim, Recorded, Replay, RowKey, RunKind, Selection, Settlement,
};

use super::stage::{LEASE, Stage, assert_about, done, key, retry};

const ON: &str = "2026-11-23";
const ALL: u32 = CRASHES_IN_COMPANY + CRASHES_ALONE;

fn is_poison(claim: &Claim) -> bool {
    matches!(claim, Claim::Failed(Reason::PoisonMessage))
}

pub(super) async fn a_row_that_crashes_in_company_is_claimed_only_alone(stage: Stage) {
    let run = stage.night(ON, &[(2, 1, 1)]).await;
    for _ in 0..CRASHES_IN_COMPANY {
        // Delivered again.
        stage.take(key(run, 2), 0).await;
        stage.advance(LEASE).await;
    }
    for _ in 0..ALL {
        // Asking counts nothing and takes nothing.
        assert!(matches!(stage.ask(key(run, 2), 0).await, Claim::Suspect));
    }
    let claim = stage.ask_alone(key(run, 2), 0).await;
    assert!(matches!(claim, Claim::Ours(_)), "{claim:?}");
    // Somebody works on it, and that is the answer to everybody.
    for claim in [stage.ask(key(run, 2), 0).await, stage.ask_alone(key(run, 2), 0).await] {
        let Claim::Leased { left } = claim else { panic!("{claim:?}") };
        assert_about(left, LEASE);
    }
}

pub(super) async fn a_claim_alone_is_like_any_other(stage: Stage) {
    let run = stage.night(ON, &[(2, 1, 1)]).await;
    let Claim::Ours(lost) = stage.ask_alone(key(run, 2), 0).await else { panic!("nobody has it") };
    stage.advance(LEASE).await;
    stage.crash(key(run, 2), 0, CRASHES_IN_COMPANY).await;
    let Claim::Ours(claimed) = stage.ask_alone(key(run, 2), 0).await else { panic!("nobody has it") };
    assert!(claimed.epoch > lost.epoch);
    assert!(stage.intend(&claimed, "p1", "1").await);
    assert_eq!(stage.record(&lost, done(Outcome::Unchanged)).await, Recorded::Refused);
    assert_eq!(stage.record(&claimed, done(Outcome::Updated)).await, Recorded::Yes { turn: 0 });
    assert_eq!(stage.outcome(run, 2).await, Some(Outcome::Updated));
}

pub(super) async fn a_row_that_crashes_alone_too_is_given_up(stage: Stage) {
    let run = stage.night(ON, &[(2, 1, 1), (3, 2, 2)]).await;
    stage.crash(key(run, 2), 0, ALL).await;
    stage.crash(key(run, 3), 0, ALL).await;
    // Whether it is asked for alone or not.
    let claims = [stage.ask(key(run, 2), 0).await, stage.ask_alone(key(run, 3), 0).await];
    assert!(claims.iter().all(is_poison), "{claims:?}");
    for sheet_row in [2, 3] {
        let row = stage.view(run, sheet_row).await;
        let expected = ("failed", Some(Reason::PoisonMessage), None, 1);
        assert_eq!((row.state.as_str(), row.reason, row.outcome, row.attempts), expected);
    }
    // Its message got lost before it was buried.
    stage.advance(Duration::from_secs(30)).await;
    let due = stage.due().await;
    assert_eq!(due.iter().map(|message| message.key).collect::<Vec<_>>(), [key(run, 2), key(run, 3)]);
    assert!(is_poison(&stage.ask(due[0].key, due[0].turn).await));
    stage.bury(key(run, 2)).await;
    stage.bury(key(run, 3)).await;
    assert_eq!(stage.outcome(run, 2).await, Some(Outcome::DeadLettered));
    assert!(stage.ledger().is_settled(run).await.expect("an answer"));
}

pub(super) async fn a_row_that_is_given_up_holds_no_nik(stage: Stage) {
    let run = stage.night(ON, &[(2, 1, 1)]).await;
    let later = stage.night("2026-11-24", &[(2, 1, 2)]).await;
    stage.crash(key(run, 2), 0, ALL - 1).await;
    let Claim::Ours(lost) = stage.ask_alone(key(run, 2), 0).await else { panic!("nobody has it") };
    stage.advance(LEASE).await;
    assert!(is_poison(&stage.ask(key(run, 2), 0).await));
    // What its last claim still says does not count.
    assert_eq!(stage.record(&lost, done(Outcome::Updated)).await, Recorded::Refused);
    assert!(!stage.intend(&lost, "p1", "1").await);
    let claimed = stage.take(key(later, 2), 0).await;
    assert!(matches!(stage.record(&claimed, done(Outcome::Updated)).await, Recorded::Yes { .. }));
}

pub(super) async fn a_row_that_is_given_up_says_why(stage: Stage) {
    let run = stage.night(ON, &[(2, 1, 1), (3, 2, 2)]).await;
    let claimed = stage.take(key(run, 3), 0).await;
    assert!(stage.intend(&claimed, "p2", "1").await);
    stage.advance(LEASE).await;
    stage.crash(key(run, 2), 0, ALL).await;
    stage.crash(key(run, 3), 0, ALL - 1).await;
    for sheet_row in [2, 3] {
        assert!(is_poison(&stage.ask(key(run, sheet_row), 0).await));
        stage.bury(key(run, sheet_row)).await;
    }
    let letters = stage.ledger().dead_letters(&Replay::default(), 0, 10).await.expect("a list");
    let [plain, intended] = &letters[..] else { panic!("{letters:?}") };
    assert_eq!((plain.reason, intended.reason), (Reason::PoisonMessage, Reason::PoisonMessage));
    for letter in [plain, intended] {
        assert!(letter.error.contains("6 times, the last 3 with no other row in hand"), "{}", letter.error);
    }
    // Of the other, a write may have gone through.
    assert!(intended.error.contains("not known") && !plain.error.contains("not known"));
}

pub(super) async fn a_dry_runs_row_is_given_up_too(stage: Stage) {
    let run = stage.run_of(ON, RunKind::DryRun, Selection::default(), &[(2, 1, 1)]).await;
    stage.crash(key(run, 2), 0, ALL).await;
    assert!(is_poison(&stage.ask(key(run, 2), 0).await));
    stage.bury(key(run, 2)).await;
    assert_eq!(stage.outcome(run, 2).await, Some(Outcome::DeadLettered));
    assert!(stage.ledger().dead_letters(&Replay::default(), 0, 10).await.expect("a list").is_empty());
}

pub(super) async fn nothing_is_given_up_within_a_lease(stage: Stage) {
    let run = stage.night(ON, &[(2, 1, 1)]).await;
    stage.crash(key(run, 2), 0, ALL - 1).await;
    let Claim::Ours(last) = stage.ask_alone(key(run, 2), 0).await else { panic!("nobody has it") };
    stage.advance(LEASE / 2).await;
    for claim in [stage.ask(key(run, 2), 0).await, stage.ask_alone(key(run, 2), 0).await] {
        assert!(matches!(claim, Claim::Leased { .. }), "{claim:?}");
    }
    assert_eq!(stage.record(&last, done(Outcome::Updated)).await, Recorded::Yes { turn: 0 });
    assert_eq!(stage.outcome(run, 2).await, Some(Outcome::Updated));
}

pub(super) async fn the_sweep_makes_no_difference_to_crashes(stage: Stage) {
    let run = stage.night(ON, &[(2, 1, 1)]).await;
    for turn in 0..CRASHES_IN_COMPANY {
        stage.take(key(run, 2), turn).await;
        stage.advance(LEASE).await;
        // Revokes the expired claim.
        assert_eq!(stage.due().await[0].turn, turn + 1);
    }
    assert!(matches!(stage.ask(key(run, 2), CRASHES_IN_COMPANY).await, Claim::Suspect));
}

pub(super) async fn crashes_are_counted_for_each_row_alone(stage: Stage) {
    let run = stage.night(ON, &[(2, 1, 1), (3, 2, 2), (4, 3, 3)]).await;
    stage.crash(key(run, 2), 0, CRASHES_IN_COMPANY).await;
    stage.crash(key(run, 3), 0, ALL).await;
    let request =
        |sheet_row| shared::ledger::ClaimRequest { key: key(run, sheet_row), turn: 0, alone: false };
    let asked = [4, 3, 2, 3, 2].map(request);
    let claims = stage.ledger().claim(&asked, LEASE).await.expect("to claim");
    let [sound, poison, suspect, poison_again, suspect_again] = &claims[..] else { panic!("{claims:?}") };
    assert!(matches!(sound, Claim::Ours(claimed) if claimed.key == key(run, 4)), "{sound:?}");
    assert!(is_poison(poison) && is_poison(poison_again), "{poison:?}, {poison_again:?}");
    for claim in [suspect, suspect_again] {
        assert!(matches!(claim, Claim::Suspect), "{claim:?}");
    }
}

pub(super) async fn what_is_overtaken_is_not_given_up(stage: Stage) {
    let run = stage.night(ON, &[(2, 1, 1), (3, 2, 2)]).await;
    stage.crash(key(run, 2), 0, ALL).await;
    stage.crash(key(run, 3), 0, CRASHES_IN_COMPANY).await;
    let newer = stage.night("2026-11-24", &[(2, 1, 8), (3, 2, 9)]).await;
    stage.finish(newer, 2, Outcome::Updated).await;
    stage.finish(newer, 3, Outcome::Updated).await;
    for sheet_row in [2, 3] {
        let claim = stage.ask(key(run, sheet_row), 0).await;
        assert!(matches!(claim, Claim::Settled(Some(Outcome::Superseded))), "{claim:?}");
    }
}

pub(super) async fn a_record_forgives_the_crashes_before_it(stage: Stage) {
    let run = stage.night(ON, &[(2, 1, 1)]).await;
    let ends = [retry(Duration::ZERO, true), Settlement::Returned, retry(Duration::ZERO, false)];
    for (turn, settlement) in (0..).zip(ends) {
        stage.crash(key(run, 2), turn, ALL - 1).await;
        let Claim::Ours(claimed) = stage.ask_alone(key(run, 2), turn).await else { panic!("it is free") };
        assert_eq!(stage.record(&claimed, settlement).await, Recorded::Yes { turn: turn + 1 });
    }
    stage.take(key(run, 2), 3).await;
}

pub(super) async fn a_replay_forgives_the_crashes_before_it(stage: Stage) {
    let run = stage.night(ON, &[(2, 1, 1)]).await;
    stage.crash(key(run, 2), 0, ALL).await;
    assert!(is_poison(&stage.ask(key(run, 2), 0).await));
    stage.bury(key(run, 2)).await;
    assert_eq!(stage.ledger().replay(Replay::default()).await.expect("to replay").len(), 1);
    stage.take(RowKey { generation: 2, ..key(run, 2) }, 0).await;
}

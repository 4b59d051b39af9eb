//! Records: what each end of a claim makes of its row, and whose records are refused.

use std::time::Duration;

use shared::domain::{Outcome, Reason, Warning};
use shared::ledger::{Record, Recorded, RunKind, Selection, Settlement};

use super::stage::{LEASE, Stage, done, failed, key, plain, retry, sheet_rows};

const ON: &str = "2026-11-23";

pub(super) async fn a_dry_runs_row_keeps_the_number_it_would_replace(stage: Stage) {
    let run = stage.run_of(ON, RunKind::DryRun, Selection::default(), &[(2, 1, 1)]).await;
    let claimed = stage.take(key(run, 2), 0).await;
    let previous = Some("+62 812****".to_owned());
    let end =
        Settlement::Done { outcome: Outcome::Updated, warnings: Vec::new(), previous: previous.clone() };
    assert_eq!(stage.record(&claimed, end).await, Recorded::Yes { turn: 0 });
    assert_eq!(stage.view(run, 2).await.found, previous);
}

pub(super) async fn done_is_the_end(stage: Stage) {
    let run = stage.night(ON, &[(2, 1, 1)]).await;
    let due = stage.due().await;
    stage.confirm(&due).await;
    let claimed = stage.take(key(run, 2), 0).await;
    assert_eq!(stage.record(&claimed, done(Outcome::Updated)).await, Recorded::Yes { turn: 0 });
    let row = stage.view(run, 2).await;
    assert_eq!((row.outcome, row.state.as_str(), row.attempts), (Some(Outcome::Updated), "done", 1));
    assert_eq!((row.reason, row.found), (None, None));
    stage.advance(Duration::from_secs(1_000_000)).await;
    assert!(stage.due_when_idle().await.is_empty());
}

pub(super) async fn every_outcome_and_reason_is_understood_again(stage: Stage) {
    let ends: Vec<_> =
        Outcome::ALL.iter().copied().filter(|outcome| *outcome != Outcome::DeadLettered).collect();
    let rows: Vec<_> = (2..).take(ends.len() + Reason::ALL.len()).map(|row| (row, row, row)).collect();
    let run = stage.night(ON, &rows).await;
    for (sheet_row, outcome) in (2..).zip(&ends) {
        stage.finish(run, sheet_row, *outcome).await;
        assert_eq!(stage.outcome(run, sheet_row).await, Some(*outcome));
    }
    for (&(sheet_row, ..), reason) in rows[ends.len()..].iter().zip(Reason::ALL) {
        stage.kill(key(run, sheet_row), *reason).await;
        let row = stage.view(run, sheet_row).await;
        assert_eq!((row.outcome, row.reason), (Some(Outcome::DeadLettered), Some(*reason)));
    }
    assert!(stage.ledger().is_settled(run).await.expect("an answer"));
}

pub(super) async fn a_counted_retry_uses_an_attempt_and_starts_a_turn(stage: Stage) {
    let run = stage.night(ON, &[(2, 1, 1)]).await;
    for attempts in 0..3 {
        let claimed = stage.take(key(run, 2), attempts).await;
        assert_eq!(claimed.attempts, attempts);
        let recorded = stage.record(&claimed, retry(Duration::from_secs(1), true)).await;
        assert_eq!(recorded, Recorded::Yes { turn: attempts + 1 });
        let row = stage.view(run, 2).await;
        assert_eq!((row.outcome, row.state.as_str(), row.attempts), (None, "retrying", attempts + 1));
        assert_eq!(row.found.as_deref(), Some("HTTP 503: later"));
    }
    let claimed = stage.take(key(run, 2), 3).await;
    stage.record(&claimed, done(Outcome::Updated)).await;
    let row = stage.view(run, 2).await;
    assert_eq!((row.attempts, row.found), (4, None), "three that failed, and the one that ended it");
}

pub(super) async fn an_uncounted_retry_uses_no_attempt(stage: Stage) {
    let run = stage.night(ON, &[(2, 1, 1)]).await;
    let claimed = stage.take(key(run, 2), 0).await;
    let recorded = stage.record(&claimed, retry(Duration::from_secs(1), false)).await;
    assert_eq!(recorded, Recorded::Yes { turn: 1 });
    assert_eq!(stage.view(run, 2).await.state, "retrying");
    assert_eq!(stage.take(key(run, 2), 1).await.attempts, 0);
}

pub(super) async fn a_returned_row_is_due_at_once(stage: Stage) {
    let run = stage.night(ON, &[(2, 1, 1)]).await;
    let due = stage.due().await;
    stage.confirm(&due).await;
    let claimed = stage.take(key(run, 2), 0).await;
    assert_eq!(stage.record(&claimed, Settlement::Returned).await, Recorded::Yes { turn: 1 });
    let row = stage.view(run, 2).await;
    assert_eq!((row.state.as_str(), row.attempts), ("pending", 0));
    let due = stage.due().await;
    assert_eq!((sheet_rows(&due), due[0].turn), (vec![2], 1));
    stage.take(key(run, 2), 1).await;
}

pub(super) async fn a_failed_row_waits_for_its_burial(stage: Stage) {
    let run = stage.night(ON, &[(2, 1, 1)]).await;
    let claimed = stage.take(key(run, 2), 0).await;
    assert!(matches!(stage.record(&claimed, failed(Reason::PatientGone)).await, Recorded::Yes { .. }));
    let row = stage.view(run, 2).await;
    assert_eq!((row.outcome, row.state.as_str(), row.attempts), (None, "failed", 1));
    assert_eq!((row.reason, row.found.as_deref()), (Some(Reason::PatientGone), Some("HTTP 422: no")));
    assert!(!stage.ledger().is_settled(run).await.expect("an answer"));
    assert!(!stage.close(run).await);
}

pub(super) async fn a_record_of_another_epoch_is_refused(stage: Stage) {
    let run = stage.night(ON, &[(2, 1, 1)]).await;
    let lost = stage.take(key(run, 2), 0).await;
    stage.advance(LEASE).await;
    let claimed = stage.take(key(run, 2), 0).await;
    for settlement in
        [done(Outcome::Updated), retry(LEASE, true), failed(Reason::PatientGone), Settlement::Returned]
    {
        assert_eq!(stage.record(&lost, settlement).await, Recorded::Refused);
    }
    // The refusals left the row, and the NIK, with their holder.
    assert_eq!(stage.view(run, 2).await.state, "claimed");
    let other = stage.night("2026-11-24", &[(2, 1, 2)]).await;
    assert!(matches!(stage.ask(key(other, 2), 0).await, shared::ledger::Claim::Leased { .. }));
    assert_eq!(stage.record(&claimed, done(Outcome::Unchanged)).await, Recorded::Yes { turn: 0 });
    assert!(stage.ledger().newest_success(&stage.nik_hash(1)).await.expect("an answer").is_some());
}

pub(super) async fn a_record_counts_once(stage: Stage) {
    let run = stage.night(ON, &[(2, 1, 1)]).await;
    let claimed = stage.take(key(run, 2), 0).await;
    stage.record(&claimed, retry(LEASE, true)).await;
    assert_eq!(stage.record(&claimed, retry(LEASE, true)).await, Recorded::Refused);
    assert_eq!(stage.record(&claimed, done(Outcome::Updated)).await, Recorded::Refused);
    let row = stage.view(run, 2).await;
    assert_eq!((row.outcome, row.attempts), (None, 1));
    let claimed = stage.take(key(run, 2), 1).await;
    stage.record(&claimed, done(Outcome::Unchanged)).await;
    assert_eq!(stage.record(&claimed, done(Outcome::Updated)).await, Recorded::Refused);
    assert_eq!(stage.outcome(run, 2).await, Some(Outcome::Unchanged));
}

pub(super) async fn a_record_past_the_lease_stands_while_nobody_took_over(stage: Stage) {
    let run = stage.night(ON, &[(2, 1, 1)]).await;
    let claimed = stage.take(key(run, 2), 0).await;
    stage.advance(LEASE * 2).await;
    assert_eq!(stage.record(&claimed, done(Outcome::Updated)).await, Recorded::Yes { turn: 0 });
    assert_eq!(stage.outcome(run, 2).await, Some(Outcome::Updated));
}

/// Found by this suite. The newer row's write is older in time than the other's: were its late record taken,
/// the ledger would call its number the newest while FHIR holds the other one.
pub(super) async fn a_record_is_refused_once_another_row_took_the_nik(stage: Stage) {
    let older = stage.night(ON, &[(2, 1, 1)]).await;
    let newer = stage.night("2026-11-24", &[(2, 1, 2)]).await;
    let slow = stage.take(key(newer, 2), 0).await;
    stage.intend(&slow, "patient-1", "1").await;
    stage.advance(LEASE).await;
    let other = stage.take(key(older, 2), 0).await;
    assert_eq!(
        stage.record(&slow, done(Outcome::Updated)).await,
        Recorded::Refused,
        "the other row is writing"
    );
    stage.record(&other, done(Outcome::Updated)).await;
    assert_eq!(stage.record(&slow, done(Outcome::Updated)).await, Recorded::Refused, "the other row wrote");
    // It comes again, looks at the Patient, and writes what is newest.
    let due = stage.due().await;
    let again = due.iter().find(|message| message.key == key(newer, 2)).expect("its claim ran out");
    let claimed = stage.take(again.key, again.turn).await;
    assert!(claimed.intent.is_some());
    assert!(matches!(stage.record(&claimed, done(Outcome::Updated)).await, Recorded::Yes { .. }));
    let newest = stage.ledger().newest_success(&stage.nik_hash(1)).await.expect("an answer");
    assert_eq!(newest.map(|(_, number, _)| number), Some(stage.number_hash(2)));
}

pub(super) async fn a_batch_takes_what_it_can(stage: Stage) {
    let run = stage.night(ON, &[(2, 1, 1), (3, 2, 2), (4, 3, 3)]).await;
    let mut records = Vec::new();
    for sheet_row in [4, 2, 3] {
        let claimed = stage.take(key(run, sheet_row), 0).await;
        let epoch = if sheet_row == 2 { claimed.epoch - 1 } else { claimed.epoch };
        records.push(Record { epoch, ..plain(&claimed, done(Outcome::Updated)) });
    }
    records.push(Record { key: key(run, 99), ..records[0].clone() });
    let recorded = stage.ledger().record(&records).await.expect("answers");
    let taken = Recorded::Yes { turn: 0 };
    assert_eq!(recorded, [taken, Recorded::Refused, taken, Recorded::Refused]);
    assert_eq!(stage.ledger().tally(run).await.expect("a tally").count(Outcome::Updated), 2);
}

pub(super) async fn requests_and_warnings_add_up(stage: Stage) {
    let fence = stage.lock(ON, "producer").await;
    let run =
        stage.open(&fence, shared::ledger::RunKind::Night, shared::ledger::Selection::default()).await.id;
    let mut seeded = stage.row(run, 2, 1, 1);
    seeded.warnings = vec![Warning::PhoneRepeated];
    stage.seed(&fence, run, 2..=2, vec![seeded]).await;
    stage.complete(&fence, run).await;
    // Each of these notes two requests, one of them repeated.
    let claimed = stage.take(key(run, 2), 0).await;
    stage.record(&claimed, retry(Duration::ZERO, true)).await;
    assert_eq!(stage.view(run, 2).await.warnings, [Warning::PhoneRepeated]);
    let claimed = stage.take(key(run, 2), 1).await;
    let end = Settlement::Done {
        outcome: Outcome::Updated,
        warnings: vec![Warning::SeveralCurrentMobiles],
        previous: None,
    };
    stage.record(&claimed, end).await;
    let row = stage.view(run, 2).await;
    assert_eq!(row.warnings, [Warning::PhoneRepeated, Warning::SeveralCurrentMobiles]);
    let tally = stage.ledger().tally(run).await.expect("a tally");
    assert_eq!((tally.requests, tally.retries), (4, 2));
    assert_eq!(tally.warnings.values().copied().collect::<Vec<_>>(), [1, 1]);
}

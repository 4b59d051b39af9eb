//! Rows that fail on their own account while others succeed.

use shared::domain::{Outcome, Reason};
use shared::ledger::{LedgerView, Replay};
use shared::payload::Payload;
use simulators::{FaultPlan, Operation, PatientFault, Rate};
use std::time::Duration;
use tests::night::{Ending, Scene};
use tests::oracle::Writes;

fn failing_writes(status: u16) -> PatientFault {
    PatientFault { operation: Some(Operation::Write), status: Some(status), ..PatientFault::default() }
}

#[tokio::test]
async fn a_write_whose_reply_is_lost_is_not_made_twice() {
    let scene = Scene::people(150).await;
    scene.type_everybody(0..150, 0);
    let plan = FaultPlan { applied_reply_lost: Rate::of(0.2), ..FaultPlan::default() };
    scene.simulators.set_faults(plan);
    scene.night().await;
    let stats = scene.simulators.snapshot();
    assert!(stats.requests["write"]["cut"] > 10, "replies were lost");
    assert_eq!((stats.writes, stats.writes_beyond_first), (150, 0));
    assert_eq!(scene.outcomes().await, [Outcome::Updated; 150]);
    scene.check().await;
}

#[tokio::test]
async fn answers_of_every_broken_kind_end_in_one_outcome_each() {
    let scene = Scene::people(150).await;
    scene.type_everybody(0..150, 0);
    scene.simulators.set_faults(FaultPlan {
        reset: Rate::of(0.05),
        error_500: Rate::of(0.05),
        truncated_body: Rate::of(0.05),
        applied_reply_lost: Rate::of(0.05),
        ..FaultPlan::default()
    });
    scene.night().await;
    let endings = scene.endings().await;
    // Six attempts of several requests each: a few may all be hit.
    let dead = endings.iter().filter(|ending| ending.reason == Some(Reason::RetriesExhausted)).count();
    let updated = endings.iter().filter(|ending| ending.outcome == Outcome::Updated).count();
    assert_eq!((updated + dead, dead <= 5), (150, true), "{dead} dead letters");
    assert!(endings.iter().any(|ending| ending.attempts > 1), "some rows needed another attempt");
    assert_eq!(scene.simulators.snapshot().writes_beyond_first, 0);
    // A write that was applied and never seen again is in no outcome but a dead letter's.
    let mut scene = scene;
    scene.writes = Writes::Explained;
    scene.check().await;
}

#[tokio::test]
async fn a_patient_that_always_fails_gets_its_attempts_with_growing_gaps_and_then_a_dead_letter() {
    let mut scene = Scene::people(40).await;
    scene.tuning.worker.first_retry = Duration::from_millis(60);
    scene.tuning.worker.breaker.patience = Duration::from_millis(20);
    scene.type_everybody(0..40, 0);
    let failing = [3, 17];
    let niks = failing.map(|person| scene.population.nik(person));
    let patients = niks.iter().map(|nik| (nik.clone(), failing_writes(503))).collect();
    scene.simulators.set_faults(FaultPlan { patients, ..FaultPlan::default() });
    scene.simulators.stats().watch(&niks);
    scene.night().await;

    let watched = scene.simulators.snapshot().watched;
    let gaps = niks.each_ref().map(|nik| {
        let writes: Vec<_> =
            watched[nik].iter().filter(|request| request.operation == Operation::Write).collect();
        assert_eq!(writes.len(), 6, "RETRY_MAX_ATTEMPTS");
        writes.windows(2).map(|pair| pair[1].at_ms - pair[0].at_ms).collect::<Vec<_>>()
    });
    for gaps in &gaps {
        for (gap, target) in gaps.iter().zip([60, 120, 240, 480, 960]) {
            assert!((target / 2 - 2..target * 3 / 2 + 3_000).contains(gap), "{gaps:?}");
        }
    }
    assert_ne!(gaps[0], gaps[1], "jitter");

    let keys = scene.keys().await;
    let mut letters = scene.look().dead_letters(&Replay::default(), 0, 10).await.expect("a list");
    letters.sort_by_key(|letter| letter.key);
    assert_eq!(letters.len(), 2);
    for (letter, person) in letters.iter().zip(failing) {
        assert_eq!((letter.reason, letter.attempts), (Reason::RetriesExhausted, 6));
        assert!(letter.error.contains("503"), "{}", letter.error);
        let payload = Payload::open(&keys, &letter.key, &letter.sealed).expect("our own seal");
        assert_eq!(payload.nik.expect("a NIK").expose(), scene.population.nik(person));
        assert_eq!(payload.number.expect("a number").expose(), scene.population.new_mobile(person, 0));
    }
    let dead = Ending {
        outcome: Outcome::DeadLettered,
        reason: Some(Reason::RetriesExhausted),
        attempts: 6,
        generation: 1,
    };
    let done = Ending { outcome: Outcome::Updated, reason: None, attempts: 1, generation: 1 };
    for (person, ending) in scene.endings().await.into_iter().enumerate() {
        assert_eq!(ending, if failing.contains(&person) { dead } else { done }, "person {person}");
    }
    scene.check().await;
}

#[tokio::test]
async fn a_refusal_of_one_patient_is_its_own_dead_letter_at_once() {
    let scene = Scene::people(30).await;
    scene.type_everybody(0..30, 0);
    let cases = [(4, 400), (11, 403), (20, 422)];
    let patients = cases
        .iter()
        .map(|(person, status)| (scene.population.nik(*person), failing_writes(*status)))
        .collect();
    scene.simulators.set_faults(FaultPlan { patients, ..FaultPlan::default() });
    scene.night().await;
    let letters = scene.look().dead_letters(&Replay::default(), 0, 10).await.expect("a list");
    let mut seen: Vec<_> =
        letters.iter().map(|letter| (letter.key.sheet_row, letter.reason, letter.attempts)).collect();
    seen.sort();
    assert_eq!(seen, cases.map(|(person, _)| (person as u32 + 2, Reason::RejectedByServer, 1)));
    let refused = &scene.simulators.snapshot().requests["write"];
    assert!(
        cases.iter().all(|(_, status)| refused[&status.to_string()] == 1),
        "asked once each: {refused:?}"
    );
    scene.check().await;
}

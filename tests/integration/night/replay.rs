//! `--replay-dlq`.

use producer::Halt;
use shared::domain::{Outcome, Reason};
use shared::ledger::{LedgerView as _, Replay};
use simulators::{FaultPlan, Operation, PatientFault, Rate};
use tests::night::{DATE, Ending, LATER, Scene, whole};

/// Writes to these people are refused.
fn refusing(scene: &Scene, people: &[usize], status: u16) -> FaultPlan {
    let fault =
        PatientFault { operation: Some(Operation::Write), status: Some(status), ..PatientFault::default() };
    let patients = people.iter().map(|person| (scene.population.nik(*person), fault.clone())).collect();
    FaultPlan { patients, ..FaultPlan::default() }
}

async fn open_letters(scene: &Scene) -> Vec<u32> {
    let letters = scene.look().dead_letters(&Replay::default(), 0, 100).await.expect("a list");
    letters.iter().filter(|letter| letter.replayed_at.is_none()).map(|letter| letter.key.sheet_row).collect()
}

const UPDATED_AGAIN: Ending = Ending { outcome: Outcome::Updated, reason: None, attempts: 1, generation: 2 };

#[tokio::test]
async fn dead_letters_that_are_replayed_after_the_fault_is_mended_are_updated() {
    let scene = Scene::people(20).await;
    scene.type_everybody(0..20, 0);
    scene.simulators.set_faults(refusing(&scene, &[2, 7, 11], 422));
    let night = scene.night().await;
    assert_eq!(night.reports[0].outcomes["dead_lettered"], 3);
    scene.simulators.set_faults(FaultPlan::default());
    let replayed = scene.replay(Replay::default()).await;
    assert_eq!((replayed.replayed, replayed.died_again, replayed.halt.is_none()), (3, 0, true));
    let endings = scene.endings().await;
    assert!([2, 7, 11].iter().all(|person| endings[*person] == UPDATED_AGAIN), "{endings:?}");
    scene.assert_numbers(0..20, 0);
    assert_eq!(open_letters(&scene).await, [0; 0]);
    scene.check().await;
    let nothing = scene.replay(Replay::default()).await;
    assert_eq!((nothing.replayed, nothing.died_again), (0, 0));
    scene.check().await;
}

#[tokio::test]
async fn a_replay_takes_only_what_its_filters_name() {
    let scene = Scene::people(20).await;
    let rows: Vec<_> = (0..20).map(|person| (person, 0, if person < 10 { DATE } else { LATER })).collect();
    scene.type_rows(&rows);
    scene.simulators.set_faults(refusing(&scene, &[1, 2, 3, 11, 12, 13], 422));
    scene.order(DATE, &whole()).await;
    scene.order(LATER, &whole()).await;
    scene.simulators.set_faults(FaultPlan::default());
    let date = |text: &str| Some(text.parse().expect("a date"));
    let cases = [
        (Replay { reason: Some(Reason::RetriesExhausted), ..Replay::default() }, vec![3, 4, 5, 13, 14, 15]),
        (
            Replay { niks: vec![scene.nik_hash(2).await, scene.nik_hash(5).await], ..Replay::default() },
            vec![3, 5, 13, 14, 15],
        ),
        (
            Replay { from: date(LATER), reason: Some(Reason::RejectedByServer), ..Replay::default() },
            vec![3, 5],
        ),
        (Replay { to: date(DATE), ..Replay::default() }, vec![]),
    ];
    for (replay, left) in cases {
        scene.replay(replay).await;
        assert_eq!(open_letters(&scene).await, left);
    }
    scene.check().await;
}

#[tokio::test]
async fn a_dead_letter_that_dies_again_is_counted_and_stays_open() {
    let scene = Scene::people(6).await;
    scene.type_everybody(0..6, 0);
    scene.simulators.set_faults(refusing(&scene, &[1, 4], 422));
    scene.night().await;
    scene.simulators.set_faults(refusing(&scene, &[4], 400));
    let replayed = scene.replay(Replay::default()).await;
    assert_eq!((replayed.replayed, replayed.died_again), (2, 1));
    assert_eq!(open_letters(&scene).await, [6]);
    let endings = scene.endings().await;
    assert_eq!(endings[1], UPDATED_AGAIN);
    assert_eq!((endings[4].outcome, endings[4].generation), (Outcome::DeadLettered, 2));
    scene.check().await;
}

#[tokio::test]
async fn a_replay_of_an_older_date_after_a_newer_success_is_superseded() {
    let scene = Scene::people(5).await;
    let rows: Vec<_> = (0..5).flat_map(|person| [(person, 0, DATE), (person, 1, LATER)]).collect();
    scene.type_rows(&rows);
    scene.simulators.set_faults(refusing(&scene, &[3], 422));
    let older = scene.order(DATE, &whole()).await;
    scene.simulators.set_faults(FaultPlan::default());
    scene.order(LATER, &whole()).await;
    let replayed = scene.replay(Replay::default()).await;
    assert_eq!((replayed.replayed, replayed.died_again), (1, 0));
    let rows = scene.rows(older.reports[0].run_id.parse().expect("a run's id")).await;
    let ending = tests::night::endings(&rows)[3];
    assert_eq!((ending.outcome, ending.generation), (Outcome::Superseded, 2));
    scene.assert_numbers(0..5, 1);
    scene.check().await;
}

#[tokio::test]
async fn a_replay_of_an_older_snapshot_of_the_day_does_not_undo_a_correction() {
    let scene = Scene::people(3).await;
    scene.type_everybody(0..3, 0);
    scene.simulators.set_faults(refusing(&scene, &[0, 1, 2], 422));
    scene.night().await;
    scene.simulators.set_faults(FaultPlan::default());
    scene.type_everybody(0..3, 1);
    scene.night().await;
    scene.replay(Replay::default()).await;
    scene.assert_numbers(0..3, 1);
    scene.check().await;
}

/// Found by reading: its rows were no open dead letters any more, and no start took them up.
#[tokio::test]
async fn a_replay_that_was_stopped_is_carried_on_by_the_next() {
    let mut scene = Scene::people(6).await;
    scene.type_everybody(0..6, 0);
    scene.simulators.set_faults(refusing(&scene, &[1, 4], 422));
    scene.night().await;
    scene.simulators.set_faults(FaultPlan { error_500: Rate::of(1.0), ..FaultPlan::default() });
    scene.set("RUN_DEADLINE", "1ms");
    let stopped = scene.replay(Replay::default()).await;
    assert!(matches!(stopped.halt, Some(Halt::Stopped(_))), "{:?}", stopped.halt);
    assert_eq!((stopped.replayed, open_letters(&scene).await.len()), (2, 0));
    scene.set("RUN_DEADLINE", "30m");
    scene.simulators.set_faults(FaultPlan::default());
    let carried_on = scene.replay(Replay::default()).await;
    assert_eq!((carried_on.replayed, carried_on.halt.is_none()), (0, true));
    let endings = scene.endings().await;
    assert!([1, 4].iter().all(|person| endings[*person].outcome == Outcome::Updated), "{endings:?}");
    scene.assert_numbers(0..6, 0);
    scene.check().await;
}

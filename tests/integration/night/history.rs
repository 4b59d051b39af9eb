//! What a night leaves of each row's way, for whoever asks later.

use shared::domain::Outcome;
use shared::ledger::{Exchange, LedgerPages as _, Replay, RowHistory};
use simulators::{FaultPlan, Operation, PatientFault};
use tests::night::Scene;

async fn history(scene: &Scene, sheet_row: u32) -> RowHistory {
    let run = scene.newest_run().await;
    scene.look().history(run, sheet_row).await.expect("a history").expect("the row")
}

fn asked(exchanges: &[Exchange]) -> Vec<(&str, &str)> {
    exchanges.iter().map(|exchange| (&*exchange.operation, &*exchange.answer)).collect()
}

#[tokio::test]
async fn a_rows_history_tells_what_was_asked_and_how_it_was_answered() {
    let scene = Scene::people(30).await;
    scene.type_everybody(0..30, 0);
    let failing = |times| PatientFault {
        operation: Some(Operation::Write),
        status: Some(500),
        times,
        ..PatientFault::default()
    };
    let faults = [(3, failing(Some(1))), (7, PatientFault { status: Some(422), ..failing(None) })];
    let patients = faults.map(|(person, fault)| (scene.population.nik(person), fault)).into();
    scene.simulators.set_faults(FaultPlan { patients, ..FaultPlan::default() });
    scene.night().await;

    let plain = history(&scene, 2).await;
    let ending = plain.ending.clone().expect("an end");
    assert_eq!(asked(&ending.exchanges), [("search", "ok"), ("update", "ok")]);
    assert!(plain.attempts.is_empty() && plain.requests == 2, "{plain:?}");

    let again = history(&scene, 5).await;
    assert_eq!(again.row.outcome, Some(Outcome::Updated));
    let [attempt] = again.attempts.as_slice() else { panic!("one attempt failed: {again:?}") };
    assert_eq!(asked(&attempt.exchanges), [("search", "ok"), ("update", "500")]);
    assert!(attempt.counted && !attempt.last && attempt.error.contains("500"), "{attempt:?}");
    let ending = again.ending.expect("an end");
    assert!(attempt.at <= ending.at && asked(&ending.exchanges).ends_with(&[("update", "ok")]), "{ending:?}");

    let dead = history(&scene, 9).await;
    let [last] = dead.attempts.as_slice() else { panic!("one attempt: {dead:?}") };
    assert!(last.last && asked(&last.exchanges) == [("search", "ok"), ("update", "422")], "{last:?}");
    assert_eq!(dead.dead_letters.len(), 1);

    // Mended and replayed: both generations are told.
    scene.simulators.set_faults(FaultPlan::default());
    scene.replay(Replay::default()).await;
    let replayed = history(&scene, 9).await;
    assert_eq!((replayed.row.outcome, replayed.row.key.generation), (Some(Outcome::Updated), 2));
    assert_eq!((replayed.generations.len(), replayed.attempts.len()), (1, 1));
    assert!(replayed.ending.expect("an end").at >= replayed.generations[0].replayed_at);
    scene.check().await;
}

//! Credentials that are refused.

use producer::Halt;
use shared::domain::Outcome;
use shared::status::Status;
use simulators::{FaultPlan, Latency};
use tests::night::{DATE, Scene, whole};

#[tokio::test]
async fn a_key_rotated_in_the_middle_of_the_night_costs_nothing() {
    let scene = Scene::people(150).await;
    scene.type_everybody(0..150, 0);
    scene.simulators.set_faults(FaultPlan { latency: Latency::fixed(5.0), ..FaultPlan::default() });
    let process = scene.open().await;
    let order = whole();
    let rotation = async {
        process.until_done(30).await;
        scene.write_secret("api-key", "second-key\n");
        scene.simulators.fhir().set_api_keys(["second-key".to_owned()]);
    };
    let (ended, ()) = Box::pin(async { tokio::join!(process.night(DATE, &order), rotation) }).await;
    assert_eq!(ended.expect("a night").status(), Status::Done);
    drop(process);
    let refused = scene.simulators.snapshot().requests;
    assert!(refused.values().any(|statuses| statuses.contains_key("401")), "the old key was refused");
    assert!(
        scene.endings().await.iter().all(|ending| (ending.outcome, ending.attempts) == (Outcome::Updated, 1))
    );
    scene.check().await;
}

#[tokio::test]
async fn a_key_that_stays_refused_stops_the_night_without_dead_letters() {
    let mut scene = Scene::people(60).await;
    scene.type_everybody(0..60, 0);
    scene.set("RUN_DEADLINE", "600ms");
    scene.simulators.set_faults(FaultPlan { latency: Latency::fixed(10.0), ..FaultPlan::default() });
    let process = scene.open().await;
    let order = whole();
    let revocation = async {
        process.until_done(5).await;
        scene.simulators.fhir().set_api_keys(["another-key".to_owned()]);
    };
    let (ended, ()) = Box::pin(async { tokio::join!(process.night(DATE, &order), revocation) }).await;
    let ended = ended.expect("a night");
    let Some(Halt::Stopped(reason)) = &ended.halt else { panic!("stopped, not {:?}", ended.halt) };
    assert!(reason.contains("401") && reason.contains("FHIR_API_KEY"), "{reason}");
    assert!(!reason.contains("first-key"), "{reason}");
    assert_eq!(ended.reports[0].outcomes["dead_lettered"], 0);
    assert!(ended.reports[0].rows_open > 0);
    let gate = process.ledger().gate().await.expect("an answer");
    assert!(gate.is_some(), "the gate is shut");
    drop(process);

    scene.write_secret("api-key", "another-key\n");
    scene.set("RUN_DEADLINE", "30m");
    let carried_on = scene.night().await;
    assert_eq!(carried_on.reports[0].run_id, ended.reports[0].run_id);
    assert!(
        scene.endings().await.iter().all(|ending| (ending.outcome, ending.attempts) == (Outcome::Updated, 1))
    );
    scene.check().await;
}

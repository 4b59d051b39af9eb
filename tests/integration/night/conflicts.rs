//! Somebody else writes the Patient between our read and our write.

use reqwest::Method;
use serde_json::json;
use shared::domain::{Outcome, Reason};
use simulators::{FaultPlan, Rate};
use tests::night::{DATE, Ending, Point, Scene, whole};
use tests::oracle::Writes;

/// The night of one row; between its read and its write, `meddle` does something.
pub(super) async fn before_it_writes(scene: &Scene, meddle: impl AsyncFnOnce()) {
    scene.type_everybody(0..1, 0);
    let mut process = scene.open().await;
    let hold = process.hold(Point::Intended);
    let order = whole();
    let meddling = async {
        hold.reached().await;
        meddle().await;
        hold.release();
    };
    let (ended, ()) = Box::pin(async { tokio::join!(process.night(DATE, &order), meddling) }).await;
    assert!(ended.expect("a night").halt.is_none());
}

#[tokio::test]
async fn somebody_elses_edit_in_between_is_kept_beside_ours() {
    let mut scene = Scene::people(1).await;
    before_it_writes(&scene, async || {
        let mut patient = scene.patient(0);
        patient["birthDate"] = json!("1999-12-31");
        patient["telecom"]
            .as_array_mut()
            .expect("telecoms")
            .push(json!({"system": "fax", "value": "+62217654321"}));
        let path = format!("Patient/{}", patient["id"].as_str().expect("an id"));
        assert_eq!(scene.as_somebody_else(Method::PUT, &path, Some(&patient)).await, 200);
    })
    .await;
    let patient = scene.patient(0);
    assert_eq!(patient["birthDate"], "1999-12-31");
    assert!(patient["telecom"].as_array().expect("telecoms").iter().any(|entry| entry["system"] == "fax"));
    scene.assert_numbers([0], 0);
    let stats = scene.simulators.snapshot();
    assert_eq!((stats.conflicts_412, stats.writes), (1, 2));
    let updated = Ending { outcome: Outcome::Updated, reason: None, attempts: 1, generation: 1 };
    assert_eq!(scene.endings().await, [updated], "a conflict uses no attempt");
    scene.other_writes = 1;
    scene.check_but_patients().await;
}

#[tokio::test]
async fn a_patient_that_changes_under_every_write_is_a_write_conflict() {
    let mut scene = Scene::people(8).await;
    scene.type_everybody(0..8, 0);
    scene.simulators.set_faults(FaultPlan { concurrent_edit: Rate::of(1.0), ..FaultPlan::default() });
    scene.night().await;
    let conflict = Ending {
        outcome: Outcome::DeadLettered,
        reason: Some(Reason::WriteConflict),
        attempts: 1,
        generation: 1,
    };
    assert_eq!(scene.endings().await, [conflict; 8]);
    let stats = scene.simulators.snapshot();
    assert_eq!((stats.conflicts_412, stats.writes), (24, 0), "written three times each");
    scene.writes = Writes::Others;
    scene.check().await;
}

#[tokio::test]
async fn conflicts_now_and_then_cost_nothing() {
    let mut scene = Scene::people(60).await;
    scene.type_everybody(0..60, 0);
    scene.simulators.set_faults(FaultPlan { concurrent_edit: Rate::of(0.15), ..FaultPlan::default() });
    scene.night().await;
    let endings = scene.endings().await;
    assert!(scene.simulators.snapshot().conflicts_412 > 0);
    assert!(endings.iter().filter(|ending| ending.outcome == Outcome::Updated).count() >= 58);
    scene.writes = Writes::Others;
    scene.check().await;
}

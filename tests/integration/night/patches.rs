//! Writing by JSON Patch.

use reqwest::Method;
use serde_json::{Value, json};
use shared::domain::{Outcome, Reason};
use simulators::{DemoNight, FaultPlan, FhirOptions, NightOptions, Operation, Rate, StatusFault};
use tests::night::{DATE, Scene};
use tests::oracle::Writes;

use super::conflicts::before_it_writes;

fn refused(status: u16, operation: Operation) -> FaultPlan {
    let fault =
        StatusFault { status, rate: 1.0, operations: Some(vec![operation]), retry_after: None, body: None };
    FaultPlan { statuses: vec![fault], ..FaultPlan::default() }
}

/// Gives somebody's Patient another telecom, as a clerk would.
async fn add_fax(scene: &Scene) {
    let mut patient = scene.patient(0);
    let fax = json!({"system": "fax", "value": "+62217654321"});
    match patient.get_mut("telecom").and_then(Value::as_array_mut) {
        Some(entries) => entries.push(fax),
        None => patient["telecom"] = json!([fax]),
    }
    let path = format!("Patient/{}", patient["id"].as_str().expect("an id"));
    assert_eq!(scene.as_somebody_else(Method::PUT, &path, Some(&patient)).await, 200);
}

fn has_fax(patient: &Value) -> bool {
    patient["telecom"].as_array().is_some_and(|entries| entries.iter().any(|entry| entry["system"] == "fax"))
}

#[tokio::test]
async fn a_mixed_night_by_patch_comes_to_what_one_by_put_does() {
    let night = DemoNight::build(3, DATE, &NightOptions::sized(500, 300)).expect("the parts fit");
    for previous in ["replace", "keep"] {
        let mut scene = Scene::of(&night).await;
        scene.set("FHIR_WRITE", "patch");
        scene.set("PREVIOUS_NUMBER", previous);
        let ended = scene.night().await;
        for (outcome, rows) in &ended.reports[0].outcomes {
            assert_eq!(*rows, night.expected().outcome(outcome), "{outcome}");
        }
        scene.check().await;
    }
}

#[tokio::test]
async fn somebody_elses_edit_in_between_fails_the_patch_and_is_kept() {
    // Without `If-Match` only the patch's own test stands guard, and its failure is a 422.
    for ignore_if_match in [false, true] {
        let mut scene = Scene::people(1).await;
        scene.set("FHIR_WRITE", "patch");
        scene.simulators.set_faults(FaultPlan { ignore_if_match, ..FaultPlan::default() });
        before_it_writes(&scene, async || add_fax(&scene).await).await;
        assert!(has_fax(&scene.patient(0)), "{ignore_if_match}");
        scene.assert_numbers([0], 0);
        let refusals = &scene.simulators.snapshot().requests["write"];
        let expected = if ignore_if_match { "422" } else { "412" };
        assert_eq!((refusals.get(expected), refusals["200"]), (Some(&1), 2));
        assert_eq!(scene.outcomes().await, [Outcome::Updated]);
        scene.other_writes = 1;
        scene.check_but_patients().await;
    }
}

#[tokio::test]
async fn a_patch_refused_for_itself_is_rejected_by_server() {
    for status in [400, 422] {
        let mut scene = Scene::people(3).await;
        scene.set("FHIR_WRITE", "patch");
        scene.type_everybody(0..3, 0);
        scene.simulators.set_faults(refused(status, Operation::Write));
        scene.night().await;
        let endings = scene.endings().await;
        assert!(endings.iter().all(|ending| ending.reason == Some(Reason::RejectedByServer)), "{endings:?}");
        let asked = scene.simulators.snapshot().requests;
        assert_eq!(
            (asked["write"][&status.to_string()], asked["read"]["200"]),
            (3, 3),
            "told by a read each"
        );
        scene.check().await;
    }
}

#[tokio::test]
async fn a_server_that_takes_no_patches_stops_a_night_that_insists_and_keeps_every_row() {
    let options = FhirOptions { supports_patch: false, ..FhirOptions::default() };
    let mut scene = Scene::people_of(20, options).await;
    scene.type_everybody(0..20, 0);
    scene.set("FHIR_WRITE", "patch");
    scene.set("RUN_DEADLINE", "500ms");
    let stopped = scene.night().await;
    assert!(matches!(&stopped.halt, Some(producer::Halt::Stopped(reason)) if reason.contains("405")));
    assert!(stopped.reports[0].outcomes["dead_lettered"] < 3, "{:?}", stopped.reports[0].outcomes);
    scene.set("RUN_DEADLINE", "30m");
    scene.set("FHIR_WRITE", "auto");
    scene.night().await;
    assert_eq!(scene.simulators.snapshot().requests["metadata"]["200"], 1, "asked once");
    let dead = stopped.reports[0].outcomes["dead_lettered"] as usize;
    let updated = scene.outcomes().await.iter().filter(|outcome| **outcome == Outcome::Updated).count();
    assert_eq!(updated, 20 - dead);
    scene.check().await;
}

#[tokio::test]
async fn auto_patches_where_that_is_declared_and_puts_where_it_cannot_be_learned() {
    for metadata in [true, false] {
        let mut scene = Scene::people(12).await;
        scene.type_everybody(0..12, 0);
        scene.set("FHIR_WRITE", "auto");
        if !metadata {
            scene.simulators.set_faults(refused(503, Operation::Metadata));
        }
        scene.night().await;
        assert_eq!(scene.outcomes().await, [Outcome::Updated; 12]);
        let stats = scene.simulators.snapshot();
        assert_eq!(stats.patches, if metadata { 12 } else { 0 });
        scene.check().await;
    }
}

#[tokio::test]
async fn lost_replies_and_conflicts_now_and_then_cost_nothing() {
    let mut scene = Scene::people(80).await;
    scene.workers = 2;
    scene.set("FHIR_WRITE", "patch");
    scene.type_everybody(0..80, 0);
    scene.simulators.set_faults(FaultPlan {
        applied_reply_lost: Rate::of(0.15),
        concurrent_edit: Rate::of(0.1),
        ..FaultPlan::default()
    });
    scene.night().await;
    assert!(scene.simulators.snapshot().conflicts_412 > 0);
    let outcomes = scene.outcomes().await;
    assert!(outcomes.iter().filter(|outcome| **outcome == Outcome::Updated).count() >= 78, "{outcomes:?}");
    scene.writes = Writes::Others;
    scene.check().await;
}

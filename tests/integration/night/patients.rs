//! Patients that are not as they should be, and servers that do not show all of them.

use producer::Halt;
use reqwest::Method;
use shared::domain::{Outcome, Reason};
use simulators::{DemoNight, FaultPlan, NightOptions, ResourceView};
use tests::night::{DATE, Scene};

use super::conflicts::before_it_writes;

#[tokio::test]
async fn doubled_and_inactive_patients_are_dead_letters_and_stay_as_they_are() {
    let options = NightOptions { ambiguous: 3, inactive: 4, ..NightOptions::all_need_write(20) };
    let night = DemoNight::build(4, DATE, &options).expect("the parts fit");
    let scene = Scene::of(&night).await;
    let ended = scene.night().await;
    let reasons = &ended.reports[0].reasons;
    assert_eq!((reasons["ambiguous_patient"], reasons["patient_inactive"]), (3, 4));
    scene.check().await;
}

#[tokio::test]
async fn a_partial_search_result_is_read_whole_before_it_is_written() {
    for view in [ResourceView::IdOnly, ResourceView::Subsetted, ResourceView::Masked] {
        let scene = Scene::people(12).await;
        scene.type_everybody(0..12, 0);
        scene.simulators.set_faults(FaultPlan { search_view: view, ..FaultPlan::default() });
        scene.night().await;
        assert_eq!(scene.outcomes().await, [Outcome::Updated; 12], "{view:?}");
        assert_eq!(scene.simulators.snapshot().requests["read"]["200"], 12, "{view:?}");
        scene.check().await;
    }
}

#[tokio::test]
async fn a_patient_that_is_only_shown_in_part_is_never_written() {
    for view in [ResourceView::Subsetted, ResourceView::Masked] {
        let mut scene = Scene::people(40).await;
        // Only those who have something to be masked.
        let people: Vec<_> = (0..40).filter(|person| scene.number(*person).is_some()).take(6).collect();
        let rows: Vec<_> = people.iter().map(|person| (*person, 0, DATE)).collect();
        scene.type_rows(&rows);
        scene.simulators.set_faults(FaultPlan { search_view: view, read_view: view, ..FaultPlan::default() });
        scene.night().await;
        let endings = scene.endings().await;
        assert!(
            endings.iter().all(|ending| ending.reason == Some(Reason::ResourceIncomplete)),
            "{view:?}: {endings:?}"
        );
        assert_eq!(scene.simulators.snapshot().requests.get("write"), None, "{view:?}");
        scene.set("FHIR_TIMEOUT", "5s");
        scene.check().await;
    }
}

#[tokio::test]
async fn a_patient_that_is_too_large_to_be_read_is_one_dead_letter_and_stays_as_it_is() {
    let mut scene = Scene::people(12).await;
    scene.type_everybody(0..12, 0);
    let mut patient = scene.patient(3);
    patient["extension"] = vec![serde_json::json!([]); worker::fhir::MAX_VALUES].into();
    let path = format!("Patient/{}", patient["id"].as_str().expect("an id"));
    assert_eq!(scene.as_somebody_else(Method::PUT, &path, Some(&patient)).await, 200);
    let as_changed = scene.patient(3);
    scene.other_writes = 1;
    scene.night().await;
    let endings = scene.endings().await;
    for (person, ending) in endings.iter().enumerate() {
        let expected = match person {
            3 => (Outcome::DeadLettered, Some(Reason::ResourceTooLarge)),
            _ => (Outcome::Updated, None),
        };
        assert_eq!((ending.outcome, ending.reason), expected, "{person}");
    }
    assert_eq!(scene.patient(3), as_changed, "untouched");
    scene.check_but_patients().await;
}

#[tokio::test]
async fn a_patient_deleted_between_search_and_write_is_gone() {
    let mut scene = Scene::people(1).await;
    let path = format!("Patient/{}", scene.patient(0)["id"].as_str().expect("an id"));
    before_it_writes(&scene, async || {
        assert_eq!(scene.as_somebody_else(Method::DELETE, &path, None).await, 200);
    })
    .await;
    let endings = scene.endings().await;
    assert_eq!((endings[0].outcome, endings[0].reason), (Outcome::DeadLettered, Some(Reason::PatientGone)));
    scene.take_as_before(0);
    scene.other_writes = 1;
    scene.check_but_patients().await;
}

#[tokio::test]
async fn a_server_that_ignores_the_search_stops_the_night_before_anything_is_written() {
    let scene = Scene::people(30).await;
    scene.type_everybody(0..30, 0);
    scene.simulators.set_faults(FaultPlan { ignore_search: true, ..FaultPlan::default() });
    let stopped = scene.night().await;
    let Some(Halt::Stopped(reason)) = &stopped.halt else { panic!("stopped, not {:?}", stopped.halt) };
    assert!(reason.contains("ignores the identifier search"), "{reason}");
    let stats = scene.simulators.snapshot();
    assert_eq!((stats.writes, stats.requests.get("write")), (0, None));
    scene.simulators.set_faults(FaultPlan::default());
    let ended = scene.night().await;
    assert_eq!(ended.reports[0].run_id, stopped.reports[0].run_id);
    assert_eq!(scene.outcomes().await, [Outcome::Updated; 30]);
    scene.check().await;
}

#[tokio::test]
async fn a_server_that_begins_to_ignore_the_search_stops_the_night_and_nobody_gets_anothers_number() {
    let scene = Scene::people(120).await;
    scene.type_everybody(0..120, 0);
    let latency = simulators::Latency::fixed(5.0);
    scene.simulators.set_faults(FaultPlan { latency: latency.clone(), ..FaultPlan::default() });
    let process = scene.open().await;
    let order = tests::night::whole();
    let change = async {
        process.until_done(20).await;
        scene.simulators.set_faults(FaultPlan { ignore_search: true, latency, ..FaultPlan::default() });
    };
    let (ended, ()) = Box::pin(async { tokio::join!(process.night(DATE, &order), change) }).await;
    let ended = ended.expect("a night");
    assert!(matches!(&ended.halt, Some(Halt::Stopped(_))), "{:?}", ended.halt);
    drop(process);
    scene.simulators.set_faults(FaultPlan::default());
    scene.night().await;
    assert_eq!(scene.outcomes().await, [Outcome::Updated; 120]);
    scene.assert_numbers(0..120, 0);
    scene.check().await;
}

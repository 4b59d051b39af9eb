//! Many rows in one request.

use shared::domain::{Outcome, Reason};
use simulators::{
    DemoNight, FaultPlan, FhirOptions, Latency, NightOptions, Operation, PatientFault, Rate, ResourceView,
};
use tests::night::{DATE, Scene};
use tests::oracle::Writes;

/// So many people with a row each, and a server like this.
async fn scene(people: usize, options: FhirOptions) -> Scene {
    let mut scene = Scene::people_of(people, options).await;
    scene.type_everybody(0..people, 0);
    scene.set("FHIR_BATCH", "on");
    scene
}

fn answers(scene: &Scene, operation: &str, status: &str) -> u64 {
    let requests = scene.simulators.snapshot().requests;
    requests.get(operation).and_then(|statuses| statuses.get(status)).copied().unwrap_or(0)
}

async fn everybody_was_updated_at_once(scene: &Scene) {
    let endings = scene.endings().await;
    assert!(endings.iter().all(|ending| (ending.outcome, ending.attempts) == (Outcome::Updated, 1)));
    scene.assert_numbers(0..endings.len(), 0);
    scene.check().await;
}

#[tokio::test]
async fn a_mixed_night_comes_to_what_one_by_one_does_with_a_fraction_of_the_requests() {
    let night = DemoNight::build(3, DATE, &NightOptions::sized(800, 600)).expect("the parts fit");
    for write in ["put", "patch"] {
        let mut scene = Scene::of(&night).await;
        scene.set("FHIR_BATCH", "on");
        scene.set("FHIR_WRITE", write);
        let ended = scene.night().await;
        for (outcome, rows) in &ended.reports[0].outcomes {
            assert_eq!(*rows, night.expected().outcome(outcome), "{outcome}");
        }
        for (reason, rows) in &night.expected().reasons {
            assert_eq!(ended.reports[0].reasons.get(reason.as_str()), Some(rows), "{reason}");
        }
        let stats = scene.simulators.snapshot();
        assert_eq!(stats.requests.get("write"), None, "all writes went in Bundles");
        assert!(stats.requests_total < 300, "{} requests for {} writes", stats.requests_total, stats.writes);
        assert_eq!(stats.patches, if write == "patch" { stats.writes } else { 0 });
        let counted = ended.reports[0].fhir_requests;
        assert!(stats.requests_total - counted <= 1, "{counted} counted, and the probe");
        scene.check().await;
    }
}

#[tokio::test]
async fn rows_of_a_lost_reply_are_read_again_and_nobody_is_written_twice() {
    for write in ["put", "patch"] {
        let mut scene = scene(300, FhirOptions::default()).await;
        scene.workers = 2;
        scene.set("FHIR_WRITE", write);
        let lost = Rate::of_operations(0.5, [Operation::Batch]);
        scene.simulators.set_faults(FaultPlan { applied_reply_lost: lost, ..FaultPlan::default() });
        scene.night().await;
        assert!(answers(&scene, "batch", "cut") > 0 && answers(&scene, "read", "200") > 0);
        assert_eq!(scene.simulators.snapshot().writes_beyond_first, 0);
        everybody_was_updated_at_once(&scene).await;
    }
}

#[tokio::test]
async fn rows_of_an_entry_that_is_missing_are_read_again() {
    let scene = scene(300, FhirOptions::default()).await;
    scene.simulators.set_faults(FaultPlan { batch_entry_missing: 0.01, ..FaultPlan::default() });
    scene.night().await;
    assert!(answers(&scene, "read", "200") > 0);
    assert_eq!(scene.simulators.snapshot().writes_beyond_first, 0);
    everybody_was_updated_at_once(&scene).await;
}

#[tokio::test]
async fn a_request_for_many_that_fails_is_nobodys_fault() {
    let scene = scene(200, FhirOptions::default()).await;
    scene.simulators.set_faults(FaultPlan {
        // Every Bundle, and every search for more than one.
        error_500: Rate::of_operations(1.0, [Operation::Batch]),
        reset: Rate::of_operations(0.2, [Operation::Search]),
        ..FaultPlan::default()
    });
    scene.night().await;
    assert!(answers(&scene, "batch", "500") > 0);
    let outcomes = scene.outcomes().await;
    assert_eq!(outcomes, [Outcome::Updated; 200]);
    scene.check().await;
}

#[tokio::test]
async fn each_entry_has_an_end_of_its_own() {
    let scene = scene(60, FhirOptions::default()).await;
    let fault = |status, times| PatientFault {
        operation: Some(Operation::Write),
        status: Some(status),
        times,
        ..PatientFault::default()
    };
    let faults = [(3, fault(422, None)), (8, fault(503, Some(2))), (13, fault(429, Some(2)))];
    let patients = faults.map(|(person, fault)| (scene.population.nik(person), fault));
    scene.simulators.set_faults(FaultPlan { patients: patients.into(), ..FaultPlan::default() });
    scene.night().await;
    let endings = scene.endings().await;
    for (person, ending) in endings.iter().enumerate() {
        let seen = (ending.outcome, ending.reason, ending.attempts);
        let expected = match person {
            3 => (Outcome::DeadLettered, Some(Reason::RejectedByServer), 1),
            8 => (Outcome::Updated, None, 3),
            _ => (Outcome::Updated, None, 1),
        };
        assert_eq!(seen, expected, "person {person}");
    }
    scene.check().await;
}

#[tokio::test]
async fn conflicts_inside_bundles_are_met_like_any_other() {
    for write in ["put", "patch"] {
        let mut scene = scene(200, FhirOptions::default()).await;
        scene.workers = 2;
        scene.set("FHIR_WRITE", write);
        scene.simulators.set_faults(FaultPlan { concurrent_edit: Rate::of(0.15), ..FaultPlan::default() });
        scene.night().await;
        assert!(scene.simulators.snapshot().conflicts_412 > 10);
        let outcomes = scene.outcomes().await;
        assert!(outcomes.iter().filter(|outcome| **outcome == Outcome::Updated).count() > 190);
        scene.writes = Writes::Others;
        scene.check().await;
    }
}

#[tokio::test]
async fn servers_that_do_not_take_all_of_it_are_asked_one_by_one() {
    let (batch, patch) = (FhirOptions::default(), FhirOptions::default());
    let no_batch = FhirOptions { supports_batch: false, ..batch };
    let no_patch_inside = FhirOptions { supports_patch_in_batch: false, ..patch };
    for (options, setting, refused) in
        [(no_batch.clone(), "on", "405"), (no_batch, "auto", "none"), (no_patch_inside, "auto", "entries")]
    {
        let mut scene = scene(200, options).await;
        scene.set("FHIR_BATCH", setting);
        scene.set("FHIR_WRITE", "auto");
        scene.night().await;
        let stats = scene.simulators.snapshot();
        assert!(answers(&scene, "write", "200") >= 100, "{refused}: {:?}", stats.requests);
        match refused {
            "405" => assert!((1..10).contains(&answers(&scene, "batch", "405"))),
            "none" => assert_eq!(stats.requests.get("batch"), None),
            _ => assert!(stats.batch_entries["write"]["501"] > 0),
        }
        assert_eq!(stats.patches, 200);
        everybody_was_updated_at_once(&scene).await;
    }
}

#[tokio::test]
async fn searches_that_do_not_tell_all_of_it_are_made_one_by_one() {
    let without_total = FaultPlan { search_without_total: true, ..FaultPlan::default() };
    let stopping = FaultPlan { search_stops_at: Some(10), ..FaultPlan::default() };
    let ids_only = FaultPlan { search_view: ResourceView::IdOnly, ..FaultPlan::default() };
    let masked = FaultPlan { search_view: ResourceView::Masked, ..FaultPlan::default() };
    for (what, plan) in
        [("no total", without_total), ("stops", stopping), ("ids", ids_only), ("masked", masked)]
    {
        let options = NightOptions { ambiguous: 20, ..NightOptions::all_need_write(150) };
        let night = DemoNight::build(4, DATE, &options).expect("the parts fit");
        let mut scene = Scene::of(&night).await;
        scene.set("FHIR_BATCH", "on");
        scene.simulators.set_faults(plan);
        let ended = scene.night().await;
        let outcomes = &ended.reports[0].outcomes;
        assert_eq!(
            (outcomes["dead_lettered"], ended.reports[0].reasons["ambiguous_patient"]),
            (20, 20),
            "{what}"
        );
        let searches = answers(&scene, "search", "200");
        assert!((150..170).contains(&searches), "{what}: {searches} searches, a few of them for many");
        scene.check().await;
    }
}

#[tokio::test]
async fn a_server_that_ignores_the_search_is_never_written_to() {
    let scene = scene(120, FhirOptions::default()).await;
    let latency = Latency::fixed(5.0);
    scene.simulators.set_faults(FaultPlan { latency: latency.clone(), ..FaultPlan::default() });
    let process = scene.open().await;
    let order = tests::night::whole();
    let change = async {
        tests::night::until("a search", async || answers(&scene, "search", "200"), |seen| *seen >= 2).await;
        scene.simulators.set_faults(FaultPlan { ignore_search: true, latency, ..FaultPlan::default() });
    };
    let (ended, ()) = Box::pin(async { tokio::join!(process.night(DATE, &order), change) }).await;
    ended.expect("a night");
    drop(process);
    scene.simulators.set_faults(FaultPlan::default());
    scene.night().await;
    assert!(scene.outcomes().await.iter().all(|outcome| *outcome == Outcome::Updated));
    scene.assert_numbers(0..120, 0);
    scene.check().await;
}

//! Servers whose answers to requests for many are not true, or that take fewer in one than are asked.

use shared::domain::Outcome;
use simulators::{
    BatchLie, DemoNight, FaultPlan, FhirOptions, Latency, NightOptions, Operation, PatientFault,
};
use tests::night::{DATE, Scene};

async fn scene(people: usize) -> Scene {
    let mut scene = Scene::people_of(people, FhirOptions::default()).await;
    scene.type_everybody(0..people, 0);
    scene.set("FHIR_BATCH", "auto");
    scene
}

fn answers(scene: &Scene, operation: &str) -> u64 {
    let requests = scene.simulators.snapshot().requests;
    requests.get(operation).map_or(0, |statuses| statuses.values().sum())
}

#[tokio::test]
async fn bundles_of_a_server_that_answers_them_wrongly_are_given_up_and_every_row_ends_right() {
    for lie in [BatchLie::Reversed, BatchLie::Another, BatchLie::Unapplied] {
        let scene = scene(120).await;
        // The last of the trial's is refused: among answers in the wrong order it would be somebody else. (The one in its
        // middle is whom the third lie is about.)
        let refused =
            PatientFault { operation: Some(Operation::Write), status: Some(422), ..PatientFault::default() };
        let patients = [(scene.population.nik(4), refused)].into();
        scene.simulators.set_faults(FaultPlan { batch_lie: Some(lie), patients, ..FaultPlan::default() });
        scene.night().await;
        let bundles = answers(&scene, "batch");
        assert!((1..=3).contains(&bundles), "{lie:?}: {bundles} Bundles");
        for (person, ending) in scene.endings().await.iter().enumerate() {
            let expected = if person == 4 { Outcome::DeadLettered } else { Outcome::Updated };
            assert_eq!(ending.outcome, expected, "{lie:?}: person {person}");
        }
        scene.assert_numbers((0..120).filter(|person| *person != 4), 0);
        assert_eq!(scene.simulators.snapshot().writes_beyond_first, 0, "{lie:?}");
        scene.check().await;
    }
}

#[tokio::test]
async fn a_missing_answer_ends_bundles() {
    let scene = scene(300).await;
    scene.simulators.set_faults(FaultPlan { batch_entry_missing: 1.0, ..FaultPlan::default() });
    scene.night().await;
    assert_eq!(answers(&scene, "batch"), 1);
    assert!(scene.outcomes().await.iter().all(|outcome| *outcome == Outcome::Updated));
    assert_eq!(scene.simulators.snapshot().writes_beyond_first, 0);
    scene.check().await;
}

/// The total is that of what is shown, so that nothing seems to be missing: only the search alone shows the twin.
#[tokio::test]
async fn a_search_for_many_that_hides_a_twin_is_found_out_by_the_first_rows() {
    let options = NightOptions { ambiguous: 60, ..NightOptions::all_need_write(60) };
    let night = DemoNight::build(6, DATE, &options).expect("the parts fit");
    let mut scene = Scene::of(&night).await;
    scene.set("FHIR_BATCH", "auto");
    scene.simulators.set_faults(FaultPlan { many_hides_twins: true, ..FaultPlan::default() });
    let ended = scene.night().await;
    assert_eq!(ended.reports[0].reasons["ambiguous_patient"], 60);
    scene.check().await;
}

#[tokio::test]
async fn requests_shrink_to_what_the_server_takes() {
    let scene = scene(600).await;
    scene.simulators.set_faults(FaultPlan {
        largest_batch: Some(13),
        longest_search: Some(20),
        latency: Latency::fixed(3.0),
        ..FaultPlan::default()
    });
    scene.night().await;
    let stats = scene.simulators.snapshot();
    let refused = |operation: &str, status: &str| stats.requests[operation].get(status).copied().unwrap_or(0);
    assert!((1..40).contains(&refused("batch", "413")), "{:?}", stats.requests);
    assert!((1..40).contains(&refused("search", "414")), "{:?}", stats.requests);
    assert_eq!(stats.requests.get("write"), None, "all of them still go in Bundles");
    assert!(refused("batch", "200") >= 600 / 13, "{:?}", stats.requests);
    let endings = scene.endings().await;
    assert!(endings.iter().all(|ending| (ending.outcome, ending.attempts) == (Outcome::Updated, 1)));
    assert!(
        answers(&scene, "read") <= 5,
        "nothing is in doubt after a refusal: only the trial's rows were read"
    );
    scene.assert_numbers(0..600, 0);
    scene.check().await;
}

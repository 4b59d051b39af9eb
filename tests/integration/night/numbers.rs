//! What becomes of numbers over several nights, and of the number before.

use serde_json::Value;
use shared::domain::Outcome;
use tests::night::{DATE, Scene};

#[tokio::test]
async fn a_number_corrected_from_a_to_b_and_back_to_a_on_one_day_ends_as_a() {
    let scene = Scene::people(12).await;
    for which in [0, 1, 0] {
        scene.type_everybody(0..12, which);
        scene.night().await;
        assert_eq!(scene.outcomes().await, [Outcome::Updated; 12], "the sheet with number {which}");
        scene.assert_numbers(0..12, which);
    }
    assert_eq!(scene.simulators.snapshot().writes, 36);
    scene.check().await;
}

#[tokio::test]
async fn a_kept_previous_number_stays_as_old_with_its_end() {
    let mut scene = Scene::people(20).await;
    scene.set("PREVIOUS_NUMBER", "keep");
    let had: Vec<_> = (0..20).map(|person| scene.number(person)).collect();
    assert!(had.iter().any(Option::is_some) && had.iter().any(Option::is_none), "both kinds of people");
    scene.type_everybody(0..20, 0);
    scene.night().await;
    assert_eq!(scene.outcomes().await, [Outcome::Updated; 20]);
    scene.assert_numbers(0..20, 0);
    for (person, had) in had.iter().enumerate() {
        let patient = scene.patient(person);
        let telecom = patient["telecom"].as_array().expect("telecoms");
        let kept = |entry: &&Value| {
            entry["use"] == "old"
                && entry
                    .pointer("/period/end")
                    .and_then(Value::as_str)
                    .is_some_and(|end| end.starts_with(DATE))
        };
        let kept: Vec<_> = telecom.iter().filter(kept).map(|entry| entry["value"].as_str()).collect();
        assert_eq!(kept, had.iter().map(|had| Some(had.as_str())).collect::<Vec<_>>(), "person {person}");
    }
    scene.check().await;
}

//! Nothing of a Patient but its telecom changes, whatever is in it and however it is written.

use serde_json::Value;
use tests::examples::{generated, people, telecom_changed};
use tests::night::Scene;

use super::ways::WAYS;

/// Everything but what a write is to change, byte for byte.
fn rest(patient: &Value) -> String {
    let mut patient = patient.as_object().expect("a resource").clone();
    for changed in ["meta", "telecom"] {
        patient.shift_remove(changed);
    }
    serde_json::to_string(&patient).expect("JSON")
}

#[tokio::test]
async fn every_example_and_whatever_json_can_hold_survive_every_way_of_writing() {
    let examples = people();
    let made_up = generated(20_261_123, examples.len(), 150);
    for way in WAYS {
        let mut scene = Scene::people(1).await;
        way.set(&mut scene);
        let everybody = || examples.iter().chain(&made_up);
        for (person, patient) in everybody() {
            scene.add_patient(person.nik(), patient.clone());
        }
        scene.type_pairs(everybody().map(|(person, _)| (person.nik(), person.spelled(0))));
        let before: Vec<Value> = everybody().map(|(person, _)| only_patient(&scene, &person.nik())).collect();
        scene.night().await;
        let endings = scene.endings().await;
        let mut written = 0;
        for (((person, _), before), ending) in everybody().zip(&before).zip(&endings) {
            let what = format!("{} {} ({way:?})", person.file, person.id());
            let after = only_patient(&scene, &person.nik());
            assert_eq!(rest(before), rest(&after), "{what}");
            let is_example = person.file != "generated";
            if is_example {
                assert_eq!(ending.outcome.as_str(), person.shape().outcome, "{what}");
            }
            if ending.outcome.as_str() == "updated" {
                written += 1;
                let number = format!("+62{}", person.national(0));
                telecom_changed(&before.to_string(), &after.to_string(), &number, &what);
            } else {
                assert_eq!(before.to_string(), after.to_string(), "{what}");
            }
        }
        assert!(written > 180, "{written} written");
        scene.check().await;
    }
}

fn only_patient(scene: &Scene, nik: &str) -> Value {
    let mut patients = scene.simulators.store().patient_by_nik(nik);
    assert_eq!(patients.len(), 1, "one Patient each");
    patients.remove(0)
}

//! Every way of writing, against everything that must not make it write wrongly.

use std::collections::BTreeSet;
use std::time::Duration;

use producer::Halt;
use serde_json::{Value, json};
use shared::domain::{Outcome, Reason};
use simulators::{FaultPlan, Latency, Operation, PatientFault, Rate, ResourceView};
use tests::night::{DATE, Scene, whole};
use tests::oracle::Writes;

/// How Patients are written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Way {
    search: &'static str,
    write: &'static str,
    batch: &'static str,
}

impl Way {
    pub(super) fn set(self, scene: &mut Scene) {
        scene.set("FHIR_SEARCH", self.search);
        scene.set("FHIR_WRITE", self.write);
        scene.set("FHIR_BATCH", self.batch);
    }
}

pub(super) const WAYS: [Way; 6] = [
    Way { search: "get", write: "put", batch: "off" },
    Way { search: "get", write: "patch", batch: "off" },
    Way { search: "get", write: "put", batch: "on" },
    Way { search: "get", write: "patch", batch: "on" },
    Way { search: "post", write: "put", batch: "off" },
    Way { search: "post", write: "put", batch: "on" },
];

/// So many people with a row each, under a fault.
async fn scene(way: Way, people: usize, plan: FaultPlan) -> Scene {
    let mut scene = Scene::people(people).await;
    way.set(&mut scene);
    scene.type_everybody(0..people, 0);
    scene.simulators.set_faults(plan);
    scene
}

#[tokio::test]
async fn a_server_that_ignores_the_search_is_not_written_to() {
    for way in WAYS {
        let plan = FaultPlan { ignore_search: true, ..FaultPlan::default() };
        let scene = scene(way, 40, plan).await;
        let stopped = scene.night().await;
        assert!(matches!(&stopped.halt, Some(Halt::Stopped(_))), "{way:?}: {:?}", stopped.halt);
        assert_eq!(scene.simulators.snapshot().writes, 0, "{way:?}");
        scene.simulators.set_faults(FaultPlan::default());
        scene.night().await;
        scene.check().await;
    }
}

#[tokio::test]
async fn a_masked_body_is_not_written_back() {
    for way in WAYS {
        let plan = FaultPlan {
            search_view: ResourceView::Masked,
            read_view: ResourceView::Masked,
            ..FaultPlan::default()
        };
        let scene = scene(way, 40, plan).await;
        scene.night().await;
        for (person, ending) in scene.endings().await.into_iter().enumerate() {
            // Where a Patient has neither a name nor a number to be masked, all of it is shown.
            let masked = ending.reason == Some(Reason::ResourceIncomplete);
            assert!(masked || ending.outcome == Outcome::Updated, "{way:?}, person {person}: {ending:?}");
        }
        scene.check().await;
    }
}

#[tokio::test]
async fn errors_inside_200_cut_answers_and_versions_that_move_make_no_wrong_write() {
    let operations = [Operation::Search, Operation::Read, Operation::Write, Operation::Batch];
    for way in WAYS {
        let plan = FaultPlan {
            outcome_in_200: Rate::of_operations(0.2, operations),
            truncated_body: Rate::of_operations(0.1, operations),
            concurrent_edit: Rate::of(0.2),
            ..FaultPlan::default()
        };
        let mut scene = scene(way, 150, plan).await;
        // No row is to run out of them by chance, with a write in doubt.
        scene.set("RETRY_MAX_ATTEMPTS", "30");
        scene.workers = 2;
        scene.night().await;
        let stats = scene.simulators.snapshot();
        assert!(stats.conflicts_412 > 0 && stats.writes > 30, "{way:?}: {} writes", stats.writes);
        // The last probe may have failed too, and left a pause behind; a healthy night ends it, and mends the rest.
        scene.simulators.set_faults(FaultPlan::default());
        scene.night().await;
        scene.assert_numbers(0..150, 0);
        scene.writes = Writes::Others;
        scene.check().await;
    }
}

/// Found by nights of Bundles with many errors inside 200: rows whose writes were applied became dead letters, because
/// the look that was to tell was refused.
#[tokio::test]
async fn a_refused_look_at_a_write_in_doubt_does_not_end_the_row() {
    for way in WAYS {
        let mut scene = scene(way, 3, FaultPlan::default()).await;
        let refused = PatientFault {
            operation: Some(Operation::Read),
            times: Some(1),
            status: Some(400),
            ..Default::default()
        };
        let patients = (0..3).map(|person| (scene.population.nik(person), refused.clone())).collect();
        let lost = Rate::of_operations(1.0, [Operation::Write, Operation::Batch]);
        scene.simulators.set_faults(FaultPlan { applied_reply_lost: lost, patients, ..FaultPlan::default() });
        // Three writes whose replies are lost are nobody's fault but theirs.
        scene.tuning.worker.breaker.failing = 100;
        scene.tuning.worker.breaker.unreachable = 100;
        let ended = scene.night().await;
        assert_eq!(ended.reports[0].count(Outcome::Updated), 3, "{way:?}: {:?}", ended.reports[0].outcomes);
        scene.check().await;
    }
}

/// Adds one telecom of its own to a Patient after the other, on and on, as an editor at another desk would: it reads,
/// changes, writes with the version it read, and begins anew where that was refused. Gives what went through.
async fn edit_until(scene: &Scene, people: usize, done: impl Fn() -> bool) -> Vec<BTreeSet<String>> {
    let mut kept = vec![BTreeSet::new(); people];
    let mut turn = 0;
    while !done() {
        for (person, kept) in kept.iter_mut().enumerate() {
            turn += 1;
            let mut patient = scene.patient(person);
            let url = format!("https://example.org/{turn}");
            let entry = json!({ "system": "url", "value": url });
            match patient.get_mut("telecom").and_then(Value::as_array_mut) {
                // In front, so that places in the list move, too.
                Some(entries) => entries.insert(0, entry),
                None => patient["telecom"] = json!([entry]),
            }
            patient["birthDate"] = json!(url);
            let path = format!("Patient/{}", patient["id"].as_str().expect("an id"));
            match scene.as_somebody_else(reqwest::Method::PUT, &path, Some(&patient)).await {
                200 => drop(kept.insert(url)),
                412 => {}
                other => panic!("an editor is answered {other}"),
            }
        }
    }
    kept
}

#[tokio::test]
async fn two_workers_and_an_editor_of_the_same_patients_lose_nothing_of_the_editors() {
    const PEOPLE: usize = 6;
    for way in WAYS {
        let latency = Latency::fixed(4.0);
        let mut scene = scene(way, PEOPLE, FaultPlan { latency, ..FaultPlan::default() }).await;
        scene.workers = 2;
        // Night after night on one ledger, a number each, so that there is something to write all the time.
        let process = scene.open().await;
        let over = std::cell::Cell::new(false);
        let order = whole();
        let nights = async {
            for which in 0..8 {
                scene.type_everybody(0..PEOPLE, which);
                Box::pin(process.night(DATE, &order)).await.expect("a night");
            }
            over.set(true);
        };
        let both = async { tokio::join!(nights, edit_until(&scene, PEOPLE, || over.get())) };
        let ((), kept) =
            tokio::time::timeout(Duration::from_secs(120), Box::pin(both)).await.expect("an end");
        drop(process);
        let edits: usize = kept.iter().map(BTreeSet::len).sum();
        assert!(edits > 5 * PEOPLE, "{way:?}: only {edits} edits");
        assert!(scene.simulators.snapshot().conflicts_412 > 0, "{way:?}: they never met");
        for (person, kept) in kept.iter().enumerate() {
            let patient = scene.patient(person);
            let entries = patient["telecom"].as_array().expect("telecoms");
            let there: BTreeSet<String> = entries
                .iter()
                .filter(|entry| entry["system"] == "url")
                .map(|entry| entry["value"].as_str().expect("text").to_owned())
                .collect();
            assert_eq!(&there, kept, "{way:?}: person {person}");
            let last = entries.iter().find(|entry| entry["system"] == "url").map(|entry| &entry["value"]);
            assert_eq!(Some(&patient["birthDate"]), last, "{way:?}: person {person}");
        }
    }
}

//! NIKs and numbers stand in clear nowhere but in the sheet and in FHIR.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Duration;

use serde_json::json;
use shared::ledger::{LedgerView as _, Replay};
use shared::status::Status;
use simulators::{DemoNight, FaultPlan, Latency, NightOptions, Operation, PatientFault, Rate};
use tests::night::{DATE, Log, Scene, whole};

/// What must not be found: each NIK, and each number without the dress that its country code or a 0 are.
fn secrets(night: &DemoNight) -> HashSet<Vec<u8>> {
    let people = night.population();
    let numbers = (0..people.len()).flat_map(|person| {
        let new = [0, 1, 2].map(|which| people.new_mobile(person, which));
        people.current_mobile(person).into_iter().chain(new)
    });
    let national = numbers.map(|number| number.trim_start_matches("+62").to_owned());
    (0..people.len()).map(|person| people.nik(person)).chain(national).map(String::into_bytes).collect()
}

fn assert_clean(secrets: &HashSet<Vec<u8>>, place: &str, found: &[u8]) {
    let lengths: BTreeSet<usize> = secrets.iter().map(Vec::len).collect();
    // Spaces, points and hyphens hide nothing.
    let plain: Vec<u8> = found.iter().copied().filter(|byte| !b" -.".contains(byte)).collect();
    for text in [found, plain.as_slice()] {
        for run in text.split(|byte| !byte.is_ascii_digit()) {
            let is_clean = |length: &usize| run.windows(*length).all(|part| !secrets.contains(part));
            assert!(lengths.iter().all(is_clean), "{place} holds a NIK or a number");
        }
    }
}

#[tokio::test]
async fn no_nik_and_no_number_gets_into_the_database_the_log_or_the_report() {
    let log = Log::keep();
    let night = DemoNight::build(6, DATE, &NightOptions::sized(200, 150)).expect("the parts fit");
    let secrets = secrets(&night);
    let mut scene = Scene::of(&night).await;
    scene.tuning.worker.first_retry = Duration::from_millis(2);
    scene.tuning.worker.breaker.patience = Duration::from_millis(10);
    // A server that repeats what it was sent, in an error and in the address of a connection that breaks.
    let (nik, number) = night.expected_numbers().next().expect("somebody is updated");
    let diagnostics = format!("Patient {nik} must not have {number} (0{})", number.trim_start_matches("+62"));
    let body = json!({"resourceType": "OperationOutcome", "issue": [
        {"severity": "error", "code": "processing", "diagnostics": diagnostics},
    ]});
    let fault = |operation, status| PatientFault {
        operation: Some(operation),
        status: Some(status),
        body: Some(body.clone()),
        ..PatientFault::default()
    };
    let mut patients = BTreeMap::new();
    patients.insert(nik.clone(), fault(Operation::Write, 422));
    for (index, (nik, _)) in night.expected_numbers().skip(1).take(12).enumerate() {
        let operation = if index % 2 == 0 { Operation::Search } else { Operation::Write };
        patients.insert(nik, fault(operation, if index % 3 == 0 { 500 } else { 404 }));
    }
    let faults =
        FaultPlan { patients, reset: Rate::of(0.03), latency: Latency::fixed(1.0), ..FaultPlan::default() };
    scene.simulators.set_faults(faults);

    let process = scene.open().await;
    let order = whole();
    let ended = Box::pin(process.night(DATE, &order)).await.expect("a night");
    assert_eq!(ended.status(), Status::DeadLetters);
    // While it is open, the write-ahead log is there too.
    let mut files = 0;
    for entry in std::fs::read_dir(scene.directory()).expect("a directory") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        if name.starts_with("night.db") {
            assert_clean(&secrets, &name, &std::fs::read(&path).expect("a file"));
            files += 1;
        }
    }
    assert!(files >= 3, "database, log and key");
    drop(process);
    scene.replay(Replay::default()).await;

    let report = ended.reports[0].json();
    assert_clean(&secrets, "the report", report.as_bytes());
    let letters = scene.look().dead_letters(&Replay::default(), 0, 1_000).await.expect("a list");
    assert!(
        letters.iter().any(|letter| letter.error.contains("must not have")),
        "the server's words are kept"
    );
    for letter in letters {
        assert_clean(&secrets, "a dead letter", format!("{letter:?}").as_bytes());
    }
    let logged = log.text();
    assert!(logged.contains("run opened") && logged.contains("snapshot complete"), "kept: {logged}");
    assert_clean(&secrets, "the log", logged.as_bytes());
}

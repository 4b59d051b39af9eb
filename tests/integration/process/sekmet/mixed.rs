//! A night of 2,000 mixed rows against SEKMET. The same night against our simulator says what must become of each
//! Patient; the server's own state is compared with that, resource by resource.

use std::collections::BTreeMap;

use serde_json::Value;
use simulators::{DemoNight, NightOptions};
use tests::process::{DATE, Sekmet, SekmetOptions, Site, check_report, counts};

/// What the server gives, without what it changes by itself.
fn without_meta(patient: &Value) -> Value {
    let mut patient = patient.clone();
    patient.as_object_mut().expect("a resource").shift_remove("meta");
    patient
}

async fn night(settings: &[(&str, &str)]) {
    let night =
        DemoNight::build(20_261_123, DATE, &NightOptions::sized(2_400, 2_000)).expect("the parts fit");
    let mut site = Site::of(&night).await;
    let store = site.simulators.store();
    let niks = || (0..night.population().len()).map(|person| night.population().nik(person));
    let patients: Vec<Value> = niks().flat_map(|nik| store.patient_by_nik(&nik)).collect();
    let by_id = |patients: Vec<Value>| -> BTreeMap<String, Value> {
        let id = |patient: &Value| patient["id"].as_str().expect("an id").to_owned();
        patients.into_iter().map(|patient| (id(&patient), patient)).collect()
    };
    let at_first = by_id(patients.clone());
    let sekmet = Sekmet::start(SekmetOptions::default()).await;
    sekmet.put_all(&patients).await;
    let before = sekmet.all().await;
    assert_eq!(before.len(), at_first.len());

    // What is expected, from the same night against our own.
    check_report(&site.night().await.expect(3).object());
    let expected = by_id(niks().flat_map(|nik| site.simulators.store().patient_by_nik(&nik)).collect());

    site.set("FHIR_URL", sekmet.base_url());
    site.set("DATABASE_URL", "sqlite:sekmet.db");
    for (variable, value) in settings {
        site.set(variable, *value);
    }
    let report = site.night().await.expect(3).object();
    check_report(&report);
    let mut outcomes = counts(&report["outcomes"]);
    outcomes.retain(|_, rows| *rows > 0);
    assert_eq!(outcomes, night.expected().outcomes);
    assert_eq!(counts(&report["reasons"]), night.expected().reasons);

    let after = sekmet.all().await;
    assert_eq!(after.len(), before.len());
    let mut changed = 0;
    for (id, after) in &after {
        let before = &before[id];
        if expected[id]["telecom"] == at_first[id]["telecom"] {
            assert_eq!(after, before, "Patient/{id} was to be left alone");
            continue;
        }
        changed += 1;
        assert_eq!(after["telecom"], expected[id]["telecom"], "Patient/{id}");
        let mut rest = without_meta(after);
        rest["telecom"] = before.get("telecom").cloned().unwrap_or_default();
        let mut untouched = without_meta(before);
        untouched["telecom"] = rest["telecom"].clone();
        assert_eq!(rest, untouched, "of Patient/{id} only the telecom changed");
        let version = |patient: &Value| patient["meta"]["versionId"].as_str().expect("a version").to_owned();
        assert_eq!((version(before).as_str(), version(after).as_str()), ("1", "2"), "written once");
    }
    assert_eq!(changed, night.expected().patients_changed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: make test-all"]
async fn two_thousand_mixed_rows_one_by_one() {
    night(&[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_thousand_mixed_rows_many_at_once_by_patch() {
    night(&[("FHIR_BATCH", "auto"), ("FHIR_WRITE", "auto")]).await;
}

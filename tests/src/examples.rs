//! The HL7 specification's examples of Patients, dressed with a NIK and with every shape of telecom; and Patients
//! made up of whatever JSON can hold.

use serde_json::{Value, json};
use simulators::NIK_SYSTEM;

use crate::process::in_repository;

mod generated;

pub use generated::generated;

/// What a Patient has before the night, and what becomes of the row.
pub struct Shape {
    /// What it is called in a failing test.
    pub name: &'static str,
    /// Entries put into `telecom`, `MOBILE` standing for the row's number as spelled at home.
    telecom: fn(&Person) -> Value,
    /// The row's outcome.
    pub outcome: &'static str,
    /// The row's reason.
    pub reason: Option<&'static str>,
}

const SHAPES: [Shape; 12] = [
    shape("as the example has it", |_| Value::Null, "updated"),
    shape("none", |_| json!([]), "updated"),
    shape(
        "home phone only",
        |_| json!([{ "system": "phone", "use": "home", "value": "+62 21 5550123" }]),
        "updated",
    ),
    shape("the same, spelled otherwise", |p| json!([mobile(&p.spelled(0), json!({}))]), "unchanged"),
    shape(
        "another",
        |_| json!([{ "system": "email", "value": "a@example.org" }, mobile("081111111111", json!({}))]),
        "updated",
    ),
    shape(
        "ranks, the best is the same",
        |p| {
            json!([mobile("081111111111", json!({ "rank": 2 })), mobile(&p.spelled(0), json!({ "rank": 1 }))])
        },
        "unchanged",
    ),
    shape(
        "ranks, the best is another",
        |p| json!([mobile(&p.spelled(0), json!({})), mobile("081111111111", json!({ "rank": 1 }))]),
        "updated",
    ),
    shape(
        "the same, over since 2020",
        |p| {
            json!([mobile(
                &p.spelled(0),
                json!({ "period": { "start": "2015-02-01", "end": "2020-12-31" } })
            )])
        },
        "updated",
    ),
    shape(
        "the same, as old",
        |p| json!([{ "system": "phone", "use": "old", "value": p.spelled(0) }]),
        "updated",
    ),
    shape(
        "with extensions",
        |_| {
            json!([mobile(
                "081111111111",
                json!({
        "id": "t1", "extension": [{ "url": "https://example.org/verified", "valueBoolean": true }],
        "_value": { "extension": [{ "url": "https://example.org/source", "valueCode": "kiosk" }] } })
            )])
        },
        "updated",
    ),
    Shape { reason: Some("patient_inactive"), ..shape("inactive", |_| json!([]), "dead_lettered") },
    Shape { reason: Some("patient_inactive"), ..shape("replaced", |_| json!([]), "dead_lettered") },
];

const fn shape(name: &'static str, telecom: fn(&Person) -> Value, outcome: &'static str) -> Shape {
    Shape { name, telecom, outcome, reason: None }
}

fn mobile(value: &str, more: Value) -> Value {
    let mut entry = json!({ "system": "phone", "use": "mobile", "value": value });
    let fields = entry.as_object_mut().expect("an object");
    fields.extend(more.as_object().expect("an object").clone());
    entry
}

/// One example resource: its file and its place among them.
pub struct Person {
    /// The example's file; `generated` where it is none.
    pub file: String,
    at: usize,
}

impl Person {
    /// The Patient's id.
    pub fn id(&self) -> String {
        format!("example-{:03}", self.at)
    }

    /// The NIK that was put into it.
    pub fn nik(&self) -> String {
        format!("317401450190{:04}", self.at + 1)
    }

    /// What it has before the night.
    pub fn shape(&self) -> &'static Shape {
        &SHAPES[self.at % SHAPES.len()]
    }

    /// The number of a night's row, national digits.
    pub fn national(&self, night: usize) -> String {
        format!("8123{:03}4{:03}", 400 + night, self.at)
    }

    /// A number as people write it.
    pub fn spelled(&self, night: usize) -> String {
        let digits = self.national(night);
        format!("0{}-{}-{}", &digits[..3], &digits[3..7], &digits[7..])
    }
}

/// The examples as they are stored, in the order of their files' names.
///
/// # Panics
/// The fixtures are not there.
pub fn people() -> Vec<(Person, Value)> {
    let folder = in_repository("tests/fixtures/patients");
    let mut files: Vec<String> = std::fs::read_dir(&folder)
        .expect("the fixtures")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .filter(|name| name.ends_with(".json"))
        .collect();
    files.sort();
    let read = |file: String| {
        let text = std::fs::read_to_string(folder.join(&file)).expect("a fixture");
        let resource: Value = serde_json::from_str(&text).expect("a fixture in JSON");
        (resource["resourceType"] == "Patient").then_some((file, resource))
    };
    let patients = files.into_iter().filter_map(read).enumerate();
    patients.map(|(at, (file, resource))| dressed(Person { file, at }, resource)).collect()
}

fn dressed(person: Person, mut patient: Value) -> (Person, Value) {
    // Several examples share an id.
    patient["id"] = json!(person.id());
    let nik = json!({ "use": "official", "system": NIK_SYSTEM, "value": person.nik() });
    match patient.get_mut("identifier").and_then(Value::as_array_mut) {
        Some(identifiers) => identifiers.push(nik),
        None => patient["identifier"] = json!([nik]),
    }
    match (person.shape().telecom)(&person) {
        Value::Null => {}
        Value::Array(entries) if entries.is_empty() => {
            patient.as_object_mut().expect("a resource").shift_remove("telecom");
        }
        entries => patient["telecom"] = entries,
    }
    match person.shape().name {
        "inactive" => patient["active"] = json!(false),
        "replaced" => {
            patient["link"] =
                json!([{ "other": { "reference": "Patient/example-000" }, "type": "replaced-by" }])
        }
        _ => {}
    }
    (person, patient)
}

/// Compares what the server gives of a Patient before and after; what differs must be in `may`.
///
/// # Panics
/// Something else differs.
pub fn only_differs_in(before: &str, after: &str, may: &[&str], what: &str) {
    let [before, after]: [Value; 2] = [before, after].map(|text| serde_json::from_str(text).expect("JSON"));
    let (before, after) = (before.as_object().expect("a resource"), after.as_object().expect("a resource"));
    for key in before.keys().chain(after.keys()) {
        // Numbers compare by their digits here: serde_json keeps them as they were written.
        assert!(
            may.contains(&key.as_str()) || before.get(key) == after.get(key),
            "{key} of {what} was changed"
        );
    }
}

/// One entry has the number now, or one was added; every other one, and everything else of that one, stays.
///
/// # Panics
/// It is not so.
pub fn telecom_changed(before: &str, after: &str, number: &str, what: &str) {
    let entries = |text: &str| -> Vec<Value> {
        let patient: Value = serde_json::from_str(text).expect("JSON");
        patient["telecom"].as_array().cloned().unwrap_or_default()
    };
    let (before, after) = (entries(before), entries(after));
    let changed: Vec<usize> = (0..after.len()).filter(|&at| before.get(at) != after.get(at)).collect();
    let [at] = changed[..] else { panic!("{} entries of {what} were changed", changed.len()) };
    let mut expected = before.get(at).cloned().unwrap_or_else(|| mobile("", json!({})));
    expected["value"] = json!(number);
    assert_eq!(after[at], expected, "{what}");
    assert!(after.len() == before.len() || (at == before.len() && after.len() == at + 1), "{what}");
}

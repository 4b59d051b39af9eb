//! Nights against SEKMET: our own simulator could share our misunderstandings of the standard. The Patients are
//! the examples of the HL7 specification, so nothing in them was made to suit us.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use simulators::{NIK_SYSTEM, Sheet, SheetCell, SimulatorsConfig, Spreadsheet};
use tests::process::{DATE, Sekmet, Site, check_report, check_row, in_repository};

/// The first night, from the sheet; the second, of [`DATE`], from a file.
const SHEET_DATE: &str = "2026-11-22";

/// Examples the server refuses, with its reason. It refuses none; the list keeps it so.
const REFUSED: [(&str, &str); 0] = [];

/// What a Patient has before the night, and what becomes of the row.
struct Shape {
    name: &'static str,
    /// Entries put into `telecom`, `MOBILE` standing for the row's number as spelled at home.
    telecom: fn(&Person) -> Value,
    outcome: &'static str,
    reason: Option<&'static str>,
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
struct Person {
    file: String,
    at: usize,
}

impl Person {
    fn id(&self) -> String {
        format!("example-{:03}", self.at)
    }

    fn nik(&self) -> String {
        format!("317401450190{:04}", self.at + 1)
    }

    fn shape(&self) -> &'static Shape {
        &SHAPES[self.at % SHAPES.len()]
    }

    /// The number of a night's row, national digits.
    fn national(&self, night: usize) -> String {
        format!("8123{:03}4{:03}", 400 + night, self.at)
    }

    /// A number as people write it.
    fn spelled(&self, night: usize) -> String {
        let digits = self.national(night);
        format!("0{}-{}-{}", &digits[..3], &digits[3..7], &digits[7..])
    }
}

/// The examples as they are stored, in the order of their files' names.
fn people() -> Vec<(Person, Value)> {
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

/// The server's own view of everybody, as text.
async fn everybody(sekmet: &Sekmet, people: &[Person]) -> Vec<String> {
    let mut all = Vec::new();
    for person in people {
        all.push(sekmet.get(&person.id()).await);
    }
    all
}

/// Compares what the server gives of a Patient before and after; what differs must be in `may`.
fn only_differs_in(before: &str, after: &str, may: &[&str], what: &str) {
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

fn check_rows(
    rows: &[Value],
    people: &[Person],
    expected: impl Fn(&Person) -> (&'static str, Option<&'static str>),
) {
    assert_eq!(rows.len(), people.len() + 1);
    for (row, person) in rows.iter().zip(people) {
        check_row(row);
        let seen = (row["outcome"].as_str().expect("an outcome"), row["reason"].as_str());
        assert_eq!(seen, expected(person), "{} ({}): {row}", person.file, person.shape().name);
    }
    assert_eq!(rows[people.len()]["outcome"], "skipped_not_found");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nights_change_the_telecom_of_the_specifications_examples_and_nothing_else() {
    let sekmet = Sekmet::start().await;
    let mut people_there = Vec::new();
    let mut refused = BTreeMap::new();
    for (person, patient) in people() {
        match sekmet.put(&patient).await {
            Ok(()) => people_there.push(person),
            Err(reason) => drop(refused.insert(person.file, reason)),
        }
    }
    let known: BTreeMap<String, String> = REFUSED.map(|(file, why)| (file.to_owned(), why.to_owned())).into();
    assert_eq!(refused, known);
    let people = people_there;
    assert!(people.len() > 60, "only {} examples", people.len());
    // The last row is about somebody whom the server does not know.
    let rows = |night: usize| -> Vec<[String; 2]> {
        let known = people.iter().map(|person| [person.nik(), person.spelled(night)]);
        known.chain([["3174014501919999".to_owned(), "0812-3456-7890".to_owned()]]).collect()
    };
    let header = ["nik", "whatsapp_number", "last_updated_date"];
    let cells = |[nik, number]: [String; 2]| [&nik, &number, SHEET_DATE].map(SheetCell::text).to_vec();
    let sheet = std::iter::once(header.map(SheetCell::text).to_vec()).chain(rows(0).into_iter().map(cells));
    let spreadsheet = Spreadsheet::of(Sheet::new("Sheet1", sheet.collect()));
    let mut site = Site::with(SimulatorsConfig { spreadsheet, ..SimulatorsConfig::default() }).await;
    site.set("FHIR_URL", sekmet.base_url());
    let before = everybody(&sekmet, &people).await;

    // From the sheet.
    let report = site.run(&["--date", SHEET_DATE, "--output", "json"]).await.expect(3).object();
    check_report(&report);
    let listed = site.run(&["rows", SHEET_DATE, "--output", "json"]).await.expect(0).objects();
    check_rows(&listed, &people, |person| (person.shape().outcome, person.shape().reason));
    let between = everybody(&sekmet, &people).await;
    for ((before, after), person) in before.iter().zip(&between).zip(&people) {
        let what = format!("{} ({})", person.file, person.shape().name);
        match person.shape().outcome {
            "updated" => {
                only_differs_in(before, after, &["telecom", "meta"], &what);
                telecom_changed(before, after, &format!("+62{}", person.national(0)), &what);
            }
            _ => assert_eq!(before, after, "{what} was written"),
        }
    }

    // From a file, on the next date, everybody another number.
    let lines = rows(1).into_iter().map(|[nik, number]| format!("{nik},{number},{DATE}\n"));
    let export = site.file("export.csv", format!("{}\n{}", header.join(","), lines.collect::<String>()));
    let flags = ["--file", Site::argument(&export), "--date", DATE, "--output", "json"];
    check_report(&site.run(&flags).await.expect(3).object());
    let listed = site.run(&["rows", DATE, "--output", "json"]).await.expect(0).objects();
    check_rows(&listed, &people, |person| {
        (if person.shape().reason.is_some() { "dead_lettered" } else { "updated" }, person.shape().reason)
    });
    let after = everybody(&sekmet, &people).await;
    for ((before, after), person) in between.iter().zip(&after).zip(&people) {
        let what = format!("{} ({})", person.file, person.shape().name);
        if person.shape().reason.is_some() {
            assert_eq!(before, after, "{what} was written");
        } else {
            only_differs_in(before, after, &["telecom", "meta"], &what);
            telecom_changed(before, after, &format!("+62{}", person.national(1)), &what);
        }
    }

    // The same again has nothing to do; not even after the ledger was set aside.
    let again = site.run(&flags).await.expect(3).object();
    assert_eq!((&again["outcomes"]["updated"], &again["outcomes"]["unchanged"]), (&0.into(), &0.into()));
    site.set("DATABASE_URL", format!("sqlite:{}", site.work().join("new.db").display()));
    let fresh = site.run(&flags).await.expect(3).object();
    assert_eq!(
        (&fresh["outcomes"]["updated"], &fresh["outcomes"]["unchanged"]),
        (&0.into(), &report_applied(&again))
    );
    assert_eq!(everybody(&sekmet, &people).await, after);
}

fn report_applied(report: &Value) -> Value {
    report["outcomes"]["skipped_already_applied"].clone()
}

/// One entry has the number now, or one was added; every other one, and everything else of that one, stays.
fn telecom_changed(before: &str, after: &str, number: &str, what: &str) {
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_patients_with_one_nik_are_left_alone() {
    let sekmet = Sekmet::start().await;
    let (person, patient) = people().swap_remove(0);
    let mut twin = patient.clone();
    twin["id"] = json!("twin");
    for patient in [&patient, &twin] {
        sekmet.put(patient).await.expect("it is taken");
    }
    let mut site = Site::with(SimulatorsConfig::default()).await;
    site.set("FHIR_URL", sekmet.base_url());
    let line =
        format!("nik,whatsapp_number,last_updated_date\n{},{},{DATE}\n", person.nik(), person.spelled(0));
    let export = site.file("export.csv", line);
    let before = (sekmet.get(&person.id()).await, sekmet.get("twin").await);
    let flags = ["--file", Site::argument(&export), "--date", DATE, "--output", "json"];
    let report = site.run(&flags).await.expect(3).object();
    assert_eq!(report["reasons"], json!({ "ambiguous_patient": 1 }));
    assert_eq!((sekmet.get(&person.id()).await, sekmet.get("twin").await), before);
}

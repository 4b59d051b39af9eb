//! Nights against SEKMET: our own simulator could share our misunderstandings of the standard. The Patients are
//! the examples of the HL7 specification, so nothing in them was made to suit us.

mod mixed;
mod ways;

use std::collections::BTreeMap;

use serde_json::{Value, json};
use simulators::{Sheet, SheetCell, SimulatorsConfig, Spreadsheet};
use tests::examples::{Person, only_differs_in, people, telecom_changed};
use tests::process::{DATE, Sekmet, SekmetOptions, Site, check_report, check_row};

/// The first night, from the sheet; the second, of [`DATE`], from a file.
const SHEET_DATE: &str = "2026-11-22";

/// Examples the server refuses, with its reason. It refuses none; the list keeps it so.
const REFUSED: [(&str, &str); 0] = [];

/// The server's own view of everybody, as text.
async fn everybody(sekmet: &Sekmet, people: &[Person]) -> Vec<String> {
    let mut all = Vec::new();
    for person in people {
        all.push(sekmet.get(&person.id()).await);
    }
    all
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
    let sekmet = Sekmet::start(SekmetOptions::default()).await;
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_patients_with_one_nik_are_left_alone() {
    let sekmet = Sekmet::start(SekmetOptions::default()).await;
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

//! `--file`: nights from exports, as a spreadsheet program saved them and as the simulators write them.

use serde_json::{Value, json};
use simulators::{NIK_SYSTEM, SimulatorsConfig};
use tests::process::{DATE, Site, check_night, check_report, check_row, in_repository, mixed};

fn patient(serial: u32, mobile: Option<&str>) -> Value {
    let mut patient = json!({ "resourceType": "Patient", "id": format!("f{serial}"), "active": true,
        "identifier": [{ "system": NIK_SYSTEM, "value": format!("317401230456{serial:04}") }] });
    if let Some(mobile) = mobile {
        patient["telecom"] = json!([{ "system": "phone", "use": "mobile", "value": mobile }]);
    }
    patient
}

/// The people of the fixtures: one has the number already, one is known to nobody.
async fn site() -> Site {
    let site = Site::with(SimulatorsConfig::default()).await;
    for (serial, mobile) in [
        (1, Some("(0812) 3456 7001")),
        (2, None),
        (5, Some("+6281111111111")),
        (7, None),
        (8, Some("0812-3456-7000")),
    ] {
        site.simulators.store().insert(patient(serial, mobile)).expect("a Patient");
    }
    site
}

/// Row, outcome, reason, column.
type Row = (u64, &'static str, Option<&'static str>, Option<&'static str>);

const NIK: Option<&str> = Some(" NIK ");

/// The rows that every export has alike; see the fixtures' README for what they hold.
const ALIKE: [Row; 6] = [
    (2, "unchanged", None, None),
    (4, "skipped_not_found", None, None),
    (5, "rejected", Some("cell_error"), NIK),
    (7, "updated", None, None),
    (8, "rejected", Some("nik_missing"), NIK),
    (9, "rejected", Some("date_unreadable"), Some("Last_Updated_Date")),
];

async fn night_of(file: &str, rows: &[Row]) {
    let mut site = site().await;
    // Google is out, and nobody set it up here: a file needs none of it.
    for variable in ["SHEET_ID", "SHEETS_URL", "GOOGLE_CREDENTIALS"] {
        site.unset(variable);
    }
    let path = in_repository("tests/fixtures/spreadsheets").join(file);
    let flags = ["--file", Site::argument(&path), "--date", DATE, "--output", "json"];
    let finished = site.run(&flags).await.expect(0);
    let report = finished.object();
    check_report(&report);
    let listed = site.run(&["rows", DATE, "--output", "json"]).await.expect(0).objects();
    listed.iter().for_each(check_row);
    let mut expected = [&ALIKE, rows].concat();
    expected.sort_unstable();
    let seen: Vec<_> = listed
        .iter()
        .map(|row| {
            (
                row["sheet_row"].as_u64().expect("a number"),
                text(row, "outcome").expect("one"),
                text(row, "reason"),
            )
        })
        .collect();
    let wanted: Vec<_> = expected.iter().map(|(at, outcome, reason, _)| (*at, *outcome, *reason)).collect();
    assert_eq!(seen, wanted, "{file}: {listed:#?}");
    for (row, (at, _, _, column)) in listed.iter().zip(&expected) {
        let wanted = column.map(|column| column.trim().to_lowercase());
        assert_eq!(
            text(row, "column").map(|column| column.trim().to_lowercase()),
            wanted,
            "row {at} of {file}"
        );
    }
    assert_eq!(
        (&report["rows_read"], &report["rows_selected"]),
        (&9.into(), &(listed.len() as u64).into()),
        "{file}"
    );
    assert_eq!(site.simulators.store().current_mobile("3174012304560005").as_deref(), Some("+6281234567005"));
    assert_eq!(site.simulators.store().current_mobile("3174012304560008").as_deref(), Some("0812-3456-7000"));
    let tokens = site.simulators.snapshot().tokens_issued;
    assert_eq!(tokens, 0, "Google was not asked");
}

fn text<'a>(row: &'a Value, field: &str) -> Option<&'a str> {
    row[field].as_str()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_csv_export_in_which_everything_is_text() {
    let month_first = Some("date_unreadable");
    let rows = [(3, "updated", None, None), (11, "rejected", month_first, Some("Last_Updated_Date"))];
    night_of("numbers.csv", &rows).await;
    night_of("numbers-semicolon.csv", &rows).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_xlsx_export_in_which_a_numeric_nik_has_lost_digits() {
    let rows = [(3, "rejected", Some("nik_lost_precision"), NIK), (11, "updated", None, None)];
    night_of("numbers.xlsx", &rows).await;
    night_of("numbers-1904.xlsx", &rows).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_night_begun_from_the_sheet_is_finished_by_an_export_of_it() {
    let night = mixed(61, 400);
    let site = Site::of(&night).await;
    site.simulators.sheets().fail_next([simulators::SheetsFailure::ApiDisabled]);
    let stopped = site.night().await.expect(5).object();
    let export = site.file("export.csv", "");
    night.write_csv(&export).expect("an export");
    let flags = ["--file", Site::argument(&export), "--date", DATE, "--output", "json"];
    let finished = site.run(&flags).await.expect(3).object();
    check_night(&finished, night.expected());
    assert_eq!(finished["run_id"], stopped["run_id"]);
    // Back to the sheet, which holds the same: nothing is left to do.
    let again = site.night().await.expect(3).object();
    assert_eq!(again["outcomes"]["updated"], 0);
    assert_eq!(site.simulators.snapshot().writes_beyond_first, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_no_table_stops_the_night_and_says_so() {
    let site = site().await;
    for (name, content, word) in [
        ("page.csv", &b"<!DOCTYPE html><html></html>"[..], "web page"),
        ("table.xlsx", b"nik,whatsapp_number\n", "none"),
        ("headless.csv", b"a,b,c\n1,2,3\n", "whatsapp_number"),
    ] {
        let path = site.file(name, content);
        let stopped = site.run(&["--file", Site::argument(&path), "--date", DATE]).await.expect(5);
        assert!(stopped.stderr.contains(word), "{word} for {name} in {}", stopped.stderr);
    }
}

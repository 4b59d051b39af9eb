//! What reports and lists must look like, whatever is in them: the outside contract's fields.

use std::collections::BTreeMap;

use serde_json::Value;
use shared::domain::{Outcome, Reason};
use simulators::Expected;

/// The contract's fields of a report.
const CONTRACT: [&str; 14] = [
    "run_id",
    "job",
    "run_date",
    "state",
    "started_at",
    "finished_at",
    "rows_read",
    "rows_selected",
    "outcomes",
    "reasons",
    "fhir_requests",
    "retries",
    "duration_seconds",
    "rows_per_second",
];

/// The fields a report has besides.
const EXTRA: [&str; 8] = [
    "kind",
    "rows_open",
    "warnings",
    "sheet_changed_while_read",
    "snapshot_at",
    "published_at",
    "first_write_at",
    "last_write_at",
];

/// The fields of a row in a list, in their order.
pub const ROW_FIELDS: [&str; 11] = [
    "sheet_row",
    "run_date",
    "outcome",
    "reason",
    "column",
    "message",
    "warnings",
    "attempts",
    "nik_masked",
    "nik_hash",
    "phone_masked",
];

/// Checks a finished run's report against the contract.
///
/// # Panics
/// A field is missing, unknown or of another type; a number does not add up.
#[track_caller]
pub fn check_report(report: &Value) {
    let fields = report.as_object().expect("a report is an object");
    for field in CONTRACT {
        assert!(fields.contains_key(field), "{field} is missing in {report}");
    }
    for field in fields.keys() {
        assert!(
            CONTRACT.contains(&field.as_str())
                || EXTRA.contains(&field.as_str())
                || (field == "rows" && report["kind"] == "dry_run"),
            "{field} is not known"
        );
    }
    for (field, is_right) in [
        ("run_id", report["run_id"].as_str().is_some_and(|id| id.len() == 36)),
        ("state", report["state"] == "closed"),
        ("started_at", is_time(&report["started_at"])),
        ("finished_at", is_time(&report["finished_at"])),
        ("rows_read", report["rows_read"].is_u64()),
        ("fhir_requests", report["fhir_requests"].is_u64()),
        ("retries", report["retries"].is_u64()),
        ("duration_seconds", report["duration_seconds"].as_f64().is_some_and(|seconds| seconds >= 0.0)),
        ("rows_per_second", report["rows_per_second"].as_f64().is_some_and(|rows| rows >= 0.0)),
        ("rows_open", report["rows_open"] == 0),
    ] {
        assert!(is_right, "{field} in {report}");
    }
    let outcomes = counts(&report["outcomes"]);
    let named: Vec<&str> = outcomes.keys().map(String::as_str).collect();
    let mut known: Vec<&str> = Outcome::ALL.iter().map(|outcome| outcome.as_str()).collect();
    known.sort_unstable();
    assert_eq!(named, known, "every outcome is named");
    assert_eq!(report["rows_selected"], outcomes.values().sum::<u64>(), "rows_selected in {report}");
    let reasons = counts(&report["reasons"]);
    assert!(reasons.keys().all(|reason| reason.parse::<Reason>().is_ok()), "{reasons:?}");
    let with_reason = outcomes["rejected"] + outcomes["dead_lettered"];
    assert_eq!(reasons.values().sum::<u64>(), with_reason, "reasons in {report}");
}

/// Checks a report, and that it says what was expected of the night.
///
/// # Panics
/// It does not.
#[track_caller]
pub fn check_night(report: &Value, expected: &Expected) {
    check_report(report);
    let mut outcomes = counts(&report["outcomes"]);
    outcomes.retain(|_, rows| *rows > 0);
    assert_eq!(outcomes, expected.outcomes, "outcomes in {report}");
    assert_eq!(counts(&report["reasons"]), expected.reasons, "reasons in {report}");
    assert_eq!(report["rows_read"], expected.rows_read);
    assert_eq!(report["rows_selected"], expected.rows_selected);
}

/// Checks a line of `rows --output json`.
///
/// # Panics
/// Its fields are others, or in another order.
#[track_caller]
pub fn check_row(row: &Value) {
    let fields: Vec<&str> = row.as_object().expect("a row is an object").keys().map(String::as_str).collect();
    assert_eq!(fields, ROW_FIELDS);
    assert!(row["outcome"].as_str().is_some_and(|outcome| outcome.parse::<Outcome>().is_ok()), "{row}");
    let has_reason = ["rejected", "dead_lettered"].contains(&row["outcome"].as_str().unwrap_or_default());
    assert_eq!(row["reason"].is_string(), has_reason, "{row}");
    assert_eq!(row["message"].is_string(), has_reason, "{row}");
    assert!(row["warnings"].is_array() && row["attempts"].is_u64(), "{row}");
    for masked in ["nik_masked", "phone_masked"] {
        assert!(
            row[masked].is_null() || row[masked].as_str().is_some_and(|text| text.contains("***")),
            "{row}"
        );
    }
}

/// A map of counts.
///
/// # Panics
/// It is none.
#[track_caller]
pub fn counts(map: &Value) -> BTreeMap<String, u64> {
    let entries = map.as_object().expect("a map");
    entries.iter().map(|(name, count)| (name.clone(), count.as_u64().expect("a count"))).collect()
}

fn is_time(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.parse::<jiff::Timestamp>().is_ok())
}

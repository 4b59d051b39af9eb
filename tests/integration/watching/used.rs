//! Which metrics and labels a PromQL expression uses.

use shared::domain::Outcome;
use shared::ledger::RunState;
use shared::metrics::{ALL, Kind, Metric};

/// What Prometheus adds to a series.
const ADDED: [&str; 3] = ["job", "instance", "le"];

const QUEUES: [&str; 6] = ["work", "retry", "dead", "dry_run_work", "dry_run_retry", "dry_run_dead"];

/// What is wrong with an expression's names, labels and their values; empty where all of them exist.
pub(super) fn unknown(expression: &str) -> Vec<String> {
    let (mut problems, mut labels) = (Vec::new(), ADDED.to_vec());
    let mut series = 0;
    for (start, _) in expression.match_indices("nightly_sync_") {
        series += 1;
        let text = &expression[start..];
        let name = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().expect("a first part");
        let Some(metric) = metric(name) else {
            problems.push(format!("no metric {name}"));
            continue;
        };
        labels.extend(metric.labels);
        let matchers = text[name.len()..].strip_prefix('{').and_then(|rest| rest.split_once('}'));
        let matchers = matchers.map_or("", |(inside, _)| inside);
        for matcher in matchers.split(',').map(str::trim).filter(|matcher| !matcher.is_empty()) {
            problems.extend(unmatched(metric, matcher));
        }
    }
    if series == 0 {
        problems.push("no metric of ours".into());
    }
    for clause in ["by (", "on (", "without (", "ignoring ("] {
        for (start, _) in expression.match_indices(clause) {
            let list = expression[start + clause.len()..].split(')').next().expect("a first part");
            let named = list.split(',').map(str::trim).filter(|label| !label.is_empty());
            problems.extend(
                named.filter(|label| !labels.contains(label)).map(|label| format!("no label {label}")),
            );
        }
    }
    problems
}

/// By the name of one of its series.
fn metric(name: &str) -> Option<&'static Metric> {
    let of = |metric: &&Metric| match name.strip_prefix(metric.name) {
        Some(ending) if metric.kind == Kind::Histogram => ["_bucket", "_sum", "_count"].contains(&ending),
        ending => ending == Some(""),
    };
    ALL.iter().find(of)
}

fn unmatched(metric: &Metric, matcher: &str) -> Option<String> {
    let end = matcher.find(['=', '!']).unwrap_or(matcher.len());
    let (label, value) = (&matcher[..end], matcher[end..].trim_matches(['=', '~', '!', '"']));
    if ADDED.contains(&label) {
        return None;
    }
    if !metric.labels.contains(&label) {
        return Some(format!("{} has no label {label}", metric.name));
    }
    let known: Vec<&str> = match label {
        "outcome" => Outcome::ALL.iter().map(|outcome| outcome.as_str()).collect(),
        "state" => RunState::ALL.iter().map(|state| state.as_str()).collect(),
        "queue" => QUEUES.to_vec(),
        _ => return Some(format!("values of {label} are not known here")),
    };
    let strange = value.split('|').find(|value| !known.contains(value));
    strange.map(|value| format!("{label} is never {value}"))
}

#[test]
fn what_does_not_exist_is_found() {
    for (expression, problem) in [
        ("nightly_sync_rows_total", None),
        ("sum by (le, job) (rate(nightly_sync_fhir_request_duration_seconds_bucket[1m]))", None),
        ("nightly_sync_run_state{job=\"$job\", state=~\"seeding|open\"} == 1", None),
        ("up", Some("no metric of ours")),
        ("nightly_sync_row_total", Some("no metric nightly_sync_row_total")),
        ("nightly_sync_rows_total_sum", Some("no metric nightly_sync_rows_total_sum")),
        (
            "nightly_sync_fhir_request_duration_seconds",
            Some("no metric nightly_sync_fhir_request_duration_seconds"),
        ),
        ("nightly_sync_in_flight{operation=\"read\"}", Some("no metric nightly_sync_in_flight")),
        (
            "nightly_sync_fhir_in_flight{operation=\"read\"}",
            Some("nightly_sync_fhir_in_flight has no label operation"),
        ),
        ("nightly_sync_run_state{state=~\"open|shut\"}", Some("state is never shut")),
        ("max by (outcome) (nightly_sync_run_state)", Some("no label outcome")),
    ] {
        assert_eq!(unknown(expression), problem.into_iter().collect::<Vec<_>>(), "{expression}");
    }
}

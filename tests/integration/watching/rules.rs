//! The alert rules and Alertmanager's example, checked by the tools that come with them.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;
use tests::services::Prometheus;

use super::deployed;
use super::used::unknown;

const PAGES: [&str; 4] = [
    "NightlySyncHighFailureRate",
    "NightlySyncNoProgress",
    "NightlySyncNightMissed",
    "NightlySyncNotStarted",
];

const TICKETS: [&str; 8] = [
    "NightlySyncDeadlineAtRisk",
    "NightlySyncMetricsAbsent",
    "NightlySyncOverlapRefused",
    "NightlySyncDeadLettersOpen",
    "NightlySyncCredentialsRefused",
    "NightlySyncQueueWithoutConsumer",
    "NightlySyncLimiterAtFloor",
    "NightlySyncRetentionNotRunning",
];

/// What a tool prints.
///
/// # Panics
/// It is not there, or finds a fault.
fn run(tool: &str, arguments: &[&str], file: &str) -> String {
    let output = Command::new(tool).args(arguments).arg(deployed(file)).output();
    let output = output.unwrap_or_else(|error| panic!("{tool} (scripts/install-prometheus): {error}"));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{tool} {arguments:?}: {said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    said
}

#[test]
fn the_rules_pass_their_unit_tests() {
    run("promtool", &["test", "rules"], "prometheus/alerts_test.yml");
    let said = run("promtool", &["check", "config"], "prometheus/prometheus.yml");
    assert!(said.contains("SUCCESS: 12 rules found"), "{said}");
}

#[test]
fn each_alert_is_tested_to_fire_not_to_fire_and_to_resolve() {
    let text = std::fs::read_to_string(deployed("prometheus/alerts_test.yml")).expect("the unit tests");
    let mut fires: BTreeMap<&str, Vec<bool>> = BTreeMap::new();
    for check in text.split("alertname: ").skip(1) {
        let name = check.lines().next().expect("a first line");
        fires.entry(name).or_default().push(!check.lines().nth(1).is_some_and(|line| line.ends_with("[]")));
    }
    assert_eq!(fires.keys().copied().collect::<BTreeSet<_>>(), PAGES.into_iter().chain(TICKETS).collect());
    for (name, fires) in fires {
        let resolves = fires.windows(3).any(|checks| checks == [false, true, false]);
        assert!(resolves, "{name}: {fires:?}");
    }
}

#[tokio::test]
async fn each_alert_says_what_to_do_and_uses_what_exists() {
    let prometheus = Prometheus::start(&deployed("prometheus/alerts.yml"), "no-job", &[]).await;
    let mut severities = BTreeMap::new();
    for rule in prometheus.rules().await {
        let text = |part: &Value| part.as_str().map(str::to_owned).unwrap_or_default();
        let (name, annotations) = (text(&rule["name"]), &rule["annotations"]);
        for annotation in ["summary", "action"] {
            assert!(text(&annotations[annotation]).len() > 20, "{name} has no {annotation}");
        }
        let heading = name.to_lowercase();
        assert_eq!(text(&annotations["runbook"]), format!("docs/operating.md#{heading}"));
        assert_eq!(unknown(&text(&rule["query"])), Vec::<String>::new(), "{name}");
        severities.insert(name, text(&rule["labels"]["severity"]));
    }
    let of = |names: &[&str], severity: &str| -> Vec<(String, String)> {
        names.iter().map(|name| (name.to_string(), severity.to_owned())).collect()
    };
    let expected = [of(&PAGES, "page"), of(&TICKETS, "ticket")].concat();
    assert_eq!(severities, expected.into_iter().collect());
}

#[test]
fn alertmanager_takes_its_example_and_routes_by_severity() {
    run("amtool", &["check-config"], "prometheus/alertmanager.yml");
    let routed = |alert: &str, severity: &str| {
        let labels = [format!("alertname={alert}"), format!("severity={severity}"), "job=a-job".to_owned()];
        let file = format!("--config.file={}", deployed("prometheus/alertmanager.yml").display());
        let output = Command::new("amtool").args(["config", "routes", "test", &file]).args(labels).output();
        String::from_utf8(output.expect("amtool").stdout).expect("text").trim().to_owned()
    };
    for alert in PAGES {
        assert_eq!(routed(alert, "page"), "on-call", "{alert}");
    }
    for alert in TICKETS {
        assert_eq!(routed(alert, "ticket"), "tickets", "{alert}");
    }
}

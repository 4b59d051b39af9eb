//! The log of a night: lines for what happens to the night, none for what happens to a row.

use serde_json::{Map, Value};
use simulators::{DemoNight, FaultPlan, Latency, Rate, RetryLater};
use tests::night::until;
use tests::process::{Finished, Running, Site, check_night, mixed};

/// More than a few seconds' progress lines and a pause come to; far less than a tenth of the rows.
const SLACK: usize = 30;

/// What a night of 20,000 rows may log.
const MOST: usize = 500;

/// Said before there is a run, or about the process alone.
const OF_THE_PROCESS: [&str; 4] =
    ["made a data key", "serving ", "the night pauses", "the FHIR server is well again"];

fn lines(finished: &Finished) -> Vec<Map<String, Value>> {
    let line = |line: &str| match serde_json::from_str(line) {
        Ok(Value::Object(fields)) => fields,
        _ => panic!("not an object of JSON: {line}"),
    };
    finished.stderr.lines().map(line).collect()
}

/// A site that does not go smoothly, and the night there.
async fn site_with(rows: usize, faults: FaultPlan) -> (Site, DemoNight) {
    let night = mixed(111, rows);
    let mut site = Site::of(&night).await;
    // No row is to run out of them by chance.
    site.set("RETRY_MAX_ATTEMPTS", "20");
    site.simulators.set_faults(faults);
    (site, night)
}

/// Waits for the night's end; its log.
async fn log_of(running: Running, night: &DemoNight) -> Vec<Map<String, Value>> {
    let finished = running.end().await.expect(3);
    let report = finished.object();
    check_night(&report, night.expected());
    let lines = lines(&finished);
    for line in &lines {
        for field in ["timestamp", "level", "message", "target"] {
            assert!(line.get(field).is_some_and(Value::is_string), "{field} is not in {line:?}");
        }
        let message = line["message"].as_str().unwrap_or_default();
        if !OF_THE_PROCESS.iter().any(|beginning| message.starts_with(beginning)) {
            assert_eq!(line.get("run_id"), Some(&report["run_id"]), "{line:?}");
        }
    }
    lines
}

async fn lines_of_rough_night(rows: usize) -> usize {
    let (site, night) = site_with(rows, rough()).await;
    log_of(site.start_night(), &night).await.len()
}

fn rough() -> FaultPlan {
    FaultPlan {
        latency: Latency::fixed(2.0),
        error_500: Rate::of(0.02),
        reset: Rate::of(0.02),
        applied_reply_lost: Rate::of(0.02),
        ..FaultPlan::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_night_of_ten_times_the_rows_logs_no_more() {
    let (few, many) = (lines_of_rough_night(200).await, lines_of_rough_night(2_000).await);
    assert!(few > 5 && many < few + SLACK, "{few} lines of 200 rows, {many} of 2,000");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_asks_for_a_pause_again_and_again_does_not_fill_the_log() {
    let error_503 = RetryLater { rate: 0.2, retry_after: Some(1), ..RetryLater::default() };
    let (site, night) = site_with(60, FaultPlan { error_503, ..FaultPlan::default() }).await;
    let running = site.start_night();
    let busy = async || -> u64 {
        let answers = site.simulators.snapshot().requests;
        answers.values().filter_map(|by_status| by_status.get("503")).sum()
    };
    until("the server to ask for pauses", busy, |busy| *busy >= 8).await;
    site.simulators.set_faults(FaultPlan::default());
    let lines = log_of(running, &night).await;
    let told = |what: &str| {
        lines.iter().filter(|line| line["message"].as_str().is_some_and(|text| text.contains(what))).count()
    };
    // One a minute, and it took less than two.
    let (pauses, ends) = (told("pause"), told("well again"));
    assert!((1..3).contains(&pauses) && ends <= pauses, "{pauses} and {ends}: {lines:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "20,000 rows"]
async fn a_night_of_twenty_thousand_rows_logs_fewer_than_500_lines() {
    let lines = lines_of_rough_night(20_000).await;
    assert!(lines < MOST, "{lines}");
}

//! On a terminal: a bar while it runs, a table at the end, logs for people, and Ctrl-C.

use simulators::{FaultPlan, Latency};
use tests::night::until;
use tests::process::{DATE, Site, check_night, in_terminal, mixed};

use super::interrupted::written;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_terminal_gets_a_bar_and_a_table_and_ctrl_c_leaves_a_run_that_resumes() {
    let night = mixed(101, 300);
    let mut site = Site::of(&night).await;
    site.set("FHIR_MAX_CONCURRENCY", "8");
    site.simulators.set_faults(FaultPlan { latency: Latency::fixed(60.0), ..FaultPlan::default() });
    let mut running = site.spawn(in_terminal(&site, &["--date", DATE]));
    written(&site, 20).await;
    until("a bar", async || running.stdout(), |shown| shown.contains("/300 rows, ") && shown.contains('█'))
        .await;
    running.type_in("\u{3}").await;
    let interrupted = running.end().await.expect(130).stdout;
    assert!(interrupted.contains("starting again carries the run on"), "{interrupted}");
    assert!(
        interrupted.contains("not yet (open)") && interrupted.contains("(not finished)"),
        "{interrupted}"
    );
    assert!(!interrupted.contains("{\"timestamp\""), "logs are text on a terminal: {interrupted}");

    site.simulators.set_faults(FaultPlan::default());
    let resumed = site.spawn(in_terminal(&site, &["--resume"])).end().await.expect(3).stdout;
    for part in ["│", "Rows selected", "300", "dead letters are open", "rows must be corrected"] {
        assert!(resumed.contains(part), "{part} in {resumed}");
    }
    let stats = site.simulators.snapshot();
    assert_eq!((stats.writes, stats.writes_beyond_first), (night.expected().patients_changed, 0));
    // Off a terminal, with the same words in the same run.
    let report = site.run(&["--resume", "--output", "json"]).await.expect(3).object();
    check_night(&report, night.expected());
    let id = report["run_id"].as_str().expect("an id");
    assert!(interrupted.contains(id) && resumed.contains(id), "one run all along");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_report_in_json_is_the_same_on_a_terminal() {
    let night = mixed(102, 60);
    let site = Site::of(&night).await;
    let flags = ["--date", DATE, "--output", "json"];
    let shown = site.spawn(in_terminal(&site, &flags)).end().await.expect(3).stdout;
    let report = shown.lines().filter_map(|line| serde_json::from_str(line.trim()).ok()).next_back();
    check_night(&report.unwrap_or_else(|| panic!("no report in {shown}")), night.expected());
}

//! `METRICS_ADDR` of `producer` and `worker`: every process of a fleet tells the same of the job.

use shared::metrics::ALL;
use simulators::{FaultPlan, Latency, Rate};
use tests::night::until;
use tests::process::{Cluster, Pages, Secrets, check_night, mixed};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_process_of_a_fleet_tells_the_same_of_the_night() {
    let night = mixed(71, 300);
    let mut cluster = Cluster::of(&night).await;
    cluster.set("FHIR_MAX_RPS", "40");
    cluster.simulators.set_faults(FaultPlan { latency: Latency::fixed(10.0), ..FaultPlan::default() });
    let mut workers = cluster.workers(2);
    let mut producer = cluster.start_produced_night();
    let watched = Pages::of(&mut producer).await;
    let mut pages = Vec::new();
    for worker in &mut workers {
        pages.push(Pages::of(worker).await);
    }
    let scrape = until(
        "rows to be written",
        || watched.scrape(),
        |scrape| scrape.get("rows_total{outcome=\"updated\"}") > Some(5.0),
    )
    .await;
    assert_eq!(scrape.get("run_state{state=\"open\"}"), Some(1.0));
    assert_eq!(scrape.get("queue_consumers"), Some(2.0));
    assert_eq!(scrape.get("fhir_in_flight"), None, "a producer sends nothing there");
    assert_eq!(watched.get("/readyz").await, (200, "ledger: ok\n".into()));

    let report = producer.end().await.expect(3).object();
    check_night(&report, night.expected());
    let mut writes = 0.0;
    for pages in &pages {
        let closed = |scrape: &tests::process::Scrape| scrape.get("run_state{state=\"closed\"}") == Some(1.0);
        let scrape = until("the closed night to be seen", || pages.scrape(), closed).await;
        let outcomes = scrape.by_label("rows_total");
        for (outcome, rows) in report["outcomes"].as_object().expect("a map") {
            assert_eq!(Some(outcomes[outcome]), rows.as_f64(), "{outcome}");
        }
        assert_eq!(scrape.get("rows_read_total"), report["rows_read"].as_f64());
        assert_eq!(scrape.get("dead_letters_open"), report["outcomes"]["dead_lettered"].as_f64());
        assert_eq!(scrape.get("run_progress_ratio"), Some(1.0));
        writes += scrape.get("fhir_request_duration_seconds_count{operation=\"update\"}").unwrap_or(0.0);
        for name in scrape.declared().keys() {
            assert!(ALL.iter().any(|metric| metric.name == name), "{name}");
        }
        let found = Secrets::of_night(&night).found_in(scrape.text.as_bytes());
        assert!(found.is_empty(), "{found:?}");
    }
    assert_eq!(writes, cluster.simulators.snapshot().writes as f64, "each worker counts its own");

    let ready = async || pages[0].get("/readyz").await.0;
    until("readiness", ready, |status| *status == 200).await;
    cluster.simulators.set_faults(FaultPlan { error_500: Rate::of(1.0), ..FaultPlan::default() });
    // A new worker's first probe fails; those that have nothing to do ask nothing, and know of nothing.
    let mut late = cluster.worker();
    let late_pages = Pages::of(&mut late).await;
    let late_ready = async || late_pages.get("/readyz").await;
    let failing = |(status, text): &(u16, String)| *status == 503 && text.contains("(status 500)");
    until("unreadiness", late_ready, failing).await;
    cluster.simulators.set_faults(FaultPlan::default());
    until("readiness", late_ready, |(status, _)| *status == 200).await;
}

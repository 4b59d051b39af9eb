//! `METRICS_ADDR` of `standalone`, while a night runs.

use std::net::TcpListener;

use simulators::{FaultPlan, Latency, Rate};
use tests::night::until;
use tests::process::{Pages, Secrets, Site, check_night, mixed};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_night_is_scraped_and_is_not_ready_while_the_fhir_server_is_down() {
    let night = mixed(61, 400);
    let mut site = Site::of(&night).await;
    site.set("FHIR_MAX_RPS", "40");
    let slow = FaultPlan { latency: Latency::fixed(10.0), ..FaultPlan::default() };
    site.simulators.set_faults(slow.clone());
    let mut running = site.start_night();
    let pages = Pages::of(&mut running).await;
    assert_eq!(pages.get("/healthz").await, (200, "ok\n".into()));
    let scrape = until(
        "rows to be written",
        || pages.scrape(),
        |scrape| scrape.get("rows_total{outcome=\"updated\"}") > Some(5.0),
    )
    .await;
    assert_eq!(scrape.get("run_state{state=\"open\"}"), Some(1.0));
    let progress = scrape.get("run_progress_ratio").expect("a night is under way");
    assert!(progress > 0.0 && progress < 1.0, "{progress}");
    let [started, ends] = ["run_last_start_timestamp_seconds", "run_projected_finish_timestamp_seconds"]
        .map(|metric| scrape.get(metric).expect("a night is under way"));
    assert!(ends > started, "{started} {ends}");
    assert_eq!(scrape.get("run_last_success_timestamp_seconds"), None);
    assert!(scrape.get("queue_depth{queue=\"work\"}") > Some(0.0));
    assert_eq!(scrape.get("queue_consumers"), Some(1.0));
    assert!(scrape.get("fhir_requests_total{operation=\"update\",status=\"200\"}") > Some(5.0));
    assert!(scrape.get("fhir_concurrency_limit") >= Some(1.0));
    assert_eq!(scrape.get("fhir_pace_requests_per_second"), Some(40.0), "what was agreed on");
    let found = Secrets::of_night(&night).found_in(scrape.text.as_bytes());
    assert!(found.is_empty(), "{found:?}");

    let ready = async || pages.get("/readyz").await;
    until("readiness", ready, |(status, _)| *status == 200).await;
    site.simulators.set_faults(FaultPlan { error_500: Rate::of(1.0), ..slow.clone() });
    let (_, text) = until("unreadiness", ready, |(status, _)| *status == 503).await;
    assert!(text.contains("ledger: ok\nqueue: ok\nFHIR server: ") && text.contains("500"), "{text}");
    assert_eq!(pages.get("/healthz").await.0, 200, "the process itself is well");
    site.simulators.set_faults(FaultPlan::default());
    let (_, text) = until("readiness again", ready, |(status, _)| *status == 200).await;
    assert_eq!(text, "ledger: ok\nqueue: ok\nFHIR server: ok\n");
    check_night(&running.end().await.expect(3).object(), night.expected());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_in_use_is_a_warning_and_the_night_goes_on() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("loopback has ports");
    let night = mixed(62, 40);
    let mut site = Site::of(&night).await;
    site.set("METRICS_ADDR", taken.local_addr().expect("an address").to_string());
    let finished = site.night().await.expect(3);
    check_night(&finished.object(), night.expected());
    assert!(finished.stderr.contains("METRICS_ADDR cannot be listened on"), "{}", finished.stderr);
}

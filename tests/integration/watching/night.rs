//! A real Prometheus over real nights.

use std::time::Duration;

use simulators::{FaultPlan, Operation, StatusFault};
use tests::night::until_within;
use tests::process::{Cluster, Pages, Site, mixed};
use tests::services::Prometheus;

use super::{board, deployed};

const JOB: &str = "nightly-whatsapp-sync";

/// For what shows at the next scrape and evaluation, on a machine with much else to do.
const SOON: Duration = Duration::from_secs(60);

async fn until_firing(prometheus: &Prometheus, what: &str, alerts: &[&str]) {
    until_within(
        SOON,
        what,
        || prometheus.firing(),
        |firing| firing.iter().map(String::as_str).eq(alerts.iter().copied()),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_night_of_a_cluster_raises_alerts_that_resolve_and_fills_the_board() {
    let night = mixed(81, 600);
    let mut cluster = Cluster::of(&night).await;
    cluster.set("FHIR_MAX_RPS", "20");
    let refused = |status, rate| StatusFault {
        status,
        rate,
        operations: Some(vec![Operation::Write]),
        retry_after: None,
        body: None,
    };
    // A third of the writes is refused for good, a few fail and are tried again.
    let statuses = vec![refused(422, 0.3), refused(500, 0.05)];
    cluster.simulators.set_faults(FaultPlan { statuses, ..FaultPlan::default() });
    let mut processes = cluster.workers(2);
    processes.push(cluster.dashboard("a-token"));
    let mut targets = Vec::new();
    for process in &mut processes {
        targets.push(Pages::of(process).await.authority());
    }
    let prometheus = Prometheus::start(&deployed("prometheus/alerts.yml"), JOB, &targets).await;
    let up = || prometheus.query("sum(nightly_sync_lock_refused_total) == 0");
    until_within(SOON, "all to be scraped", up, |series| !series.is_empty()).await;

    let mut producer = cluster.start_produced_night();
    producer.until_logged("snapshot complete").await;
    cluster.start_produced_night().end().await.expect(4);
    let both = ["NightlySyncHighFailureRate", "NightlySyncOverlapRefused"];
    until_firing(&prometheus, "both alerts", &both).await;
    let report = producer.end().await.expect(3).object();
    let dead = report["outcomes"]["dead_lettered"].as_u64().expect("a count");
    assert!(dead > 30, "{report}");

    for query in board::queries(JOB) {
        let answered = || prometheus.query(&query);
        until_within(SOON, &format!("an answer to {query}"), answered, |series| !series.is_empty()).await;
    }

    cluster.simulators.set_faults(FaultPlan::default());
    let replayed =
        cluster.produce(&["--replay-dlq", "--reason", "rejected_by_server", "--output", "json"]).await;
    replayed.expect(0);
    // The refused start is told for an hour.
    until_firing(&prometheus, "the failures to be resolved", &["NightlySyncOverlapRefused"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_start_of_one_process_raises_the_alert_too() {
    let mut site = Site::of(&mixed(82, 600)).await;
    site.set("FHIR_MAX_RPS", "5");
    let mut first = site.start_night();
    first.until_logged("snapshot complete").await;
    let target = Pages::of(&mut first).await.authority();
    let prometheus = Prometheus::start(&deployed("prometheus/alerts.yml"), JOB, &[target]).await;
    let up = || prometheus.query("nightly_sync_lock_refused_total == 0");
    until_within(SOON, "it to be scraped", up, |series| !series.is_empty()).await;
    site.night().await.expect(4);
    until_firing(&prometheus, "the alert", &["NightlySyncOverlapRefused"]).await;
    assert!(first.kill().await, "the first goes on");
}

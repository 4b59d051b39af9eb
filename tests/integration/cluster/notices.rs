//! What a fleet tells: each change of state once, however many workers see it.

use std::time::Duration;

use serde_json::Value;
use simulators::{DemoNight, FaultPlan, Latency, NightOptions, StatusFault, Webhook};
use tests::night::until_within;
use tests::process::{Cluster, DATE, Secrets, check_night};
use tokio::time::{Instant, sleep_until};

use super::ordinary::check_writes;

/// For what is told after some seconds of its own, on a machine with much else to do.
const SOON: Duration = Duration::from_secs(90);

/// A night in which nothing goes wrong.
fn plain(seed: u64, rows: usize) -> DemoNight {
    DemoNight::build(seed, DATE, &NightOptions::all_need_write(rows)).expect("a night")
}

fn kinds(room: &Webhook) -> Vec<String> {
    room.taken().iter().map(|notice| notice["kind"].as_str().expect("a kind").to_owned()).collect()
}

async fn outage(seed: u64, lasts: Duration) {
    let night = plain(seed, 300);
    let room = Webhook::start().await.expect("loopback has ports");
    let mut cluster = Cluster::of(&night).await;
    let url = cluster.file("webhook", room.url());
    cluster.set("ALERT_WEBHOOK_URL", format!("file:{}", url.display()));
    cluster.set("FHIR_MAX_CONCURRENCY", "4");
    let slow = FaultPlan { latency: Latency::fixed(50.0), ..FaultPlan::default() };
    cluster.simulators.set_faults(slow.clone());
    let _workers = cluster.workers(3);
    let producer = cluster.start_produced_night();
    let writes = async || cluster.simulators.snapshot().writes;
    until_within(SOON, "writes", writes, |writes| *writes > 10).await;
    let fault = StatusFault { status: 500, rate: 1.0, operations: None, retry_after: None, body: None };
    cluster.simulators.set_faults(FaultPlan { statuses: vec![fault], ..slow.clone() });
    let over = Instant::now() + lasts;
    until_within(SOON, "the news of the pause", async || kinds(&room), |kinds| !kinds.is_empty()).await;
    // The outage's own length: nothing is waited for.
    sleep_until(over).await;
    assert_eq!(kinds(&room), ["paused"]);
    cluster.simulators.set_faults(slow);
    check_night(&producer.end().await.expect(0).object(), night.expected());
    check_writes(&cluster, night.expected().patients_changed);
    until_within(SOON, "the news of its end", async || kinds(&room), |kinds| kinds.len() == 3).await;
    let mut told = kinds(&room);
    told.sort();
    assert_eq!(told, ["closed", "paused", "resumed"]);
    assert_eq!(cluster.count("SELECT count(*) FROM notice").await, 3, "and no other waits");
    let found = Secrets::of_night(&night).found_in(Value::from(room.taken()).to_string().as_bytes());
    assert!(found.is_empty(), "{found:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_with_three_workers_is_one_notice_and_one_recovery() {
    outage(95, Duration::from_secs(25)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes; `make test-all` runs it"]
async fn an_outage_of_five_minutes_with_three_workers_is_one_notice_and_one_recovery() {
    outage(96, Duration::from_secs(300)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn producers_that_are_refused_are_one_notice_that_names_the_holder() {
    let night = plain(97, 300);
    let room = Webhook::start().await.expect("loopback has ports");
    let mut cluster = Cluster::of(&night).await;
    let url = cluster.file("webhook", room.url());
    cluster.set("ALERT_WEBHOOK_URL", format!("file:{}", url.display()));
    cluster.set("FHIR_MAX_RPS", "8");
    let _workers = cluster.workers(2);
    let mut first = cluster.start_produced_night();
    first.until_logged("snapshot complete").await;
    let (second, third) =
        tokio::join!(cluster.start_produced_night().end(), cluster.start_produced_night().end());
    second.expect(4);
    third.expect(4);
    until_within(SOON, "the notice", async || kinds(&room), |kinds| !kinds.is_empty()).await;
    let notice = room.taken().remove(0);
    let holder = notice["detail"]["holder"].as_str().expect("a holder").to_owned();
    assert!(holder.contains(&format!(":{}:", first.id())), "{notice}");
    assert!(notice["text"].as_str().is_some_and(|text| text.contains(&holder)), "{notice}");
    check_night(&first.end().await.expect(0).object(), night.expected());
    until_within(SOON, "the closing", async || kinds(&room), |kinds| kinds.len() > 1).await;
    assert_eq!(kinds(&room), ["overlap_refused", "closed"]);
}

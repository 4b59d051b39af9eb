//! `--detach`, and producers that go away: the workers finish, close and report the run.

use std::time::Duration;

use serde_json::Value;
use shared::ledger::LedgerView as _;
use simulators::{FaultPlan, Latency, PatientFault, StatusFault, Webhook};
use tests::night::{until, until_within};
use tests::process::{Cluster, DATE, check_night, mixed, run_id};

use super::ordinary::check_writes;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_detached_producer_leaves_when_all_is_published_and_the_workers_close_the_run() {
    let night = mixed(41, 200);
    let cluster = Cluster::of(&night).await;
    let left = cluster.produce(&["--date", DATE, "--detach", "--output", "json"]).await.expect(0).object();
    assert_eq!(left["state"], "open");
    let [nights, _] = cluster.depths().await;
    assert_eq!(left["rows_open"], nights.ready, "every row that is open is in the queue");

    let _workers = cluster.workers(2);
    let closed = cluster.until_run_is("closed").await;
    check_night(&closed, night.expected());
    check_writes(&cluster, night.expected().patients_changed);
    let stored = cluster.ledger().report(run_id(&closed)).await.expect("an answer").expect("a report");
    for field in ["run_id", "outcomes", "reasons", "rows_selected", "finished_at"] {
        assert_eq!(stored[field], closed[field], "{field}");
    }
    let last = cluster.produce(&["--resume", "--output", "json"]).await.expect(3).object();
    assert_eq!(last, closed, "with nothing unfinished, the last report");
}

/// What is tried again is the workers' business: a detached producer has only to publish.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_detached_producer_does_not_wait_for_what_workers_try_again() {
    let night = mixed(44, 120);
    let mut cluster = Cluster::of(&night).await;
    cluster.set("RETRY_MAX_ATTEMPTS", "50");
    let fails = PatientFault { status: Some(500), ..PatientFault::default() };
    let patients = night.expected_numbers().take(5).map(|(nik, _)| (nik, fails.clone())).collect();
    let latency = Latency::fixed(5.0);
    cluster.simulators.set_faults(FaultPlan { latency, patients, ..FaultPlan::default() });
    let worker = cluster.worker();
    let waiting = "SELECT count(*) FROM row WHERE state = 'retrying' AND NOT published
                     AND NOT EXISTS (SELECT FROM row WHERE state IN ('pending', 'claimed', 'failed'))";
    let waiting = async || cluster.count(waiting).await;
    let detach = ["--date", DATE, "--detach", "--output", "json"];
    cluster.produce(&detach).await.expect(0);
    until("rows to be tried again, and no others", waiting, |rows| *rows == 5).await;
    // Nobody tries them now.
    assert!(worker.kill().await);
    let left = cluster.produce(&detach).await.expect(0).object();
    assert_eq!((&left["state"], &left["rows_open"]), (&"open".into(), &5.into()));
    assert_eq!(waiting().await, 5, "it left without them");
    let _workers = cluster.workers(2);
    cluster.simulators.set_faults(FaultPlan::default());
    let closed = cluster.until_run_is("closed").await;
    check_night(&closed, night.expected());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_producer_killed_while_it_watches_is_not_missed() {
    let night = mixed(42, 200);
    let cluster = Cluster::of(&night).await;
    cluster.simulators.set_faults(FaultPlan { latency: Latency::fixed(60.0), ..FaultPlan::default() });
    let _workers = cluster.workers(2);
    let mut producer = cluster.start_produced_night();
    producer.until_logged("snapshot complete").await;
    let writes = async || cluster.simulators.snapshot().writes;
    until("a first write", writes, |writes| *writes > 0).await;
    assert!(producer.kill().await, "it was still watching");
    let closed = cluster.until_run_is("closed").await;
    check_night(&closed, night.expected());
    check_writes(&cluster, night.expected().patients_changed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_closing_is_told_once_however_many_workers_there_are() {
    let night = mixed(43, 60);
    let room = simulators::Webhook::start().await.expect("loopback has ports");
    let mut cluster = Cluster::of(&night).await;
    let url = cluster.file("webhook", room.url());
    cluster.set("ALERT_WEBHOOK_URL", format!("file:{}", url.display()));
    // The first answer is an error: a notice is sent again.
    room.refuse(1);
    let _workers = cluster.workers(3);
    cluster.produce(&["--date", DATE, "--detach"]).await.expect(0);
    let closed = cluster.until_run_is("closed").await;
    let taken = async || room.taken();
    let notices: Vec<Value> = until("the notice", taken, |taken| !taken.is_empty()).await;
    let look = async || cluster.ledger().open_notices(10).await.expect("an answer").len();
    until("nothing left to tell", look, |open| *open == 0).await;
    assert_eq!(room.taken().len(), 1, "{notices:?}");
    assert_eq!(
        (&notices[0]["kind"], &notices[0]["job"]),
        (&"closed".into(), &"nightly-whatsapp-sync".into())
    );
    assert_eq!(notices[0]["detail"]["run_id"], closed["run_id"]);
    assert!(notices[0]["text"].as_str().is_some_and(|text| text.contains(DATE)), "{notices:?}");
}

/// Nobody but the workers is there to find out that the server is well again, nor to tell of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_detached_night_that_pauses_goes_on_by_itself() {
    let night = mixed(45, 120);
    let room = Webhook::start().await.expect("loopback has ports");
    let mut cluster = Cluster::of(&night).await;
    let url = cluster.file("webhook", room.url());
    cluster.set("ALERT_WEBHOOK_URL", format!("file:{}", url.display()));
    let fault = StatusFault { status: 500, rate: 1.0, operations: None, retry_after: None, body: None };
    cluster.simulators.set_faults(FaultPlan { statuses: vec![fault], ..FaultPlan::default() });
    cluster.produce(&["--date", DATE, "--detach", "--output", "json"]).await.expect(0);
    let _workers = cluster.workers(2);
    let told = async || {
        room.taken().iter().map(|notice| notice["kind"].as_str().map(str::to_owned)).collect::<Vec<_>>()
    };
    let is_told = |kinds: &Vec<Option<String>>, kind: &str| kinds.iter().flatten().any(|told| told == kind);
    let long = Duration::from_secs(90);
    until_within(long, "the news of the pause", told, |kinds| is_told(kinds, "paused")).await;
    assert_eq!(cluster.count_dead_letters().await, 0);
    cluster.simulators.set_faults(FaultPlan::default());
    let closed = cluster.until_run_is("closed").await;
    check_night(&closed, night.expected());
    check_writes(&cluster, night.expected().patients_changed);
    until_within(long, "the news of its end", told, |kinds| is_told(kinds, "resumed")).await;
}

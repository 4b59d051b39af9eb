//! Workers that are asked to stop while what they talk to does not answer.

use std::time::Duration;

use simulators::{FaultPlan, Latency};
use tests::night::{until, until_within};
use tests::process::{Cluster, DATE, Network, Running, Sign, check_night, mixed};
use tests::services::Flow;

/// What a worker has to drain, and what it has beyond that to let go of its connections; and some for a busy machine.
const IN_TIME: Duration = Duration::from_secs(25 + 1 + 3);

async fn ends_in_time(mut program: Running, what: &str) {
    program.signal(Sign::Terminate);
    let ended = || {
        let ended = program.ended();
        async move { ended }
    };
    until_within(IN_TIME, &format!("the end of a program {what}"), ended, Option::is_some).await;
    program.end().await.expect(143);
}

/// It has a lock to give back, a report to count, and queues to close.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_producer_ends_in_time_when_nothing_answers() {
    let night = mixed(92, 60);
    let cluster = Cluster::of(&night).await;
    let network = Network::to(&cluster).await;
    let arguments = ["--date", DATE, "--output", "json"];
    let mut producer = network.start(&cluster, "producer", &arguments);
    producer.until_logged("progress").await;
    network.swallow();
    ends_in_time(producer, "without anything").await;
    let _worker = cluster.worker();
    check_night(&cluster.produce(&arguments).await.expect(3).object(), night.expected());
    cluster.check(&night).await;
}

/// Four workers in the middle of a night; each loses another of its servers without being told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_ends_in_time_whatever_does_not_answer_and_others_finish_the_night() {
    let night = mixed(91, 400);
    let mut cluster = Cluster::of(&night).await;
    cluster.simulators.set_faults(FaultPlan { latency: Latency::fixed(200.0), ..FaultPlan::default() });
    cluster.set("FHIR_MAX_CONCURRENCY", "4");
    let mut networks = Vec::new();
    let mut workers = Vec::new();
    for _ in 0..4 {
        let network = Network::to(&cluster).await;
        workers.push(network.start(&cluster, "worker", &[]));
        networks.push(network);
    }
    let producer = cluster.start_produced_night();
    for network in &networks {
        until("requests through each", async || network.fhir.accepted(), |seen| *seen > 1).await;
    }
    let writes = async || cluster.simulators.snapshot().writes;
    until("writes", writes, |writes| *writes > 40).await;
    networks[0].postgres.flow(Flow::Swallowed);
    networks[1].rabbitmq.flow(Flow::Swallowed);
    networks[2].fhir.flow(Flow::Swallowed);
    networks[3].swallow();
    let whats = ["without the ledger", "without the queue", "without the FHIR server", "without any of them"];
    let ends = workers.into_iter().zip(whats).map(|(worker, what)| tokio::spawn(ends_in_time(worker, what)));
    for end in ends.collect::<Vec<_>>() {
        end.await.expect("it ended in time");
    }
    assert!(
        cluster.count_rows("done").await < i64::try_from(night.expected().rows_selected).unwrap(),
        "they left something"
    );
    cluster.simulators.set_faults(FaultPlan::default());
    let _heir = cluster.worker();
    check_night(&producer.end().await.expect(3).object(), night.expected());
    cluster.check(&night).await;
}

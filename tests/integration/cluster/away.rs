//! Programs whose ledger or queue is away when they start, or stays away.

use std::time::Duration;

use simulators::{FaultPlan, Latency};
use tests::night::until;
use tests::process::{Cluster, DATE, Network, Sign, check_night, mixed, run_id};

use super::ordinary::check_writes;

const NIGHT: [&str; 4] = ["--date", DATE, "--output", "json"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_that_stays_away_ends_the_producer_with_5_past_the_deadline_and_the_next_start_carries_on() {
    let night = mixed(101, 60);
    let mut cluster = Cluster::of(&night).await;
    cluster.set("RUN_DEADLINE", "2s");
    let network = Network::to(&cluster).await;
    network.rabbitmq.refuse().await;
    let stopped = network.start(&cluster, "producer", &NIGHT).end().await.expect(5);
    assert!(stopped.stderr.contains("the queue fails past RUN_DEADLINE"), "{}", stopped.stderr);
    let stopped = stopped.object();
    assert!(stopped["rows_open"].as_u64() > Some(0), "{stopped}");
    let read = cluster.simulators.snapshot().batch_gets;

    let _worker = cluster.worker();
    let report = cluster.produce(&NIGHT).await.expect(3).object();
    assert_eq!(run_id(&report), run_id(&stopped), "the same run");
    assert_eq!(cluster.simulators.snapshot().batch_gets, read, "the sheet is not read again");
    check_night(&report, night.expected());
    check_writes(&cluster, night.expected().patients_changed);
}

/// Whatever is wrong with its own way to the queue: the workers' progress is progress.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_producer_without_a_queue_stays_past_the_deadline_while_workers_make_progress() {
    let night = mixed(102, 60);
    let mut cluster = Cluster::of(&night).await;
    // Many seconds' work.
    cluster.simulators.set_faults(FaultPlan { latency: Latency::fixed(400.0), ..FaultPlan::default() });
    cluster.set("FHIR_MAX_CONCURRENCY", "2");
    cluster.set("RUN_DEADLINE", "1s");
    let network = Network::to(&cluster).await;
    network.rabbitmq.refuse().await;
    let _worker = cluster.worker();
    let ended = network.start(&cluster, "producer", &NIGHT).end().await.expect(3);
    check_night(&ended.object(), night.expected());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ledger_that_stays_away_ends_the_producer_with_5_past_the_deadline() {
    let night = mixed(103, 60);
    let mut cluster = Cluster::of(&night).await;
    cluster.set("RUN_DEADLINE", "2s");
    let network = Network::to(&cluster).await;
    network.postgres.refuse().await;
    let stopped = network.start(&cluster, "producer", &NIGHT).end().await.expect(5);
    assert!(stopped.stderr.contains("the ledger cannot be reached past RUN_DEADLINE"), "{}", stopped.stderr);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ledger_that_refuses_the_producer_is_not_waited_for() {
    let night = mixed(104, 60);
    let mut cluster = Cluster::of(&night).await;
    let database = cluster.setting("DATABASE_URL").expect("it is set");
    let (before, query) = database.split_once('?').expect("a place has parameters");
    let elsewhere = before.rsplit_once('/').expect("a database").0;
    cluster.set("DATABASE_URL", format!("{elsewhere}/no_such_database?{query}"));
    let refused = cluster.produce(&NIGHT).await.expect(1);
    assert!(refused.stderr.contains("no_such_database"), "{}", refused.stderr);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn programs_that_wait_for_a_ledger_say_so_more_than_once_and_say_when_it_is_back() {
    let night = mixed(105, 60);
    let cluster = Cluster::of(&night).await;
    let network = Network::to(&cluster).await;
    network.postgres.refuse().await;
    let mut worker = network.start(&cluster, "worker", &[]);
    let mut producer = network.start(&cluster, "producer", &NIGHT);
    for waiting in [&mut worker, &mut producer] {
        waiting.until_logged("the ledger cannot be reached; trying again").await;
        waiting.until_logged("the ledger still cannot be reached").await;
    }
    network.postgres.accept().await;
    for waiting in [&mut worker, &mut producer] {
        waiting.until_logged("the ledger is back").await;
    }
    check_night(&producer.end().await.expect(3).object(), night.expected());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn programs_that_wait_for_a_ledger_stop_when_they_are_told_to() {
    let cluster = Cluster::of(&mixed(106, 60)).await;
    let network = Network::to(&cluster).await;
    network.swallow();
    for (program, arguments) in [("worker", &[][..]), ("producer", &NIGHT[..])] {
        let running = network.start(&cluster, program, arguments);
        let before = network.postgres.accepted();
        until("it to connect", async || network.postgres.accepted(), |seen| *seen > before).await;
        running.signal(Sign::Terminate);
        let asked = std::time::Instant::now();
        running.end().await.expect(143);
        assert!(asked.elapsed() < Duration::from_secs(5), "{program} took {:?}", asked.elapsed());
    }
}

//! Nights in which everything goes away now and then: workers, RabbitMQ, Postgres.

use std::path::Path;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use shared::queue::Depth;
use simulators::{FaultPlan, Latency, Rate};
use tests::night::{until, until_within};
use tests::process::{Cluster, Running, Sign, Site, check_night, mixed};
use tests::services::{Broker, PostgresServer};

/// Two queues, each with a connection for publishing and one for consuming.
const CONNECTIONS: usize = 4;

fn threads(worker: &Running) -> usize {
    let tasks = Path::new("/proc").join(worker.id().to_string()).join("task");
    std::fs::read_dir(tasks).expect("it runs").count()
}

/// A night of so many rows in which each of the three goes away so often.
async fn survives(seed: u64, rows: usize, each: u64) {
    let night = mixed(seed, rows);
    let (mut broker, database) = (Broker::start().await, PostgresServer::restarting().await);
    broker.management().make_vhost("night");
    let place = database.place().await;
    let mut cluster = Cluster::on(Site::world_of(&night), place.uri, broker.url("night")).await;
    cluster.set("FHIR_MAX_CONCURRENCY", "8");
    let faults = FaultPlan {
        latency: Latency::log_normal(30.0, 0.5),
        applied_reply_lost: Rate::of(0.05),
        ..FaultPlan::default()
    };
    cluster.simulators.set_faults(faults);
    let mut dice = StdRng::seed_from_u64(seed);
    // This one lives through it all: what it leaks would add up.
    let witness = cluster.worker();
    let mut workers = cluster.workers(2);
    let producer = cluster.start_produced_night();
    let changed = night.expected().patients_changed;
    let writes = async || cluster.simulators.snapshot().writes;
    until("a first write", writes, |writes| *writes > 0).await;
    let at_first = threads(&witness);
    for round in 0..each {
        for harm in 0..3 {
            let share = (round * 3 + harm + 1) * changed / (3 * each + 2);
            until_within(std::time::Duration::from_secs(120), "more writes", writes, |writes| {
                *writes >= share
            })
            .await;
            match harm {
                0 => database.kill().await,
                1 => {
                    broker.kill();
                    broker.start_again().await;
                }
                _ => {
                    let victim = workers.swap_remove(dice.random_range(0..workers.len()));
                    assert!(victim.kill().await, "a worker does not end by itself");
                    workers.push(cluster.worker());
                }
            }
        }
    }
    let closed = cluster.until_run_is("closed").await;
    check_night(&closed, night.expected());
    // A producer that lost its lock to the outage left; the workers closed the run all the same.
    let ended = producer.end().await;
    assert!(matches!(ended.status, Some(1 | 3)), "{:?}\n{}", ended.status, ended.stderr);
    cluster.check(&night).await;

    let connections = async || broker.connections().await;
    until("only those of three workers", connections, |open| *open <= 3 * CONNECTIONS).await;
    let now = threads(&witness);
    assert!(now <= at_first + CONNECTIONS, "{now} threads after {each} restarts, {at_first} before them");
    for worker in workers.into_iter().chain([witness]) {
        worker.signal(Sign::Terminate);
        worker.end().await.expect(143);
    }
    until("no connection", connections, |open| *open == 0).await;
    assert_eq!(cluster.depths().await, [Depth::default(); 2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_night_in_which_postgres_and_rabbitmq_and_a_worker_die_ends_as_if_nothing_had_happened() {
    survives(85, 400, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes; `make test-all` runs it"]
async fn nights_in_which_each_of_them_dies_ten_times_end_as_if_nothing_had_happened() {
    for seed in 86..89 {
        survives(seed, 3_000, 10).await;
    }
}

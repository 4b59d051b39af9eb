//! `kill -9` of producers and workers, and servers that go away in the middle.

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use simulators::{DemoNight, FaultPlan, Latency, NightOptions, Rate};
use tests::night::until;
use tests::process::{Cluster, DATE, check_night, mixed};

/// One write in twenty is applied, and its answer never comes.
fn slow_and_replies_lost() -> FaultPlan {
    FaultPlan {
        latency: Latency::log_normal(30.0, 0.5),
        applied_reply_lost: Rate::of(0.05),
        ..FaultPlan::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_night_of_dying_workers_ends_as_if_nothing_had_happened() {
    let night = mixed(71, 400);
    let mut cluster = Cluster::of(&night).await;
    cluster.set("FHIR_MAX_CONCURRENCY", "8");
    cluster.simulators.set_faults(slow_and_replies_lost());
    let changed = night.expected().patients_changed;
    let mut dice = StdRng::seed_from_u64(71);
    let mut workers = cluster.workers(3);
    let producer = cluster.start_produced_night();
    let writes = async || cluster.simulators.snapshot().writes;
    for kill in 1..=6 {
        until("more writes", writes, |writes| *writes >= changed * kill / 8).await;
        let victim = workers.swap_remove(dice.random_range(0..workers.len()));
        assert!(victim.kill().await, "a worker does not end by itself");
        workers.push(cluster.worker());
    }
    let report = producer.end().await.expect(3).object();
    check_night(&report, night.expected());
    cluster.check(&night).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_producer_killed_while_seeding_and_while_publishing_is_carried_on() {
    // Many rows of other dates: reading them takes a while.
    let night =
        DemoNight::build(72, DATE, &NightOptions::sized(12_000, 1_500)).expect("the parts fit together");
    let cluster = Cluster::of(&night).await;
    let mut seeding = cluster.start_produced_night();
    seeding.until_logged("run opened").await;
    assert!(seeding.kill().await);
    let mut publishing = cluster.start_produced_night();
    publishing.until_logged("snapshot complete").await;
    assert!(publishing.kill().await);
    // Watched before there are workers: they would close the run by themselves, and a start would be a new one.
    let mut producer = cluster.start_produced_night();
    producer.until_logged("carrying on").await;
    let _workers = cluster.workers(2);
    let report = producer.end().await.expect(3).object();
    check_night(&report, night.expected());
    cluster.check(&night).await;
}

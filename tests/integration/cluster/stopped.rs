//! Workers that are asked to stop, and two producers at once.

use std::time::Duration;

use simulators::{FaultPlan, Latency};
use tests::night::until;
use tests::process::{Cluster, Sign, check_night, mixed};

use super::ordinary::check_writes;

fn slow() -> FaultPlan {
    FaultPlan { latency: Latency::fixed(100.0), ..FaultPlan::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_is_asked_to_stop_finishes_what_it_has_in_hand() {
    let night = mixed(51, 300);
    let cluster = Cluster::of(&night).await;
    cluster.simulators.set_faults(slow());
    let first = cluster.worker();
    let producer = cluster.start_produced_night();
    let writes = async || cluster.simulators.snapshot().writes;
    until("writes", writes, |writes| *writes > 20).await;
    first.signal(Sign::Terminate);
    let asked = std::time::Instant::now();
    first.end().await.expect(143);
    assert!(asked.elapsed() < Duration::from_secs(25), "it took {:?}", asked.elapsed());
    let claimed = cluster.count_rows("claimed").await;
    assert_eq!(claimed, 0, "nothing is left claimed");
    let _second = cluster.worker();
    check_night(&producer.end().await.expect(3).object(), night.expected());
    check_writes(&cluster, night.expected().patients_changed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_producers_one_runs_and_the_other_ends_with_status_4() {
    let night = mixed(52, 100);
    let cluster = Cluster::of(&night).await;
    // Longer than a starter waits for a lease.
    cluster.simulators.set_faults(FaultPlan { latency: Latency::fixed(400.0), ..FaultPlan::default() });
    let mut cluster = cluster;
    cluster.set("FHIR_MAX_CONCURRENCY", "2");
    let _worker = cluster.worker();
    let (one, other) = (cluster.start_produced_night(), cluster.start_produced_night());
    let (one, other) = tokio::join!(one.end(), other.end());
    let mut ends = [&one, &other];
    ends.sort_by_key(|end| end.status);
    assert_eq!(ends.map(|end| end.status), [Some(3), Some(4)], "{}\n{}", one.stderr, other.stderr);
    check_night(&ends[0].object(), night.expected());
    assert!(ends[1].stdout.is_empty());
    check_writes(&cluster, night.expected().patients_changed);
}

//! The version before and this one on the same tables and queues, as docs/upgrading.md promises it. The former programs are
//! built by `make earlier`.

use simulators::{FaultPlan, Latency};
use tests::night::until;
use tests::process::{Cluster, DATE, Running, Sign, check_night, mixed};

use super::ordinary::check_writes;

/// Which of the two.
#[derive(Clone, Copy)]
enum Version {
    Earlier,
    Ours,
}

impl Version {
    fn start(self, cluster: &Cluster, name: &str, arguments: &[&str]) -> Running {
        cluster.spawn(match self {
            Self::Earlier => cluster.earlier_program(name, arguments),
            Self::Ours => cluster.program(name, arguments),
        })
    }
}

/// A night of a producer of one version and workers of another, on the tables of ours.
async fn together(seed: u64, producer: Version, worker: Version) {
    let night = mixed(seed, 300);
    let cluster = Cluster::of(&night).await;
    Version::Ours.start(&cluster, "producer", &["migrate"]).end().await.expect(0);
    let workers: Vec<_> = (0..2).map(|_| worker.start(&cluster, "worker", &[])).collect();
    let report = producer.start(&cluster, "producer", &["--date", DATE, "--output", "json"]).end().await;
    check_night(&report.expect(3).object(), night.expected());
    check_writes(&cluster, night.expected().patients_changed);
    cluster.until_queues_are_empty().await;
    for worker in workers {
        worker.signal(Sign::Terminate);
        worker.end().await.expect(143);
    }
}

/// A night that one version begins alone; each of its workers is replaced by one of the other while rows are in hand.
async fn replaced(seed: u64, before: Version, after: Version) {
    let night = mixed(seed, 400);
    let mut cluster = Cluster::of(&night).await;
    // So few rows are in hand, for so long, that the night is not over before the last is replaced.
    cluster.simulators.set_faults(FaultPlan { latency: Latency::fixed(200.0), ..FaultPlan::default() });
    cluster.set("FHIR_MAX_CONCURRENCY", "4");
    before.start(&cluster, "producer", &["--date", DATE, "--detach"]).end().await.expect(0);
    let mut workers: Vec<_> = (0..2).map(|_| before.start(&cluster, "worker", &[])).collect();
    let open = async || cluster.count("SELECT count(*) FROM row WHERE state <> 'done'").await;
    let mut left = open().await;
    for _ in 0..2 {
        until("rows to be done", open, |rows| *rows < left - 10).await;
        let former = workers.remove(0);
        workers.push(after.start(&cluster, "worker", &[]));
        former.signal(Sign::Terminate);
        former.end().await.expect(143);
        left = open().await;
        assert!(left > 20, "replaced in the middle, not with {left} rows left");
    }
    cluster.simulators.set_faults(FaultPlan::default());
    cluster.until_run_is("closed").await;
    let report = after.start(&cluster, "producer", &["--resume", "--output", "json"]).end().await;
    check_night(&report.expect(3).object(), night.expected());
    check_writes(&cluster, night.expected().patients_changed);
    cluster.until_queues_are_empty().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the version before: make test-upgrade"]
async fn workers_of_this_version_carry_out_what_the_producer_before_publishes() {
    together(101, Version::Earlier, Version::Ours).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the version before: make test-upgrade"]
async fn workers_of_the_version_before_carry_out_what_this_producer_publishes() {
    together(102, Version::Ours, Version::Earlier).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the version before: make test-upgrade"]
async fn a_night_is_upgraded_in_its_middle() {
    replaced(103, Version::Earlier, Version::Ours).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the version before: make test-upgrade"]
async fn an_upgrade_is_taken_back_in_the_middle_of_a_night() {
    replaced(104, Version::Ours, Version::Earlier).await;
}

//! An operator who purges or deletes queues in the middle of a night: the ledger knows what was in them, and nobody has
//! to do anything.

use std::time::Duration;

use simulators::{FaultPlan, Latency};
use tests::night::{until, until_within};
use tests::process::{Cluster, DATE, Site, check_night, mixed};
use tests::services::{Management, PostgresServer, Vhost};

use super::ordinary::check_writes;

const WORK: &str = "nightly-whatsapp-sync.work.v1";

/// What a published row waits in an idle queue, and for a queue to be idle; and some for a busy machine.
const SWEPT: Duration = Duration::from_secs(60 + 120);

async fn survives(seed: u64, harm: impl Fn(&Management, &str)) {
    let night = mixed(seed, 200);
    let (place, vhost) = (PostgresServer::get().await.place().await, Vhost::new().await);
    let mut cluster = Cluster::on(Site::world_of(&night), place.uri, vhost.url().to_owned()).await;
    // So few rows are in hand that most of the night is in the queue.
    cluster.set("FHIR_MAX_CONCURRENCY", "4");
    let slow = |milliseconds| FaultPlan { latency: Latency::fixed(milliseconds), ..FaultPlan::default() };
    // Slow, so that it is not done before the harm on a busy machine, and below FHIR_TIMEOUT.
    cluster.simulators.set_faults(slow(400.0));
    cluster.produce(&["--date", DATE, "--detach"]).await.expect(0);
    let _workers = cluster.workers(2);
    let open = async || cluster.count("SELECT count(*) FROM row WHERE state <> 'done'").await;
    let all = open().await;
    until("rows to be done", open, |rows| *rows < all - 4).await;
    harm(vhost.management(), vhost.name());
    let lost = cluster.count("SELECT count(*) FROM row WHERE state = 'pending' AND published").await;
    assert!(lost > 20, "{lost} rows lost their message");
    cluster.simulators.set_faults(slow(50.0));
    until_within(SWEPT, "the night to be done", open, |rows| *rows == 0).await;
    let closed = cluster.until_run_is("closed").await;
    check_night(&closed, night.expected());
    check_writes(&cluster, night.expected().patients_changed);
    cluster.until_queues_are_empty().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_night_whose_queue_was_purged_is_finished_by_the_sweep() {
    survives(81, |management, vhost| management.purge_queue(vhost, WORK)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_night_whose_queues_were_all_deleted_is_finished_by_the_sweep() {
    survives(82, |management, vhost| {
        for queue in management.queues(vhost) {
            management.delete_queue(vhost, &queue);
        }
    })
    .await;
}

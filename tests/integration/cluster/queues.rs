//! An operator who purges or deletes a queue in the middle of a night: the ledger knows what was in it.

use simulators::{FaultPlan, Latency};
use tests::night::until;
use tests::process::{Cluster, DATE, Site, check_night, mixed};
use tests::services::{Management, PostgresServer, Vhost};

use super::ordinary::check_writes;

const WORK: &str = "nightly-whatsapp-sync.work.v1";

async fn survives(seed: u64, harm: impl Fn(&Management, &str)) {
    let night = mixed(seed, 200);
    let (place, vhost) = (PostgresServer::get().await.place().await, Vhost::new().await);
    let cluster = Cluster::on(Site::world_of(&night), place.uri, vhost.url().to_owned()).await;
    cluster.produce(&["--date", DATE, "--detach"]).await.expect(0);
    // All is published, and nothing taken: it is gone altogether.
    harm(vhost.management(), vhost.name());
    cluster.simulators.set_faults(FaultPlan { latency: Latency::fixed(20.0), ..FaultPlan::default() });
    let _workers = cluster.workers(2);
    // The rows come due when they have waited long, for nobody to have to wait for that here.
    let open = async || cluster.count("SELECT count(*) FROM row WHERE state <> 'done'").await;
    let make_due = "WITH due AS (UPDATE row SET sweep_at = 'epoch' WHERE state = 'pending' RETURNING 1)
                    SELECT count(*) FROM due";
    assert!(cluster.count(make_due).await > 0);
    until("the night to be done", open, |rows| *rows == 0).await;
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
async fn a_night_whose_queue_was_deleted_is_finished_by_the_sweep() {
    survives(82, |management, vhost| management.delete_queue(vhost, WORK)).await;
}

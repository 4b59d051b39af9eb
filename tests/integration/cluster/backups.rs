//! Postgres put back to the middle of a night, as a restore to an earlier moment does: the lost tail is done again, and
//! changes nobody twice.

use std::process::Command;

use simulators::{FaultPlan, Latency};
use tests::night::until;
use tests::process::{Cluster, DATE, Sign, Site, check_report, counts, mixed};
use tests::services::{Broker, PostgresServer};

use super::ordinary::check_writes;

/// One of Postgres's own programs; they come with the server or beside it.
fn pg(program: &str, arguments: &[&str]) {
    let ran = Command::new(program).args(arguments).output();
    let ran = ran.unwrap_or_else(|error| panic!("{program}: {error}; install Postgres's client programs"));
    assert!(ran.status.success(), "{program}: {}", String::from_utf8_lossy(&ran.stderr));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_postgres_put_back_to_the_middle_of_a_night_is_carried_on() {
    let night = mixed(99, 300);
    let (broker, server) = (Broker::start().await, PostgresServer::own().await);
    broker.management().make_vhost("night");
    let admin = server.client().await;
    admin.batch_execute("CREATE DATABASE night").await.expect("to make a database");
    let database = server.database("night");
    let mut cluster = Cluster::on(Site::world_of(&night), database.clone(), broker.url("night")).await;
    cluster.set("FHIR_MAX_CONCURRENCY", "8");
    let slow = FaultPlan { latency: Latency::fixed(100.0), ..FaultPlan::default() };
    cluster.simulators.set_faults(slow);
    let workers = cluster.workers(2);
    cluster.produce(&["--date", DATE, "--detach"]).await.expect(0);
    let writes = async || cluster.simulators.snapshot().writes;
    until("writes", writes, |writes| *writes > 20).await;
    let copy = cluster.output().join("night.dump");
    pg("pg_dump", &["--format=custom", "--file", Site::argument(&copy), &database]);
    cluster.simulators.set_faults(FaultPlan::default());
    let first = cluster.until_run_is("closed").await;
    let changed = night.expected().patients_changed;
    check_writes(&cluster, changed);
    cluster.until_queues_are_empty().await;
    for worker in workers {
        worker.signal(Sign::Terminate);
        worker.end().await.expect(143);
    }

    admin.batch_execute("DROP DATABASE night WITH (FORCE)").await.expect("to drop it");
    admin.batch_execute("CREATE DATABASE night").await.expect("to make it again");
    pg("pg_restore", &["--dbname", &database, Site::argument(&copy)]);
    let open = cluster.count("SELECT count(*) FROM row WHERE state <> 'done'").await;
    assert!(open > 20, "{open} rows are open again");
    // Nobody has to say anything: the workers find the run unfinished.
    let _workers = cluster.workers(2);
    let carried_on = cluster.until_run_is("closed").await;
    check_report(&carried_on);
    // What was written after the copy is found written.
    let (before, after) = (counts(&first["outcomes"]), counts(&carried_on["outcomes"]));
    assert_eq!(before["updated"] + before["unchanged"], after["updated"] + after["unchanged"]);
    assert!(after["updated"] < before["updated"], "{after:?}");
    check_writes(&cluster, changed);
    cluster.until_queues_are_empty().await;
}

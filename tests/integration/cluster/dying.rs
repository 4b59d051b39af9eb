//! A worker killed at each point of a dead letter's way: `failed` in the ledger, reject, dead letter in the ledger,
//! acknowledge. The points are aimed at from outside: the network lets nothing through, or a lock holds the ledger.

use shared::testing::Failpoint;
use simulators::{FaultPlan, Latency, Operation, PatientFault};
use tests::night::until;
use tests::process::{Cluster, DATE, Network, check_report, mixed};
use tests::services::{Flow, connect};
use tokio_postgres::Client;

use super::dead_letters::{letters, somebody};

/// Where the worker dies.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Point {
    /// The server refused the row; the ledger does not know it.
    Refused,
    /// The ledger has the row as failed; its message is not rejected.
    Failed,
    /// Its message is in the dead-letter queue; the dead letter is not in the ledger.
    Rejected,
    /// The dead letter is in the ledger; its message is not acknowledged.
    Buried,
    /// It is acknowledged.
    Acknowledged,
}

/// Lets no dead letter into the table.
async fn hold(cluster: &Cluster) -> Client {
    let client = connect(&cluster.setting("DATABASE_URL").expect("it is set")).await.expect("a database");
    client.batch_execute("BEGIN; LOCK TABLE dead_letter IN SHARE MODE").await.expect("a lock");
    client
}

const HELD: &str = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'dead_letter'::regclass";

async fn dies(seed: u64, point: Point) {
    let night = mixed(seed, 40);
    let mut cluster = Cluster::of(&night).await;
    // A lease is two of these and 15 seconds.
    cluster.set("FHIR_TIMEOUT", "8s");
    let nik = somebody(&cluster, &night);
    let hash = cluster.nik_hash(&nik);
    let fault = PatientFault {
        operation: Some(Operation::Write),
        status: Some(422),
        latency_ms: 5_000,
        ..PatientFault::default()
    };
    let patients = [(nik, fault)].into();
    cluster.simulators.set_faults(FaultPlan {
        latency: Latency::fixed(5.0),
        patients,
        ..FaultPlan::default()
    });
    // The table is there to be locked once somebody has made it.
    cluster.produce(&["runs"]).await;
    let network = Network::to(&cluster).await;
    let worker = network.start(&cluster, "worker", &[]);
    let producer = cluster.start_produced_night();
    let of_it = format!("SELECT count(*) FROM row WHERE nik_hash = '{hash}' AND state =");
    let is = async |state: &str| cluster.count(&format!("{of_it} '{state}'")).await;
    let reaches = async |state: &str| until(state, || is(state), |rows| *rows == 1).await;
    let dead =
        async || cluster.count(&format!("SELECT count(*) FROM dead_letter WHERE nik_hash = '{hash}'")).await;
    reaches("claimed").await;
    match point {
        Point::Refused => {
            let intents = format!(
                "SELECT count(*) FROM intent JOIN row USING (run_id, sheet_row) WHERE nik_hash = '{hash}'"
            );
            until("the write to be announced", async || cluster.count(&intents).await, |rows| *rows == 1)
                .await;
            network.postgres.flow(Flow::Swallowed);
            let refused = async || {
                let requests = cluster.simulators.snapshot().requests;
                requests.values().filter_map(|statuses| statuses.get("422")).sum::<u64>()
            };
            until("the refusal", refused, |answers| *answers == 1).await;
            assert!(worker.kill().await);
        }
        Point::Failed => {
            network.rabbitmq.flow(Flow::Swallowed);
            reaches("failed").await;
            assert!(worker.kill().await);
        }
        Point::Rejected | Point::Buried => {
            // The night has other dead letters; what waits for the lock must be this one.
            let others = format!("SELECT count(*) FROM row WHERE state <> 'done' AND nik_hash <> '{hash}'");
            until("the others to be done", async || cluster.count(&others).await, |rows| *rows == 0).await;
            let lock = hold(&cluster).await;
            until("a burial that waits", async || cluster.count(HELD).await, |held| *held > 0).await;
            if point == Point::Buried {
                network.rabbitmq.flow(Flow::Swallowed);
                lock.batch_execute("ROLLBACK").await.expect("to let go");
                until("the dead letter", dead, |letters| *letters == 1).await;
                assert!(worker.kill().await);
            } else {
                assert!(worker.kill().await);
                // What it asked for is on the server already, and must not be carried out after its death.
                let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_locks
                           WHERE NOT granted AND relation = 'dead_letter'::regclass";
                assert!(cluster.count(end).await > 0);
                lock.batch_execute("ROLLBACK").await.expect("to let go");
                assert_eq!(dead().await, 0);
            }
        }
        Point::Acknowledged => {
            until("the dead letter", dead, |letters| *letters == 1).await;
            until("an empty queue", async || cluster.depths().await[0].dead, |dead| *dead == 0).await;
            assert!(worker.kill().await);
        }
    }
    let _heir = cluster.worker();
    let report = producer.end().await.expect(3).object();
    check_report(&report);
    assert_eq!(report["reasons"]["rejected_by_server"], 1, "{report}");
    assert_eq!(letters(&cluster, &["--nik", hash.as_str()]).await.len(), 1);
    assert_eq!(dead().await, 1);
    cluster.check(&night).await;
}

/// Acknowledged any earlier they would be gone, and their rows would wait for a lease to end and for the sweep.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_worker_had_in_hand_that_died_before_its_record_is_with_the_broker() {
    let night = mixed(107, 60);
    let mut cluster = Cluster::of(&night).await;
    cluster.produce(&["--date", DATE, "--detach"]).await.expect(0);
    cluster.set("FAILPOINTS", format!("{}=return", Failpoint::Written.as_str()));
    let mut worker = cluster.worker();
    let mut ended = || {
        let ended = worker.exited();
        async move { ended }
    };
    until("its death", &mut ended, Option::is_some).await;
    let open = cluster.count("SELECT count(*) FROM row WHERE state <> 'done'").await;
    assert!(open > 20, "{open} rows are open");
    // The broker needs a moment to see that the connection is gone.
    let there = async || {
        let [nights, _] = cluster.depths().await;
        i64::try_from(nights.ready + nights.waiting + nights.dead).expect("a count")
    };
    until("a message of each row that is open", there, |messages| *messages >= open).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_killed_between_failed_and_reject_leaves_one_dead_letter() {
    dies(65, Point::Failed).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_killed_between_reject_and_burial_leaves_one_dead_letter() {
    dies(66, Point::Rejected).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_killed_between_burial_and_acknowledge_leaves_one_dead_letter() {
    dies(67, Point::Buried).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_killed_after_the_acknowledge_leaves_one_dead_letter() {
    dies(68, Point::Acknowledged).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_killed_before_failed_leaves_one_dead_letter() {
    dies(69, Point::Refused).await;
}

//! What a night does not ask for, and what it reuses.

use shared::domain::Outcome;
use simulators::{Capacity, FaultPlan, Latency, Rate};
use tests::night::Scene;

/// Twice `FHIR_MAX_CONCURRENCY` of a scene: a pool may open one that another request's end makes needless.
const MOST: u64 = 64;

#[tokio::test]
async fn rows_that_are_known_cost_nothing_and_unchanged_patients_a_search() {
    let scene = Scene::people(400).await;
    scene.type_everybody(0..400, 0);
    scene.night().await;
    scene.simulators.stats().reset();
    // The same night again: the ledger knows them all.
    scene.night().await;
    let stats = scene.simulators.snapshot();
    assert!(stats.requests_total <= 1, "{:?}: the probe at most", stats.requests);
    // Another ledger that knows nobody, on Patients that have the numbers.
    for file in ["night.db", "night.db-wal", "night.db-shm"] {
        let _ = std::fs::remove_file(scene.directory().join(file));
    }
    scene.simulators.stats().reset();
    scene.night().await;
    let stats = scene.simulators.snapshot();
    assert_eq!((stats.writes, stats.requests.get("read")), (0, None), "{:?}", stats.requests);
    assert!(stats.requests_total <= 402, "{:?}: one search each, and the probes", stats.requests);
    assert!(scene.outcomes().await.iter().all(|outcome| *outcome == Outcome::Unchanged));
}

#[tokio::test]
async fn connections_are_used_again() {
    let scene = Scene::people(1_000).await;
    scene.type_everybody(0..1_000, 0);
    scene.simulators.set_faults(FaultPlan {
        latency: Latency::fixed(4.0),
        error_500: Rate::of(0.01),
        ..FaultPlan::default()
    });
    scene.night().await;
    let stats = scene.simulators.snapshot();
    assert!(stats.requests_total > 2_000);
    let opened = stats.connections;
    assert!(opened <= MOST, "{opened} connections for {} requests", stats.requests_total);
    scene.check().await;
}

/// Paced requests keep fewer connections busy than are open: those in the pool must not grow cold one by one.
#[tokio::test]
async fn connections_are_used_again_where_the_server_takes_little() {
    let scene = Scene::people(400).await;
    scene.type_everybody(0..400, 0);
    let capacity = Some(Capacity { requests_per_second: 200.0, burst: None, retry_after: None });
    scene.simulators.set_faults(FaultPlan {
        capacity,
        latency: Latency::fixed(20.0),
        ..FaultPlan::default()
    });
    scene.night().await;
    let stats = scene.simulators.snapshot();
    assert!(
        stats.connections <= MOST,
        "{} connections for {} requests",
        stats.connections,
        stats.requests_total
    );
    scene.check().await;
}

//! A server that asks to slow down.

use shared::domain::Outcome;
use simulators::{Capacity, FaultPlan, Latency, Operation, PatientFault};
use tests::night::Scene;

/// Of the second asked for, what must be silent: what was on its way when the hold began still arrives, late
/// where the machine is busy.
const SILENT_MS: u64 = 700;

/// `FHIR_MAX_CONCURRENCY`: as many may have been on their way.
const MOST_ON_THE_WAY: usize = 32;

async fn nobody_asks_during_the_hold(status: u16) {
    let scene = Scene::people(160).await;
    scene.type_everybody(0..160, 0);
    let niks: Vec<_> = (0..160).map(|person| scene.population.nik(person)).collect();
    scene.simulators.stats().watch(&niks);
    let throttled = PatientFault {
        operation: Some(Operation::Write),
        times: Some(1),
        status: Some(status),
        retry_after: Some(1),
        ..PatientFault::default()
    };
    let patients = [(niks[60].clone(), throttled)].into();
    scene.simulators.set_faults(FaultPlan { patients, latency: Latency::fixed(4.0), ..FaultPlan::default() });
    scene.night().await;
    let watched = scene.simulators.snapshot().watched;
    let mut requests: Vec<_> = watched.values().flatten().collect();
    requests.sort_by_key(|request| request.at_ms);
    let refused = requests.iter().position(|request| request.status == status).expect("it was refused");
    let since: Vec<u64> = requests[refused..].iter().map(|request| request.at_ms).collect();
    let silence = since.windows(2).position(|pair| pair[1] - pair[0] >= SILENT_MS);
    let on_the_way = silence.expect("a silence, and the night goes on after it");
    assert!(on_the_way <= MOST_ON_THE_WAY, "{on_the_way} requests before it was silent");
    let endings = scene.endings().await;
    assert!(
        endings.iter().all(|ending| (ending.outcome, ending.attempts) == (Outcome::Updated, 1)),
        "waits use no attempt"
    );
    scene.check().await;
}

#[tokio::test]
async fn nobody_asks_while_a_429_with_retry_after_stands() {
    Box::pin(nobody_asks_during_the_hold(429)).await;
}

#[tokio::test]
async fn nobody_asks_while_a_503_with_retry_after_stands() {
    Box::pin(nobody_asks_during_the_hold(503)).await;
}

#[tokio::test]
async fn a_server_with_a_small_capacity_costs_no_attempts() {
    let scene = Scene::people(100).await;
    scene.type_everybody(0..100, 0);
    let capacity = Some(Capacity { requests_per_second: 100.0, burst: Some(5.0), retry_after: None });
    scene.simulators.set_faults(FaultPlan { capacity, ..FaultPlan::default() });
    scene.night().await;
    assert!(scene.simulators.snapshot().rejected_429 > 0, "the capacity was reached");
    let endings = scene.endings().await;
    assert!(endings.iter().all(|ending| (ending.outcome, ending.attempts) == (Outcome::Updated, 1)));
    scene.check().await;
}

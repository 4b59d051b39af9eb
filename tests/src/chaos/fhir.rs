//! What the FHIR server does wrong, and the way there.

use std::time::Duration;

use rand::Rng as _;
use simulators::{FaultPlan, Operation, Rate, StatusFault};

use super::stage::Stage;
use crate::services::Flow;

/// Two writes in five are applied, and their answers never come.
pub(super) async fn replies_lost(stage: &mut Stage) {
    let applied_reply_lost = Rate::of_operations(0.4, [Operation::Write]);
    stage.fhir(FaultPlan { applied_reply_lost, ..FaultPlan::default() });
    stage.start(2);
    stage.until_eighths(8).await;
    stage.fhir(FaultPlan::default());
}

/// Too many requests, not available: both with a time to come back.
pub(super) async fn storm(stage: &mut Stage) {
    let refused =
        |status, rate| StatusFault { status, rate, operations: None, retry_after: Some(1), body: None };
    stage.start(2);
    let eighths = stage.dice.random_range(0..4);
    stage.until_eighths(eighths).await;
    for _ in 0..3 {
        let (many, unavailable) = (stage.dice.random_range(0.1..1.0), stage.dice.random_range(0.1..1.0));
        let statuses = vec![refused(429, many), refused(503, unavailable)];
        stage.fhir(FaultPlan { statuses, ..FaultPlan::default() });
        stage.hold(Duration::from_millis(1_200)).await;
    }
    stage.fhir(FaultPlan::default());
}

/// Bytes go nowhere, handshakes included.
pub(super) async fn black_hole(stage: &mut Stage) {
    stage.through_relays().await;
    stage.start(2);
    let eighths = stage.dice.random_range(0..5);
    stage.until_eighths(eighths).await;
    stage.network().fhir.flow(Flow::Swallowed);
    stage.hold(Duration::from_secs(4)).await;
    stage.network().fhir.flow(Flow::Passes);
}

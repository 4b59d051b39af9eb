//! What happens to workers.

use std::time::Duration;

use rand::Rng as _;
use shared::testing::Failpoint;
use simulators::FaultPlan;

use super::stage::Stage;
use crate::process::Sign;

const CLAIMED: &str = "SELECT count(*) FROM row WHERE state = 'claimed'";
const OPEN: &str = "SELECT count(*) FROM row WHERE state <> 'done'";

/// More deaths of everybody than the queue allows deliveries, so that the broker gives messages up: their rows are
/// alive, and get new ones. Fewer than a row may be suspected of before it is given up itself.
pub(super) async fn fleet_killed(stage: &mut Stage) {
    const LIMIT: u32 = 2;
    const KILLS: u32 = 8;
    stage.limit_deliveries(LIMIT);
    stage.slow_fhir(150.0, FaultPlan::default());
    stage.start(2);
    stage.until_count("rows to be published", "SELECT count(*) FROM row WHERE published", 1).await;
    for _ in 0..KILLS {
        stage.until("somebody to receive", async |it: &Stage| it.looks.consumers().await > 0).await;
        // Some have only just got what they are to carry out, some are at it.
        stage.hold_up_to(120).await;
        stage.fleet.kill_workers(&stage.cluster);
    }
    stage.fhir(FaultPlan::default());
}

/// One stands still with rows in hand until others have taken them over and are done; then it goes on as if no time had
/// passed.
pub(super) async fn stopped(stage: &mut Stage) {
    stage.slow_fhir(100.0, FaultPlan::default());
    // Some are stopped with a write announced and not sent, some with one that went through and is not recorded.
    let point = if stage.dice.random_bool(0.5) { Failpoint::Intended } else { Failpoint::Written };
    let passes = stage.dice.random_range(0..4);
    stage.arm(point, passes, "1*sleep(300)");
    stage.start(2);
    stage.until_count("rows to be worked on", CLAIMED, 8).await;
    stage.hold_up_to(400).await;
    stage.fleet.workers[0].signal(Sign::Stop);
    stage.fhir(FaultPlan::default());
    stage.until("the others to be done", async |it: &Stage| it.looks.ask(OPEN).await == Some(0)).await;
    let stopped = stage.fleet.replace(&stage.cluster, 0);
    stopped.signal(Sign::Continue);
    // It finishes what it believes to have in hand.
    stopped.signal(Sign::Terminate);
    stopped.end().await.expect(143);
}

/// An autoscaler that takes workers away and brings others, again and again.
pub(super) async fn scaled_down(stage: &mut Stage) {
    stage.slow_fhir(100.0, FaultPlan::default());
    stage.start(3);
    let mut leaving = Vec::new();
    for _ in 0..6 {
        stage.until_count("rows to be worked on", CLAIMED, 1).await;
        stage.hold_up_to(150).await;
        let open = stage.looks.ask(OPEN).await;
        let worker = stage.fleet.replace_any(&stage.cluster, &mut stage.dice);
        worker.signal(Sign::Terminate);
        leaving.push(worker);
        if open < Some(12) {
            break;
        }
    }
    for worker in leaving {
        let ended = tokio::time::timeout(Duration::from_secs(30), worker.end()).await;
        let ended = ended.expect("a worker drains in time");
        // One that had hardly begun is ended by the signal itself.
        assert!(matches!(ended.status, Some(143) | None), "{:?}\n{}", ended.status, ended.stderr);
    }
}

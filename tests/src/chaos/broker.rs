//! What happens to the broker, and to the way there.

use std::time::Duration;

use rand::Rng as _;
use shared::testing::Failpoint;
use simulators::FaultPlan;

use super::stage::Stage;
use crate::services::Flow;

/// `kill -9` while messages are on their way: just taken, handed over without a confirm, or confirmed and not noted.
pub(super) async fn killed(stage: &mut Stage) {
    let points = [Failpoint::Taken, Failpoint::Published, Failpoint::Confirmed];
    let point = points[stage.dice.random_range(0..points.len())];
    stage.arm(point, 0, "1*sleep(700)");
    stage.start(2);
    stage.until_count("a snapshot", "SELECT count(*) FROM run WHERE state <> 'seeding'", 1).await;
    stage.hold_up_to(500).await;
    let broker = stage.servers.broker.as_mut().expect("a broker of its own");
    broker.kill();
    broker.start_again().await;
}

/// Away for longer than any wait for it, any lease, and the time after which a row is published again.
pub(super) async fn away(stage: &mut Stage) {
    stage.through_relays().await;
    stage.start(2);
    let eighths = stage.dice.random_range(0..5);
    stage.until_eighths(eighths).await;
    stage.network().rabbitmq.refuse().await;
    stage.hold(Duration::from_secs(10)).await;
    stage.network().rabbitmq.accept().await;
}

/// Connections are reset, again and again, in the middle of confirms and acknowledgements.
pub(super) async fn reset(stage: &mut Stage) {
    stage.through_relays().await;
    stage.slow_fhir(60.0, FaultPlan::default());
    let point = if stage.dice.random_bool(0.5) { Failpoint::Published } else { Failpoint::Recorded };
    stage.arm(point, 0, "1*sleep(300)");
    stage.start(2);
    stage.until_count("a snapshot", "SELECT count(*) FROM run WHERE state <> 'seeding'", 1).await;
    for _ in 0..8 {
        stage.hold_up_to(300).await;
        stage.network().rabbitmq.reset();
    }
}

/// Bytes go nowhere, handshakes included, for longer than heartbeats take to notice; connections are accepted.
pub(super) async fn black_hole(stage: &mut Stage) {
    stage.through_relays().await;
    stage.start(2);
    let eighths = stage.dice.random_range(0..5);
    stage.until_eighths(eighths).await;
    stage.network().rabbitmq.flow(Flow::Swallowed);
    stage.hold(Duration::from_secs(8)).await;
    stage.network().rabbitmq.flow(Flow::Passes);
}

/// The broker is short of disk: it takes nothing from whoever publishes, and goes on delivering.
pub(super) async fn disk_alarm(stage: &mut Stage) {
    let before = stage.dice.random_bool(0.3);
    if !before {
        stage.start(2);
        let eighths = stage.dice.random_range(0..5);
        stage.until_eighths(eighths).await;
    }
    limit_disk(stage, "9000GB").await;
    if before {
        stage.start(2);
    }
    stage.hold(Duration::from_secs(3)).await;
    limit_disk(stage, "50MB").await;
}

async fn limit_disk(stage: &Stage, free: &str) {
    let broker = stage.servers.broker.as_ref().expect("a broker of its own");
    broker.control(&["set_disk_free_limit", free]).await;
}

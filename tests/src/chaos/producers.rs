//! What happens to producers, and what operators do in the middle of a night.

use rand::Rng as _;
use shared::testing::Failpoint;
use simulators::FaultPlan;

use super::stage::Stage;
use crate::process::Sign;

/// Two schedulers start the same night at the same moment, and a third start comes in the middle of it. Those who do
/// not get the lock end with 4, or, where the night is over by then, carry on nothing.
pub(super) async fn two(stage: &mut Stage) {
    // Longer than a starter waits for a lease.
    stage.slow_fhir(300.0, FaultPlan::default());
    stage.start(2);
    let other = stage.cluster.start_produced_night();
    stage.until_eighths(2).await;
    let third = stage.cluster.producer(&["--resume", "--output", "json"]);
    let (other, third) = tokio::join!(other.end(), third.end());
    stage.fhir(FaultPlan::default());
    // The first may be the one that is refused: then the night is the other's.
    assert!(matches!(other.status, Some(0 | 3 | 4)), "{:?}\n{}", other.status, other.stderr);
    assert!(matches!(third.status, Some(0 | 3 | 4)), "{:?}\n{}", third.status, third.stderr);
}

/// Whoever runs the night dies, again and again, at any moment.
pub(super) async fn killed(stage: &mut Stage) {
    stage.slow_fhir(100.0, FaultPlan::default());
    stage.start(2);
    for _ in 0..5 {
        stage.hold_up_to(600).await;
        let Some(producer) = &stage.fleet.producer else { break };
        producer.signal(Sign::Kill);
    }
    stage.fhir(FaultPlan::default());
}

/// It stands still until its lock is another's, who finishes the night; then it goes on as if no time had passed.
pub(super) async fn stopped(stage: &mut Stage) {
    stage.slow_fhir(60.0, FaultPlan::default());
    let points = [Failpoint::RunOpened, Failpoint::Seeded, Failpoint::SnapshotComplete, Failpoint::Taken];
    let point = points[stage.dice.random_range(0..points.len())];
    stage.arm(point, 0, "1*sleep(400)");
    stage.start(2);
    stage.until_count("a run", "SELECT count(*) FROM run", 1).await;
    stage.hold_up_to(300).await;
    let Some(stopped) = stage.fleet.producer.take() else { panic!("it watches its run") };
    stopped.signal(Sign::Stop);
    stage.fleet.command(&stage.cluster, &["--resume", "--output", "json"]);
    stage.until("another to finish the night", async |it: &Stage| it.looks.is_over().await).await;
    stopped.signal(Sign::Continue);
    // Its run is over: it reports it, or says that its lock is lost.
    let ended = stopped.end().await;
    assert!(matches!(ended.status, Some(0 | 1 | 3)), "{:?}\n{}", ended.status, ended.stderr);
}

/// An operator replays what died so far while the night goes on.
pub(super) async fn replay(stage: &mut Stage) {
    stage.refuse(5);
    stage.start(2);
    let refused = "SELECT count(*) FROM dead_letter WHERE reason = 'rejected_by_server'";
    stage.until_count("refused rows to be dead", refused, 2).await;
    stage.slow_fhir(60.0, FaultPlan::default());
    let replay = ["--replay-dlq", "--reason", "rejected_by_server", "--output", "json"];
    // Two operators at once.
    let (one, other) = tokio::join!(stage.cluster.produce(&replay), stage.cluster.produce(&replay));
    for ended in [one, other] {
        assert!(matches!(ended.status, Some(0 | 3)), "{:?}\n{}", ended.status, ended.stderr);
    }
    stage.replay_refused().await;
}

/// A replay dies between the new generation and its messages.
pub(super) async fn killed_replaying(stage: &mut Stage) {
    stage.refuse(5);
    stage.start(2);
    stage
        .until("the night to be over", async |it: &Stage| {
            it.fleet.producer.is_none() && it.looks.is_over().await
        })
        .await;
    stage.fhir(FaultPlan::default());
    stage.arm(Failpoint::Replayed, 0, "return");
    stage.fleet.command(&stage.cluster, &["--replay-dlq", "--reason", "rejected_by_server"]);
    stage.until("its death", async |it: &Stage| it.fleet.deaths > 0).await;
}

impl Stage {
    /// What was refused is accepted now, and an operator replays it once the night is over.
    pub(super) async fn replay_refused(&mut self) {
        self.fhir(FaultPlan::default());
        self.until("the night to be over", async |it: &Self| {
            it.fleet.producer.is_none() && it.looks.is_over().await
        })
        .await;
        self.fleet.command(&self.cluster, &["--replay-dlq", "--reason", "rejected_by_server"]);
    }
}

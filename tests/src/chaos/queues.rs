//! What happens to queues and to the messages in them.

use rand::Rng as _;
use simulators::{FaultPlan, Rate};

use super::stage::Stage;

const PREFIX: &str = "nightly-whatsapp-sync.";

fn named(what: &str) -> String {
    format!("{PREFIX}{what}.v1")
}

/// An operator deletes the dead-letter queue, also with a dead letter in it.
pub(super) async fn dead_deleted(stage: &mut Stage) {
    stage.refuse(6);
    stage.start(2);
    for least in [1, 4] {
        let failed = "SELECT count(*) FROM row WHERE state = 'failed' OR outcome = 'dead_lettered'";
        stage.until_count("dead letters", failed, least).await;
        delete(stage, |queue| queue == named("dead"));
    }
    stage.replay_refused().await;
}

/// The retry queues are deleted with what waits in them.
pub(super) async fn retry_deleted(stage: &mut Stage) {
    stage.fhir(FaultPlan { error_500: Rate::of(0.35), ..FaultPlan::default() });
    stage.start(2);
    stage.until_count("rows that wait", "SELECT count(*) FROM row WHERE state = 'retrying'", 5).await;
    stage.hold_up_to(400).await;
    delete(stage, |queue| queue.starts_with(&format!("{PREFIX}retry-")));
    stage.fhir(FaultPlan::default());
}

/// The queue of work is deleted with most of the night in it.
pub(super) async fn work_deleted(stage: &mut Stage) {
    stage.slow_fhir(100.0, FaultPlan::default());
    stage.start(2);
    let eighths = stage.dice.random_range(0..4);
    stage.until_eighths(eighths).await;
    delete(stage, |queue| queue == named("work"));
    stage.fhir(FaultPlan::default());
}

fn delete(stage: &Stage, which: impl Fn(&str) -> bool) {
    let (management, vhost) = (&stage.places.management, &stage.places.vhost);
    for queue in management.queues(vhost).iter().filter(|queue| which(queue)) {
        management.delete_queue(vhost, queue);
    }
}

/// Somebody else's messages, and ours of a version to come, in the queues of work and of dead letters. Each is kept, and
/// none holds up the others.
pub(super) async fn undecodable(stage: &mut Stage) {
    let ours = "application/vnd.nightly-sync.row.v1+json";
    let strange =
        [("text/plain", "hello"), ("application/vnd.nightly-sync.row.v9+json", "{}"), (ours, "{\"row\":")];
    stage.start(2);
    stage.until_eighths(1).await;
    for queue in ["work", "dead"] {
        for (content_type, body) in strange {
            let id = format!("strange-{}", stage.dice.random::<u32>());
            stage.places.management.publish(&stage.places.vhost, &named(queue), (&id, content_type), body);
        }
    }
    stage.until_count("strays to be kept", "SELECT count(*) FROM stray", 6).await;
}

/// Messages of the night are in the queue twice, those that were settled and those that were not.
pub(super) async fn copied(stage: &mut Stage) {
    stage.slow_fhir(60.0, FaultPlan::default());
    // Published, and nobody there to take them.
    stage.fleet.start_producer(&stage.cluster);
    let published = "SELECT count(*) FROM row WHERE published";
    stage.until_count("rows to be published", published, 30).await;
    let copies = stage.places.management.copy_messages(&stage.places.vhost, &named("work"), 200);
    assert!(copies >= 30, "{copies} messages were copied");
    stage.fleet.start_workers(&stage.cluster, 2);
    let eighths = stage.dice.random_range(1..4);
    stage.until_eighths(eighths).await;
    stage.places.management.copy_messages(&stage.places.vhost, &named("work"), 200);
    stage.fhir(FaultPlan::default());
}

//! Retries: short ones wait here, longer ones in the broker, and neither is lost with the other side.

use std::time::Duration;

use shared::queue::{Channel, Depth, Settle};
use shared::traces::Sending;
use tests::conformance::queue::{message, test_config};
use tests::services::Vhost;

use super::*;

/// Longer than what waits in the process.
const A_WAIT: Duration = Duration::from_millis(500);
const RUNGS_OF_A_WAIT: [&str; 2] = ["nightly-sync.retry-500ms.v1", "nightly-sync.retry-800ms.v1"];

#[tokio::test]
async fn a_short_retry_waits_here_and_is_not_settled_with_the_broker() {
    let vhost = Vhost::new().await;
    let mut config = test_config(vhost.url());
    config.waits.in_process = Duration::from_secs(3_600);
    let queue = queue_with(config);
    publish(&queue, 0..2).await;
    let mut work = subscribe(&queue, Channel::Work).await;
    next(&mut work).await.settle(Settle::RetryAfter(Duration::from_millis(300), 7)).await.expect("to settle");
    let delivery = next(&mut work).await;
    assert_eq!(delivery.message, message(1), "others go on meanwhile");
    assert_eq!(queue.depth().await.expect("a depth"), Depth { unsettled: 1, waiting: 1, ..Depth::default() });
    let mut retried = next(&mut work).await;
    assert_eq!(retried.message.turn, 7);
    retried.message.turn = 0;
    assert_eq!(retried.message, message(0));
    // Its process dies: the broker has it still.
    drop((queue, work, delivery, retried));
    let queue = queue_at(vhost.url());
    until_depth(&queue, Depth { ready: 2, ..Depth::default() }).await;
}

#[tokio::test]
async fn what_waits_here_goes_to_the_broker_when_the_subscription_ends() {
    let vhost = Vhost::new().await;
    let mut config = test_config(vhost.url());
    config.waits.in_process = Duration::from_secs(3_600);
    let queue = queue_with(config);
    publish(&queue, 0..3).await;
    let mut work = subscribe(&queue, Channel::Work).await;
    let (first, second) = (next(&mut work).await, next(&mut work).await);
    first.settle(Settle::RetryAfter(Duration::from_secs(1_800), 1)).await.expect("to settle");
    drop(work);
    second.settle(Settle::RetryAfter(Duration::from_millis(100), 1)).await.expect("to settle");
    let mut work = subscribe(&queue, Channel::Work).await;
    let mut came = Vec::new();
    for _ in 0..3 {
        let delivery = next(&mut work).await;
        came.push((delivery.message.key.sheet_row, delivery.message.turn));
        delivery.settle(Settle::Done).await.expect("to settle");
    }
    came.sort_unstable();
    assert_eq!(came, [(0, 1), (1, 1), (2, 0)]);
    until_depth(&queue, Depth::default()).await;
}

#[tokio::test]
async fn what_woke_here_and_nobody_took_goes_to_the_broker_with_its_turn() {
    let vhost = Vhost::new().await;
    let mut config = test_config(vhost.url());
    config.waits.in_process = Duration::from_secs(3_600);
    let queue = queue_with(config);
    publish(&queue, 0..1).await;
    let mut work = subscribe(&queue, Channel::Work).await;
    next(&mut work).await.settle(Settle::RetryAfter(Duration::from_millis(50), 1)).await.expect("to settle");
    until_depth(&queue, Depth { ready: 1, ..Depth::default() }).await;
    drop(work);
    let mut work = subscribe(&queue, Channel::Work).await;
    let delivery = next(&mut work).await;
    assert_eq!(delivery.message.turn, 1);
    delivery.settle(Settle::Done).await.expect("to settle");
    until_depth(&queue, Depth::default()).await;
}

#[tokio::test]
async fn closing_brings_what_waits_here_to_the_broker() {
    let vhost = Vhost::new().await;
    let mut config = test_config(vhost.url());
    config.waits.in_process = Duration::from_secs(3_600);
    let queue = queue_with(config);
    publish(&queue, 0..5).await;
    let mut work = subscribe(&queue, Channel::Work).await;
    for _ in 0..3 {
        let delivery = next(&mut work).await;
        delivery.settle(Settle::RetryAfter(Duration::from_secs(1_800), 1)).await.expect("to settle");
    }
    queue.close().await;
    assert!(work.next().await.is_none(), "the subscription ended");
    drop((queue, work));
    let queue = queue_at(vhost.url());
    let mut work = subscribe(&queue, Channel::Work).await;
    let mut came = Vec::new();
    for _ in 0..5 {
        let delivery = next(&mut work).await;
        came.push((delivery.message.key.sheet_row, delivery.message.turn));
        delivery.settle(Settle::Done).await.expect("to settle");
    }
    came.sort_unstable();
    assert_eq!(came, [(0, 1), (1, 1), (2, 1), (3, 0), (4, 0)]);
}

#[tokio::test]
async fn a_retry_whose_queue_is_missing_is_carried_when_the_queue_is_made_again() {
    let vhost = Vhost::new().await;
    let queue = queue_at(vhost.url());
    publish(&queue, 0..1).await;
    let mut work = subscribe(&queue, Channel::Work).await;
    let delivery = next(&mut work).await;
    for rung in RUNGS_OF_A_WAIT {
        vhost.management().delete_queue(vhost.name(), rung);
    }
    delivery.settle(Settle::RetryAfter(A_WAIT, 1)).await.expect("to settle");
    let queues = vhost.management().queues(vhost.name());
    assert!(RUNGS_OF_A_WAIT.iter().all(|rung| queues.iter().any(|queue| queue == rung)), "{queues:?}");
    let delivery = next(&mut work).await;
    assert_eq!(delivery.message.turn, 1);
    delivery.settle(Settle::Done).await.expect("to settle");
    until_depth(&queue, Depth::default()).await;
}

#[tokio::test]
async fn a_retry_that_cannot_be_carried_waits_here() {
    let vhost = Vhost::new().await;
    let queue = queue_at(vhost.url());
    publish(&queue, 0..1).await;
    let mut work = subscribe(&queue, Channel::Work).await;
    let delivery = next(&mut work).await;
    // Queues of the retry's that are missing, and another that keeps them from being made again.
    for rung in RUNGS_OF_A_WAIT.into_iter().chain([FIRST_RUNG]) {
        vhost.management().delete_queue(vhost.name(), rung);
    }
    vhost.management().make_queue(vhost.name(), FIRST_RUNG);
    delivery.settle(Settle::RetryAfter(A_WAIT, 1)).await.expect("to settle");
    let delivery = next(&mut work).await;
    assert_eq!(delivery.message.turn, 1);
    vhost.management().delete_queue(vhost.name(), FIRST_RUNG);
    delivery.settle(Settle::RetryAfter(A_WAIT, 2)).await.expect("to settle");
    assert_eq!(next(&mut work).await.message.turn, 2);
}

#[tokio::test]
async fn a_retry_carries_its_trace_and_nothing_of_its_deaths() {
    let vhost = Vhost::new().await;
    let mut config = test_config(vhost.url());
    config.sending = |_, _, _| Sending::with(test_trace());
    let queue = queue_with(config);
    publish(&queue, 0..1).await;
    let (mut work, mut dead) =
        (subscribe(&queue, Channel::Work).await, subscribe(&queue, Channel::DeadLetters).await);
    for turn in 1..4 {
        let delivery = next(&mut work).await;
        assert_eq!(delivery.trace, test_trace());
        delivery.settle(Settle::RetryAfter(Duration::from_millis(500), turn)).await.expect("to settle");
    }
    next(&mut work)
        .await
        .settle(Settle::DeadLetter(shared::domain::Reason::PatientGone))
        .await
        .expect("to settle");
    let buried = next(&mut dead).await;
    assert_eq!(buried.trace, test_trace());
    // One wait, the last; those before it were stripped from the copies.
    let deaths = buried.deaths.clone().expect("what became of it");
    assert_eq!(deaths.matches("expired").count(), 1, "{deaths}");
    assert!(deaths.starts_with("rejected in nightly-sync.work.v1, 1 time; expired in "), "{deaths}");
}

fn test_trace() -> Vec<(String, String)> {
    vec![("traceparent".into(), "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into())]
}

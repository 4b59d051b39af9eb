//! What the in-process queue does differently: it is gone with its process, and makes publishers wait while it
//! is full.

use std::sync::Arc;
use std::time::Duration;

use shared::queue::{Channel, InProcessQueue, Queue, Settle};
use tests::conformance::queue::message;
use tokio::time::timeout;

/// Messages that are ready at most.
const FULL: u32 = 10_000;

async fn consume(queue: &Arc<dyn Queue>, count: u32) -> Vec<u32> {
    let mut work = queue.subscribe(Channel::Work, 1).await.expect("to subscribe");
    let mut came = Vec::new();
    for _ in 0..count {
        let next = timeout(Duration::from_secs(60), work.next()).await.expect("a publisher hangs");
        let delivery = next.expect("the subscription goes on");
        came.push(delivery.message.key.sheet_row);
        delivery.settle(Settle::Done).await.expect("to settle");
    }
    came
}

#[test]
fn it_does_not_outlive_its_process() {
    assert!(!InProcessQueue::new().durable());
}

#[tokio::test(start_paused = true)]
async fn a_publisher_waits_while_the_queue_is_full_and_goes_on_as_space_appears() {
    let queue: Arc<dyn Queue> = Arc::new(InProcessQueue::new());
    let publisher = queue.clone();
    let mut publishing =
        tokio::spawn(async move { publisher.publish((0..FULL + 500).map(message).collect()).await.unwrap() });
    assert!(timeout(Duration::from_secs(3_600), &mut publishing).await.is_err(), "there is no space");
    assert_eq!(queue.depth().await.unwrap().ready, u64::from(FULL));
    assert_eq!(consume(&queue, 200).await, (0..200).collect::<Vec<_>>());
    assert!(timeout(Duration::from_secs(3_600), &mut publishing).await.is_err(), "300 have no space yet");
    assert_eq!(queue.depth().await.unwrap().ready, u64::from(FULL));
    assert_eq!(consume(&queue, FULL + 300).await, (200..FULL + 500).collect::<Vec<_>>());
    assert_eq!(
        publishing.await.unwrap(),
        (0..FULL + 500).map(|number| message(number).key).collect::<Vec<_>>()
    );
    assert_eq!(queue.depth().await.unwrap().ready, 0);
}

#[tokio::test(start_paused = true)]
async fn every_waiting_publisher_goes_on() {
    let queue: Arc<dyn Queue> = Arc::new(InProcessQueue::new());
    let mut publishers = tokio::task::JoinSet::new();
    for publisher in 0..8 {
        let queue = queue.clone();
        let own = (publisher * 2_000..(publisher + 1) * 2_000).map(message).collect();
        publishers.spawn(async move { queue.publish(own).await.unwrap().len() });
    }
    let mut came = consume(&queue, 16_000).await;
    assert_eq!(publishers.join_all().await, [2_000; 8]);
    came.sort_unstable();
    assert_eq!(came, (0..16_000).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_publisher_that_gives_up_waiting_keeps_nobody_else_waiting() {
    let queue: Arc<dyn Queue> = Arc::new(InProcessQueue::new());
    queue.publish((0..FULL).map(message).collect()).await.unwrap();
    let given_up = queue.publish(vec![message(FULL)]);
    let waiting = queue.publish(vec![message(FULL + 1)]);
    let mut given_up = Box::pin(given_up);
    let mut waiting = Box::pin(waiting);
    assert!(timeout(Duration::from_secs(1), &mut given_up).await.is_err());
    assert!(timeout(Duration::from_secs(1), &mut waiting).await.is_err());
    // The space goes to the first in line, who is not there any more.
    consume(&queue, 1).await;
    drop(given_up);
    assert_eq!(timeout(Duration::from_secs(1), waiting).await.expect("there is space").unwrap().len(), 1);
    assert_eq!(queue.depth().await.unwrap().ready, u64::from(FULL));
}

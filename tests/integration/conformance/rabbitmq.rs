//! What only the RabbitMQ adapter promises: what becomes of messages, connections and queues when the broker, the
//! network or an operator interferes.

mod connections;
mod deaths;
mod leaks;
mod publishing;
mod retries;
mod strays;
mod tls;

use std::sync::Arc;
use std::time::Duration;

use shared::queue::rabbitmq::{RabbitMqConfig, RabbitMqQueue};
use shared::queue::{Channel, Deliveries, Delivery, Depth, Queue, Settle};
use tests::conformance::queue::{KeptStrays, message, test_config};
use tests::services::Vhost;
use tokio::time::{Instant, sleep, timeout};

/// How long to wait for what must come.
const PATIENCE: Duration = Duration::from_secs(60);

const WORK: &str = "nightly-sync.work.v1";
const DEAD: &str = "nightly-sync.dead.v1";
const FIRST_RUNG: &str = "nightly-sync.retry-100ms.v1";

fn queue_with(config: RabbitMqConfig) -> RabbitMqQueue {
    RabbitMqQueue::new(config, Arc::new(KeptStrays::default()))
}

fn queue_at(url: &str) -> RabbitMqQueue {
    queue_with(test_config(url))
}

async fn publish(queue: &RabbitMqQueue, numbers: std::ops::Range<u32>) -> Vec<u32> {
    let confirmed = queue.publish(numbers.map(message).collect()).await.expect("to publish");
    confirmed.iter().map(|key| key.sheet_row).collect()
}

async fn next(deliveries: &mut Box<dyn Deliveries>) -> Delivery {
    let next = timeout(PATIENCE, deliveries.next()).await.expect("a delivery should have come");
    next.expect("the subscription goes on")
}

async fn ends(deliveries: &mut Box<dyn Deliveries>) {
    let mut in_hand = Vec::new();
    let ended = async {
        // Dropped before the end they would come at once again.
        while let Some(delivery) = deliveries.next().await {
            in_hand.push(delivery);
        }
    };
    timeout(PATIENCE, ended).await.expect("the subscription should have ended");
}

/// Subscribes as a worker does: again and again.
async fn subscribe(queue: &RabbitMqQueue, channel: Channel) -> Box<dyn Deliveries> {
    let gives_up = Instant::now() + PATIENCE;
    loop {
        match queue.subscribe(channel, 10).await {
            Ok(deliveries) => return deliveries,
            Err(error) => assert!(Instant::now() < gives_up, "{error:?} is what was seen last"),
        }
    }
}

async fn until_depth(queue: &RabbitMqQueue, expected: Depth) {
    let gives_up = Instant::now() + PATIENCE;
    loop {
        let depth = queue.depth().await.expect("a depth");
        if depth == expected {
            return;
        }
        assert!(Instant::now() < gives_up, "{depth:?} is what was seen last");
        sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn it_outlives_its_process() {
    let vhost = Vhost::new().await;
    let queue = queue_at(vhost.url());
    assert!(queue.durable());
    assert_eq!(publish(&queue, 0..3).await, [0, 1, 2]);
    queue.close().await;
    drop(queue);
    let queue = queue_at(vhost.url());
    let mut work = subscribe(&queue, Channel::Work).await;
    for expected in 0..3 {
        let delivery = next(&mut work).await;
        assert_eq!(delivery.message, message(expected));
        delivery.settle(Settle::Done).await.expect("to settle");
    }
}

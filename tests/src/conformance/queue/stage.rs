//! What the queue's cases play on.

use std::sync::Arc;
use std::time::Duration;

use shared::domain::Reason;
use shared::ledger::{RowKey, RowMessage, RunId};
use shared::queue::{Channel, Deliveries, Delivery, Depth, Queue, Settle};
use tokio::time::{Instant, sleep, timeout};
use uuid::Uuid;

use super::Adapter;

/// How long a case waits for what must come.
const PATIENCE: Duration = Duration::from_secs(60);

/// The `number`th message; its payload is its number.
pub fn message(number: u32) -> RowMessage {
    let key = RowKey { run: RunId(Uuid::nil()), sheet_row: number, generation: 1 };
    RowMessage { key, turn: 0, sealed: number.to_be_bytes().to_vec() }
}

/// An adapter with an empty queue.
pub struct Stage(Box<dyn Adapter>);

impl Stage {
    /// A stage for one case.
    pub fn new(adapter: impl Adapter + 'static) -> Self {
        Self(Box::new(adapter))
    }

    /// The queue under test.
    pub fn queue(&self) -> &Arc<dyn Queue> {
        self.0.queue()
    }

    /// See [`Adapter::wait`].
    pub fn wait(&self) -> Duration {
        self.0.wait()
    }

    /// See [`Adapter::death`].
    pub fn death(&self, reason: Reason) -> String {
        self.0.death(reason)
    }

    /// Publishes these numbers; all must be confirmed.
    pub async fn publish(&self, numbers: impl IntoIterator<Item = u32>) {
        let messages: Vec<_> = numbers.into_iter().map(message).collect();
        let keys: Vec<_> = messages.iter().map(|message| message.key).collect();
        let mut confirmed = self.queue().publish(messages).await.expect("to publish");
        confirmed.sort();
        assert_eq!(confirmed, keys);
    }

    /// Subscribes to the rows to work on.
    pub async fn work(&self, prefetch: usize) -> Box<dyn Deliveries> {
        self.queue().subscribe(Channel::Work, prefetch).await.expect("to subscribe")
    }

    /// Subscribes to the dead letters.
    pub async fn dead(&self) -> Box<dyn Deliveries> {
        self.queue().subscribe(Channel::DeadLetters, 10).await.expect("to subscribe")
    }

    /// Fails if something comes.
    pub async fn assert_quiet(&self, deliveries: &mut Box<dyn Deliveries>) {
        if let Ok(Some(delivery)) = timeout(self.wait() / 4, deliveries.next()).await {
            panic!("{:?} came", delivery.message);
        }
    }

    /// Waits until the queue's depth is this.
    pub async fn assert_depth(&self, expected: Depth) {
        let gives_up = Instant::now() + PATIENCE;
        loop {
            let depth = self.queue().depth().await.expect("a depth");
            if depth == expected {
                return;
            }
            assert!(Instant::now() < gives_up, "{depth:?} is what was seen last");
            sleep(Duration::from_millis(10)).await;
        }
    }
}

/// The next delivery, which must come.
pub(super) async fn next(deliveries: &mut Box<dyn Deliveries>) -> Delivery {
    let next = timeout(PATIENCE, deliveries.next()).await.expect("a delivery should have come");
    next.expect("the subscription goes on")
}

/// The number of the next delivery, which is done with.
pub(super) async fn next_done(deliveries: &mut Box<dyn Deliveries>) -> u32 {
    let delivery = next(deliveries).await;
    let number = delivery.message.key.sheet_row;
    delivery.settle(Settle::Done).await.expect("to settle");
    number
}

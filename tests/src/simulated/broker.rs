//! The in-process queue as a broker: it outlives the processes that use it, and fails as the weather has it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use shared::ledger::{RowKey, RowMessage};
use shared::queue::{
    Channel, Deliveries, Delivery, Depth, InProcessQueue, Queue, QueueError, Settle, Settler,
};
use tokio_util::sync::CancellationToken;

use super::life::Life;
use super::plan::QueueFault;
use super::watched::Claims;
use super::weather::Weather;

/// See the module. Clones are the same broker.
#[derive(Clone)]
pub(super) struct Broker {
    /// What it holds, and the end of subscriptions to that.
    kept: Arc<Mutex<(InProcessQueue, CancellationToken)>>,
    weather: Arc<Weather>,
    durable: bool,
}

impl Broker {
    pub(super) fn new(weather: Arc<Weather>, durable: bool) -> Self {
        let kept = Mutex::new((InProcessQueue::new(), CancellationToken::new())).into();
        Self { kept, weather, durable }
    }

    /// Loses everything.
    pub(super) fn empty(&self) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.1.cancel();
        *kept = (InProcessQueue::new(), CancellationToken::new());
    }

    fn kept(&self) -> (InProcessQueue, CancellationToken) {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) async fn depth(&self) -> Depth {
        self.kept().0.depth().await.expect("a queue in this process")
    }

    /// As one process uses it.
    pub(super) fn used_by(&self, life: &Life, claims: &Claims) -> Arc<dyn Queue> {
        Arc::new(Used { broker: self.clone(), life: life.clone(), claims: claims.clone() })
    }
}

struct Used {
    broker: Broker,
    life: Life,
    claims: Claims,
}

#[async_trait]
impl Queue for Used {
    fn durable(&self) -> bool {
        self.broker.durable
    }

    async fn publish(&self, messages: Vec<RowMessage>) -> Result<Vec<RowKey>, QueueError> {
        self.life.step("publishes").await;
        let (queue, _) = self.broker.kept();
        let (mut sent, mut confirmed) = (Vec::new(), Vec::new());
        for message in messages {
            let fault = self.broker.durable.then(|| self.broker.weather.queue_fault()).flatten();
            let key = message.key;
            match fault {
                Some(QueueFault::Refuses) => {
                    queue.publish(sent).await?;
                    return Err(QueueError::Failed { doing: "publish", source: "refused".into() });
                }
                Some(QueueFault::Loses) => {}
                Some(QueueFault::Doubles) => sent.extend([message.clone(), message]),
                Some(QueueFault::Unconfirmed) => {
                    sent.push(message);
                    continue;
                }
                None => sent.push(message),
            }
            confirmed.push(key);
        }
        queue.publish(sent).await?;
        self.life.step("published").await;
        Ok(confirmed)
    }

    async fn subscribe(&self, channel: Channel, prefetch: usize) -> Result<Box<dyn Deliveries>, QueueError> {
        self.life.step("subscribes").await;
        let (queue, ended) = self.broker.kept();
        let inner = queue.subscribe(channel, prefetch).await?;
        Ok(Box::new(Subscribed {
            inner,
            channel,
            ended,
            life: self.life.clone(),
            claims: self.claims.clone(),
        }))
    }

    async fn depth(&self) -> Result<Depth, QueueError> {
        Ok(self.broker.depth().await)
    }

    async fn consumers(&self) -> Result<u64, QueueError> {
        self.broker.kept().0.consumers().await
    }
}

struct Subscribed {
    inner: Box<dyn Deliveries>,
    channel: Channel,
    ended: CancellationToken,
    life: Life,
    claims: Claims,
}

#[async_trait]
impl Deliveries for Subscribed {
    async fn next(&mut self) -> Option<Delivery> {
        let delivery = tokio::select! {
            biased;
            () = self.ended.cancelled() => return None,
            delivery = self.inner.next() => delivery?,
        };
        // Dropped here it is delivered again.
        self.life.step("receives").await;
        let (message, deaths) = (delivery.message.clone(), delivery.deaths.clone());
        let (key, turn, channel) = (message.key, message.turn, self.channel);
        let hand =
            Hand { delivery, key, turn, channel, life: self.life.clone(), claims: self.claims.clone() };
        Some(Delivery::new(message, deaths, Box::new(hand)))
    }
}

struct Hand {
    delivery: Delivery,
    key: RowKey,
    turn: u32,
    channel: Channel,
    life: Life,
    claims: Claims,
}

#[async_trait]
impl Settler for Hand {
    async fn settle(self: Box<Self>, how: Settle) -> Result<(), QueueError> {
        if self.channel == Channel::Work {
            self.claims.settles(self.key, self.turn, how);
        }
        self.life.step(&format!("settles row {} {}", self.key.sheet_row, described(how))).await;
        self.delivery.settle(how).await?;
        self.life.step("settled").await;
        Ok(())
    }
}

fn described(how: Settle) -> String {
    match how {
        Settle::Done => "as done".into(),
        Settle::RetryAfter(after, turn) => {
            format!("to be tried as turn {turn} after {:?}", Duration::from_millis(after.as_millis() as u64))
        }
        Settle::DeadLetter(reason) => format!("as dead: {reason}"),
    }
}

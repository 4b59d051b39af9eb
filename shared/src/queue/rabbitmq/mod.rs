//! The queue over RabbitMQ: what a cluster runs on. Quorum queues, confirmed publishes, a ladder of retry queues.
//!
//! `link` keeps a connection, one for publishing and one for consuming; `topology` is the queues; `publisher`
//! and `courier` bring messages out, `subscription`, `pump` and `hand` bring them in and settle them. What a
//! message means, and whether it is stale, is the ledger's.
//!
//! On `amqps` the process's rustls provider is used: whoever starts the program installs one.

mod config;
mod courier;
mod fault;
mod forgotten;
mod hand;
mod kept;
mod link;
pub(crate) mod look;
pub(crate) mod message;
mod publisher;
mod pump;
mod socket;
mod strays;
mod subscription;
mod topology;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use async_trait::async_trait;
use lapin::options::{BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use tokio_util::task::TaskTracker;

use super::{Channel, Deliveries, Depth, Queue, QueueError};
use crate::ledger::{RowKey, RowMessage};
use courier::Courier;
use fault::within;
use forgotten::Looks;
use hand::Settling;
use link::Link;
use publisher::{Outgoing, Publisher};
use pump::Pump;
use subscription::{Desk, Subscription};
use topology::Topology;

pub use config::{AddressError, QueueTerms, RabbitMqConfig, TlsTerms, Waits};
pub use fault::RabbitMqError;
pub use kept::KeptStrays;
pub use message::DecodeError;
pub use strays::{Stray, Strays};

/// The RabbitMQ adapter. It connects when it is first used, and again whenever it has to.
pub struct RabbitMqQueue {
    config: Arc<RabbitMqConfig>,
    topology: Arc<Topology>,
    publisher: Arc<Publisher>,
    courier: Courier,
    consuming: Arc<Link>,
    strays: Arc<dyn Strays>,
    desks: Mutex<Vec<(Channel, Weak<Desk>)>>,
    pumps: TaskTracker,
}

impl RabbitMqQueue {
    /// An adapter that has not connected yet. `strays` keeps what cannot be decoded.
    ///
    /// # Panics
    /// Outside of a tokio runtime, or with an empty ladder.
    pub fn new(config: RabbitMqConfig, strays: Arc<dyn Strays>) -> Self {
        assert!(!config.queues.ladder.is_empty(), "a retry has to wait somewhere");
        let config = Arc::new(config);
        let topology = Arc::new(Topology::new(&config.queues));
        let publisher = Arc::new(Publisher::new(config.clone(), topology.clone()));
        let courier = Courier::start(publisher.clone());
        let consuming = Arc::new(Link::new(config.clone(), topology.clone(), "consuming"));
        Self {
            config,
            topology,
            publisher,
            courier,
            consuming,
            strays,
            desks: Mutex::default(),
            pumps: TaskTracker::new(),
        }
    }

    /// Ends all subscriptions, brings what waited in them to the broker, and closes the connections. Deliveries
    /// still in hand after [`Waits::answer`] are delivered again. Used after this, the adapter connects again.
    pub async fn close(&self) {
        for (_, desk) in self.desks().iter() {
            if let Some(desk) = desk.upgrade() {
                desk.end();
            }
        }
        self.pumps.close();
        if tokio::time::timeout(self.config.waits.answer, self.pumps.wait()).await.is_err() {
            tracing::warn!("the queue is closed with deliveries in hand; they will be delivered again");
        }
        self.pumps.reopen();
        tokio::join!(self.publisher.close(), self.consuming.close());
    }

    fn desks(&self) -> MutexGuard<'_, Vec<(Channel, Weak<Desk>)>> {
        self.desks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn consume(&self, channel: Channel, prefetch: usize) -> Result<Subscription, RabbitMqError> {
        let answer = self.config.waits.answer;
        let queue = match channel {
            Channel::Work => &self.topology.work,
            Channel::DeadLetters => &self.topology.dead,
        };
        let amqp = self.consuming.channel().await?;
        // 0 would mean unlimited.
        let prefetch = u16::try_from(prefetch.max(1)).unwrap_or(u16::MAX);
        within(answer, "take the prefetch", amqp.basic_qos(prefetch, BasicQosOptions::default())).await?;
        let consume = amqp.basic_consume(
            queue.as_str().into(),
            "".into(),
            BasicConsumeOptions::default(),
            FieldTable::default(),
        );
        let consumer = within(answer, "start a consumer", consume).await.inspect_err(|fault| {
            if fault.is_not_found() {
                self.consuming.declare_again();
            }
        })?;
        let desk = Arc::new(Desk::default());
        let settling = Arc::new(Settling {
            channel,
            topology: self.topology.clone(),
            courier: self.courier.clone(),
            answer,
            in_process: self.config.waits.in_process,
        });
        let pump = Pump {
            desk: desk.clone(),
            settling: settling.clone(),
            link: self.consuming.clone(),
            channel: amqp,
            consumer,
            queue: queue.clone(),
            strays: self.strays.clone(),
            looks: Looks::new(self.config.waits.forgotten),
        };
        self.pumps.spawn(pump.run());
        let mut desks = self.desks();
        desks.retain(|(_, desk)| desk.strong_count() > 0);
        desks.push((channel, Arc::downgrade(&desk)));
        Ok(Subscription { desk, settling })
    }
}

#[async_trait]
impl Queue for RabbitMqQueue {
    fn durable(&self) -> bool {
        true
    }

    async fn publish(&self, messages: Vec<RowMessage>) -> Result<Vec<RowKey>, QueueError> {
        let queue = &self.topology.work;
        // Their spans last until all are confirmed, or are not.
        let mut sending = Vec::new();
        let outgoing: Vec<_> = messages
            .into_iter()
            .map(|message| {
                let mut begun = (self.config.sending)(&message, "rabbitmq", queue);
                let trace = std::mem::take(&mut begun.headers);
                sending.push(begun);
                Outgoing { queue: queue.clone(), message, trace }
            })
            .collect();
        let confirmed = self.publisher.publish(&outgoing).await.map_err(|fault| fault.while_to("publish"))?;
        let kept = outgoing.iter().zip(confirmed).filter(|(_, confirmed)| *confirmed);
        Ok(kept.map(|(outgoing, _)| outgoing.message.key).collect())
    }

    async fn subscribe(&self, channel: Channel, prefetch: usize) -> Result<Box<dyn Deliveries>, QueueError> {
        match self.consume(channel, prefetch).await {
            Ok(subscription) => Ok(Box::new(subscription)),
            Err(fault) => Err(fault.while_to("subscribe")),
        }
    }

    async fn depth(&self) -> Result<Depth, QueueError> {
        let counts = self.publisher.count().await.map_err(|fault| fault.while_to("count"))?;
        let mut depth =
            Depth { ready: counts.work, unsettled: 0, waiting: counts.retrying, dead: counts.dead };
        for (channel, desk) in self.desks().iter() {
            let Some(desk) = desk.upgrade() else { continue };
            let held = desk.holdings();
            match channel {
                Channel::Work => depth.ready += held.ready,
                Channel::DeadLetters => depth.dead += held.ready,
            }
            depth.waiting += held.waiting;
            depth.unsettled += held.in_hand;
        }
        Ok(depth)
    }

    async fn consumers(&self) -> Result<u64, QueueError> {
        let counts = self.publisher.count().await.map_err(|fault| fault.while_to("count"))?;
        Ok(counts.consumers)
    }
}

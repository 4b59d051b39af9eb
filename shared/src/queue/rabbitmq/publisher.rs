//! Publishing with confirms: a window of unconfirmed messages on a channel that is one caller's alone, so that a
//! message that comes back unroutable can only be one of that caller's.

use std::collections::{HashSet, VecDeque};
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::ShortString;
use lapin::{Channel, Confirmation};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use super::config::RabbitMqConfig;
use super::fault::{RabbitMqError, within};
use super::link::Link;
use super::message;
use super::topology::{Counts, Topology};
use crate::ledger::RowMessage;
use crate::testing::Failpoint;

/// Channels in use at a time; more callers wait for one.
const CHANNELS: usize = 8;

/// A message on its way out.
#[derive(Clone, Debug)]
pub(super) struct Outgoing {
    /// Into which queue.
    pub queue: String,
    pub message: RowMessage,
    pub trace: Vec<(String, String)>,
}

/// The publishing side: a connection of its own, since a broker that is short of memory stops reading from
/// connections that publish, and must go on reading acknowledgements.
pub(super) struct Publisher {
    config: Arc<RabbitMqConfig>,
    topology: Arc<Topology>,
    link: Link,
    idle: Mutex<Vec<Channel>>,
    turns: Semaphore,
}

type Confirming<'a> = Pin<Box<dyn Future<Output = lapin::Result<Confirmation>> + Send + 'a>>;

/// A message that is published and not confirmed yet.
struct Flying<'a> {
    index: usize,
    deadline: Instant,
    confirming: Confirming<'a>,
    /// Its end, if it came already when it was first looked at.
    landed: Option<lapin::Result<Confirmation>>,
}

/// What became of a caller's messages.
struct Landed {
    acknowledged: Vec<bool>,
    /// By `message_id`: lapin hands a returned message out with whichever confirm comes next.
    returned: HashSet<String>,
    /// What ended it early; the channel is not to be used again.
    fault: Option<RabbitMqError>,
}

impl Publisher {
    pub(super) fn new(config: Arc<RabbitMqConfig>, topology: Arc<Topology>) -> Self {
        let link = Link::new(config.clone(), topology.clone(), "publishing");
        Self { config, topology, link, idle: Mutex::default(), turns: Semaphore::new(CHANNELS) }
    }

    /// Publishes in this order, and tells of each message whether it is confirmed to be kept. An error: none is.
    pub(super) async fn publish(&self, outgoing: &[Outgoing]) -> Result<Vec<bool>, RabbitMqError> {
        if outgoing.is_empty() {
            return Ok(Vec::new());
        }
        let _turn = self.turns.acquire().await.expect("the semaphore is never closed");
        // Owned here, so that a caller who gives up takes the channel along: confirms that are still to come
        // must not meet the next caller.
        let channel = self.take_channel().await?;
        let (landed, ids) = self.fly(&channel, outgoing).await;
        if !landed.returned.is_empty() {
            tracing::warn!(
                messages = landed.returned.len(),
                "RabbitMQ returned messages: a queue is missing"
            );
            self.link.declare_again();
        } else if landed.fault.is_none() {
            self.idle().push(channel);
        } else {
            // Those beside it may look well for a moment yet, on a connection that is lost.
            self.idle().clear();
        }
        let confirmed: Vec<_> = landed
            .acknowledged
            .iter()
            .zip(&ids)
            .map(|(acknowledged, id)| *acknowledged && !landed.returned.contains(id))
            .collect();
        match landed.fault {
            Some(fault) if !confirmed.contains(&true) => Err(fault),
            Some(fault) => {
                tracing::debug!(error = %fault, "publishing ended early");
                Ok(confirmed)
            }
            None => Ok(confirmed),
        }
    }

    /// What is ready in the broker; queues that are missing are made.
    pub(super) async fn count(&self) -> Result<Counts, RabbitMqError> {
        let answer = self.config.waits.answer;
        let channel = self.take_channel().await?;
        let counts = match self.topology.count(&channel, answer).await {
            // It closed the channel, too.
            Err(fault) if fault.is_not_found() => {
                self.link.declare_again();
                let channel = self.take_channel().await?;
                self.topology.count(&channel, answer).await?
            }
            counts => {
                let counts = counts?;
                self.idle().push(channel);
                counts
            }
        };
        Ok(counts)
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Channel>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) async fn close(&self) {
        self.idle().clear();
        self.link.close().await;
    }

    async fn take_channel(&self) -> Result<Channel, RabbitMqError> {
        loop {
            let Some(channel) = self.idle().pop() else { break };
            if channel.status().connected() {
                return Ok(channel);
            }
        }
        let channel = self.link.channel().await?;
        let confirms = channel.confirm_select(ConfirmSelectOptions::default());
        within(self.config.waits.answer, "confirm publishes", confirms).await?;
        Ok(channel)
    }

    async fn fly(&self, channel: &Channel, outgoing: &[Outgoing]) -> (Landed, Vec<String>) {
        let mut ids = Vec::with_capacity(outgoing.len());
        let mut landed =
            Landed { acknowledged: vec![false; outgoing.len()], returned: HashSet::new(), fault: None };
        let mut flying = VecDeque::with_capacity(self.config.window.min(outgoing.len()));
        for (index, outgoing) in outgoing.iter().enumerate() {
            if flying.len() >= self.config.window
                && let Some(first) = flying.pop_front()
            {
                self.land(first, &mut landed).await;
            }
            if landed.fault.is_some() {
                break;
            }
            let (properties, id) = message::properties(&outgoing.trace);
            ids.push(id);
            let body = message::encode(&outgoing.message);
            let queue: ShortString = outgoing.queue.as_str().into();
            let mut confirming: Confirming<'_> = Box::pin(async move {
                let options = BasicPublishOptions { mandatory: true, ..Default::default() };
                channel.basic_publish("".into(), queue, options, &body, properties).await?.await
            });
            // Looked at once, which hands it to the socket's thread in this order. Nobody waits for one frame to
            // be written before the next.
            let landed = poll_fn(|context| match confirming.as_mut().poll(context) {
                Poll::Ready(end) => Poll::Ready(Some(end)),
                Poll::Pending => Poll::Ready(None),
            });
            let landed = landed.await;
            let deadline = Instant::now() + self.config.waits.confirm;
            flying.push_back(Flying { index, deadline, confirming, landed });
        }
        Failpoint::Published.pass();
        for flying in flying {
            self.land(flying, &mut landed).await;
        }
        ids.resize(outgoing.len(), String::new());
        (landed, ids)
    }

    async fn land(&self, flying: Flying<'_>, landed: &mut Landed) {
        let end = match flying.landed {
            Some(end) => Ok(end),
            None => timeout_at(flying.deadline, flying.confirming).await,
        };
        match end {
            Ok(Ok(confirmation)) => {
                landed.acknowledged[flying.index] = confirmation.is_ack();
                if let Some(returned) = confirmation.take_message()
                    && let Some(id) = returned.delivery.properties.message_id()
                {
                    landed.returned.insert(id.as_str().to_owned());
                }
            }
            Ok(Err(error)) => landed.fault = Some(RabbitMqError::Broken(error)),
            Err(_) => {
                let within = self.config.waits.confirm;
                landed.fault = Some(RabbitMqError::Silent { what: "confirm a message", within });
            }
        }
    }
}

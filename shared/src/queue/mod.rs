//! The queue port: moves a row's message to some worker, at least once. It is transport only: what is true of
//! a row stands in the ledger, and the sweep publishes again whatever a queue loses.
//!
//! A delivery ends in exactly one of *done*, *retry after*, *dead-letter*; one that is dropped unsettled
//! (its worker died) is delivered again. Both adapters run the conformance suite in `tests/`; declared
//! differences: the in-process queue is not [`durable`](Queue::durable), makes a publisher wait while it is full,
//! and tells as a dead letter's [`deaths`](Delivery::deaths) the reason it was given up for. RabbitMQ tells how
//! it came to be one (`rejected`, `delivery_limit`), the reason being the ledger's; it keeps a subscription's
//! prefetch for it before it asks, and leaves a full queue's messages unconfirmed.

mod in_process;
#[cfg(feature = "rabbitmq")]
pub mod rabbitmq;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::domain::Reason;
use crate::ledger::{RowKey, RowMessage, RunKind};

pub use in_process::InProcessQueue;

/// A queue's failure.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// The other side cannot be reached, or refused.
    #[error("the queue failed while it was to {doing}")]
    Failed {
        /// The verb, as in "publish".
        doing: &'static str,
        /// What it said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A queue exists, made with other arguments than this version of the program declares.
    #[error(
        "the queue {queue} exists with other arguments; use another prefix, or remove it once it is empty"
    )]
    Mismatch {
        /// Its name.
        queue: String,
        /// What the other side said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Which messages to receive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    /// Rows to work on.
    Work,
    /// Rows that were given up, to be completed as dead letters.
    DeadLetters,
}

/// How much waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Depth {
    /// Ready in the work queue.
    pub ready: u64,
    /// Delivered and not settled yet.
    pub unsettled: u64,
    /// Waiting for their time to be tried again.
    pub waiting: u64,
    /// Given up, and not completed yet.
    pub dead: u64,
}

/// Publishes and delivers.
#[async_trait]
pub trait Queue: Send + Sync {
    /// Whether messages outlive this process.
    fn durable(&self) -> bool;

    /// Publishes, and names the rows whose messages are confirmed to be kept. The others may or may not
    /// arrive: publish them again.
    async fn publish(&self, messages: Vec<RowMessage>) -> Result<Vec<RowKey>, QueueError>;

    /// Subscribes. At most `prefetch` deliveries are unsettled at a time.
    async fn subscribe(&self, channel: Channel, prefetch: usize) -> Result<Box<dyn Deliveries>, QueueError>;

    /// How much waits.
    async fn depth(&self) -> Result<Depth, QueueError>;

    /// How many subscriptions receive work, of all processes.
    async fn consumers(&self) -> Result<u64, QueueError>;
}

/// The queues of a program. Dry runs travel apart from nights: what an operator tries out waits behind no night,
/// and holds none up.
#[derive(Clone)]
pub struct Queues {
    /// For runs that write.
    pub night: Arc<dyn Queue>,
    /// For runs that write nothing.
    pub dry_run: Arc<dyn Queue>,
}

impl Queues {
    /// One for both, where only one run is worked on at a time.
    pub fn one(queue: Arc<dyn Queue>) -> Self {
        Self { night: queue.clone(), dry_run: queue }
    }

    /// The queue for runs of this kind.
    pub fn of(&self, kind: RunKind) -> &Arc<dyn Queue> {
        match kind {
            RunKind::Night => &self.night,
            RunKind::DryRun => &self.dry_run,
        }
    }

    /// The queue for dry runs, where it is another than that for nights.
    pub fn apart(&self) -> Option<&Arc<dyn Queue>> {
        (!Arc::ptr_eq(&self.night, &self.dry_run)).then_some(&self.dry_run)
    }
}

/// A subscription; dropping it ends it.
#[async_trait]
pub trait Deliveries: Send {
    /// The next delivery. `None`: the subscription ended, subscribe again. Cancel-safe.
    async fn next(&mut self) -> Option<Delivery>;
}

/// How a delivery ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settle {
    /// Nothing more is to be done with this message.
    Done,
    /// Deliver it again after this long, as this turn of its row. For work only: a dead letter that cannot be
    /// completed now is dropped unsettled.
    RetryAfter(Duration, u32),
    /// Give it up; it comes out of [`Channel::DeadLetters`].
    DeadLetter(Reason),
}

/// What an adapter does when a delivery ends. Dropped unused, it puts the message back.
#[async_trait]
pub trait Settler: Send {
    /// Ends it.
    async fn settle(self: Box<Self>, how: Settle) -> Result<(), QueueError>;
}

/// A message in the hands of a worker.
pub struct Delivery {
    /// The message.
    pub message: RowMessage,
    /// What the queue tells of the message's deaths, on [`Channel::DeadLetters`].
    pub deaths: Option<String>,
    /// Headers that carry the publisher's trace (W3C `traceparent`, `tracestate`); empty where none came along.
    pub trace: Vec<(String, String)>,
    settler: Box<dyn Settler>,
}

impl Delivery {
    /// What an adapter hands out.
    pub fn new(message: RowMessage, deaths: Option<String>, settler: Box<dyn Settler>) -> Self {
        Self { message, deaths, trace: Vec::new(), settler }
    }

    /// With the trace that came along.
    #[must_use]
    pub fn with_trace(mut self, trace: Vec<(String, String)>) -> Self {
        self.trace = trace;
        self
    }

    /// Ends it. An error means that it may be delivered again, which the ledger then sees through.
    pub async fn settle(self, how: Settle) -> Result<(), QueueError> {
        self.settler.settle(how).await
    }
}

//! A delivery in a worker's hands, and the ways it ends.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lapin::options::{BasicAckOptions, BasicRejectOptions};
use tokio::time::Instant;

use super::courier::Courier;
use super::fault::{RabbitMqError, within};
use super::publisher::Outgoing;
use super::subscription::{Desk, Held};
use super::topology::Topology;
use crate::queue::{Channel, Delivery, QueueError, Settle, Settler};
use crate::testing::Failpoint;

/// What settling needs beside the delivery.
pub(super) struct Settling {
    pub channel: Channel,
    pub topology: Arc<Topology>,
    pub courier: Courier,
    /// See [`Waits::answer`](super::Waits::answer).
    pub answer: Duration,
    /// See [`Waits::in_process`](super::Waits::in_process).
    pub in_process: Duration,
}

impl Settling {
    /// Publishes the copy of a message to a retry queue, and is done with the original. Between the two both
    /// exist: the ledger sees through the older turn.
    pub(super) async fn try_later(&self, held: &Held, after: Duration) -> Result<(), RabbitMqError> {
        let queue = self.topology.rung(after, &mut rand::rng()).to_owned();
        let copy = Outgoing { queue, message: held.message.clone(), trace: held.trace.clone() };
        if let Err(fault) = self.courier.carry(copy.clone()).await {
            // That a connection is cut or a queue missing shows when it is used; then both are made again.
            tracing::debug!(error = %fault, "a copy to be tried again is carried once more");
            self.courier.carry(copy).await?;
        }
        Failpoint::PutOff.pass();
        if let Err(fault) = self.acknowledge(held).await {
            // It is gone with its connection, and comes again, of a turn that is stale by then.
            tracing::debug!(error = %fault, "the copy to be tried again carries on alone");
        }
        Ok(())
    }

    pub(super) async fn acknowledge(&self, held: &Held) -> Result<(), RabbitMqError> {
        settled(
            within(self.answer, "take an acknowledgement", held.acker.ack(BasicAckOptions::default()))
                .await?,
        )
    }

    pub(super) async fn reject(&self, held: &Held, requeue: bool) -> Result<(), RabbitMqError> {
        let reject = held.acker.reject(BasicRejectOptions { requeue });
        settled(within(self.answer, "take a rejection", reject).await?)
    }
}

/// lapin tells a channel that is gone by a `false`, which is easily missed.
fn settled(answer: bool) -> Result<(), RabbitMqError> {
    if answer { Ok(()) } else { Err(RabbitMqError::NotAcknowledged) }
}

pub(super) struct Hand {
    desk: Arc<Desk>,
    settling: Arc<Settling>,
    held: Option<Held>,
}

impl Hand {
    pub(super) fn deliver(desk: Arc<Desk>, settling: Arc<Settling>, held: Held) -> Delivery {
        let (message, deaths, trace) = (held.message.clone(), held.deaths.clone(), held.trace.clone());
        Delivery::new(message, deaths, Box::new(Self { desk, settling, held: Some(held) })).with_trace(trace)
    }

    /// False: the subscription is over, and nobody would hand it out again.
    fn wait_here(&mut self, until: Instant) -> bool {
        if let Some(held) = self.held.take() {
            self.held = self.desk.wait(until, held);
        }
        self.held.is_none()
    }

    async fn end(&mut self, how: Settle) -> Result<(), RabbitMqError> {
        let Some(held) = &mut self.held else { return Ok(()) };
        match (how, self.settling.channel) {
            (Settle::Done, _) => self.settling.acknowledge(held).await,
            (Settle::RetryAfter(after, turn), Channel::Work) => {
                held.message.turn = turn;
                held.turned = true;
                let until = Instant::now() + after;
                if after <= self.settling.in_process && self.wait_here(until) {
                    return Ok(());
                }
                let Some(held) = &self.held else { return Ok(()) };
                match self.settling.try_later(held, after).await {
                    // Put back now it would come at once.
                    Err(_) if held.acker.usable() && self.wait_here(until) => Ok(()),
                    tried => tried,
                }
            }
            // The reason is the ledger's already; the dead-letter exchange takes the message on.
            (Settle::DeadLetter(_), Channel::Work) => self.settling.reject(held, false).await,
            // There is nowhere else for a dead letter to be: it stays one.
            (Settle::RetryAfter(..) | Settle::DeadLetter(_), Channel::DeadLetters) => {
                self.settling.reject(held, true).await
            }
        }
    }
}

#[async_trait]
impl Settler for Hand {
    async fn settle(mut self: Box<Self>, how: Settle) -> Result<(), QueueError> {
        self.end(how).await.map_err(|fault| fault.while_to("settle a delivery"))
    }
}

impl Drop for Hand {
    fn drop(&mut self) {
        match self.held.take() {
            // It was dropped, or what it was to end in failed.
            Some(held) if held.acker.usable() => self.desk.put_back(held),
            Some(_) => self.desk.settled(),
            // It waits, and was counted out.
            None => {}
        }
    }
}

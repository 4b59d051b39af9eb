//! The task behind a subscription: takes what the broker pushes, and, when it is over, gives back what nobody has
//! in hand, waits for the rest, and closes the channel.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_core::Stream as _;
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicCancelOptions};
use lapin::{Channel, Consumer};
use tokio::task::JoinSet;

use super::fault::within;
use super::forgotten::Looks;
use super::hand::Settling;
use super::link::Link;
use super::message;
use super::strays::{Stray, Strays};
use super::subscription::{Desk, Held};

/// Before a stray that could not be kept is tried again.
const STRAY_PAUSE: Duration = Duration::from_secs(1);

pub(super) struct Pump {
    pub desk: Arc<Desk>,
    pub settling: Arc<Settling>,
    pub link: Arc<Link>,
    pub channel: Channel,
    pub consumer: Consumer,
    pub queue: String,
    pub strays: Arc<dyn Strays>,
    pub looks: Looks,
}

impl Pump {
    pub(super) async fn run(mut self) {
        let mut strays = JoinSet::new();
        loop {
            let returned = self.desk.until_returned();
            if self.desk.is_over() {
                break;
            }
            tokio::select! {
                next = next(&mut self.consumer) => match next {
                    Some(delivery) => {
                        self.looks.arrived();
                        self.arrived(delivery, &mut strays);
                    }
                    None => {
                        // Cancelled by the broker, most likely because the queue is gone, or disconnected.
                        self.link.declare_again();
                        self.desk.end();
                        break;
                    }
                },
                () = returned => {}
                Some(_) = strays.join_next() => {}
                () = self.looks.until_due() => {
                    let (answer, has_room) = (self.settling.answer, self.desk.is_empty());
                    if self.looks.look(&self.channel, &self.queue, answer, has_room).await {
                        tracing::warn!(
                            queue = self.queue,
                            "RabbitMQ has messages and delivers none; subscribing again"
                        );
                        self.link.declare_again();
                        self.desk.end();
                        break;
                    }
                }
            }
        }
        self.wind_up(&mut strays).await;
    }

    fn arrived(&self, delivery: Delivery, strays: &mut JoinSet<()>) {
        let Delivery { properties, data, acker, .. } = delivery;
        match message::decode(&properties, &data) {
            Ok(message) => {
                let deaths = (self.settling.channel == crate::queue::Channel::DeadLetters)
                    .then(|| message::deaths(&properties));
                let trace = message::trace(&properties);
                self.desk.arrived(Held { message, turned: false, deaths, trace, acker });
            }
            Err(fault) => {
                let mut data = data;
                data.truncate(message::LONGEST_BODY);
                let stray = Stray {
                    queue: self.queue.clone(),
                    message_id: properties.message_id().as_ref().map(ToString::to_string),
                    content_type: properties.content_type().as_ref().map(ToString::to_string),
                    body: data,
                    fault,
                };
                strays.spawn(keep(self.strays.clone(), stray, acker));
            }
        }
    }

    async fn wind_up(&mut self, strays: &mut JoinSet<()>) {
        let answer = self.settling.answer;
        strays.abort_all();
        if self.channel.status().connected() {
            let cancel = self.channel.basic_cancel(self.consumer.tag(), BasicCancelOptions::default());
            if within(answer, "cancel a consumer", cancel).await.is_ok() {
                // What was on its way; the stream ends with the answer to the cancellation.
                while let Ok(Some(delivery)) = tokio::time::timeout(answer, next(&mut self.consumer)).await {
                    self.arrived(delivery, strays);
                }
            }
        }
        loop {
            let returned = self.desk.until_returned();
            let (left, in_hand) = self.desk.leftovers();
            // Side by side, so that their copies share windows, and the wait for a broker that is away.
            let mut carried = JoinSet::new();
            for held in left {
                if held.turned {
                    let settling = self.settling.clone();
                    carried.spawn(async move { settling.try_later(&held, Duration::ZERO).await });
                } else {
                    // It fails where the channel is gone, and then the broker has it back already.
                    let _ = self.settling.reject(&held, true).await;
                }
            }
            while let Some(carried) = carried.join_next().await {
                if let Err(error) = carried.expect("carrying neither panics nor is aborted") {
                    tracing::debug!(error = %error, "a retry was left to the sweep");
                }
            }
            if !in_hand {
                break;
            }
            returned.await;
        }
        // Whatever is left on the channel, strays that could not be kept among it, goes back to the queue.
        let _ = within(answer, "close a channel", self.channel.close(200, "done".into())).await;
    }
}

/// None: it ended, by whatever cause.
async fn next(consumer: &mut Consumer) -> Option<Delivery> {
    match poll_fn(|context| Pin::new(&mut *consumer).poll_next(context)).await {
        Some(Ok(delivery)) => Some(delivery),
        Some(Err(error)) => {
            tracing::debug!(error = %error, "a consumer ended");
            None
        }
        None => None,
    }
}

async fn keep(strays: Arc<dyn Strays>, stray: Stray, acker: lapin::Acker) {
    while acker.usable() {
        match strays.keep(&stray).await {
            Ok(()) => {
                let _ = acker.ack(BasicAckOptions::default()).await;
                return;
            }
            Err(error) => {
                tracing::error!(error = %error, "a message that cannot be decoded could not be kept")
            }
        }
        tokio::time::sleep(STRAY_PAUSE).await;
    }
}

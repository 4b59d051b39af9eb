//! Consumers that the broker has forgotten. A broker that lost its queue in the middle of making it, seen with 3.10 on a
//! machine without a moment to spare, tells nobody: the consumer stands for ever on our side, and its messages stay
//! where they are. So a consumer that has room, and gets nothing though messages are ready, is made anew.

use std::time::Duration;

use lapin::Channel;
use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use tokio::time::{Instant, sleep_until};

use super::fault::within;

/// So many looks in a row must find that. One may find what is on its way.
const LOOKS: u32 = 2;

/// What a consumer's looks found so far.
pub(super) struct Looks {
    every: Duration,
    next: Instant,
    arrived: bool,
    starved: u32,
}

impl Looks {
    pub(super) fn new(every: Duration) -> Self {
        Self { every, next: Instant::now() + every, arrived: false, starved: 0 }
    }

    /// Something was delivered.
    pub(super) fn arrived(&mut self) {
        self.arrived = true;
    }

    pub(super) async fn until_due(&self) {
        sleep_until(self.next).await;
    }

    /// Looks whether anything is ready in the queue of a consumer that had room all the time. True: it is forgotten.
    pub(super) async fn look(
        &mut self,
        channel: &Channel,
        queue: &str,
        answer: Duration,
        has_room: bool,
    ) -> bool {
        let passive = QueueDeclareOptions { passive: true, ..Default::default() };
        let quiet = has_room && !std::mem::take(&mut self.arrived);
        let starved = quiet && {
            let counted = channel.queue_declare(queue.into(), passive, FieldTable::default());
            // One that cannot be asked is found out otherwise: its channel is gone.
            within(answer, "count a queue", counted).await.is_ok_and(|found| found.message_count() > 0)
        };
        self.starved = if starved { self.starved + 1 } else { 0 };
        self.next = Instant::now() + self.every;
        self.starved >= LOOKS
    }
}

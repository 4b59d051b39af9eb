//! The queue inside one process: what `standalone` runs on.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::{Channel, Deliveries, Delivery, Depth, Queue, QueueError, Settle, Settler};
use crate::ledger::{RowKey, RowMessage};
use crate::traces::Sending;

/// Messages ready at most before a publisher has to wait: a million rows must not all be in memory.
const CAPACITY: usize = 10_000;

/// What spans call it.
const SYSTEM: &str = "in_process";

/// The in-process adapter. Clones share one queue.
#[derive(Clone, Default)]
pub struct InProcessQueue(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// Something became ready or dead, or an earlier message started to wait.
    arrived: Notify,
    /// A ready message was taken.
    space: Notify,
}

#[derive(Default)]
struct State {
    ready: VecDeque<Kept>,
    waiting: BinaryHeap<Reverse<Waiting>>,
    dead: VecDeque<(Kept, String)>,
    unsettled: usize,
    waits: u64,
    workers: u64,
}

/// A message, and the trace it carries.
#[derive(Clone)]
struct Kept {
    message: RowMessage,
    trace: Vec<(String, String)>,
}

/// Ordered by time, then by arrival.
struct Waiting {
    until: Instant,
    arrival: u64,
    kept: Kept,
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}
impl Eq for Waiting {}
impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Waiting {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.until, self.arrival).cmp(&(other.until, other.arrival))
    }
}

impl State {
    fn wake_waiting(&mut self, now: Instant) {
        while let Some(Reverse(first)) = self.waiting.peek()
            && first.until <= now
        {
            let Some(Reverse(woken)) = self.waiting.pop() else { break };
            self.ready.push_back(woken.kept);
        }
    }
}

impl InProcessQueue {
    /// An empty queue.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // No code panics while it holds this lock; the state is whole either way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put_back(&self, channel: Channel, kept: Kept, deaths: Option<String>) {
        let mut state = self.state();
        state.unsettled -= 1;
        match channel {
            Channel::Work => state.ready.push_front(kept),
            Channel::DeadLetters => state.dead.push_front((kept, deaths.unwrap_or_default())),
        }
        drop(state);
        self.arrived.notify_waiters();
    }
}

#[async_trait]
impl Queue for InProcessQueue {
    fn durable(&self) -> bool {
        false
    }

    async fn publish(&self, messages: Vec<RowMessage>) -> Result<Vec<RowKey>, QueueError> {
        let mut confirmed = Vec::with_capacity(messages.len());
        for message in messages {
            let sending = Sending::begin(&message, SYSTEM, "work");
            loop {
                let space = self.0.space.notified();
                let mut space = std::pin::pin!(space);
                space.as_mut().enable();
                {
                    let mut state = self.0.state();
                    if state.ready.len() < CAPACITY {
                        confirmed.push(message.key);
                        state.ready.push_back(Kept { message, trace: sending.headers.clone() });
                        break;
                    }
                }
                // What was pushed so far must be seen before we wait for somebody to take it.
                self.0.arrived.notify_waiters();
                space.await;
            }
        }
        self.0.arrived.notify_waiters();
        Ok(confirmed)
    }

    async fn subscribe(&self, channel: Channel, prefetch: usize) -> Result<Box<dyn Deliveries>, QueueError> {
        let permits = Arc::new(Semaphore::new(prefetch.max(1)));
        if channel == Channel::Work {
            self.0.state().workers += 1;
        }
        Ok(Box::new(Subscription { shared: self.0.clone(), channel, permits }))
    }

    async fn depth(&self) -> Result<Depth, QueueError> {
        let mut state = self.0.state();
        state.wake_waiting(Instant::now());
        Ok(Depth {
            ready: state.ready.len() as u64,
            unsettled: state.unsettled as u64,
            waiting: state.waiting.len() as u64,
            dead: state.dead.len() as u64,
        })
    }

    async fn consumers(&self) -> Result<u64, QueueError> {
        Ok(self.0.state().workers)
    }
}

struct Subscription {
    shared: Arc<Shared>,
    channel: Channel,
    permits: Arc<Semaphore>,
}

impl Drop for Subscription {
    fn drop(&mut self) {
        if self.channel == Channel::Work {
            self.shared.state().workers -= 1;
        }
    }
}

#[async_trait]
impl Deliveries for Subscription {
    async fn next(&mut self) -> Option<Delivery> {
        let permit = self.permits.clone().acquire_owned().await.ok()?;
        loop {
            let arrived = self.shared.arrived.notified();
            let mut arrived = std::pin::pin!(arrived);
            arrived.as_mut().enable();
            let next_wake = {
                let mut state = self.shared.state();
                state.wake_waiting(Instant::now());
                let taken = match self.channel {
                    Channel::Work => state.ready.pop_front().map(|kept| (kept, None)),
                    Channel::DeadLetters => state.dead.pop_front().map(|(kept, deaths)| (kept, Some(deaths))),
                };
                if let Some((kept, deaths)) = taken {
                    state.unsettled += 1;
                    drop(state);
                    self.shared.space.notify_one();
                    let hand = InHand {
                        shared: self.shared.clone(),
                        channel: self.channel,
                        kept: Some((kept.clone(), deaths.clone())),
                        _permit: permit,
                    };
                    let Kept { message, trace } = kept;
                    return Some(Delivery::new(message, deaths, Box::new(hand)).with_trace(trace));
                }
                state.waiting.peek().map(|Reverse(first)| first.until)
            };
            match next_wake {
                Some(at) => {
                    tokio::select! {
                        biased;
                        () = arrived => {}
                        () = tokio::time::sleep_until(at) => {}
                    }
                }
                None => arrived.await,
            }
        }
    }
}

struct InHand {
    shared: Arc<Shared>,
    channel: Channel,
    kept: Option<(Kept, Option<String>)>,
    _permit: OwnedSemaphorePermit,
}

#[async_trait]
impl Settler for InHand {
    async fn settle(mut self: Box<Self>, how: Settle) -> Result<(), QueueError> {
        let Some((mut kept, _)) = self.kept.take() else { return Ok(()) };
        {
            let mut state = self.shared.state();
            state.unsettled -= 1;
            match how {
                Settle::Done => return Ok(()),
                Settle::RetryAfter(after, turn) => {
                    kept.message.turn = turn;
                    let (until, arrival) = (Instant::now() + after, state.waits);
                    state.waits += 1;
                    state.waiting.push(Reverse(Waiting { until, arrival, kept }));
                }
                Settle::DeadLetter(reason) => state.dead.push_back((kept, reason.to_string())),
            }
        }
        self.shared.arrived.notify_waiters();
        Ok(())
    }
}

impl Drop for InHand {
    fn drop(&mut self) {
        if let Some((kept, deaths)) = self.kept.take() {
            self.shared.put_back(self.channel, kept, deaths);
        }
    }
}

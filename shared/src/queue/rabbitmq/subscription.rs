//! A subscription: what the broker has pushed and nobody has taken yet, what waits here to be tried again, and
//! how many deliveries are in workers' hands.
//!
//! Each has a channel of its own and a task (the pump) that moves deliveries from lapin's buffer into ours. It
//! outlives the subscription until all that was in hand is settled; what was not in hand goes back to the broker.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use lapin::Acker;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::hand::{Hand, Settling};
use crate::ledger::RowMessage;
use crate::queue::{Deliveries, Delivery};

/// A message that the broker has delivered to us and that is not settled.
#[derive(Debug)]
pub(super) struct Held {
    pub message: RowMessage,
    /// Whether the broker knows it by an older turn, which the ledger sees as stale.
    pub turned: bool,
    pub deaths: Option<String>,
    pub trace: Vec<(String, String)>,
    pub acker: Acker,
}

/// Ordered by time, then by arrival.
#[derive(Debug)]
struct Waiting {
    until: Instant,
    arrival: u64,
    held: Held,
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

/// What a subscription, its deliveries and its pump share.
#[derive(Default)]
pub(super) struct Desk {
    state: Mutex<State>,
    /// Something is ready or waits, or it is over.
    changed: Notify,
    /// Something came back, or nothing is in hand any more: for the pump.
    returned: Notify,
}

#[derive(Default)]
struct State {
    ready: VecDeque<Held>,
    waiting: BinaryHeap<Reverse<Waiting>>,
    waits: u64,
    in_hand: usize,
    /// Nothing is handed out any more: the subscription was dropped, or the broker ended it.
    over: bool,
}

/// What a subscription holds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Holdings {
    pub ready: u64,
    pub waiting: u64,
    pub in_hand: u64,
}

impl State {
    fn wake_waiting(&mut self, now: Instant) {
        while let Some(Reverse(first)) = self.waiting.peek()
            && first.until <= now
        {
            let Some(Reverse(woken)) = self.waiting.pop() else { break };
            self.ready.push_back(woken.held);
        }
    }
}

impl Desk {
    fn state(&self) -> MutexGuard<'_, State> {
        // No code panics while it holds this lock; the state is whole either way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The broker delivered this.
    pub(super) fn arrived(&self, held: Held) {
        self.state().ready.push_back(held);
        self.changed.notify_one();
    }

    /// A worker dropped it unsettled: it is the next to be handed out, or goes back to the broker.
    pub(super) fn put_back(&self, held: Held) {
        let mut state = self.state();
        state.in_hand -= 1;
        state.ready.push_front(held);
        drop(state);
        self.changed.notify_one();
        self.returned.notify_one();
    }

    /// A worker is done with one.
    pub(super) fn settled(&self) {
        self.state().in_hand -= 1;
        self.returned.notify_one();
    }

    /// A worker wants it again at this time. Gives it back if the subscription is over: nobody would hand it out.
    pub(super) fn wait(&self, until: Instant, held: Held) -> Option<Held> {
        let mut state = self.state();
        if state.over {
            return Some(held);
        }
        state.in_hand -= 1;
        let arrival = state.waits;
        state.waits += 1;
        state.waiting.push(Reverse(Waiting { until, arrival, held }));
        drop(state);
        self.changed.notify_one();
        None
    }

    /// Nothing is handed out from now on.
    pub(super) fn end(&self) {
        self.state().over = true;
        self.changed.notify_one();
        self.returned.notify_one();
    }

    /// Once over: everything that nobody has in hand, and whether somebody still has something in hand.
    pub(super) fn leftovers(&self) -> (Vec<Held>, bool) {
        let mut state = self.state();
        let mut left: Vec<_> = state.ready.drain(..).collect();
        left.extend(std::mem::take(&mut state.waiting).into_iter().map(|Reverse(waiting)| waiting.held));
        (left, state.in_hand > 0)
    }

    pub(super) async fn until_returned(&self) {
        self.returned.notified().await;
    }

    /// Whether it holds nothing, in anybody's hand or waiting: all of the prefetch is free.
    pub(super) fn is_empty(&self) -> bool {
        let state = self.state();
        state.ready.is_empty() && state.waiting.is_empty() && state.in_hand == 0
    }

    pub(super) fn is_over(&self) -> bool {
        self.state().over
    }

    pub(super) fn holdings(&self) -> Holdings {
        let mut state = self.state();
        state.wake_waiting(Instant::now());
        Holdings {
            ready: state.ready.len() as u64,
            waiting: state.waiting.len() as u64,
            in_hand: state.in_hand as u64,
        }
    }
}

/// The subscriber's end.
pub(super) struct Subscription {
    pub desk: Arc<Desk>,
    pub settling: Arc<Settling>,
}

#[async_trait]
impl Deliveries for Subscription {
    async fn next(&mut self) -> Option<Delivery> {
        // Who drops what it gets gets it again at once; others must have their turn all the same.
        tokio::task::coop::consume_budget().await;
        loop {
            // One waiter at most, so a permit stored by `notify_one` is never another's.
            let changed = self.desk.changed.notified();
            let next_wake = {
                let mut state = self.desk.state();
                if state.over {
                    return None;
                }
                state.wake_waiting(Instant::now());
                if let Some(held) = state.ready.pop_front() {
                    state.in_hand += 1;
                    drop(state);
                    return Some(Hand::deliver(self.desk.clone(), self.settling.clone(), held));
                }
                state.waiting.peek().map(|Reverse(first)| first.until)
            };
            match next_wake {
                Some(at) => {
                    tokio::select! {
                        () = changed => {}
                        () = tokio::time::sleep_until(at) => {}
                    }
                }
                None => changed.await,
            }
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.desk.end();
    }
}

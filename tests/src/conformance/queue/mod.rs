//! The queue's suite: the tables of its cases, and what an adapter gives them to work with.

mod delivering;
mod load;
mod rabbitmq;
mod settling;
mod stage;

use std::sync::Arc;
use std::time::Duration;

use shared::domain::Reason;
use shared::queue::{InProcessQueue, Queue};

pub use rabbitmq::{KeptStrays, RabbitMq, test_config};
pub use stage::{Stage, message};

use super::published;

/// An adapter under test, on an empty queue of its own.
pub trait Adapter: Send + Sync {
    /// The queue.
    fn queue(&self) -> &Arc<dyn Queue>;

    /// A wait that this adapter tells well from none, and from four times as much.
    fn wait(&self) -> Duration;

    /// What this adapter must tell of the death of a message that was given up for this reason. A declared
    /// difference: the reason itself, or only that it was rejected.
    fn death(&self, reason: Reason) -> String;
}

/// The in-process queue as the suite's adapter.
pub struct InProcess(Arc<dyn Queue>);

impl InProcess {
    /// An empty one.
    pub fn new() -> Self {
        Self(Arc::new(InProcessQueue::new()))
    }
}

impl Default for InProcess {
    fn default() -> Self {
        Self::new()
    }
}

impl Adapter for InProcess {
    fn queue(&self) -> &Arc<dyn Queue> {
        &self.0
    }

    fn wait(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn death(&self, reason: Reason) -> String {
        reason.as_str().into()
    }
}

/// The cases of the queue's suite that one thread plays, handed to the macro named first, after the arguments
/// given here.
#[macro_export]
macro_rules! queue_cases {
    ([$($with:tt)+] $($argument:tt)*) => {
        $($with)+! {
            $($argument)*
            delivering {
                publishing_confirms_every_message,
                publishing_nothing_confirms_nothing,
                a_message_comes_as_it_was_published,
                messages_come_in_the_order_published,
                a_waiting_subscriber_gets_what_comes,
                each_message_goes_to_one_subscriber,
                prefetch_bounds_what_is_unsettled,
                prefetch_bounds_each_subscription_by_itself,
                a_subscription_that_ends_leaves_the_messages,
                giving_up_waiting_loses_nothing,
                depth_counts_what_waits,
                consumers_are_those_who_receive_work,
            }
            settling {
                what_is_done_is_gone,
                an_unsettled_delivery_comes_back,
                a_settlement_never_begun_settles_nothing,
                deliveries_outlive_their_subscription,
                a_retry_waits_and_carries_its_turn,
                a_retry_wakes_a_waiting_subscriber,
                retries_come_in_the_order_of_their_times,
                a_shorter_wait_overtakes_a_longer_one,
                a_retry_waits_behind_nobody,
                a_dead_letter_comes_out_with_its_reason,
                a_dead_letter_is_no_work,
                an_unsettled_dead_letter_comes_back,
                a_burial_done_is_the_end,
            }
        }
    };
}

/// The cases that need several threads.
#[macro_export]
macro_rules! queue_load_cases {
    ([$($with:tt)+] $($argument:tt)*) => {
        $($with)+! {
            $($argument)*
            load {
                many_publishers_and_consumers_lose_nothing,
                whatever_becomes_of_deliveries_none_is_lost,
            }
        }
    };
}

queue_cases!([published] cases);
queue_load_cases!([published] load_cases);

/// Makes the tests of one adapter: `queue_suite!(name, paused, Adapter::new())`, with `real` instead of `paused`
/// where tokio's time must run.
#[macro_export]
macro_rules! queue_suite {
    ($name:ident, paused, $adapter:expr) => {
        mod $name {
            use super::*;

            $crate::queue_cases!([$crate::suite_tests] (start_paused = true) queue cases ($adapter));
            $crate::queue_suite!(load $adapter);
        }
    };
    ($name:ident, real, $adapter:expr) => {
        mod $name {
            use super::*;

            $crate::queue_cases!([$crate::suite_tests] () queue cases ($adapter));
            $crate::queue_suite!(load $adapter);
        }
    };
    (load $adapter:expr) => {
        $crate::queue_load_cases!(
            [$crate::suite_tests] (flavor = "multi_thread", worker_threads = 4) queue load_cases ($adapter)
        );
    };
}

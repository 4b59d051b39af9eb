//! Many at once, on several threads.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use shared::domain::Reason;
use shared::queue::{Channel, Depth, Queue, Settle};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::stage::{Stage, message};

const PUBLISHERS: u32 = 4;
const CONSUMERS: usize = 8;
const PREFETCH: usize = 16;

/// Publishes `0..all` from several tasks, in windows.
fn publish(queue: &Arc<dyn Queue>, all: u32, tasks: &mut JoinSet<()>) {
    for publisher in 0..PUBLISHERS {
        let queue = queue.clone();
        tasks.spawn(async move {
            let own: Vec<_> = (0..all).filter(|number| number % PUBLISHERS == publisher).collect();
            for window in own.chunks(97) {
                let confirmed =
                    queue.publish(window.iter().copied().map(message).collect()).await.expect("to publish");
                assert_eq!(confirmed.len(), window.len());
            }
        });
    }
}

pub(super) async fn many_publishers_and_consumers_lose_nothing(stage: Stage) {
    const ALL: u32 = 10_000;
    let mut tasks = JoinSet::new();
    publish(stage.queue(), ALL, &mut tasks);
    let left = Arc::new(AtomicU32::new(ALL));
    let mut consumers = JoinSet::new();
    for _ in 0..CONSUMERS {
        let mut deliveries = stage.work(PREFETCH).await;
        let left = left.clone();
        consumers.spawn(async move {
            let mut came = Vec::new();
            while left.load(Ordering::Relaxed) > 0 {
                // Given up again and again, as a worker's loop does when something else happens first.
                let Ok(Some(delivery)) = timeout(Duration::from_millis(1), deliveries.next()).await else {
                    continue;
                };
                came.push(delivery.message.key.sheet_row);
                delivery.settle(Settle::Done).await.expect("to settle");
                left.fetch_sub(1, Ordering::Relaxed);
            }
            came
        });
    }
    tasks.join_all().await;
    let mut came = consumers.join_all().await.concat();
    came.sort_unstable();
    assert_eq!(came, (0..ALL).collect::<Vec<_>>());
    stage.assert_depth(Depth::default()).await;
}

pub(super) async fn whatever_becomes_of_deliveries_none_is_lost(stage: Stage) {
    const ALL: u32 = 2_000;
    let mut tasks = JoinSet::new();
    publish(stage.queue(), ALL, &mut tasks);
    let left = Arc::new(AtomicU32::new(ALL));
    let mut consumers = JoinSet::new();
    for consumer in 0..CONSUMERS {
        let channel = if consumer == 0 { Channel::DeadLetters } else { Channel::Work };
        let (queue, left) = (stage.queue().clone(), left.clone());
        consumers.spawn(async move {
            let mut deliveries = queue.subscribe(channel, PREFETCH).await.expect("to subscribe");
            let (mut ended, mut seen) = (Vec::new(), 0_usize);
            while left.load(Ordering::Relaxed) > 0 {
                let Ok(Some(delivery)) = timeout(Duration::from_millis(1), deliveries.next()).await else {
                    continue;
                };
                let number = delivery.message.key.sheet_row;
                seen += 1;
                if seen.is_multiple_of(5) {
                    // Its worker died.
                    drop(delivery);
                    continue;
                }
                if seen.is_multiple_of(50) {
                    deliveries = queue.subscribe(channel, PREFETCH).await.expect("to subscribe");
                }
                let how = match (channel, delivery.message.turn, number % 3) {
                    (Channel::Work, 0, 1) => {
                        Settle::RetryAfter(Duration::from_millis(u64::from(number % 7)), 1)
                    }
                    (Channel::Work, _, 2) => Settle::DeadLetter(Reason::PatientGone),
                    _ => Settle::Done,
                };
                let turn = delivery.message.turn;
                delivery.settle(how).await.expect("to settle");
                if how == Settle::Done {
                    ended.push((number, (channel == Channel::DeadLetters, turn)));
                    left.fetch_sub(1, Ordering::Relaxed);
                }
            }
            ended
        });
    }
    tasks.join_all().await;
    let ended = consumers.join_all().await.concat();
    assert_eq!(ended.len(), ALL as usize, "none ended twice");
    let ended: BTreeMap<_, _> = ended.into_iter().collect();
    let expected = (0..ALL).map(|number| (number, (number % 3 == 2, u32::from(number % 3 == 1))));
    assert_eq!(ended, expected.collect());
    stage.assert_depth(Depth::default()).await;
}

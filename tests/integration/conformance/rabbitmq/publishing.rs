//! Publishing: only what is kept counts as confirmed.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use shared::queue::{Channel, Depth, Queue, Settle};
use tests::conformance::queue::{message, test_config};
use tests::night::until;
use tests::services::{Broker, Vhost};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::*;

#[tokio::test]
async fn what_no_queue_takes_is_not_confirmed_and_the_queue_is_made_again() {
    let vhost = Vhost::new().await;
    let queue = queue_at(vhost.url());
    assert_eq!(publish(&queue, 0..5).await.len(), 5);
    vhost.management().delete_queue(vhost.name(), WORK);
    assert_eq!(publish(&queue, 0..500).await, [0; 0], "they came back");
    assert_eq!(publish(&queue, 0..500).await.len(), 500);
    until_depth(&queue, Depth { ready: 500, ..Depth::default() }).await;
}

#[tokio::test]
async fn counting_makes_missing_queues_again() {
    let vhost = Vhost::new().await;
    let queue = queue_at(vhost.url());
    queue.depth().await.expect("a depth");
    let all: BTreeSet<_> = vhost.management().queues(vhost.name()).into_iter().collect();
    assert_eq!(all.len(), 8);
    for gone in [WORK, DEAD, FIRST_RUNG] {
        vhost.management().delete_queue(vhost.name(), gone);
    }
    assert_eq!(queue.depth().await.expect("a depth"), Depth::default());
    assert_eq!(vhost.management().queues(vhost.name()).into_iter().collect::<BTreeSet<_>>(), all);
}

#[tokio::test]
async fn a_full_queue_leaves_messages_unconfirmed_and_nobody_waits() {
    let vhost = Vhost::new().await;
    let queue = queue_at(vhost.url());
    queue.depth().await.expect("a depth");
    vhost.management().limit_queue(vhost.name(), WORK, 10);
    let mut kept = BTreeSet::new();
    let refused = async {
        for window in 0.. {
            let numbers = window * 50..(window + 1) * 50;
            let confirmed = publish(&queue, numbers).await;
            kept.extend(confirmed.iter().copied());
            if confirmed.len() < 50 {
                return;
            }
        }
    };
    timeout(PATIENCE, refused).await.expect("it should have been full");
    let mut work = subscribe(&queue, Channel::Work).await;
    while !kept.is_empty() {
        let delivery = next(&mut work).await;
        kept.remove(&delivery.message.key.sheet_row);
        delivery.settle(Settle::Done).await.expect("to settle");
    }
}

#[tokio::test]
async fn a_queue_made_with_other_arguments_is_named() {
    let vhost = Vhost::new().await;
    queue_at(vhost.url()).depth().await.expect("a depth");
    let mut config = test_config(vhost.url());
    config.queues.delivery_limit = 3;
    let queue = queue_with(config);
    let errors = [
        queue.publish(vec![message(1)]).await.expect_err("other arguments"),
        queue.subscribe(Channel::Work, 1).await.err().expect("other arguments"),
        queue.depth().await.expect_err("other arguments"),
    ];
    for error in errors {
        assert!(error.to_string().contains(WORK), "{error}");
        assert!(
            std::error::Error::source(&error).expect("a cause").to_string().contains("PRECONDITION_FAILED")
        );
    }
}

/// Publishes windows of numbers that are its own until told to stop, or until nothing is confirmed any more, and
/// tells what was confirmed; how much so far by a count that all share.
async fn publish_on(
    queue: Arc<dyn Queue>,
    from: u32,
    stop: Arc<AtomicBool>,
    so_far: Arc<AtomicUsize>,
) -> Vec<u32> {
    let mut kept = Vec::new();
    for window in 0.. {
        let first = from + window * 100;
        match queue.publish((first..first + 100).map(message).collect()).await {
            Ok(confirmed) => {
                so_far.fetch_add(confirmed.len(), Ordering::Relaxed);
                kept.extend(confirmed.iter().map(|key| key.sheet_row));
            }
            Err(_) if stop.load(Ordering::Relaxed) => break,
            Err(_) => {}
        }
        if stop.load(Ordering::Relaxed) {
            break;
        }
    }
    kept
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_killed_while_publishing_loses_nothing_confirmed_and_everybody_comes_back() {
    let mut broker = Broker::start().await;
    broker.management().make_vhost("kill");
    let queue = Arc::new(queue_at(&broker.url("kill")));
    let mut work = subscribe(&queue, Channel::Work).await;
    publish(&queue, 0..1).await;
    let in_hand = next(&mut work).await;

    let (stop, so_far) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut publishers = JoinSet::new();
    for publisher in 1..5 {
        publishers.spawn(publish_on(queue.clone(), publisher * 10_000_000, stop.clone(), so_far.clone()));
    }
    until("confirmed messages", async || so_far.load(Ordering::Relaxed), |so_far| *so_far >= 4_000).await;
    stop.store(true, Ordering::Relaxed);
    broker.kill();
    let kept = timeout(PATIENCE, publishers.join_all()).await.expect("publishing ends though nobody answers");
    let mut kept: BTreeSet<u32> = kept.concat().into_iter().collect();

    ends(&mut work).await;
    in_hand.settle(Settle::Done).await.expect_err("it cannot be known to be done");
    kept.insert(0);
    timeout(PATIENCE, queue.publish(vec![message(1)]))
        .await
        .expect("an answer")
        .expect_err("nobody is there");

    broker.start_again().await;
    let mut work = subscribe(&queue, Channel::Work).await;
    while !kept.is_empty() {
        let delivery = next(&mut work).await;
        kept.remove(&delivery.message.key.sheet_row);
        delivery.settle(Settle::Done).await.expect("to settle");
    }
}

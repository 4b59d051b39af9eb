//! Connections that are refused, cut, or answer nothing.

use std::collections::BTreeSet;
use std::time::Duration;

use shared::queue::{Channel, Queue, Settle};
use tests::conformance::queue::{message, test_config};
use tests::services::{Flow, Relay, Vhost};
use tokio::time::{Instant, timeout};

use super::*;

#[tokio::test]
async fn a_broker_that_refuses_for_a_while_is_found_again() {
    let vhost = Vhost::new().await;
    let relay = Relay::to(vhost.address()).await;
    let queue = queue_at(&vhost.url_through(relay.port()));
    relay.refuse().await;
    for _ in 0..3 {
        timeout(PATIENCE, queue.publish(vec![message(1)])).await.expect("an answer").expect_err("refused");
        assert!(timeout(PATIENCE, queue.subscribe(Channel::Work, 1)).await.expect("an answer").is_err());
    }
    relay.accept().await;
    let mut work = subscribe(&queue, Channel::Work).await;
    let gives_up = Instant::now() + PATIENCE;
    while queue.publish(vec![message(1)]).await.is_err() {
        assert!(Instant::now() < gives_up, "it is there again");
    }
    assert_eq!(next(&mut work).await.message, message(1));
}

#[tokio::test]
async fn many_callers_share_one_attempt_to_connect() {
    let vhost = Vhost::new().await;
    let relay = Relay::to(vhost.address()).await;
    let mut config = test_config(&vhost.url_through(relay.port()));
    config.waits.connect = Duration::from_secs(1);
    let queue = queue_with(config);
    // It accepts, and says nothing.
    relay.flow(Flow::Swallowed);
    let asked = Instant::now();
    let publish = || queue.publish(vec![message(1)]);
    let answers = tokio::join!(publish(), publish(), publish(), publish(), publish(), publish());
    for answer in [answers.0, answers.1, answers.2, answers.3, answers.4, answers.5] {
        answer.expect_err("nobody answered");
    }
    assert!(asked.elapsed() < Duration::from_secs(4), "{:?} for one attempt", asked.elapsed());
    assert_eq!(relay.accepted(), 1);
}

#[tokio::test]
async fn a_cut_connection_ends_the_subscription_and_what_was_in_hand_comes_again() {
    let vhost = Vhost::new().await;
    let relay = Relay::to(vhost.address()).await;
    let mut config = test_config(&vhost.url_through(relay.port()));
    config.waits.in_process = Duration::from_secs(3_600);
    let queue = queue_with(config);
    publish(&queue, 0..4).await;
    let mut work = subscribe(&queue, Channel::Work).await;
    let (done, late, waits) = (next(&mut work).await, next(&mut work).await, next(&mut work).await);
    done.settle(Settle::Done).await.expect("to settle");
    waits.settle(Settle::RetryAfter(Duration::from_secs(1_800), 1)).await.expect("to settle");
    relay.cut().await;
    ends(&mut work).await;
    late.settle(Settle::Done).await.expect_err("its channel is gone");

    let mut work = subscribe(&queue, Channel::Work).await;
    // The one that waited comes with the turn it was to have, and, as the broker knew it, with the one before.
    let must = BTreeSet::from([(1, 0), (2, 0), (2, 1), (3, 0)]);
    let mut came = BTreeSet::new();
    while !came.is_superset(&must) {
        let delivery = next(&mut work).await;
        came.insert((delivery.message.key.sheet_row, delivery.message.turn));
        delivery.settle(Settle::Done).await.expect("to settle");
    }
    // The cut may have swallowed an acknowledgement on its way.
    came.remove(&(0, 0));
    assert_eq!(came, must);
}

#[tokio::test]
async fn publishing_into_silence_ends_in_time() {
    let vhost = Vhost::new().await;
    let relay = Relay::to(vhost.address()).await;
    let mut config = test_config(&vhost.url_through(relay.port()));
    config.waits.confirm = Duration::from_secs(1);
    config.waits.answer = Duration::from_secs(1);
    config.waits.connect = Duration::from_secs(1);
    let queue = queue_with(config);
    publish(&queue, 0..10).await;
    relay.flow(Flow::Swallowed);
    let asked = Instant::now();
    queue.publish((0..3_000).map(message).collect()).await.expect_err("none is confirmed");
    assert!(asked.elapsed() < Duration::from_secs(4), "{:?}", asked.elapsed());
    // The silent connection is let go of, and a new one found.
    queue.publish(vec![message(1)]).await.expect_err("no channel is opened in silence");
    relay.flow(Flow::Passes);
    let gives_up = Instant::now() + PATIENCE;
    while queue.publish(vec![message(1)]).await.is_err() {
        assert!(Instant::now() < gives_up, "it answers again");
    }
    assert!(relay.accepted() > 1);
}

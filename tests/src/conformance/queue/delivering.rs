//! Publishing and delivering: each message once, to one subscriber, in order, no more than asked for.

use std::time::Duration;

use shared::ledger::RowMessage;
use shared::queue::{Channel, Depth, Settle};
use tokio::time::timeout;

use crate::night::until;

use super::stage::{Stage, message, next, next_done};

pub(super) async fn publishing_confirms_every_message(stage: Stage) {
    stage.publish(0..2_500).await;
    stage.assert_depth(Depth { ready: 2_500, ..Depth::default() }).await;
}

pub(super) async fn publishing_nothing_confirms_nothing(stage: Stage) {
    assert!(stage.queue().publish(Vec::new()).await.expect("nothing to do is no error").is_empty());
    stage.assert_depth(Depth::default()).await;
}

pub(super) async fn a_message_comes_as_it_was_published(stage: Stage) {
    let mut published = RowMessage { turn: 7, sealed: (0..=255).collect(), ..message(99) };
    published.key.generation = 3;
    stage.queue().publish(vec![published.clone()]).await.expect("to publish");
    let mut work = stage.work(1).await;
    let delivery = next(&mut work).await;
    assert_eq!(delivery.message, published);
    assert_eq!(delivery.deaths, None);
}

pub(super) async fn messages_come_in_the_order_published(stage: Stage) {
    stage.publish(0..50).await;
    stage.publish(50..100).await;
    let mut work = stage.work(1).await;
    for expected in 0..100 {
        assert_eq!(next_done(&mut work).await, expected);
    }
}

pub(super) async fn a_waiting_subscriber_gets_what_comes(stage: Stage) {
    let mut work = stage.work(10).await;
    let (number, ()) = tokio::join!(next_done(&mut work), async {
        stage.assert_depth(Depth::default()).await;
        stage.publish([5]).await;
    });
    assert_eq!(number, 5);
}

pub(super) async fn each_message_goes_to_one_subscriber(stage: Stage) {
    let (mut one, mut other) = (stage.work(3).await, stage.work(3).await);
    stage.publish(0..60).await;
    let mut came = [Vec::new(), Vec::new()];
    while came[0].len() + came[1].len() < 60 {
        // Both keep what they have until the other had its chance.
        let (first, second) = tokio::select! {
            first = next(&mut one) => (Some(first), timeout(stage.wait() / 4, other.next()).await.ok().flatten()),
            second = next(&mut other) => (None, Some(second)),
        };
        for (came, delivery) in came.iter_mut().zip([first, second]) {
            if let Some(delivery) = delivery {
                came.push(delivery.message.key.sheet_row);
                delivery.settle(Settle::Done).await.expect("to settle");
            }
        }
    }
    assert!(came.iter().all(|came| !came.is_empty()), "both have a share");
    let mut all = came.concat();
    all.sort_unstable();
    assert_eq!(all, (0..60).collect::<Vec<_>>());
    stage.assert_quiet(&mut one).await;
    stage.assert_quiet(&mut other).await;
}

pub(super) async fn prefetch_bounds_what_is_unsettled(stage: Stage) {
    stage.publish(0..5).await;
    let mut work = stage.work(2).await;
    let first = next(&mut work).await;
    let second = next(&mut work).await;
    stage.assert_quiet(&mut work).await;
    first.settle(Settle::Done).await.expect("to settle");
    let third = next(&mut work).await;
    assert_eq!(third.message.key.sheet_row, 2);
    stage.assert_quiet(&mut work).await;
    // Every way to end a delivery makes room.
    second.settle(Settle::RetryAfter(stage.wait() * 20, 1)).await.expect("to settle");
    let fourth = next(&mut work).await;
    third.settle(Settle::DeadLetter(shared::domain::Reason::PatientGone)).await.expect("to settle");
    let fifth = next(&mut work).await;
    assert_eq!([fourth.message.key.sheet_row, fifth.message.key.sheet_row], [3, 4]);
    drop(fourth);
    assert_eq!(next(&mut work).await.message.key.sheet_row, 3);
}

pub(super) async fn prefetch_bounds_each_subscription_by_itself(stage: Stage) {
    stage.publish(0..3).await;
    let (mut one, mut other) = (stage.work(1).await, stage.work(1).await);
    let first = next(&mut one).await;
    stage.assert_quiet(&mut one).await;
    let second = next(&mut other).await;
    assert_ne!(first.message, second.message);
    stage.assert_quiet(&mut other).await;
}

pub(super) async fn a_subscription_that_ends_leaves_the_messages(stage: Stage) {
    let mut gone = stage.work(10).await;
    stage.publish(0..3).await;
    assert_eq!(next_done(&mut gone).await, 0);
    drop(gone);
    let mut work = stage.work(10).await;
    assert_eq!([next_done(&mut work).await, next_done(&mut work).await], [1, 2]);
}

pub(super) async fn giving_up_waiting_loses_nothing(stage: Stage) {
    let mut work = stage.work(4).await;
    let mut came = Vec::new();
    for round in 0..50 {
        // While nothing is there.
        assert!(timeout(Duration::from_micros(50), work.next()).await.is_err());
        // Just as a message comes: before it was woken, or when it was woken already.
        let (given_up, ()) = tokio::join!(
            async {
                tokio::select! {
                    biased;
                    () = tokio::task::yield_now() => None,
                    delivery = work.next() => delivery,
                }
            },
            async {
                if round % 2 == 0 {
                    tokio::task::yield_now().await;
                }
                stage.publish([round]).await;
            }
        );
        drop(given_up);
        // Whatever was handed over was dropped unsettled, and comes again.
        came.push(next_done(&mut work).await);
    }
    assert_eq!(came, (0..50).collect::<Vec<_>>());
    stage.assert_depth(Depth::default()).await;
}

pub(super) async fn consumers_are_those_who_receive_work(stage: Stage) {
    let consumers = async || stage.queue().consumers().await.expect("a count");
    assert_eq!(consumers().await, 0);
    let (one, other) = (stage.work(1).await, stage.work(1).await);
    let _dead = stage.queue().subscribe(Channel::DeadLetters, 1).await.expect("a subscription");
    until("both to be counted", consumers, |count| *count == 2).await;
    drop((one, other));
    until("nobody to be counted", consumers, |count| *count == 0).await;
}

pub(super) async fn depth_counts_what_waits(stage: Stage) {
    stage.assert_depth(Depth::default()).await;
    stage.publish(0..5).await;
    stage.assert_depth(Depth { ready: 5, ..Depth::default() }).await;
    let mut work = stage.work(1).await;
    let first = next(&mut work).await;
    stage.assert_depth(Depth { ready: 4, unsettled: 1, ..Depth::default() }).await;
    drop(work);
    first.settle(Settle::RetryAfter(stage.wait() * 20, 1)).await.expect("to settle");
    stage.assert_depth(Depth { ready: 4, waiting: 1, ..Depth::default() }).await;
    let mut work = stage.work(1).await;
    let second = next(&mut work).await;
    drop(work);
    second.settle(Settle::DeadLetter(shared::domain::Reason::PatientGone)).await.expect("to settle");
    stage.assert_depth(Depth { ready: 3, waiting: 1, dead: 1, ..Depth::default() }).await;
    let mut work = stage.work(1).await;
    for _ in 0..3 {
        next_done(&mut work).await;
    }
    // Its time comes, and it is as ready as any other.
    drop(work);
    stage.assert_depth(Depth { ready: 1, dead: 1, ..Depth::default() }).await;
}

//! The ends of a delivery: done, tried again later, given up, or dropped.

use shared::domain::Reason;
use shared::queue::{Depth, Settle};
use tokio::time::{Instant, timeout};

use super::stage::{Stage, next, next_done};

pub(super) async fn what_is_done_is_gone(stage: Stage) {
    stage.publish([1]).await;
    let mut work = stage.work(10).await;
    assert_eq!(next_done(&mut work).await, 1);
    stage.assert_quiet(&mut work).await;
    stage.assert_depth(Depth::default()).await;
}

pub(super) async fn an_unsettled_delivery_comes_back(stage: Stage) {
    stage.publish([1, 2, 3]).await;
    let mut work = stage.work(10).await;
    for _ in 0..3 {
        let delivery = next(&mut work).await;
        assert_eq!(delivery.message.key.sheet_row, 1, "before what was published after it");
        // Its task panicked, or was aborted.
        tokio::spawn(async move {
            let _delivery = delivery;
        })
        .await
        .expect("a task");
    }
    assert_eq!(
        [next_done(&mut work).await, next_done(&mut work).await, next_done(&mut work).await],
        [1, 2, 3]
    );
    stage.assert_depth(Depth::default()).await;
}

pub(super) async fn a_settlement_never_begun_settles_nothing(stage: Stage) {
    stage.publish([1]).await;
    let mut work = stage.work(10).await;
    drop(next(&mut work).await.settle(Settle::Done));
    assert_eq!(next_done(&mut work).await, 1);
}

pub(super) async fn deliveries_outlive_their_subscription(stage: Stage) {
    stage.publish([1, 2]).await;
    let mut work = stage.work(10).await;
    let (first, second) = (next(&mut work).await, next(&mut work).await);
    drop(work);
    first.settle(Settle::Done).await.expect("to settle while the worker drains");
    drop(second);
    let mut work = stage.work(10).await;
    assert_eq!(next_done(&mut work).await, 2);
    stage.assert_quiet(&mut work).await;
}

pub(super) async fn a_retry_waits_and_carries_its_turn(stage: Stage) {
    stage.publish([1]).await;
    let mut work = stage.work(10).await;
    let delivery = next(&mut work).await;
    let message = delivery.message.clone();
    let settled = Instant::now();
    delivery.settle(Settle::RetryAfter(stage.wait(), 4)).await.expect("to settle");
    stage.assert_quiet(&mut work).await;
    let delivery = next(&mut work).await;
    assert!(settled.elapsed() >= stage.wait() / 2, "{:?} is too soon", settled.elapsed());
    assert!(settled.elapsed() < stage.wait() * 4, "{:?} is too late", settled.elapsed());
    assert_eq!((delivery.message.key, delivery.message.turn), (message.key, 4));
    assert_eq!((&delivery.message.sealed, &delivery.deaths), (&message.sealed, &None));
    // It can be tried again and again.
    delivery.settle(Settle::RetryAfter(stage.wait(), 5)).await.expect("to settle");
    let delivery = next(&mut work).await;
    assert_eq!(delivery.message.turn, 5);
    delivery.settle(Settle::Done).await.expect("to settle");
    stage.assert_depth(Depth::default()).await;
}

pub(super) async fn a_retry_wakes_a_waiting_subscriber(stage: Stage) {
    stage.publish([1]).await;
    let (mut one, mut other) = (stage.work(1).await, stage.work(1).await);
    let delivery = next(&mut one).await;
    // The other one waits already, for nothing in particular, when the wait begins.
    let (came, settled) = tokio::join!(timeout(stage.wait() * 4, other.next()), async {
        tokio::task::yield_now().await;
        delivery.settle(Settle::RetryAfter(stage.wait(), 1)).await
    });
    settled.expect("to settle");
    let delivery = came.expect("in time").expect("the subscription goes on");
    assert_eq!(delivery.message.turn, 1);
}

pub(super) async fn retries_come_in_the_order_of_their_times(stage: Stage) {
    stage.publish([1, 2, 3]).await;
    let mut work = stage.work(10).await;
    let deliveries = [next(&mut work).await, next(&mut work).await, next(&mut work).await];
    for (delivery, times) in deliveries.into_iter().zip([16, 1, 4]) {
        delivery.settle(Settle::RetryAfter(stage.wait() * times, 1)).await.expect("to settle");
    }
    let came = [next_done(&mut work).await, next_done(&mut work).await, next_done(&mut work).await];
    assert_eq!(came, [2, 3, 1]);
}

pub(super) async fn a_shorter_wait_overtakes_a_longer_one(stage: Stage) {
    stage.publish([1, 2]).await;
    let (mut one, mut other) = (stage.work(2).await, stage.work(1).await);
    let (long, short) = (next(&mut one).await, next(&mut one).await);
    long.settle(Settle::RetryAfter(stage.wait() * 20, 1)).await.expect("to settle");
    // A subscriber that waits for the long one must notice that a shorter wait began.
    let began = Instant::now();
    let (number, settled) = tokio::join!(next_done(&mut other), async {
        tokio::task::yield_now().await;
        short.settle(Settle::RetryAfter(stage.wait(), 1)).await
    });
    settled.expect("to settle");
    assert_eq!(number, 2);
    assert!(began.elapsed() < stage.wait() * 8, "{:?} is too late", began.elapsed());
}

pub(super) async fn a_retry_waits_behind_nobody(stage: Stage) {
    stage.publish([1, 2, 3]).await;
    let mut work = stage.work(10).await;
    let waiting = next(&mut work).await;
    waiting.settle(Settle::RetryAfter(stage.wait() * 4, 1)).await.expect("to settle");
    assert_eq!([next_done(&mut work).await, next_done(&mut work).await], [2, 3], "others go on meanwhile");
    assert_eq!(next_done(&mut work).await, 1);
}

pub(super) async fn a_dead_letter_comes_out_with_its_reason(stage: Stage) {
    stage.publish([1, 2]).await;
    let (mut work, mut dead) = (stage.work(10).await, stage.dead().await);
    for reason in [Reason::AmbiguousPatient, Reason::PoisonMessage] {
        let delivery = next(&mut work).await;
        let message = delivery.message.clone();
        // The consumer of dead letters waits already.
        let (buried, settled) = tokio::join!(next(&mut dead), async {
            tokio::task::yield_now().await;
            delivery.settle(Settle::DeadLetter(reason)).await
        });
        settled.expect("to settle");
        assert_eq!(buried.message, message);
        let deaths = buried.deaths.clone().expect("what became of it");
        assert!(deaths.contains(&stage.death(reason)), "{deaths}");
        buried.settle(Settle::Done).await.expect("to settle");
    }
}

pub(super) async fn a_dead_letter_is_no_work(stage: Stage) {
    stage.publish([1, 2]).await;
    let (mut work, mut dead) = (stage.work(10).await, stage.dead().await);
    stage.assert_quiet(&mut dead).await;
    let delivery = next(&mut work).await;
    delivery.settle(Settle::DeadLetter(Reason::PatientGone)).await.expect("to settle");
    assert_eq!(next_done(&mut work).await, 2);
    stage.assert_quiet(&mut work).await;
    assert_eq!(next_done(&mut dead).await, 1);
}

pub(super) async fn an_unsettled_dead_letter_comes_back(stage: Stage) {
    stage.publish([1]).await;
    let (mut work, mut dead) = (stage.work(10).await, stage.dead().await);
    next(&mut work).await.settle(Settle::DeadLetter(Reason::PatientGone)).await.expect("to settle");
    let first = next(&mut dead).await;
    let deaths = first.deaths.clone();
    drop(first);
    let second = next(&mut dead).await;
    assert_eq!((second.message.key.sheet_row, &second.deaths), (1, &deaths));
    stage.assert_quiet(&mut work).await;
}

pub(super) async fn a_burial_done_is_the_end(stage: Stage) {
    stage.publish([1]).await;
    let (mut work, mut dead) = (stage.work(10).await, stage.dead().await);
    next(&mut work).await.settle(Settle::DeadLetter(Reason::PatientGone)).await.expect("to settle");
    assert_eq!(next_done(&mut dead).await, 1);
    stage.assert_quiet(&mut dead).await;
    stage.assert_depth(Depth::default()).await;
}

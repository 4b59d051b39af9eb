//! What a permit and a hold promise.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::super::{Limiter, LimiterConfig, Permit, Sample, Verdict};

const SHORT: Duration = Duration::from_millis(50);

fn limiter(concurrency: usize) -> Limiter {
    Limiter::new(LimiterConfig { initial_concurrency: concurrency, ..LimiterConfig::default() })
}

fn sample(verdict: Verdict) -> Sample {
    Sample { verdict, class: 0 }
}

async fn acquire_many(limiter: &Limiter, count: usize) -> Vec<Permit> {
    let mut permits = Vec::new();
    for _ in 0..count {
        permits.push(limiter.acquire().await);
    }
    permits
}

#[tokio::test(start_paused = true)]
async fn no_more_than_the_limit_are_in_flight() {
    let limiter = limiter(3);
    let mut permits = acquire_many(&limiter, 3).await;
    assert!(timeout(SHORT, limiter.acquire()).await.is_err());
    permits.pop();
    permits.push(timeout(SHORT, limiter.acquire()).await.expect("a slot is free"));
    assert_eq!(limiter.snapshot().in_flight, 3);
}

#[tokio::test(start_paused = true)]
async fn a_ceiling_below_the_initial_level_holds() {
    let limiter = Limiter::new(LimiterConfig { max_concurrency: 2, ..LimiterConfig::default() });
    let permits = acquire_many(&limiter, 2).await;
    assert!(timeout(SHORT, limiter.acquire()).await.is_err());
    for permit in permits {
        permit.finish(sample(Verdict::Success));
    }
    assert_eq!(limiter.snapshot().limit, 2.0);
}

#[tokio::test(start_paused = true)]
async fn requests_start_in_the_order_they_asked() {
    let limiter = limiter(1);
    let first = limiter.acquire().await;
    let (order, mut started) = tokio::sync::mpsc::unbounded_channel();
    let mut tasks = JoinSet::new();
    for number in 0..50 {
        let (limiter, order) = (limiter.clone(), order.clone());
        tasks.spawn(async move {
            let permit = limiter.acquire().await;
            order.send(number).expect("the test is listening");
            drop(permit);
        });
        tokio::task::yield_now().await;
    }
    drop(first);
    tasks.join_all().await;
    for number in 0..50 {
        assert_eq!(started.recv().await, Some(number));
    }
}

#[tokio::test(start_paused = true)]
async fn giving_up_the_wait_loses_no_slot() {
    let limiter = limiter(2);
    let permits = acquire_many(&limiter, 2).await;
    let mut waiting = JoinSet::new();
    for _ in 0..10 {
        let limiter = limiter.clone();
        waiting.spawn(async move { limiter.acquire().await });
    }
    tokio::task::yield_now().await;
    // The head has been told of a free slot and is dropped before it can take it.
    drop(permits);
    waiting.shutdown().await;
    let permits = timeout(SHORT, acquire_many(&limiter, 2)).await.expect("both slots are free");
    assert_eq!(limiter.snapshot().in_flight, permits.len());
}

#[tokio::test(start_paused = true)]
async fn a_hold_stops_every_start_until_its_end() {
    let limiter = limiter(16);
    let start = Instant::now();
    limiter.hold_until(start + Duration::from_secs(3));
    limiter.hold_until(start + Duration::from_secs(1));
    assert!(limiter.snapshot().held);
    assert_eq!(limiter.held_until(), Some(start + Duration::from_secs(3)));
    let waiting = tokio::spawn({
        let limiter = limiter.clone();
        async move {
            let permit = limiter.acquire().await;
            (Instant::now(), permit)
        }
    });
    tokio::task::yield_now().await;
    limiter.hold_until(start + Duration::from_secs(5));
    let (started, _permit) = waiting.await.expect("no panic");
    assert_eq!(started, start + Duration::from_secs(5));
    assert_eq!(limiter.held_until(), None);
}

#[tokio::test(start_paused = true)]
async fn a_hold_reaches_five_minutes_at_most() {
    let limiter = limiter(16);
    let start = Instant::now();
    limiter.hold_until(start + Duration::from_secs(86_400));
    assert_eq!(limiter.held_until(), Some(start + Duration::from_secs(300)));
}

#[tokio::test(start_paused = true)]
async fn after_a_hold_requests_start_evenly() {
    let limiter = limiter(100);
    limiter.hold_until(Instant::now() + Duration::from_secs(1));
    let mut starts = Vec::new();
    let mut permits = Vec::new();
    for _ in 0..100 {
        permits.push(limiter.acquire().await);
        starts.push(Instant::now());
    }
    let taken = starts[99] - starts[0];
    assert!(taken > Duration::from_millis(100), "all within {taken:?}");
    let busiest = starts
        .iter()
        .map(|from| {
            starts.iter().filter(|at| *at >= from && **at < *from + Duration::from_millis(10)).count()
        })
        .max();
    assert!(busiest <= Some(20), "{busiest:?} within 10 ms");
}

#[tokio::test(start_paused = true)]
async fn time_outs_of_one_round_trip_cut_once() {
    let limiter = limiter(16);
    let permits = acquire_many(&limiter, 16).await;
    tokio::time::advance(Duration::from_secs(30)).await;
    let mut limits = vec![limiter.snapshot().limit];
    for permit in permits.into_iter().rev() {
        permit.finish(sample(Verdict::Overloaded));
        limits.push(limiter.snapshot().limit);
    }
    limits.dedup();
    assert!(
        limits.len() == 2 && limits[1] < 13.0,
        "the first few are taken for noise, the rest cut once: {limits:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn the_limit_never_falls_below_one() {
    let limiter = limiter(16);
    for _ in 0..50 {
        let permit = limiter.acquire().await;
        tokio::time::advance(Duration::from_millis(10)).await;
        permit.finish(sample(Verdict::Throttled));
    }
    assert_eq!(limiter.snapshot().limit, 1.0);
    drop(limiter.acquire().await);
}

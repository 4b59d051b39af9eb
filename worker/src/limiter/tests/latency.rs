//! Servers that refuse nothing: what latency makes of the limit.

use super::super::LimiterConfig;
use super::night::{Night, Plan};
use super::server::{Bound, Latency, Server};

/// The limits at the seconds' ends are within these bounds.
#[track_caller]
fn assert_limits(night: &Night, seconds: std::ops::Range<usize>, bounds: (f64, f64)) {
    let within =
        night.seconds[seconds].iter().all(|second| second.limit >= bounds.0 && second.limit <= bounds.1);
    assert!(within, "limit beyond {bounds:?}\n{night:?}");
}

#[tokio::test(start_paused = true)]
async fn reaches_the_ceiling_within_seconds_and_stays() {
    for sigma in [0.0, 0.4, 0.8] {
        for seed in [1, 2, 3] {
            let server = Server::new(Bound::Nothing, Latency { median: 0.150, sigma }, seed);
            let night = Plan::new(60).run(&server, |_, _| {}).await;
            assert_limits(&night, 2..60, (256.0, 256.0));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn keeps_a_queue_short() {
    let server = Server::new(Bound::Processors(8), Latency { median: 0.020, sigma: 0.0 }, 1);
    let night = Plan::new(300).run(&server, |_, _| {}).await;
    assert_limits(&night, 5..300, (12.0, 48.0));
    let used = night.throughput(5..300) / (8.0 / 0.020);
    assert!(used > 0.97, "{used}\n{night:?}");
}

#[tokio::test(start_paused = true)]
async fn keeps_the_level_where_latency_does_not_depend_on_it() {
    let server = Server::new(Bound::Nothing, Latency { median: 0.150, sigma: 0.4 }, 1);
    let night = Plan::new(60)
        .run(&server, |second, server| {
            if second == 20 {
                server.set_latency(Latency { median: 0.450, sigma: 0.4 });
            }
        })
        .await;
    assert_limits(&night, 20..60, (80.0, 256.0));
    assert_limits(&night, 35..60, (256.0, 256.0));
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_is_not_used_does_not_grow() {
    let server = Server::new(Bound::Nothing, Latency { median: 0.150, sigma: 0.4 }, 1);
    let plan = Plan { clients: 4, ..Plan::new(30) };
    let night = plan.run(&server, |_, _| {}).await;
    assert_limits(&night, 0..30, (16.0, 16.0));
}

#[tokio::test(start_paused = true)]
async fn stays_below_the_agreed_rate() {
    let server = Server::new(Bound::Nothing, Latency { median: 0.150, sigma: 0.0 }, 1);
    let config = LimiterConfig { max_rps: Some(120.0), ..LimiterConfig::default() };
    let plan = Plan { config, ..Plan::new(30) };
    let night = plan.run(&server, |_, _| {}).await;
    assert!(night.seconds.iter().all(|second| second.done <= 121), "{night:?}");
    assert!(night.throughput(5..30) > 118.0, "{night:?}");
}

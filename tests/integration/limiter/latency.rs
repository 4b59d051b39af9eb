//! Servers that refuse nothing: what latency makes of the limit.

use tests::model::{Bound, Latency, Night, Plan, Server};

use super::{assert_night, assert_used, each};

const USUAL: Latency = Latency { median: 0.150, sigma: 0.4 };

/// The limits in these seconds are within these bounds.
#[track_caller]
fn assert_limits(night: &Night, seconds: std::ops::Range<usize>, bounds: (f64, f64)) {
    let ticks = &night.ticks[seconds.start * 10..seconds.end * 10];
    let within = ticks.iter().all(|tick| tick.limit >= bounds.0 && tick.limit <= bounds.1);
    assert!(within, "limit beyond {bounds:?}\n{night:?}");
}

#[tokio::test(start_paused = true)]
async fn it_reaches_the_ceiling_within_two_seconds_and_is_not_frightened_by_a_long_tail() {
    for sigma in [0.0, 0.4, 0.8] {
        for seed in [1, 2, 3] {
            let server = Server::new(Bound::Nothing, Latency { median: 0.150, sigma }, seed);
            let night = Plan::new(60).run(&server, |_, _| {}).await;
            assert_limits(&night, 2..60, (256.0, 256.0));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_night_of_20000_rows_comes_close_to_what_the_ceiling_allows() {
    each("nothing-50ms-64", |scenario, night| {
        assert_limits(night, 1..30, (64.0, 64.0));
        assert_night(scenario, night, 0.97, 0.0);
    })
    .await;
    each("nothing-150ms-256", |scenario, night| {
        let early = &night.ticks[20];
        assert!(early.in_flight > 100, "{} in flight after 2 s", early.in_flight);
        assert_night(scenario, night, 0.93, 0.0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn it_keeps_a_queue_short_and_the_slots_busy() {
    let server = Server::new(Bound::Slots(8), Latency { median: 0.020, sigma: 0.0 }, 1);
    let night = Plan::new(300).run(&server, |_, _| {}).await;
    assert_limits(&night, 5..300, (12.0, 48.0));
    assert_used(&night, 5..300, 8.0 / 0.020, 0.97, 0.0);
    each("slots", |scenario, night| {
        let (usual, bad) = (scenario.capacity(), Bound::Slots(7).capacity(scenario.latency));
        assert_used(night, 5..60, usual, 0.97, 0.0);
        assert_used(night, 62..120, bad, 0.97, 0.0);
        assert_used(night, 125..180, usual, 0.95, 0.0);
        // What waits is a few times what is worked on, and not what 256 would be.
        assert_limits(night, 70..120, (7.0, 45.0));
        assert_limits(night, 130..180, (15.0, 120.0));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn it_keeps_the_level_where_latency_does_not_depend_on_it() {
    let server = Server::new(Bound::Nothing, USUAL, 1);
    let slower = |second: usize, server: &Server| {
        if second == 20 {
            server.set_latency(Latency { median: 0.450, sigma: 0.4 });
        }
    };
    let night = Plan::new(60).run(&server, slower).await;
    assert_limits(&night, 20..60, (80.0, 256.0));
    assert_limits(&night, 35..60, (256.0, 256.0));
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_is_not_used_does_not_grow() {
    let server = Server::new(Bound::Nothing, USUAL, 1);
    let night = Plan { clients: 4, ..Plan::new(30) }.run(&server, |_, _| {}).await;
    assert_limits(&night, 0..30, (16.0, 16.0));
}

//! Servers that refuse beyond a rate.

use tests::model::{Bound, Latency, Plan, Scenario, Server};

use super::{assert_night, assert_used, each};

const THIRD: f64 = 200.0 / 3.0;

#[tokio::test(start_paused = true)]
async fn a_night_uses_a_hidden_rate_from_its_first_request() {
    each("rate-2000", |scenario, night| assert_night(scenario, night, 0.93, 0.01)).await;
    each("rate-12000", |scenario, night| assert_night(scenario, night, 0.97, 0.002)).await;
}

#[tokio::test(start_paused = true)]
async fn a_night_uses_a_hidden_rate_though_every_refusal_stops_it_for_a_second() {
    // Two refusals find the rate out, and cost a second each.
    each("rate-2000-retry-after", |scenario, night| assert_night(scenario, night, 0.85, 0.005)).await;
    each("rate-12000-retry-after", |scenario, night| assert_night(scenario, night, 0.95, 0.001)).await;
}

/// What the documents call the amplitude.
#[tokio::test(start_paused = true)]
async fn it_does_not_oscillate() {
    each("rate-steady", |_, night| {
        let settled = 30..300;
        assert_used(night, settled.clone(), 200.0, 0.97, 0.002);
        let mut paces: Vec<f64> = settled
            .flat_map(|second| &night.ticks[second * 10..][..10])
            .filter_map(|tick| tick.pace)
            .collect();
        paces.sort_by(f64::total_cmp);
        let (low, high) = (paces[paces.len() / 20], paces[paces.len() * 19 / 20]);
        assert!(
            low > 170.0 && high < 230.0,
            "nine tenths of the time within {low:.0} and {high:.0}\n{night:?}"
        );
    })
    .await;
    each("rate-steady-retry-after", |_, night| {
        assert_used(night, 30..600, 200.0, 0.95, 0.0005);
        let mut paces: Vec<f64> = night.ticks[600..].iter().filter_map(|tick| tick.pace).collect();
        paces.sort_by(f64::total_cmp);
        let (low, high) = (paces[paces.len() / 20], paces[paces.len() * 19 / 20]);
        assert!(
            low > 180.0 && high < 210.0,
            "nine tenths of the time within {low:.0} and {high:.0}\n{night:?}"
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn requests_start_evenly() {
    each("rate-steady", |_, night| {
        let bunches = night.ticks[300..].iter().filter(|tick| tick.done.iter().sum::<u32>() > 36).count();
        assert!(bunches <= 15, "{bunches} tenths of a second with nearly twice what is taken\n{night:?}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn it_follows_a_rate_that_falls_to_a_third_and_returns() {
    each("bad-minute", |_, night| {
        for (from, capacity) in [(60, THIRD), (120, 200.0)] {
            let after = night.reaches(from, capacity, (0.85, 1.12));
            assert!(after.is_some_and(|after| after <= 5.0), "{after:?} s after {from}\n{night:?}");
        }
        assert_used(night, 62..120, THIRD, 0.90, 0.012);
        assert_used(night, 125..180, 200.0, 0.93, 0.005);
        assert!(night.refused_in_all() < 0.005, "{night:?}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn it_follows_though_every_refusal_stops_it_for_a_second() {
    each("bad-minute-retry-after", |_, night| {
        let after = night.reaches(60, THIRD, (0.85, 1.12));
        assert!(after.is_some_and(|after| after <= 5.0), "{after:?} s\n{night:?}");
        assert_used(night, 65..120, THIRD, 0.84, 0.005);
        // It is known to be back when a probe is not refused; how fast it is costs a second or two to learn.
        let back = night.reaches(120, 200.0, (0.6, 1.12));
        assert!(back.is_some_and(|back| back <= 6.0), "{back:?} s\n{night:?}");
        assert_used(night, 130..180, 200.0, 0.88, 0.005);
    })
    .await;
}

/// Of the second on, a server of another kind or size than most.
async fn settles(bound: Bound, retry_after: bool, used: f64, refused: f64) {
    let base = *Scenario::named("rate-steady").expect("it is there");
    let scenario = Scenario { bound, retry_after, seconds: 150, failing: 0.0, ..base };
    let night = scenario.run(1).await;
    assert_used(&night, 30..150, scenario.capacity(), used, refused);
}

#[tokio::test(start_paused = true)]
async fn it_uses_a_rate_with_a_large_allowance_for_bursts() {
    let bound = Bound::Rate { rps: 200.0, burst: 200.0 };
    settles(bound, false, 0.88, 0.01).await;
    settles(bound, true, 0.90, 0.002).await;
}

#[tokio::test(start_paused = true)]
async fn it_uses_a_rate_without_an_allowance_for_bursts() {
    let bound = Bound::Rate { rps: 30.0, burst: 1.0 };
    settles(bound, false, 0.75, 0.02).await;
    settles(bound, true, 0.60, 0.01).await;
}

#[tokio::test(start_paused = true)]
async fn it_uses_a_low_rate() {
    let bound = Bound::Rate { rps: 5.0, burst: 5.0 };
    settles(bound, false, 0.85, 0.05).await;
    settles(bound, true, 0.80, 0.05).await;
}

#[tokio::test(start_paused = true)]
async fn it_uses_a_rate_that_is_counted_by_the_second() {
    settles(Bound::EachSecond(200), false, 0.55, 0.03).await;
    settles(Bound::EachSecond(200), true, 0.55, 0.01).await;
}

/// Where the server refuses nothing, but the operator has agreed on a rate.
#[tokio::test(start_paused = true)]
async fn it_stays_below_the_agreed_rate() {
    let server = Server::new(Bound::Nothing, Latency { median: 0.150, sigma: 0.0 }, 1);
    let mut plan = Plan::new(30);
    plan.config.max_rps = Some(120.0);
    let night = plan.run(&server, |_, _| {}).await;
    for second in 0..30 {
        assert!(night.throughput(second..second + 1) <= 121.0, "{night:?}");
    }
    assert!(night.throughput(5..30) > 118.0, "{night:?}");
}

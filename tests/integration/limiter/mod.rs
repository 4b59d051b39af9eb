//! The limiter against servers in virtual time: each sentence of `docs/limiter.md` that says what it does.

mod fleet;
mod latency;
mod numbers;
mod rates;

use tests::model::{Night, Scenario};

/// Chance is in the servers' latency.
const SEEDS: [u64; 2] = [1, 2];

/// Runs a scenario for each seed.
async fn each(name: &str, check: impl Fn(&Scenario, &Night)) {
    let scenario = Scenario::named(name).expect("a scenario of this name");
    for seed in SEEDS {
        check(scenario, &scenario.run(seed).await);
    }
}

/// Between these seconds so much of `capacity` is used, and so little refused.
#[track_caller]
fn assert_used(night: &Night, seconds: std::ops::Range<usize>, capacity: f64, used: f64, refused: f64) {
    let share = night.throughput(seconds.clone()) / capacity;
    let share_refused = night.refused(seconds.clone());
    assert!(
        share >= used && share_refused <= refused,
        "{seconds:?}: {share:.3} used, {share_refused:.4} refused\n{night:?}"
    );
}

/// A night of a number of rows used so much of the capacity from its first request to its last, and was refused so
/// little.
#[track_caller]
fn assert_night(scenario: &Scenario, night: &Night, used: f64, refused: f64) {
    let rows = scenario.rows.expect("a night of a number of rows");
    let took = night.took.expect("every request was done").as_secs_f64();
    // Those that failed used the capacity as well.
    let failed: u32 = night.ticks.iter().map(|tick| tick.failed).sum();
    let share = (rows as f64 * 2.0 + f64::from(failed)) / took / scenario.capacity();
    let share_refused = night.refused_in_all();
    assert!(
        share >= used && share_refused <= refused,
        "{}: {share:.3} used in {took:.1} s, {share_refused:.4} refused\n{night:?}",
        scenario.name
    );
}

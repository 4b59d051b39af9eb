//! The limiter against servers in virtual time, as `docs/limiter.md` tells of it:
//! `cargo run -p tests --example limiter` prints a table of all scenarios;
//! `cargo run -p tests --example limiter -- bad-minute [SEED]` one of them as CSV, ten lines a second.

use std::io::Write as _;
use std::process::ExitCode;

use tests::model::{Change, Night, SCENARIOS, Scenario, Tick};

const SEEDS: std::ops::RangeInclusive<u64> = 1..=3;

/// Lowest and highest of three runs.
fn range(values: impl Iterator<Item = f64> + Clone) -> String {
    let lowest = values.clone().fold(f64::INFINITY, f64::min);
    let highest = values.fold(f64::NEG_INFINITY, f64::max);
    format!("{lowest:.3}-{highest:.3}")
}

fn answers(night: &Night, of: impl Fn(&Tick) -> u32) -> f64 {
    f64::from(night.ticks.iter().map(of).sum::<u32>())
}

/// What was taken, as a share of the capacity, and what was refused.
fn line(scenario: &Scenario, nights: &[Night]) -> String {
    let all = nights.iter();
    if scenario.rows.is_some() {
        let taken = |night: &Night| answers(night, |tick| tick.done.iter().sum::<u32>() + tick.failed);
        let took = |night: &Night| night.took.map_or(f64::NAN, |took| took.as_secs_f64());
        let used = range(all.clone().map(|night| taken(night) / took(night) / scenario.capacity()));
        let refused = range(all.clone().map(|night| night.refused_in_all() * 100.0));
        return format!("{} s, used {used}, refused {refused} %", range(all.map(took)));
    }
    let (usual, last) = (scenario.capacity(), scenario.seconds);
    if let Some((_, Change::Bound(bad))) = scenario.changes.first() {
        let bad = bad.capacity(scenario.latency);
        let reaches = |from, capacity| {
            let after = |night: &Night| night.reaches(from, capacity, (0.85, 1.12)).unwrap_or(f64::NAN);
            range(all.clone().map(after))
        };
        let (down, up) = (reaches(60, bad), reaches(120, usual));
        let worse = range(all.clone().map(|night| night.throughput(65..120) / bad));
        let again = range(all.clone().map(|night| night.throughput(125..last) / usual));
        let refused = range(all.clone().map(|night| night.refused(60..120) * 100.0));
        return format!("down in {down} s, used {worse}, refused {refused} %; up in {up} s, used {again}");
    }
    let settled = last / 2..last;
    let used = range(all.clone().map(|night| night.throughput(settled.clone()) / usual));
    let refused = range(all.clone().map(|night| night.refused(settled.clone()) * 100.0));
    let fairness = range(all.clone().map(|night| night.fairness(settled.clone())));
    let mut paces: Vec<f64> =
        all.flat_map(|night| &night.ticks[last * 5..]).filter_map(|tick| tick.pace).collect();
    paces.sort_by(f64::total_cmp);
    let pace = paces.last().map_or(String::new(), |highest| {
        let at = |share: f64| paces[(paces.len() as f64 * share) as usize];
        format!(
            ", pace {:.0} {:.0} {:.0} (5 %, 50 %, 95 %), {highest:.0} at most",
            at(0.05),
            at(0.5),
            at(0.95)
        )
    });
    format!("used {used}, refused {refused} %, Jain {fairness}{pace}")
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    tokio::time::pause();
    let mut arguments = std::env::args().skip(1);
    let mut out = std::io::stdout();
    if let Some(name) = arguments.next() {
        let Some(scenario) = Scenario::named(&name) else {
            let names: Vec<_> = SCENARIOS.iter().map(|scenario| scenario.name).collect();
            let _ = writeln!(std::io::stderr(), "no scenario {name:?}; there are {}", names.join(", "));
            return ExitCode::from(2);
        };
        let seed = arguments.next().map_or(1, |seed| seed.parse().expect("a seed is a number"));
        // A reader that went away is no failure.
        let _ = write!(out, "{}", scenario.run(seed).await.csv());
        return ExitCode::SUCCESS;
    }
    for scenario in SCENARIOS {
        let mut nights = Vec::new();
        for seed in SEEDS {
            nights.push(scenario.run(seed).await);
        }
        let _ = writeln!(out, "{:24} {}", scenario.name, line(scenario, &nights));
    }
    ExitCode::SUCCESS
}

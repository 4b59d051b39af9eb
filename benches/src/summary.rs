//! Medians, and what was asked of them.

use crate::plan::{AT_ONCE, FIFTY, FIFTY_BATCHES, HIDDEN, SCENARIOS, Scenario, System, UNTUNED};
use crate::trial::Measured;

/// One trial of a round.
pub(crate) struct Trial {
    pub(crate) round: usize,
    pub(crate) scenario: Scenario,
    pub(crate) system: System,
    pub(crate) measured: Measured,
}

/// All trials of one system on one server.
pub(crate) struct Median {
    pub(crate) scenario: Scenario,
    pub(crate) system: System,
    pub(crate) rows: usize,
    pub(crate) rate: f64,
    /// Of the raw loop in the same round.
    pub(crate) ratio: Option<f64>,
    /// Of what requests in flight over latency allow.
    pub(crate) of_limit: Option<f64>,
    /// Seconds for 1,000 rows.
    pub(crate) cpu: f64,
    /// The most of all rounds, megabytes.
    pub(crate) peak: f64,
    pub(crate) requests_a_row: f64,
    pub(crate) used: Option<f64>,
    pub(crate) refused: f64,
    /// Of all rounds.
    pub(crate) lost: u64,
    pub(crate) twice: u64,
    pub(crate) seconds: f64,
}

fn median(mut of: Vec<f64>) -> Option<f64> {
    of.sort_by(f64::total_cmp);
    let middle = of.len() / 2;
    let upper = *of.get(middle)?;
    Some(if of.len() % 2 == 1 { upper } else { f64::midpoint(of[middle - 1], upper) })
}

pub(crate) fn rate(measured: &Measured) -> f64 {
    measured.rows as f64 / measured.seconds
}

pub(crate) fn medians(trials: &[Trial]) -> Vec<Median> {
    let pairs = SCENARIOS.into_iter().flat_map(|scenario| System::ALL.map(|system| (scenario, system)));
    pairs.filter_map(|(scenario, system)| of(trials, scenario, system)).collect()
}

fn of(trials: &[Trial], scenario: Scenario, system: System) -> Option<Median> {
    let own: Vec<&Trial> =
        trials.iter().filter(|trial| trial.scenario == scenario && trial.system == system).collect();
    let of = |value: fn(&Measured) -> f64| median(own.iter().map(|trial| value(&trial.measured)).collect());
    let raw = |round| {
        let compared = scenario.compared_with()?;
        let is_it = |trial: &&Trial| {
            trial.round == round && trial.scenario == compared && trial.system == System::Raw
        };
        trials.iter().find(is_it).map(|trial| rate(&trial.measured))
    };
    let ratios = own.iter().filter_map(|trial| Some(rate(&trial.measured) / raw(trial.round)?));
    let rate = of(rate)?;
    Some(Median {
        scenario,
        system,
        rows: own.first()?.measured.rows,
        rate,
        ratio: median(ratios.collect()),
        of_limit: scenario.limit().map(|limit| rate / limit),
        cpu: of(|it| it.cpu / it.rows as f64 * 1e3)?,
        peak: own.iter().map(|trial| trial.measured.peak).max()? as f64 / 1e6,
        requests_a_row: of(|it| it.requests as f64 / it.rows as f64)?,
        used: median(own.iter().filter_map(|trial| trial.measured.used).collect()),
        refused: of(|it| it.refused as f64 / (it.requests as f64).max(1.0))?,
        lost: own.iter().map(|trial| trial.measured.lost).sum(),
        twice: own.iter().map(|trial| trial.measured.twice).sum(),
        seconds: of(|it| it.seconds)?,
    })
}

/// Something that is asked of a system.
pub(crate) struct Goal {
    pub(crate) what: &'static str,
    pub(crate) wanted: String,
    pub(crate) measured: String,
    pub(crate) is_met: bool,
}

enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

use Bound::{AtLeast, AtMost};

/// Asked for, and measured in these trials. What belongs to a number of rows is only there where it was run.
pub(crate) fn goals(medians: &[Median]) -> Vec<Goal> {
    let get = |scenario: Scenario, system| {
        medians.iter().find(|median| median.scenario == scenario && median.system == system)
    };
    let (alone, cluster) = (System::Standalone, System::Cluster);
    let ratio = |scenario, system| get(scenario, system).and_then(|median| median.ratio);
    let cpu = |system| get(FIFTY, system).map(|median| median.cpu);
    let all = |value: fn(&Median) -> f64, rows: usize| {
        let ours = medians.iter().filter(|median| median.system != System::Raw && median.rows == rows);
        ours.map(value).reduce(f64::max)
    };
    let hidden = |system| get(HIDDEN, system);
    let lost =
        medians.iter().filter(|median| median.system != System::Raw).map(|median| median.lost).sum::<u64>();
    let asked = [
        (
            "raw loop, one by one, 50 ms: of requests in flight ÷ latency",
            AtLeast(0.95),
            get(FIFTY, System::Raw).and_then(|median| median.of_limit),
        ),
        ("standalone, one by one, 50 ms: of the raw loop", AtLeast(0.95), ratio(FIFTY, alone)),
        ("standalone, one by one, 0 ms: of the raw loop", AtLeast(0.5), ratio(AT_ONCE, alone)),
        (
            "standalone, batches, 50 ms: times the raw loop one by one",
            AtLeast(5.0),
            ratio(FIFTY_BATCHES, alone),
        ),
        ("cluster, one by one, 50 ms: of the raw loop", AtLeast(0.9), ratio(FIFTY, cluster)),
        (
            "cluster, batches, 50 ms: times the raw loop one by one",
            AtLeast(4.0),
            ratio(FIFTY_BATCHES, cluster),
        ),
        ("standalone, one by one, 50 ms: CPU seconds per 1,000 rows", AtMost(0.3), cpu(alone)),
        (
            "cluster, one by one, 50 ms: CPU seconds per 1,000 rows, broker and Postgres included",
            AtMost(1.0),
            cpu(cluster),
        ),
        (
            "standalone, 20,000 rows at 150 ms log-normal, untuned: seconds",
            AtMost(60.0),
            get(UNTUNED, alone).filter(|median| median.rows == 20_000).map(|median| median.seconds),
        ),
        (
            "standalone, hidden capacity: share used",
            AtLeast(0.95),
            hidden(alone).and_then(|median| median.used),
        ),
        (
            "cluster, hidden capacity: share used",
            AtLeast(0.95),
            hidden(cluster).and_then(|median| median.used),
        ),
        (
            "standalone, hidden capacity: share refused",
            AtMost(0.01),
            hidden(alone).map(|median| median.refused),
        ),
        (
            "cluster, hidden capacity: share refused",
            AtMost(0.01),
            hidden(cluster).map(|median| median.refused),
        ),
        ("rows lost, in all trials but the raw loop's", AtMost(0.0), Some(lost as f64)),
        ("peak memory of a process at 20,000 rows, MB", AtMost(64.0), all(|median| median.peak, 20_000)),
        (
            "peak memory of a process at 1,000,000 rows, MB",
            AtMost(128.0),
            all(|median| median.peak, 1_000_000),
        ),
    ];
    let goal = |(what, bound, measured): (&'static str, Bound, Option<f64>)| {
        let measured = measured?;
        let (sign, wanted, is_met) = match bound {
            AtLeast(wanted) => ("≥", wanted, measured >= wanted),
            AtMost(wanted) => ("≤", wanted, measured <= wanted),
        };
        Some(Goal { what, wanted: format!("{sign} {wanted}"), measured: shown(measured), is_met })
    };
    asked.into_iter().filter_map(goal).collect()
}

fn shown(value: f64) -> String {
    if value == value.trunc() {
        format!("{value}")
    } else if value < 0.1 {
        format!("{value:.4}")
    } else if value < 10.0 {
        format!("{value:.2}")
    } else {
        format!("{value:.1}")
    }
}

//! What is run: servers to talk to, ways to talk to them, and who talks.

use simulators::{Capacity, FaultPlan, Latency, Rate};

/// Requests at a time in the trials that bound them, all processes together.
pub(crate) const IN_FLIGHT: usize = 64;

/// Requests a second of the server that hides what it can take.
pub(crate) const CAPACITY: f64 = 200.0;

/// Workers of the cluster.
pub(crate) const WORKERS: usize = 2;

/// Who does the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum System {
    Raw,
    Standalone,
    Cluster,
}

impl System {
    pub(crate) const ALL: [Self; 3] = [Self::Raw, Self::Standalone, Self::Cluster];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw loop",
            Self::Standalone => "standalone",
            Self::Cluster => "cluster",
        }
    }
}

/// How long the server takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Delay {
    Fixed(f64),
    /// Log-normal, by its median.
    Around(f64),
}

/// One server, and one way to talk to it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Scenario {
    pub(crate) delay: Delay,
    /// It can take [`CAPACITY`] and does not say so, and fails one request of a hundred.
    pub(crate) is_hidden: bool,
    /// `FHIR_BATCH=auto`.
    pub(crate) batches: bool,
    /// At most [`IN_FLIGHT`]; otherwise what the program does by itself.
    pub(crate) bounded: bool,
    /// Rows, in hundredths of those asked for.
    share: usize,
}

const fn bounded(ms: f64, batches: bool, share: usize) -> Scenario {
    Scenario { delay: Delay::Fixed(ms), is_hidden: false, batches, bounded: true, share }
}

const fn hidden(batches: bool, share: usize) -> Scenario {
    Scenario { delay: Delay::Fixed(50.0), is_hidden: true, batches, bounded: false, share }
}

/// With no setting but what every night needs.
pub(crate) const UNTUNED: Scenario =
    Scenario { delay: Delay::Around(150.0), is_hidden: false, batches: false, bounded: false, share: 100 };
pub(crate) const AT_ONCE: Scenario = bounded(0.0, false, 100);
pub(crate) const FIFTY: Scenario = bounded(50.0, false, 50);
pub(crate) const FIFTY_BATCHES: Scenario = bounded(50.0, true, 100);
pub(crate) const HIDDEN: Scenario = hidden(false, 15);

/// All of them. Those that take long have fewer rows.
pub(crate) const SCENARIOS: [Scenario; 9] = [
    AT_ONCE,
    FIFTY,
    bounded(150.0, false, 10),
    bounded(0.0, true, 100),
    FIFTY_BATCHES,
    bounded(150.0, true, 50),
    UNTUNED,
    HIDDEN,
    hidden(true, 50),
];

impl Scenario {
    pub(crate) fn name(&self) -> String {
        let delay = match self.delay {
            Delay::Fixed(ms) => format!("{ms} ms"),
            Delay::Around(ms) => format!("{ms} ms log-normal"),
        };
        let how = if self.batches { "batches" } else { "one by one" };
        let hidden =
            if self.is_hidden { format!(", hidden {CAPACITY}/s, 1 % errors") } else { String::new() };
        let bound = if self.bounded { "" } else { ", untuned" };
        format!("{delay}, {how}{hidden}{bound}")
    }

    pub(crate) fn rows(&self, asked: usize) -> usize {
        (asked * self.share / 100).max(1)
    }

    /// Who is tried. The raw loop knows no batches and gives nothing way.
    pub(crate) fn systems(&self) -> &'static [System] {
        if self.batches || !self.bounded { &System::ALL[1..] } else { &System::ALL }
    }

    /// The one whose raw loop this is compared with.
    pub(crate) fn compared_with(&self) -> Option<Self> {
        let same = |one: &&Self| one.delay == self.delay && !one.batches && one.bounded;
        SCENARIOS.iter().find(same).filter(|_| self.bounded).copied()
    }

    /// Rows a second that requests in flight over latency allow one by one, at two requests a row.
    pub(crate) fn limit(&self) -> Option<f64> {
        match self.delay {
            Delay::Fixed(ms) if ms > 0.0 && self.bounded && !self.batches => {
                Some(IN_FLIGHT as f64 / (2.0 * ms / 1e3))
            }
            _ => None,
        }
    }

    pub(crate) fn faults(&self) -> FaultPlan {
        let latency = match self.delay {
            Delay::Fixed(ms) => Latency::fixed(ms),
            // The spread of the demo's server.
            Delay::Around(ms) => Latency::log_normal(ms, 0.4),
        };
        let plain = FaultPlan { latency, ..FaultPlan::default() };
        match self.is_hidden {
            false => plain,
            true => FaultPlan {
                capacity: Some(Capacity { requests_per_second: CAPACITY, burst: None, retry_after: None }),
                error_500: Rate::of(0.01),
                ..plain
            },
        }
    }
}

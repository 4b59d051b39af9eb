//! One system on one server, from a fresh world to its figures.

use std::time::Duration;

use ::tests::night::until;
use ::tests::process::{API_KEY, Cluster, DATE, Running, Sign, Site};
use ::tests::services::{Broker, PostgresServer};
use simulators::{DemoNight, NightOptions, Second, StatsSnapshot};
use tokio::process::Command;
use tokio::time::Instant;

use crate::plan::{CAPACITY, IN_FLIGHT, Scenario, System, WORKERS};
use crate::processes::{Cost, cpu_of, watch};
use crate::raw;

/// What one trial gave.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measured {
    pub(crate) rows: usize,
    /// From the start of the process that was given the night to its end.
    pub(crate) seconds: f64,
    /// Of all processes of the system, from their start to their end, seconds.
    pub(crate) cpu: f64,
    /// Of the system's own process that had most, bytes.
    pub(crate) peak: u64,
    pub(crate) requests: u64,
    pub(crate) refused: u64,
    /// Of the hidden capacity.
    pub(crate) used: Option<f64>,
    /// Rows whose Patient was not written.
    pub(crate) lost: u64,
    /// Writes beyond a Patient's first.
    pub(crate) twice: u64,
}

/// The servers that the clusters of all trials stand on.
pub(crate) struct Services {
    broker: Broker,
    postgres: PostgresServer,
}

impl Services {
    pub(crate) async fn start() -> Self {
        let (broker, postgres) = tokio::join!(Broker::start(), PostgresServer::own());
        Self { broker, postgres }
    }

    /// The processes that all others of them descend from.
    pub(crate) fn roots(&self) -> Vec<u32> {
        let postgres = self.postgres.folder().expect("a server of our own has a folder");
        let of_postgres = std::fs::read_to_string(postgres.join("data/postmaster.pid")).expect("it runs");
        let of_broker = std::fs::read_to_string(self.broker.folder().join("groups")).expect("it runs");
        let first = of_postgres.lines().next().expect("its first line is its process id");
        of_broker.split_whitespace().chain([first]).filter_map(|id| id.parse().ok()).collect()
    }
}

/// How the processes did; what the server saw is counted apart.
struct Ran {
    seconds: f64,
    cost: Cost,
}

pub(crate) async fn run(system: System, scenario: &Scenario, rows: usize, services: &Services) -> Measured {
    let night = DemoNight::build(DemoNight::SEED, DATE, &NightOptions::all_need_write(rows));
    let night = night.expect("a night that only writes can be mixed");
    let (ran, stats) = match system {
        System::Raw => on_raw(&night, scenario, rows).await,
        System::Standalone => on_standalone(&night, scenario, rows).await,
        System::Cluster => on_cluster(&night, scenario, rows, services).await,
    };
    Measured {
        rows,
        seconds: ran.seconds,
        cpu: ran.cost.cpu,
        peak: ran.cost.peak,
        requests: stats.requests_total,
        refused: stats.rejected_429,
        used: scenario.is_hidden.then(|| used(&stats.per_second)).flatten(),
        lost: (rows as u64).saturating_sub(stats.distinct_patients_changed),
        twice: stats.writes_beyond_first,
    }
}

/// Of the seconds between the first request and the one in which 95 % of all had been let in: what is left then are rows
/// that wait for their retry.
fn used(seconds: &[Second]) -> Option<f64> {
    let all: u64 = seconds.iter().map(|second| second.accepted).sum();
    let first = seconds.iter().position(|second| second.accepted > 0)? + 1;
    let mut so_far = 0;
    let until = seconds.iter().position(|second| {
        so_far += second.accepted;
        so_far as f64 >= 0.95 * all as f64
    })?;
    let within = seconds.get(first..until).filter(|within| !within.is_empty())?;
    let let_in: u64 = within.iter().map(|second| second.accepted).sum();
    Some(let_in as f64 / (CAPACITY * within.len() as f64))
}

async fn on_raw(night: &DemoNight, scenario: &Scenario, rows: usize) -> (Ran, StatsSnapshot) {
    let site = Site::of(night).await;
    site.simulators.set_faults(scenario.faults());
    let list = site.file("rows", "");
    raw::write_rows(night, &list).expect("a temporary file can be written");
    let server = site.simulators.fhir_url().trim_start_matches("http://").to_owned();
    let mut command = Command::new(std::env::current_exe().expect("a running program has a path"));
    command.args(["raw", "--api-key", API_KEY, "--in-flight", &IN_FLIGHT.to_string(), "--server", &server]);
    command.arg("--rows").arg(list).env_clear();
    let ran = to_its_end(Instant::now(), rows, site.spawn(command)).await;
    (ran, site.simulators.snapshot())
}

async fn on_standalone(night: &DemoNight, scenario: &Scenario, rows: usize) -> (Ran, StatsSnapshot) {
    let mut site = Site::of(night).await;
    site.simulators.set_faults(scenario.faults());
    set(&mut site, scenario, 1);
    let ran = to_its_end(Instant::now(), rows, site.start_night()).await;
    (ran, site.simulators.snapshot())
}

async fn on_cluster(
    night: &DemoNight,
    scenario: &Scenario,
    rows: usize,
    services: &Services,
) -> (Ran, StatsSnapshot) {
    let place = services.postgres.place().await;
    services.broker.management().make_vhost(&place.name);
    let broker = services.broker.url(&place.name);
    let mut cluster = Cluster::on(Site::world_of(night), place.uri, broker).await;
    cluster.simulators.set_faults(scenario.faults());
    cluster.site_mut().unset("FHIR_TIMEOUT");
    set(cluster.site_mut(), scenario, WORKERS);
    let before = cpu_of(&services.roots());
    let workers = cluster.workers(WORKERS);
    let watched: Vec<_> = workers.iter().map(|worker| tokio::spawn(watch(worker.id()))).collect();
    until("the workers to be there", || cluster.consumers(), |there| *there == WORKERS as u64).await;
    let mut ran = to_its_end(Instant::now(), rows, cluster.start_produced_night()).await;
    for (worker, watched) in workers.into_iter().zip(watched) {
        worker.signal(Sign::Terminate);
        let (cost, _) = watched.await.expect("a look at a process does not panic");
        worker.end().await;
        ran.cost.cpu += cost.cpu;
        ran.cost.peak = ran.cost.peak.max(cost.peak);
    }
    ran.cost.cpu += cpu_of(&services.roots()) - before;
    let stats = cluster.simulators.snapshot();
    let client = services.postgres.client().await;
    client.batch_execute(&format!("DROP SCHEMA {} CASCADE", place.name)).await.expect("our own schema");
    services.broker.management().remove_vhost(&place.name).expect("our own vhost");
    (ran, stats)
}

fn set(site: &mut Site, scenario: &Scenario, processes: usize) {
    if scenario.bounded {
        site.set("FHIR_MAX_CONCURRENCY", (IN_FLIGHT / processes).to_string());
    }
    if scenario.batches {
        site.set("FHIR_BATCH", "auto");
    }
}

/// What ended badly, or not at all, is told of; its rows count as lost.
async fn to_its_end(began: Instant, rows: usize, running: Running) -> Ran {
    let patience =
        Duration::from_secs(120) + Duration::from_millis(10) * u32::try_from(rows).unwrap_or(u32::MAX);
    let Ok((cost, ended)) = tokio::time::timeout(patience, watch(running.id())).await else {
        eprintln!("still running after {patience:?}; it is killed:\n{}", running.stderr());
        running.kill().await;
        return Ran { seconds: began.elapsed().as_secs_f64(), cost: Cost::default() };
    };
    let finished = running.end().await;
    // 3: with dead letters.
    if !matches!(finished.status, Some(0 | 3)) {
        eprintln!("it ended with status {:?}:\n{}", finished.status, finished.stderr);
    }
    Ran { seconds: (ended - began).as_secs_f64(), cost }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_capacity_used_is_neither_of_the_first_second_nor_of_the_last_rows() {
        let seconds = |accepted: &[u64]| -> Vec<Second> {
            accepted.iter().map(|accepted| Second { accepted: *accepted, rejected: 3 }).collect()
        };
        // Nothing, a start, 19 seconds at nine tenths, and a tail of retries.
        let mut night = vec![0, 60];
        night.extend([180; 19]);
        night.extend([20, 1, 1]);
        assert_eq!(used(&seconds(&night)), Some(0.9));
        assert_eq!(used(&seconds(&[0, 0])), None);
        assert_eq!(used(&seconds(&[180])), None);
    }
}

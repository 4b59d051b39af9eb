//! A small night, set up to be harmed: what a fault is given, and what is asked when it is over.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use shared::domain::Outcome;
use shared::ledger::LedgerView as _;
use simulators::{DemoNight, FaultPlan, Latency, NightOptions, Operation, PatientFault};
use tokio::time::{Instant, sleep};

use super::Repeat;
use super::fleet::Fleet;
use super::looks::Looks;
use super::servers::{Places, Servers};
use crate::oracle::{Oracle, Verdict, Writes};
use crate::process::{Cluster, DATE, Network, Site};
use shared::testing::Failpoint;

/// Intervals, leases and waits are this fraction of what they are in production.
const HURRY: u32 = 10;

/// What anything takes at most that a night waits for, on a machine with much else to do. Of the waits that a fault
/// leaves behind the longest is RabbitMQ's own, of three minutes, before it tries again what it could not dead-letter.
const PATIENCE: Duration = Duration::from_secs(240);

const EVERY: Duration = Duration::from_millis(50);

/// See the module.
pub(super) struct Stage {
    /// Settings and simulators.
    pub(super) cluster: Cluster,
    pub(super) night: DemoNight,
    pub(super) dice: StdRng,
    pub(super) servers: Servers,
    pub(super) places: Places,
    pub(super) fleet: Fleet,
    pub(super) looks: Looks,
    /// How versions and outcomes belong together after this fault.
    pub(super) writes: Writes,
    name: String,
    seed: u64,
    /// In front of the servers, where a fault is one of the network.
    network: Option<Network>,
}

impl Stage {
    pub(super) async fn set(name: &str, servers: Servers, seed: u64) -> Self {
        let mut dice = StdRng::seed_from_u64(seed);
        let today = dice.random_range(50..70);
        let mix = NightOptions { conflicting_pairs: 1, ambiguous: 3, inactive: 2, ..NightOptions::default() };
        let options = NightOptions { rows_total: today * 2, rows_today: today, ..mix };
        let night = DemoNight::build(seed, DATE, &options).expect("the parts fit together");
        let places = servers.places().await;
        let mut cluster =
            Cluster::on(Site::world_of(&night), places.database.clone(), places.broker.clone()).await;
        cluster.hurry(HURRY, None);
        cluster.set("FHIR_MAX_CONCURRENCY", "4");
        // A row that fails for as long as the fault lasts must not be given up by it.
        cluster.set("RETRY_MAX_ATTEMPTS", "50");
        let looks = Looks::at(&cluster, places.database.clone());
        let stage = Self {
            cluster,
            night,
            dice,
            servers,
            places,
            fleet: Fleet::default(),
            looks,
            writes: Writes::Exact,
            name: name.into(),
            seed,
            network: None,
        };
        stage.fhir(FaultPlan::default());
        stage
    }

    /// Lets the FHIR server do this wrong; it takes its time besides.
    pub(super) fn fhir(&self, plan: FaultPlan) {
        self.slow_fhir(20.0, plan);
    }

    /// The same, with another time.
    pub(super) fn slow_fhir(&self, milliseconds: f64, plan: FaultPlan) {
        let plan = FaultPlan { latency: Latency::log_normal(milliseconds, 0.5), ..plan };
        self.cluster.simulators.set_faults(plan);
    }

    /// Lets the FHIR server refuse the writes of so many people whose number changes.
    pub(super) fn refuse(&self, people: usize) {
        let refused = || PatientFault {
            operation: Some(Operation::Write),
            status: Some(422),
            ..PatientFault::default()
        };
        let changes = self.night.expected_numbers().filter(|(nik, number)| {
            let now = self.cluster.simulators.store().current_mobile(nik).unwrap_or_default();
            let digits: String = now.chars().filter(char::is_ascii_digit).collect();
            !digits.ends_with(&number[3..])
        });
        let patients = changes.take(people).map(|(nik, _)| (nik, refused())).collect();
        self.fhir(FaultPlan { patients, ..FaultPlan::default() });
    }

    /// A queue allows so many deliveries. Before anything is started.
    pub(super) fn limit_deliveries(&mut self, most: u32) {
        self.cluster.hurry(HURRY, Some(most));
        self.looks = Looks::at(&self.cluster, self.places.database.clone());
    }

    /// Leads the programs that are started from now on through relays.
    pub(super) async fn through_relays(&mut self) {
        let network = Network::to(&self.cluster).await;
        network.lead(&mut self.cluster);
        self.network = Some(network);
    }

    pub(super) fn network(&self) -> &Network {
        self.network.as_ref().expect("the fault asked for relays")
    }

    /// Does something at a point of every process that is started from now on, after so many passes of it, until one
    /// has died.
    pub(super) fn arm(&mut self, point: Failpoint, passes: u32, action: &str) {
        self.fleet.armed = Some(format!("{}={passes}*off->{action}", point.as_str()));
    }

    /// Starts workers and the night's producer.
    pub(super) fn start(&mut self, workers: usize) {
        self.fleet.start_workers(&self.cluster, workers);
        self.fleet.start_producer(&self.cluster);
    }

    /// Keeps the night's processes up until this holds.
    ///
    /// # Panics
    /// It does not in time.
    pub(super) async fn until(&mut self, what: &str, enough: impl AsyncFn(&Self) -> bool) {
        let gives_up = Instant::now() + PATIENCE;
        while !enough(self).await {
            assert!(Instant::now() < gives_up, "waited {PATIENCE:?} for {what}; see {}", self.keep());
            self.tend().await;
            sleep(EVERY).await;
        }
    }

    /// Until so many writes went through.
    pub(super) async fn until_writes(&mut self, least: u64) {
        let changed = self.night.expected().patients_changed;
        assert!(least <= changed, "{least} writes of {changed} are never seen");
        let enough = async |it: &Self| it.cluster.simulators.snapshot().writes >= least;
        self.until("writes", enough).await;
    }

    /// Until the first share, of eight, of the writes went through.
    pub(super) async fn until_eighths(&mut self, eighths: u64) {
        self.until_writes(self.night.expected().patients_changed * eighths / 8).await;
    }

    /// Until a query of the ledger for one number gives at least this.
    pub(super) async fn until_count(&mut self, what: &str, sql: &str, least: i64) {
        self.until(what, async |it: &Self| it.looks.ask(sql).await >= Some(least)).await;
    }

    /// Lets a fault last.
    pub(super) async fn hold(&mut self, lasts: Duration) {
        let over = Instant::now() + lasts;
        while Instant::now() < over {
            self.tend().await;
            sleep(EVERY).await;
        }
    }

    /// Lets it last for any time up to this, in milliseconds.
    pub(super) async fn hold_up_to(&mut self, most: u64) {
        let lasts = Duration::from_millis(self.dice.random_range(0..=most));
        self.hold(lasts).await;
    }

    async fn tend(&mut self) {
        // Which of its two orders a producer gets must be known.
        if let Some(opened) = self.looks.has_run().await {
            self.fleet.tend(&self.cluster, opened);
        }
    }

    /// The harm is over: waits for the end of the night, and judges it.
    pub(super) async fn finish(mut self) -> (Repeat, Servers) {
        let calm = Instant::now();
        self.fleet.armed = None;
        let over = async |it: &Self| it.fleet.producer.is_none() && it.looks.is_over().await;
        let gives_up = calm + PATIENCE;
        let mut closed = None;
        while Instant::now() < gives_up && !over(&self).await {
            self.tend().await;
            if closed.is_none() && self.looks.is_over().await {
                closed = Some(calm.elapsed());
            }
            sleep(EVERY).await;
        }
        let recovery = closed.unwrap_or_else(|| calm.elapsed());
        let mut verdict = self.judged().await;
        if !verdict.holds() {
            verdict.violations.push(format!("see {}", self.keep()));
        }
        self.looks.close().await;
        let Self { servers, places, fleet, cluster, .. } = self;
        drop((fleet, cluster));
        servers.clear(places).await;
        (Repeat { verdict, recovery }, servers)
    }

    async fn judged(&mut self) -> Verdict {
        let (expected, before) = (self.night.expected(), self.cluster.before());
        let oracle = Oracle {
            ledger: &self.looks.ledger,
            world: &self.looks,
            keys: self.cluster.keys(),
            job: "nightly-whatsapp-sync",
            store: self.cluster.simulators.store(),
            stats: self.cluster.simulators.stats(),
            before: Some(&before),
            writes: self.writes,
            other_writes: 0,
            rows: Some(expected.rows_selected),
            patience: PATIENCE,
        };
        // Who is armed may die as late as this.
        let (fleet, cluster) = (&mut self.fleet, &self.cluster);
        let tended = async {
            loop {
                fleet.tend(cluster, true);
                sleep(EVERY).await;
            }
        };
        let mut verdict = tokio::select! {
            verdict = oracle.verdict() => verdict,
            () = tended => unreachable!("it is tended for as long as it is judged"),
        };
        self.compare_outcomes(&mut verdict).await;
        verdict
    }

    /// The night ended as if nothing had happened.
    async fn compare_outcomes(&self, verdict: &mut Verdict) {
        let runs = self.looks.ledger.runs("nightly-whatsapp-sync", None, 10).await.expect("a list");
        if runs.len() != 1 {
            verdict.violations.push(format!("{} runs for one night", runs.len()));
        }
        let mut expected = self.night.expected().outcomes.clone();
        let tally = &runs.first().expect("a night").tally;
        let mut found: std::collections::BTreeMap<String, u64> =
            tally.outcomes.iter().map(|(outcome, rows)| (outcome.to_string(), *rows)).collect();
        if self.writes == Writes::LostTail {
            // Whose end was lost finds its own number, and cannot tell that it is its own.
            for outcomes in [&mut expected, &mut found] {
                let unchanged = outcomes.remove(Outcome::Unchanged.as_str()).unwrap_or(0);
                *outcomes.entry(Outcome::Updated.as_str().into()).or_default() += unchanged;
            }
        }
        if found != expected {
            let missing = |(outcome, rows): (&String, &u64)| {
                rows.saturating_sub(found.get(outcome).copied().unwrap_or(0))
            };
            verdict.lost += expected.iter().map(missing).sum::<u64>();
            verdict.violations.push(format!("outcomes {found:?}, and {expected:?} were expected"));
        }
    }

    /// Keeps what the programs printed, for a look, and says where.
    fn keep(&self) -> String {
        let program = std::env::current_exe().expect("a running program has a path");
        let kept = program.parent().expect("it is in a folder").join("chaos-nights");
        let kept = kept.join(format!("{}-{}", self.name, self.seed));
        std::fs::create_dir_all(&kept).expect("a folder can be made");
        for entry in std::fs::read_dir(self.cluster.output()).expect("a folder").flatten() {
            std::fs::copy(entry.path(), kept.join(entry.file_name())).expect("output can be copied");
        }
        kept.display().to_string()
    }
}

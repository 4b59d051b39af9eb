//! What outlives every process of a simulated night, and how processes are put together on it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::{SignedDuration, Timestamp};
use producer::{Producer, Until};
use shared::backing::Backing;
use shared::clock::Clock;
use shared::data_key::DataKeys;
use shared::ledger::RunKind;
use shared::ledger::sqlite::SqliteLedger;
use shared::metrics::Metrics;
use shared::queue::{Depth, Queues};
use shared::settings::Settings;
use shared::steward::{Scope, Steward, StewardTerms};
use simulators::Population;
use worker::{Company, Fhir, Worker};

use super::broker::Broker;
use super::life::{Calls, Life};
use super::plan::{Plan, Without};
use super::server::{Server, TIMEOUT};
use super::sheet::Sheet;
use super::trace::Trace;
use super::watched::Claims;
use super::weather::Weather;
use crate::night::WatchedLedger;
use crate::oracle::{Before, Oracle, Verdict, World as Asked, Writes};

/// 22:00 of the middle day, in Jakarta.
const START: &str = "2026-11-23T15:00:00Z";

/// See the module.
pub(super) struct World {
    pub(super) trace: Trace,
    pub(super) weather: Arc<Weather>,
    pub(super) ledger: Arc<SqliteLedger>,
    pub(super) broker: Broker,
    pub(super) server: Server,
    pub(super) sheet: Sheet,
    pub(super) settings: Settings,
    keys: Arc<DataKeys>,
    clock: Clock,
    ahead: Arc<AtomicI64>,
    before: Before,
    seed: u64,
    without: Option<Without>,
}

/// One start of a process.
pub(super) struct Start {
    pub(super) life: Life,
    backing: Backing,
    company: Company,
}

impl World {
    pub(super) fn of(plan: &Plan, trace: Trace, without: Option<Without>) -> Self {
        let ahead = Arc::new(AtomicI64::new(0));
        let clock = clock(ahead.clone());
        let weather = Arc::new(Weather::new(plan, trace.clone()));
        let population = Arc::new(Population::generate(plan.seed, plan.people));
        let server = Server::of(population.clone(), weather.clone(), without);
        let niks = (0..population.len()).map(|person| population.nik(person));
        let before = niks.map(|nik| (nik.clone(), server.fhir.store().patient_by_nik(&nik))).collect();
        let sheet = Sheet::new(plan.rows.clone(), population.clone(), weather.clone());
        let ledger = SqliteLedger::in_memory(clock.clone()).expect("memory is there");
        let settings = |name: &str| {
            Some(match name {
                "FHIR_URL" => "http://fhir.invalid/fhir".to_owned(),
                // Any variable that is always set: the simulated server asks for no key, and tells when one is refused.
                "FHIR_API_KEY" => "env:PATH".to_owned(),
                "FHIR_TIMEOUT" => format!("{}s", TIMEOUT.as_secs()),
                "FHIR_MAX_CONCURRENCY" => "8".to_owned(),
                "SHEET_ID" => "simulated".to_owned(),
                _ => return None,
            })
        };
        Self {
            broker: Broker::new(weather.clone(), plan.workers > 0),
            server,
            settings: Settings::read(&settings).expect("usable settings"),
            keys: Arc::new(
                DataKeys::parse(&format!("1:{}", STANDARD.encode([7; 32])).into()).expect("a key"),
            ),
            ledger: Arc::new(ledger),
            seed: plan.seed,
            trace,
            weather,
            sheet,
            clock,
            ahead,
            before,
            without,
        }
    }

    /// Moves the time of day, which leases go by.
    pub(super) fn move_clock(&self, by: i64) {
        self.ahead.fetch_add(by * 1_000, Ordering::Relaxed);
    }

    pub(super) fn start(&self, name: String) -> Start {
        self.trace.note(&name, "starts");
        let life = Life::new(name, self.trace.clone(), self.weather.clone());
        let claims = Claims::new(self.ledger.clone(), self.trace.clone(), self.clock.clone(), self.without);
        let queues = Queues::one(self.broker.used_by(&life, &claims));
        let ledger = WatchedLedger::over(self.ledger.clone(), Calls(life.clone(), claims));
        let (keys, clock) = (self.keys.clone(), self.clock.clone());
        let backing = Backing { ledger, queues, keys, clock, metrics: Metrics::default() };
        Start { life, backing, company: Company::default() }
    }

    pub(super) async fn worker(&self, start: &Start) -> Worker {
        let name = start.life.name();
        let transport = self.server.transport(&start.life);
        let fhir = Fhir::over(&self.settings, &self.clock, |_| Ok(transport)).await.expect("usable settings");
        let seed = name.bytes().fold(self.seed, |seed, byte| seed.rotate_left(7) ^ u64::from(byte));
        let tuning = worker::Tuning { seed: Some(seed), ..worker::Tuning::default() };
        let mut worker = worker::worker(&start.backing, &self.settings, fhir, tuning, &start.company);
        worker.holder = name.to_owned();
        worker
    }

    /// As every worker of a cluster has one.
    pub(super) fn steward(&self, start: &Start) -> Steward {
        let scope = Scope::Job { job: self.settings.job.clone(), kind: RunKind::Night };
        let terms = StewardTerms { every: Duration::from_secs(1), ..StewardTerms::default() };
        let (ledger, queue) = (start.backing.ledger.clone(), start.backing.queues.night.clone());
        Steward::new(ledger, queue, start.life.name().to_owned(), terms, scope)
    }

    pub(super) fn producer(&self, start: &Start, until: Until) -> Producer {
        let sources = self.sheet.read_by(&start.life);
        let mut tuning =
            producer::Tuning { look_every: Duration::from_millis(500), ..producer::Tuning::default() };
        tuning.steward.every = Duration::from_millis(500);
        let mut producer = producer::producer(&start.backing, &self.settings, sources, tuning, until);
        producer.holder = start.life.name().to_owned();
        producer
    }

    pub(super) async fn verdict(&self) -> Verdict {
        // What somebody else wrote, who changed nothing but the version, was there before.
        let mut before = self.before.clone();
        for id in self.server.touched() {
            let mut patients = before.values_mut().flatten();
            if let Some(patient) = patients.find(|patient| patient["id"] == *id) {
                let version =
                    patient["meta"]["versionId"].as_str().and_then(|version| version.parse::<u32>().ok());
                patient["meta"]["versionId"] = (version.expect("a version") + 1).to_string().into();
            }
        }
        let oracle = Oracle {
            ledger: self.ledger.as_ref(),
            world: self,
            keys: &self.keys,
            job: &self.settings.job,
            store: self.server.fhir.store(),
            stats: self.server.fhir.stats(),
            before: Some(&before),
            writes: Writes::Explained,
            other_writes: 0,
            rows: None,
            patience: Duration::ZERO,
        };
        oracle.verdict().await
    }
}

#[async_trait(?Send)]
impl Asked for World {
    async fn count(&self, sql: &str) -> u64 {
        self.ledger.count_in_memory(sql).expect("a count")
    }

    async fn depths(&self) -> Vec<Depth> {
        vec![self.broker.depth().await]
    }

    async fn held(&self) -> (u64, u64) {
        let now = self.clock.micros();
        let of = async |table: &str| {
            self.count(&format!("SELECT COUNT(*) FROM {table} WHERE lease_until > {now}")).await
        };
        (of("run_lock").await, of("nik_lease").await)
    }
}

fn clock(ahead: Arc<AtomicI64>) -> Clock {
    let start: Timestamp = START.parse().expect("a timestamp");
    let origin = tokio::time::Instant::now();
    Clock::from_fn(move || {
        start + SignedDuration::from_micros(ahead.load(Ordering::Relaxed)) + origin.elapsed()
    })
}

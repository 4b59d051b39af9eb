//! The world outside and what outlives a process: simulators, database file, secrets, settings, the time.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use producer::source::{RowSource, SourceError};
use producer::{ConfiguredSources, Ended, LockTerms, Order, Replayed, Sources};
use serde_json::Value;
use shared::clock::Clock;
use shared::data_key::{DataKeys, KeyedHash};
use shared::ledger::Replay;
use shared::ledger::sqlite::SqliteLedger;
use shared::queue::Depth;
use shared::settings::Settings;
use shared::steward::StewardTerms;
use simulators::{
    DemoNight, FhirOptions, Population, Sheet, SheetCell, Simulators, SimulatorsConfig, Spreadsheet,
};
use standalone::composition::{Common, Tuning, data_keys};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use worker::{BatchTerms, BreakerTerms, PauseTerms};

use super::orders::whole;
use super::process::Process;
use crate::oracle::{Before, Writes};

/// The run date of most tests.
pub const DATE: &str = "2026-11-23";
/// The day before.
pub const EARLIER: &str = "2026-11-22";
/// The day after.
pub const LATER: &str = "2026-11-24";

/// 22:00 on [`DATE`] in Jakarta.
const START: &str = "2026-11-23T15:00:00Z";

/// How long a start waits for the process before it to let the database go.
const PATIENCE: Duration = Duration::from_secs(10);

/// See the module.
pub struct Scene {
    /// Google Sheets and the FHIR server.
    pub simulators: Simulators,
    /// The people in the FHIR server.
    pub population: Population,
    /// Intervals of processes started from now on.
    pub tuning: Tuning,
    /// Workers of processes started from now on.
    pub workers: usize,
    /// Writes that the FHIR server counted and no `updated` row stands for: the tests' own.
    pub other_writes: u64,
    /// How versions and outcomes belong together.
    pub writes: Writes,
    variables: BTreeMap<&'static str, String>,
    before: Before,
    directory: TempDir,
    ahead: Arc<AtomicI64>,
    clock: Clock,
}

impl Scene {
    /// The world of a demo night.
    pub async fn of(night: &DemoNight) -> Self {
        Self::with(night.population().clone(), night.spreadsheet(), FhirOptions::default()).await
    }

    /// So many people, and a sheet with nothing below its header.
    pub async fn people(count: usize) -> Self {
        Self::people_of(count, FhirOptions::default()).await
    }

    /// So many people in a server like this.
    pub async fn people_of(count: usize, fhir: FhirOptions) -> Self {
        let scene = Self::with(Population::generate(7, count), Spreadsheet::default(), fhir).await;
        scene.type_rows(&[]);
        scene
    }

    async fn with(population: Population, spreadsheet: Spreadsheet, fhir: FhirOptions) -> Self {
        // A second scene of this process finds it installed.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let config = SimulatorsConfig {
            population: Some(population.clone()),
            spreadsheet,
            fhir,
            api_keys: vec!["first-key".into()],
            ..SimulatorsConfig::default()
        };
        let simulators = Simulators::start(config).await.expect("loopback has ports");
        let before = (0..population.len()).map(|person| population.nik(person));
        let before = before.map(|nik| (nik.clone(), simulators.store().patient_by_nik(&nik))).collect();
        let directory = TempDir::new().expect("a directory");
        let ahead = Arc::new(AtomicI64::new(0));
        let mut scene = Self {
            population,
            tuning: quick(),
            workers: 1,
            other_writes: 0,
            writes: Writes::default(),
            variables: BTreeMap::new(),
            before,
            clock: clock(ahead.clone()),
            directory,
            ahead,
            simulators,
        };
        let key_file = scene.write_secret("service-account.json", &scene.simulators.service_account_json());
        scene.set("GOOGLE_CREDENTIALS", format!("file:{}", key_file.display()));
        let api_key = scene.write_secret("api-key", "first-key\n");
        scene.set("FHIR_API_KEY", format!("file:{}", api_key.display()));
        scene.set("SHEET_ID", scene.simulators.sheet_id());
        scene.set("SHEETS_URL", scene.simulators.sheets_url().to_owned());
        scene.set("FHIR_URL", scene.simulators.fhir_url().to_owned());
        scene.set("FHIR_TIMEOUT", "5s");
        scene.set("FHIR_MAX_CONCURRENCY", "32");
        scene.set("DATABASE_URL", format!("sqlite:{}", scene.database().display()));
        scene
    }

    /// Sets an environment variable of processes started from now on.
    pub fn set(&mut self, variable: &'static str, value: impl Into<String>) {
        self.variables.insert(variable, value.into());
    }

    /// Writes a file in the place where secrets are, and gives its path. The API key's is `api-key`.
    pub fn write_secret(&self, name: &str, content: &str) -> PathBuf {
        let path = self.directory.path().join(name);
        std::fs::write(&path, content).expect("the directory can be written");
        path
    }

    /// Moves the time of day, which leases go by; waits and time-outs do not follow it.
    pub fn move_clock(&self, by: Duration) {
        self.ahead.fetch_add(i64::try_from(by.as_micros()).expect("not that long"), Ordering::Relaxed);
    }

    /// Types these rows below the header: a person, which of their new numbers, and a date.
    pub fn type_rows(&self, rows: &[(usize, u64, &str)]) {
        let header = simulators::HEADER.map(SheetCell::text).to_vec();
        let typed = rows.iter().map(|(person, which, date)| {
            vec![
                SheetCell::text(self.population.nik(*person)),
                SheetCell::text(self.population.name(*person)),
                SheetCell::text(self.population.new_mobile(*person, *which)),
                SheetCell::text(*date),
            ]
        });
        let sheet = Sheet::new("Sheet1", std::iter::once(header).chain(typed).collect());
        self.simulators.sheets().edit(|spreadsheet| *spreadsheet = Spreadsheet::of(sheet));
    }

    /// Adds a Patient of somebody outside the population, with this NIK among its identifiers.
    ///
    /// # Panics
    /// The simulator does not take it.
    pub fn add_patient(&mut self, nik: String, patient: Value) {
        self.simulators.store().insert(patient).expect("a Patient with an id of its own");
        let stored = self.simulators.store().patient_by_nik(&nik);
        self.before.insert(nik, stored);
    }

    /// Types rows of [`DATE`] from NIKs and numbers as they are.
    pub fn type_pairs(&self, pairs: impl IntoIterator<Item = (String, String)>) {
        let header = simulators::HEADER.map(SheetCell::text).to_vec();
        let typed = pairs
            .into_iter()
            .map(|(nik, number)| [nik, String::new(), number, DATE.to_owned()].map(SheetCell::text).to_vec());
        let sheet = Sheet::new("Sheet1", std::iter::once(header).chain(typed).collect());
        self.simulators.sheets().edit(|spreadsheet| *spreadsheet = Spreadsheet::of(sheet));
    }

    /// Types one row each for so many people, with their `which`th new number, dated [`DATE`].
    pub fn type_everybody(&self, people: std::ops::Range<usize>, which: u64) {
        self.type_rows(&people.map(|person| (person, which, DATE)).collect::<Vec<_>>());
    }

    /// The settings as the environment has them now.
    pub fn settings(&self) -> Settings {
        Settings::read(&|name| self.variables.get(name).cloned()).expect("usable settings")
    }

    /// Where the database is.
    pub fn database(&self) -> PathBuf {
        self.directory.path().join("night.db")
    }

    /// The directory of the database and the secrets.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The ledger, to be looked at.
    pub fn look(&self) -> SqliteLedger {
        SqliteLedger::look(&self.database(), self.clock.clone()).expect("a database that can be read")
    }

    /// The keys.
    pub async fn keys(&self) -> DataKeys {
        data_keys(&self.settings(), &self.database(), false).await.expect("the keys beside the database")
    }

    /// The keyed hash of a person's NIK.
    pub async fn nik_hash(&self, person: usize) -> KeyedHash {
        self.keys().await.nik_hash(&self.population.nik(person).parse().expect("a NIK"))
    }

    /// Starts a process on the database, as soon as the one before let it go.
    pub async fn open(&self) -> Process {
        let settings = self.settings();
        let sources: Arc<dyn Sources> =
            Arc::new(ConfiguredSources::new(&settings, None, true).expect("usable settings"));
        let ledger =
            SqliteLedger::act(&self.database(), self.clock.clone(), PATIENCE).await.expect("a free database");
        let keys = data_keys(&settings, &self.database(), true).await.expect("keys");
        let common = Common::new(ledger, Arc::new(keys), self.clock.clone(), self.tuning);
        Process { common, settings, workers: self.workers, sources, stop: CancellationToken::new() }
    }

    /// Starts the program for [`DATE`] and waits for its end.
    pub async fn night(&self) -> Ended {
        self.order(DATE, &whole()).await
    }

    /// Starts the program for a date and waits for its end; where it was not stopped, it leaves its queue empty.
    pub async fn order(&self, date: &str, order: &Order) -> Ended {
        let process = self.open().await;
        let ended =
            Box::pin(process.night(date, order)).await.expect("a night without an unexpected failure");
        if ended.halt.is_none() {
            assert_eq!(process.depth().await, Depth::default(), "the queue is empty");
        }
        ended
    }

    /// Starts the program to replay dead letters and waits for its end.
    pub async fn replay(&self, replay: Replay) -> Replayed {
        let process = self.open().await;
        let replayed =
            Box::pin(process.replay(replay)).await.expect("a replay without an unexpected failure");
        if replayed.halt.is_none() {
            assert_eq!(process.depth().await, Depth::default(), "the queue is empty");
        }
        replayed
    }

    /// The one Patient of a person, as it stands.
    pub fn patient(&self, person: usize) -> Value {
        let mut patients = self.simulators.store().patient_by_nik(&self.population.nik(person));
        assert_eq!(patients.len(), 1, "person {person} has one Patient");
        patients.remove(0)
    }

    /// The number in FHIR of a person, in whatever spelling it stands there.
    pub fn number(&self, person: usize) -> Option<String> {
        self.simulators.store().current_mobile(&self.population.nik(person))
    }

    /// Asserts that these people have their `which`th new number.
    pub fn assert_numbers(&self, people: impl IntoIterator<Item = usize>, which: u64) {
        for person in people {
            assert_eq!(
                self.number(person),
                Some(self.population.new_mobile(person, which)),
                "person {person}"
            );
        }
    }

    /// Patients as they were before the first night, by NIK, for the oracle.
    pub(super) fn before(&self) -> &Before {
        &self.before
    }

    /// Takes a person's Patient as it stands for what it was before: somebody else has the right to change it.
    pub fn take_as_before(&mut self, person: usize) {
        let nik = self.population.nik(person);
        let patients = self.simulators.store().patient_by_nik(&nik);
        self.before.insert(nik, patients);
    }

    /// Sends a request of somebody else's to the FHIR server.
    pub async fn as_somebody_else(&self, method: reqwest::Method, path: &str, body: Option<&Value>) -> u16 {
        let url = format!("{}/{path}", self.simulators.fhir_url());
        let client = reqwest::Client::builder().build().expect("a client");
        let mut request = client.request(method, url).header("x-api-key", "first-key");
        if let Some(body) = body {
            let version = body.pointer("/meta/versionId").and_then(Value::as_str).expect("a version");
            request = request.header("if-match", format!("W/\"{version}\""));
            request = request.header("content-type", "application/fhir+json").body(body.to_string());
        }
        request.send().await.expect("an answer").status().as_u16()
    }
}

fn clock(ahead: Arc<AtomicI64>) -> Clock {
    let start: Timestamp = START.parse().expect("a timestamp");
    let origin = tokio::time::Instant::now();
    Clock::from_fn(move || {
        start + SignedDuration::from_micros(ahead.load(Ordering::Relaxed)) + origin.elapsed()
    })
}

/// What an operator waits for, in a fraction of the time.
fn quick() -> Tuning {
    let ms = Duration::from_millis;
    let producer = producer::Tuning {
        // Long, so that a clock that is moved does not take it away.
        lock: LockTerms { lease: Duration::from_secs(86_400), renew: Duration::from_secs(3_600) },
        steward: StewardTerms { every: ms(20), ..StewardTerms::default() },
        look_every: ms(10),
    };
    let worker = worker::Tuning {
        batch: BatchTerms { linger: ms(2), ..BatchTerms::default() },
        breaker: BreakerTerms { patience: ms(300), ..BreakerTerms::default() },
        pause: PauseTerms { first: ms(50), most: ms(200), look: ms(20) },
        gather: worker::GatherTerms::default(),
        first_retry: ms(20),
        longest_retry: Duration::from_secs(2),
        lease_margin: Duration::from_secs(60),
        seed: None,
    };
    Tuning { producer, worker }
}

/// Sources made of one closure, for tests that bring a row source of their own.
pub struct Brought<F>(pub F);

#[async_trait::async_trait]
impl<F: Fn() -> Box<dyn RowSource> + Send + Sync> Sources for Brought<F> {
    async fn open(&self) -> Result<Box<dyn RowSource>, SourceError> {
        Ok((self.0)())
    }

    fn describe(&self) -> String {
        "brought".into()
    }
}

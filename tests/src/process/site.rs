//! Everything around a process: simulators, secrets, settings, and the folder it works in.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use shared::ledger::RunId;
use simulators::{
    DemoNight, FhirStore, NIK_SYSTEM, NightOptions, Population, Simulators, SimulatorsConfig, WallClock,
};
use tempfile::TempDir;
use tokio::process::Command;

use super::binaries::{binary, in_repository};
use super::child::{Finished, Running};
use crate::oracle::Before;

/// The run date of the nights.
pub const DATE: &str = "2026-11-23";

/// What the simulated FHIR server accepts.
pub const API_KEY: &str = "an-api-key-for-tests";

/// See the module.
pub struct Site {
    /// The world outside, in the test's own process: it lives on whoever dies.
    pub simulators: Simulators,
    folder: TempDir,
    settings: BTreeMap<String, String>,
    population: Option<Population>,
    starts: Cell<u32>,
}

impl Site {
    /// A site whose simulators hold this night.
    pub async fn of(night: &DemoNight) -> Self {
        Self::with(Self::world_of(night)).await
    }

    /// Simulators that hold this night and behave.
    pub fn world_of(night: &DemoNight) -> SimulatorsConfig {
        SimulatorsConfig {
            population: Some(night.population().clone()),
            spreadsheet: night.spreadsheet(),
            ..SimulatorsConfig::default()
        }
    }

    /// A site with these simulators; they ask for [`API_KEY`].
    pub async fn with(config: SimulatorsConfig) -> Self {
        let config = SimulatorsConfig { api_keys: vec![API_KEY.to_owned()], ..config };
        let population = config.population.clone();
        let simulators = Simulators::start(config).await.expect("simulators start on loopback");
        let folder = tempfile::tempdir().expect("a temporary folder");
        for part in ["work", "secrets", "output"] {
            std::fs::create_dir(folder.path().join(part)).expect("a folder");
        }
        let secret = |name: &str, content: &str| {
            let path = folder.path().join("secrets").join(name);
            std::fs::write(&path, content).expect("a secret");
            format!("file:{}", path.display())
        };
        let settings = [
            ("SHEET_ID", simulators.sheet_id()),
            ("SHEETS_URL", simulators.sheets_url().to_owned()),
            ("GOOGLE_CREDENTIALS", secret("service-account.json", &simulators.service_account_json())),
            ("FHIR_URL", simulators.fhir_url().to_owned()),
            ("FHIR_API_KEY", secret("api-key", API_KEY)),
            // Starts side by side each have a page of their own.
            ("METRICS_ADDR", "127.0.0.1:0".to_owned()),
            ("DASHBOARD_ADDR", "127.0.0.1:0".to_owned()),
        ];
        let settings = settings.map(|(name, value)| (name.to_owned(), value)).into();
        Self { simulators, folder, settings, population, starts: Cell::new(0) }
    }

    /// Sets a variable for the starts to come.
    pub fn set(&mut self, variable: &str, value: impl Into<String>) {
        self.settings.insert(variable.to_owned(), value.into());
    }

    /// All variables as they are set now.
    pub fn settings(&self) -> &BTreeMap<String, String> {
        &self.settings
    }

    /// A variable as it is set now.
    pub fn setting(&self, variable: &str) -> Option<String> {
        self.settings.get(variable).cloned()
    }

    /// Sets a variable, or takes it away.
    pub fn assign(&mut self, variable: &str, value: Option<String>) {
        match value {
            Some(value) => self.set(variable, value),
            None => self.unset(variable),
        }
    }

    /// Takes a variable away.
    pub fn unset(&mut self, variable: &str) {
        self.settings.remove(variable);
    }

    /// The Patients of the population as they were loaded.
    pub fn before(&self) -> Before {
        let Some(population) = &self.population else { return Before::new() };
        let store = FhirStore::new(NIK_SYSTEM, WallClock::default());
        population.load_into(&store);
        let niks = (0..population.len()).map(|person| population.nik(person));
        niks.map(|nik| (nik.clone(), store.patient_by_nik(&nik))).collect()
    }

    /// Writes a Patient to the simulated FHIR server, as another client would.
    ///
    /// # Panics
    /// The server refuses it.
    pub async fn put(&self, patient: &Value) {
        // An error means that a provider is installed already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client =
            reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(30)).build().expect("a client");
        let url =
            format!("{}/Patient/{}", self.simulators.fhir_url(), patient["id"].as_str().expect("an id"));
        let request =
            client.put(url).header("content-type", "application/fhir+json").header("x-api-key", API_KEY);
        let answer = request.body(patient.to_string()).send().await.expect("an answer");
        assert!(answer.status().is_success(), "{}", answer.status());
    }

    /// Where the program runs, and where its database is unless a setting says otherwise.
    pub fn work(&self) -> PathBuf {
        self.folder.path().join("work")
    }

    /// Where what the programs print is kept.
    pub fn output(&self) -> PathBuf {
        self.folder.path().join("output")
    }

    /// A file outside of [`work`](Self::work).
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, content).expect("a file");
        path
    }

    /// The names of the files in [`work`](Self::work).
    pub fn files(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.work()).expect("a folder");
        let name = |entry: std::io::Result<std::fs::DirEntry>| {
            entry.expect("an entry").file_name().to_string_lossy().into_owned()
        };
        entries.map(name).collect()
    }

    /// `standalone` with these arguments, not started yet.
    pub fn command(&self, arguments: &[&str]) -> Command {
        self.program("standalone", arguments)
    }

    /// A program with these arguments, not started yet; it inherits nothing of this process's environment.
    pub fn program(&self, name: &str, arguments: &[&str]) -> Command {
        self.at(&binary(name), arguments)
    }

    /// The same of the version before, once `make earlier` has run.
    pub fn earlier_program(&self, name: &str, arguments: &[&str]) -> Command {
        let path = in_repository("target/earlier").join(name);
        assert!(path.is_file(), "{} is missing; run first: make earlier", path.display());
        self.at(&path, arguments)
    }

    fn at(&self, program: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env_clear()
            .envs(&self.settings)
            .current_dir(self.work())
            .stdin(Stdio::null());
        command
    }

    /// The same where core dumps are allowed, as far as this machine lets them be.
    pub fn dumpable_program(&self, name: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", "ulimit -c unlimited; exec \"$0\" \"$@\""])
            .arg(binary(name))
            .args(arguments)
            .env_clear()
            .envs(&self.settings)
            .current_dir(self.work())
            .stdin(Stdio::null());
        command
    }

    /// Starts `standalone`.
    pub fn start(&self, arguments: &[&str]) -> Running {
        self.spawn(self.command(arguments))
    }

    /// Starts a command whose output is kept at this site.
    pub fn spawn(&self, command: Command) -> Running {
        self.starts.set(self.starts.get() + 1);
        Running::start(command, &self.output(), &format!("{:03}", self.starts.get()))
    }

    /// Starts `standalone` and waits for its end.
    pub async fn run(&self, arguments: &[&str]) -> Finished {
        self.start(arguments).end().await
    }

    /// The same, with something on standard input.
    pub async fn run_with_input(&self, arguments: &[&str], input: &str) -> Finished {
        let input = self.file("input", input);
        let mut command = self.command(arguments);
        command.stdin(std::fs::File::open(input).expect("a file just written"));
        self.spawn(command).end().await
    }

    /// The night of [`DATE`], with the report in JSON.
    pub async fn night(&self) -> Finished {
        self.run(&["--date", DATE, "--output", "json"]).await
    }

    /// Starts that night.
    pub fn start_night(&self) -> Running {
        self.start(&["--date", DATE, "--output", "json"])
    }

    /// A `Path` as an argument.
    pub fn argument(path: &Path) -> &str {
        path.to_str().expect("temporary folders have names in UTF-8")
    }
}

/// A night of the demo's mix, with other dates' rows besides.
pub fn mixed(seed: u64, rows_today: usize) -> DemoNight {
    let options = NightOptions::sized(rows_today * 2, rows_today);
    DemoNight::build(seed, DATE, &options).expect("the parts fit together")
}

/// The run id of a report.
pub fn run_id(report: &Value) -> RunId {
    report["run_id"].as_str().and_then(|id| id.parse().ok()).expect("a report has a run id")
}

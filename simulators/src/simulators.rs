//! Both services together: bound, running, and stopped when the value is dropped.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::WallClock;
use crate::faults::{FaultPlan, Latency, Rate, RetryLater};
use crate::fhir::{BASE_PATH, FhirOptions, FhirServer, FhirStore, TOKEN_PATH};
use crate::listener::Listener;
use crate::night::DemoNight;
use crate::population::Population;
use crate::sheet::Spreadsheet;
use crate::sheets::{SheetsOptions, SheetsServer};
use crate::stats::{Stats, StatsSnapshot, count};

/// What to simulate; the default is two services that behave, on ports the system picks, with no data.
#[derive(Clone)]
pub struct SimulatorsConfig {
    /// Where the FHIR service listens; port 0 picks one.
    pub fhir_addr: SocketAddr,
    /// Where the Sheets service and its token endpoint listen; port 0 picks one.
    pub sheets_addr: SocketAddr,
    /// What the FHIR service is like. Its seed seeds the faults.
    pub fhir: FhirOptions,
    /// Keys accepted in `x-api-key`; with none, every request is.
    pub api_keys: Vec<String>,
    /// The faults from the start.
    pub faults: FaultPlan,
    /// Patients to load.
    pub population: Option<Population>,
    /// The spreadsheet that is served.
    pub spreadsheet: Spreadsheet,
    /// Sheet reads a minute before 429; Google's is 60 per user. No limit when absent.
    pub reads_per_minute: Option<u32>,
    /// How long an access token lasts.
    pub token_lifetime: Duration,
    /// The Sheets service's base URL as its clients know it, where that is not its address; the token endpoint's
    /// URL is made from it.
    pub public_sheets_url: Option<String>,
}

impl Default for SimulatorsConfig {
    fn default() -> Self {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        Self {
            fhir_addr: any,
            sheets_addr: any,
            fhir: FhirOptions::default(),
            api_keys: Vec::new(),
            faults: FaultPlan::default(),
            population: None,
            spreadsheet: Spreadsheet::default(),
            reads_per_minute: None,
            token_lifetime: Duration::from_secs(3600),
            public_sheets_url: None,
        }
    }
}

impl SimulatorsConfig {
    /// The demo's world: this night, a server that takes 150 ms as the median, and 1 % transient errors in all, of
    /// three kinds.
    pub fn demo(night: &DemoNight) -> Self {
        let faults = FaultPlan {
            latency: Latency::log_normal(150.0, 0.4),
            error_500: Rate::of(0.004),
            error_503: RetryLater { rate: 0.003, ..RetryLater::default() },
            reset: Rate::of(0.003),
            ..FaultPlan::default()
        };
        let (population, spreadsheet) = (Some(night.population().clone()), night.spreadsheet());
        Self { faults, population, spreadsheet, ..Self::default() }
    }
}

/// Both services, running.
pub struct Simulators {
    fhir: FhirServer,
    sheets: SheetsServer,
    clock: WallClock,
    fhir_url: String,
    sheets_url: String,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Simulators {
    /// Loads the Patients, binds both sockets and starts serving. Loading occupies the calling thread, for seconds
    /// where there are a million of them.
    ///
    /// # Errors
    /// An address cannot be bound.
    pub async fn start(config: SimulatorsConfig) -> std::io::Result<Self> {
        let stats = Arc::new(Stats::default());
        let clock = WallClock::default();
        let fhir_listener = Listener::bind(config.fhir_addr).await?;
        let sheets_listener = Listener::bind(config.sheets_addr).await?;
        let default_url = || format!("http://{}", sheets_listener.addr());
        let sheets_url = config.public_sheets_url.unwrap_or_else(default_url);
        let sheets_url = sheets_url.trim_end_matches('/').to_owned();
        let default_url = || format!("http://{}{BASE_PATH}", fhir_listener.addr());
        let fhir_url = config.fhir.public_url.clone().unwrap_or_else(default_url);

        let fhir = FhirServer::new(config.fhir, stats.clone(), clock.clone());
        fhir.set_api_keys(config.api_keys);
        if let Some(population) = &config.population {
            population.load_into(fhir.store());
        }
        // Last, so that buckets are full when serving starts.
        fhir.set_faults(config.faults);
        let options = SheetsOptions {
            spreadsheet: config.spreadsheet,
            reads_per_minute: config.reads_per_minute,
            token_uri: format!("{sheets_url}/token"),
            token_lifetime: config.token_lifetime,
        };
        let sheets = SheetsServer::new(options, stats, clock.clone());

        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let service = fhir.clone();
        let answer = move |request| {
            let service = service.clone();
            async move { service.call(request).await }
        };
        let counters = fhir.stats().clone();
        fhir_listener.serve(answer, stop.clone(), &tasks, move || count(&counters.connections));
        let service = sheets.clone();
        let answer = move |request| {
            let service = service.clone();
            async move { service.call(request).await }
        };
        sheets_listener.serve(answer, stop.clone(), &tasks, || ());
        Ok(Self { fhir, sheets, clock, fhir_url, sheets_url, stop, tasks })
    }

    /// The FHIR base URL, `http://127.0.0.1:PORT/fhir`.
    pub fn fhir_url(&self) -> &str {
        &self.fhir_url
    }

    /// The FHIR service's token endpoint, `http://127.0.0.1:PORT/oauth2/token`.
    pub fn fhir_token_url(&self) -> String {
        self.fhir_url.strip_suffix(BASE_PATH).unwrap_or(&self.fhir_url).to_owned() + TOKEN_PATH
    }

    /// The Sheets API's base URL, without a slash at its end.
    pub fn sheets_url(&self) -> &str {
        &self.sheets_url
    }

    /// The spreadsheet's id.
    pub fn sheet_id(&self) -> String {
        self.sheets.sheet_id()
    }

    /// The service account's key file.
    pub fn service_account_json(&self) -> String {
        self.sheets.service_account_json()
    }

    /// The FHIR service.
    pub fn fhir(&self) -> &FhirServer {
        &self.fhir
    }

    /// The Patients.
    pub fn store(&self) -> &FhirStore {
        self.fhir.store()
    }

    /// The Sheets service.
    pub fn sheets(&self) -> &SheetsServer {
        &self.sheets
    }

    /// The wall clock of tokens and versions.
    pub fn clock(&self) -> &WallClock {
        &self.clock
    }

    /// Replaces the fault plan.
    pub fn set_faults(&self, plan: FaultPlan) {
        self.fhir.set_faults(plan);
    }

    /// The live counters, to reset them or to watch a NIK.
    pub fn stats(&self) -> &Stats {
        self.fhir.stats()
    }

    /// The counters now.
    pub fn snapshot(&self) -> StatsSnapshot {
        self.fhir.stats().snapshot()
    }

    /// Stops listening, drops open connections, and waits until both are done.
    pub async fn shutdown(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Drop for Simulators {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

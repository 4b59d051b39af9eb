//! Puts the pieces together: the one place that chooses adapters and turns settings into parts.

mod fhir;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use producer::source::{
    ColumnNames, Egress, FileConfig, FileSource, GoogleConfig, GoogleSource, RowSource, SheetRange,
    SourceError,
};
use producer::{LockTerms, Producer, ProducerTerms, Sources};
use secrecy::{ExposeSecret as _, SecretString};
use shared::clock::Clock;
use shared::data_key::DataKeys;
use shared::error_chain;
use shared::ledger::Ledger;
use shared::ledger::sqlite::SqliteLedger;
use shared::queue::{InProcessQueue, Queue};
use shared::retry::RetryPolicy;
use shared::secrets::SecretRef;
use shared::settings::Settings;
use shared::steward::StewardTerms;
use worker::fhir::TelecomPolicy;
use worker::limiter::{Limiter, LimiterConfig};
use worker::{BatchTerms, Batches, BreakerTerms, GatherTerms, PauseTerms, Rows, Server, ServerTerms, Worker};

pub use fhir::Fhir;

/// What is wrong before anything is started: exit status 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct BadSettings(pub String);

fn bad(variable: &str, error: impl std::fmt::Display) -> BadSettings {
    BadSettings(format!("{variable}: {error}"))
}

/// Where the database is.
pub fn database_path(settings: &Settings) -> Result<PathBuf, BadSettings> {
    if let Some(url) = &settings.amqp_url {
        let scheme = url.split("://").next().unwrap_or_default();
        return Err(bad(
            "AMQP_URL",
            format!(
                "standalone has its queue in its own process; unset it ({scheme}://… was found), or run producer and worker"
            ),
        ));
    }
    let Some(url) = &settings.database_url else { return Ok(PathBuf::from("nightly-sync.db")) };
    match url.strip_prefix("sqlite:") {
        Some(path) if !path.is_empty() => Ok(PathBuf::from(path)),
        _ => {
            let scheme: String = url.chars().take_while(|c| c.is_ascii_alphanumeric()).take(20).collect();
            Err(bad(
                "DATABASE_URL",
                format!("found '{scheme}:…'; standalone keeps its ledger in SQLite; accepted: sqlite:PATH"),
            ))
        }
    }
}

/// `DATA_KEY`, or the key beside the database, made if `make` and there is none.
pub async fn data_keys(settings: &Settings, database: &Path, make: bool) -> Result<DataKeys, BadSettings> {
    let secret = match &settings.data_key {
        Some(reference) => reference.resolve().await,
        None => {
            let mut path = database.as_os_str().to_owned();
            path.push(".key");
            let path = PathBuf::from(path);
            if make && !path.exists() {
                write_private(&path, &DataKeys::generate()).map_err(|error| {
                    bad("DATA_KEY", format!("no key is set, and {} cannot be made: {error}", path.display()))
                })?;
                tracing::info!(file = %path.display(), "made a data key; keep a copy of it apart from the database");
            }
            SecretRef::File(path).resolve().await
        }
    };
    let secret = secret.map_err(|error| bad("DATA_KEY", error_chain(&error)))?;
    DataKeys::parse(&secret).map_err(|error| bad("DATA_KEY", error))
}

fn write_private(path: &Path, secret: &SecretString) -> std::io::Result<()> {
    use std::io::Write as _;
    // Under another name first: a process that dies in between must not leave half a key.
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(".new");
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&unfinished)?;
    file.write_all(secret.expose_secret().as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&unfinished, path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::File::open(folder)?.sync_all()
}

/// The header names.
pub fn columns(settings: &Settings) -> ColumnNames {
    ColumnNames {
        nik: settings.sheet.column_nik.clone(),
        phone: settings.sheet.column_phone.clone(),
        updated: settings.sheet.column_updated.clone(),
    }
}

/// A row source for the command: the file of `--file`, or the Google Sheet.
pub struct ConfiguredSources {
    kind: SourceKind,
}

enum SourceKind {
    File(FileConfig),
    Google {
        config: Box<GoogleConfig>,
        credentials: SecretRef,
    },
    /// The command needs none (`--resume`, `--replay-dlq`), and the settings name none.
    Missing(String),
}

impl ConfiguredSources {
    /// [`new`](Self::new), and makes sure that the file or the credentials can be opened where they are `needed`.
    pub async fn prepare(
        settings: &Settings,
        file: Option<PathBuf>,
        needed: bool,
    ) -> Result<Self, BadSettings> {
        let sources = Self::new(settings, file, needed)?;
        match &sources.kind {
            SourceKind::File(config) => {
                tokio::fs::File::open(&config.path).await.map_err(|error| {
                    bad("--file", format!("{} cannot be opened: {error}", config.path.display()))
                })?;
            }
            SourceKind::Google { credentials, .. } if needed => {
                credentials
                    .resolve()
                    .await
                    .map_err(|error| bad("GOOGLE_CREDENTIALS", error_chain(&error)))?;
            }
            SourceKind::Google { .. } | SourceKind::Missing(_) => {}
        }
        Ok(sources)
    }

    /// Checks what can be checked without touching anything. `needed` is false where a run is only carried on.
    pub fn new(settings: &Settings, file: Option<PathBuf>, needed: bool) -> Result<Self, BadSettings> {
        let range: SheetRange = settings.sheet.range.parse().map_err(|error| bad("SHEET_RANGE", error))?;
        if let Some(path) = file {
            return Ok(Self {
                kind: SourceKind::File(FileConfig { path, range, columns: columns(settings) }),
            });
        }
        let missing = |variable: &str| {
            format!("{variable}: not set; needed to read the sheet, unless --file names an export")
        };
        let (Some(id), Some(credentials)) = (&settings.sheet.id, &settings.sheet.credentials) else {
            let what = missing(match (&settings.sheet.id, &settings.sheet.credentials) {
                (None, None) => "SHEET_ID, GOOGLE_CREDENTIALS",
                (None, Some(_)) => "SHEET_ID",
                (Some(_), _) => "GOOGLE_CREDENTIALS",
            });
            return if needed {
                Err(BadSettings(what))
            } else {
                Ok(Self { kind: SourceKind::Missing(what) })
            };
        };
        let mut config = GoogleConfig::new(id.clone(), range, SecretString::default());
        config.columns = columns(settings);
        config.base_url.clone_from(&settings.sheet.url);
        config.egress = Egress {
            ca_file: settings.http.ca_file.clone(),
            https_proxy: settings.http.https_proxy.clone().map(SecretString::from),
            no_proxy: settings.http.no_proxy.clone(),
        };
        Ok(Self { kind: SourceKind::Google { config: Box::new(config), credentials: credentials.clone() } })
    }
}

#[async_trait]
impl Sources for ConfiguredSources {
    async fn open(&self) -> Result<Box<dyn RowSource>, SourceError> {
        match &self.kind {
            SourceKind::File(config) => Ok(Box::new(FileSource::new(config.clone()))),
            SourceKind::Google { config, credentials } => {
                let mut config = config.as_ref().clone();
                config.credentials = credentials
                    .resolve()
                    .await
                    .map_err(|error| SourceError::Credentials { explanation: error_chain(&error) })?;
                Ok(Box::new(GoogleSource::new(config)))
            }
            SourceKind::Missing(what) => {
                let (variable, problem) = what.split_once(": ").unwrap_or(("SHEET_ID", what));
                let variable =
                    if variable == "GOOGLE_CREDENTIALS" { "GOOGLE_CREDENTIALS" } else { "SHEET_ID" };
                Err(SourceError::Setting { variable, problem: problem.to_owned() })
            }
        }
    }

    fn describe(&self) -> String {
        match &self.kind {
            SourceKind::File(_) => "file".into(),
            SourceKind::Google { .. } | SourceKind::Missing(_) => "google-sheets".into(),
        }
    }
}

/// Intervals and sizes that no operator sets; tests shorten them.
#[derive(Clone, Copy, Debug)]
pub struct Tuning {
    /// The run lock.
    pub lock: LockTerms,
    /// Publishing and sweeping.
    pub steward: StewardTerms,
    /// How often the producer looks at its run.
    pub look_every: Duration,
    /// Batches towards the ledger.
    pub batch: BatchTerms,
    /// When the server is blamed.
    pub breaker: BreakerTerms,
    /// How long pauses last.
    pub pause: PauseTerms,
    /// How requests for many rows are filled.
    pub gather: GatherTerms,
    /// The delay after a row's first failed attempt, doubled with each.
    pub first_retry: Duration,
    /// What such a delay grows to at most.
    pub longest_retry: Duration,
    /// What a claim lasts beyond two requests' time-outs.
    pub lease_margin: Duration,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            lock: LockTerms::default(),
            steward: StewardTerms::default(),
            look_every: Duration::from_millis(100),
            batch: BatchTerms::default(),
            breaker: BreakerTerms::default(),
            pause: PauseTerms::default(),
            gather: GatherTerms::default(),
            first_retry: Duration::from_millis(500),
            longest_retry: Duration::from_secs(300),
            lease_margin: Duration::from_secs(60),
        }
    }
}

/// What producer and worker share.
#[derive(Clone)]
pub struct Common {
    /// The ledger.
    pub ledger: Arc<dyn Ledger>,
    /// The queue.
    pub queue: Arc<dyn Queue>,
    /// Seals and hashes.
    pub keys: Arc<DataKeys>,
    /// What time it is.
    pub clock: Clock,
    /// Intervals and sizes.
    pub tuning: Tuning,
}

impl Common {
    /// Over an in-process queue.
    pub fn new(ledger: SqliteLedger, keys: Arc<DataKeys>, clock: Clock, tuning: Tuning) -> Self {
        Self { ledger: Arc::new(ledger), queue: Arc::new(InProcessQueue::new()), keys, clock, tuning }
    }

    /// A worker; several may share these.
    pub fn worker(&self, settings: &Settings, fhir: Fhir) -> Worker {
        let rows = rows(settings, self, fhir);
        Worker::new(self.ledger.clone(), self.queue.clone(), rows, settings.fhir.max_concurrency)
    }

    /// A producer.
    pub fn producer(&self, settings: &Settings, sources: Arc<dyn Sources>) -> Producer {
        let host = host();
        Producer {
            ledger: self.ledger.clone(),
            queue: self.queue.clone(),
            keys: self.keys.clone(),
            clock: self.clock.clone(),
            sources,
            job: settings.job.clone(),
            zone: settings.zone.clone(),
            date_order: settings.sheet.date_order,
            // Two containers of one name have the same process id, and are two all the same.
            holder: format!("{host}:{}:{:x}", std::process::id(), self.clock.micros()),
            who: format!("{}@{host}", who()),
            started: tokio::time::Instant::now(),
            terms: ProducerTerms {
                lock: self.tuning.lock,
                steward: self.tuning.steward,
                look_every: self.tuning.look_every,
                deadline: settings.run_deadline,
            },
        }
    }
}
fn rows(settings: &Settings, common: &Common, fhir: Fhir) -> Rows {
    let Common { ledger, keys, clock, tuning, .. } = common;
    let limiter = Limiter::new(LimiterConfig {
        max_concurrency: settings.fhir.max_concurrency,
        max_rps: settings.fhir.max_rps,
        ..LimiterConfig::default()
    });
    // For jitter only, which is to differ between processes.
    let seed = u64::from(std::process::id()) ^ clock.micros().unsigned_abs();
    // Room for a row's search and write, each after a wait for the limiter.
    let lease = settings.fhir.timeout * 2 + tuning.lease_margin;
    let server_terms = ServerTerms { breaker: tuning.breaker, pause: tuning.pause, gather: tuning.gather };
    Rows {
        ledger: ledger.clone(),
        batches: Batches::start(ledger, tuning.batch, lease),
        server: Server::new(fhir.client, limiter, fhir.credentials, server_terms, seed),
        keys: keys.clone(),
        clock: clock.clone(),
        telecom: TelecomPolicy { previous: settings.fhir.previous_number, zone: settings.zone.clone() },
        retry: RetryPolicy {
            first: tuning.first_retry,
            max: tuning.longest_retry,
            max_attempts: settings.retry_max_attempts,
        },
        lease,
        request_timeout: settings.fhir.timeout,
    }
}

fn who() -> String {
    ["USER", "LOGNAME"].iter().find_map(|name| std::env::var(name).ok()).unwrap_or_else(|| "unknown".into())
}

fn host() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .ok()
        .or_else(|| std::env::var("HOSTNAME").ok())
        .map_or_else(|| "localhost".into(), |name| name.trim().to_owned())
}

//! Puts the pieces together: the one place that chooses adapters and turns settings into parts.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use producer::source::{
    ColumnNames, Egress, FileConfig, FileSource, GoogleConfig, GoogleSource, RowSource, SheetRange, SourceError,
};
use producer::{LockTerms, Producer, ProducerTerms, Sources};
use secrecy::{ExposeSecret as _, SecretString};
use shared::clock::Clock;
use shared::data_key::DataKeys;
use shared::ledger::Ledger;
use shared::ledger::sqlite::SqliteLedger;
use shared::queue::{InProcessQueue, Queue};
use shared::retry::RetryPolicy;
use shared::secrets::SecretRef;
use shared::settings::{AuthKind, PreviousNumber, Settings};
use shared::steward::StewardTerms;
use worker::fhir::{Credential, FhirClient, FhirConfig, TelecomPolicy, reqwest_transport};
use worker::limiter::{Limiter, LimiterConfig};
use worker::{
    BatchTerms, Batches, BreakerTerms, CredentialSource, Credentials, PauseTerms, Rows, Server, Worker,
};

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
        return Err(bad("AMQP_URL", format!("standalone has its queue in its own process; unset it ({scheme}://… was found), or run producer and worker")));
    }
    let Some(url) = &settings.database_url else { return Ok(PathBuf::from("nightly-sync.db")) };
    match url.strip_prefix("sqlite:") {
        Some(path) if !path.is_empty() => Ok(PathBuf::from(path)),
        _ => {
            let scheme: String = url.chars().take_while(|c| c.is_ascii_alphanumeric()).take(20).collect();
            Err(bad("DATABASE_URL", format!("found '{scheme}:…'; standalone keeps its ledger in SQLite; accepted: sqlite:PATH")))
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
    let secret = secret.map_err(|error| bad("DATA_KEY", with_cause(&error)))?;
    DataKeys::parse(&secret).map_err(|error| bad("DATA_KEY", error))
}

fn write_private(path: &Path, secret: &SecretString) -> std::io::Result<()> {
    use std::io::Write as _;
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(secret.expose_secret().as_bytes())?;
    file.sync_all()
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
    Google { config: Box<GoogleConfig>, credentials: SecretRef },
    /// The command needs none (`--resume`, `--replay-dlq`), and the settings name none.
    Missing(String),
}

impl ConfiguredSources {
    /// Checks what can be checked without touching anything. `needed` is false where a run is only carried on.
    pub fn new(settings: &Settings, file: Option<PathBuf>, needed: bool) -> Result<Self, BadSettings> {
        let range: SheetRange = settings.sheet.range.parse().map_err(|error| bad("SHEET_RANGE", error))?;
        if let Some(path) = file {
            return Ok(Self { kind: SourceKind::File(FileConfig { path, range, columns: columns(settings) }) });
        }
        let missing = |variable: &str| format!("{variable}: not set; needed to read the sheet, unless --file names an export");
        let (Some(id), Some(credentials)) = (&settings.sheet.id, &settings.sheet.credentials) else {
            let what = missing(if settings.sheet.id.is_none() { "SHEET_ID" } else { "GOOGLE_CREDENTIALS" });
            return if needed { Err(BadSettings(what)) } else { Ok(Self { kind: SourceKind::Missing(what) }) };
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
                    .map_err(|error| SourceError::Credentials { explanation: with_cause(&error) })?;
                Ok(Box::new(GoogleSource::new(config)))
            }
            SourceKind::Missing(what) => {
                let (variable, problem) = what.split_once(": ").unwrap_or(("SHEET_ID", what));
                let variable = if variable == "GOOGLE_CREDENTIALS" { "GOOGLE_CREDENTIALS" } else { "SHEET_ID" };
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

/// Everything that works on a night in this process.
pub struct Parts {
    /// The producer.
    pub producer: Producer,
    /// The worker.
    pub worker: Worker,
}

/// Puts producer and worker together over one ledger and one queue.
pub async fn parts(
    settings: &Settings,
    ledger: SqliteLedger,
    keys: Arc<DataKeys>,
    sources: ConfiguredSources,
    clock: Clock,
) -> Result<Parts, BadSettings> {
    let ledger: Arc<dyn Ledger> = Arc::new(ledger);
    let queue: Arc<dyn Queue> = Arc::new(InProcessQueue::new());
    let rows = rows(settings, &ledger, &keys, &clock).await?;
    let worker = Worker::new(ledger.clone(), queue.clone(), rows, settings.fhir.max_concurrency);
    let (user, host) = (who(), host());
    let producer = Producer {
        ledger,
        queue,
        keys,
        clock,
        sources: Arc::new(sources),
        job: settings.job.clone(),
        zone: settings.zone.clone(),
        date_order: settings.sheet.date_order,
        holder: format!("{host}:{}:{:08x}", std::process::id(), rand::random::<u32>()),
        who: format!("{user}@{host}"),
        started: tokio::time::Instant::now(),
        terms: ProducerTerms {
            lock: LockTerms::default(),
            steward: StewardTerms::default(),
            look_every: Duration::from_millis(100),
            deadline: settings.run_deadline,
        },
    };
    Ok(Parts { producer, worker })
}

async fn rows(
    settings: &Settings,
    ledger: &Arc<dyn Ledger>,
    keys: &Arc<DataKeys>,
    clock: &Clock,
) -> Result<Rows, BadSettings> {
    let fhir = &settings.fhir;
    let sources = credential_sources(settings)?;
    let (credentials, resolved) =
        Credentials::resolve(sources).await.map_err(|error| bad("FHIR_API_KEY", with_cause(&error)))?;
    let config = FhirConfig {
        base_url: fhir.url.clone().ok_or_else(|| bad("FHIR_URL", "not set; accepted: the FHIR server's base URL"))?,
        identifier_system: fhir.identifier_system.clone(),
        timeout: fhir.timeout,
        credentials: resolved,
        search_by_post: false,
        max_concurrency: fhir.max_concurrency,
        ca_file: settings.http.ca_file.clone(),
        https_proxy: settings.http.https_proxy.clone(),
        no_proxy: settings.http.no_proxy.clone(),
    };
    let invalid = |error: worker::fhir::BadConfig| BadSettings(with_cause(&error));
    let transport = reqwest_transport(&config).map_err(invalid)?;
    let client = FhirClient::new(&config, transport, clock.clone()).map_err(invalid)?;
    let limiter = Limiter::new(LimiterConfig {
        max_concurrency: fhir.max_concurrency,
        max_rps: fhir.max_rps,
        ..LimiterConfig::default()
    });
    let server =
        Server::new(client, limiter, credentials, (BreakerTerms::default(), PauseTerms::default()), rand::random());
    // Room for a row's search and write, each after a wait for the limiter.
    let lease = fhir.timeout * 2 + Duration::from_secs(60);
    Ok(Rows {
        ledger: ledger.clone(),
        batches: Batches::start(ledger, BatchTerms::default(), lease),
        server,
        keys: keys.clone(),
        clock: clock.clone(),
        telecom: TelecomPolicy {
            previous: match fhir.previous_number {
                PreviousNumber::Replace => worker::fhir::PreviousNumber::Replace,
                PreviousNumber::Keep => worker::fhir::PreviousNumber::Keep,
            },
            zone: settings.zone.clone(),
        },
        retry: RetryPolicy {
            first: Duration::from_millis(500),
            max: Duration::from_secs(300),
            max_attempts: settings.retry_max_attempts,
        },
        lease,
        request_timeout: fhir.timeout,
    })
}

fn credential_sources(settings: &Settings) -> Result<Vec<CredentialSource>, BadSettings> {
    let one = |kind: &AuthKind| -> Result<CredentialSource, BadSettings> {
        let (variable, secret, make): (_, _, fn(SecretString) -> Credential) = match kind {
            AuthKind::ApiKey => ("FHIR_API_KEY", &settings.fhir.api_key, Credential::ApiKey),
            AuthKind::Bearer => ("FHIR_TOKEN", &settings.fhir.token, Credential::Bearer),
        };
        let secret = secret.clone().ok_or_else(|| {
            bad(variable, format!("not set, but FHIR_AUTH asks for it ({kind}); give a reference such as file:/run/secrets/x"))
        })?;
        Ok(CredentialSource { kind: make, secret })
    };
    settings.fhir.auth.iter().map(one).collect()
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

fn with_cause(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

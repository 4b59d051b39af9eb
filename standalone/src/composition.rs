//! Puts the pieces together: the one place that chooses this program's adapters, for the program and for tests.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use producer::{Producer, Sources, Until};
use secrecy::{ExposeSecret as _, SecretString};
use shared::backing::Backing;
use shared::clock::Clock;
use shared::data_key::DataKeys;
use shared::error_chain;
use shared::ledger::sqlite::SqliteLedger;
use shared::metrics::Metrics;
use shared::queue::{InProcessQueue, Queues};
use shared::secrets::{SecretError, SecretRef};
use shared::settings::{BadSettings, Settings};
use worker::{Company, Fhir, Worker};

/// Where the database is.
pub async fn database_path(settings: &Settings) -> Result<PathBuf, BadSettings> {
    if let Some(url) = &settings.amqp_url {
        let scheme = url.split("://").next().unwrap_or_default();
        return Err(BadSettings::of(
            "AMQP_URL",
            format!(
                "standalone has its queue in its own process; unset it ({scheme}://… was found), or run producer and worker"
            ),
        ));
    }
    let Some(given) = &settings.database_url else { return Ok(PathBuf::from("nightly-sync.db")) };
    let bad = |error: SecretError| BadSettings::of("DATABASE_URL", error_chain(&error));
    let url = match settings.secrets.reference(given) {
        Ok(reference) => reference.resolve().await.map_err(bad)?.expose_secret().trim().to_owned(),
        Err(SecretError::Literal) => given.clone(),
        Err(error) => return Err(bad(error)),
    };
    match url.strip_prefix("sqlite:") {
        Some(path) if !path.is_empty() => Ok(PathBuf::from(path)),
        _ => {
            let scheme: String = url.chars().take_while(|c| c.is_ascii_alphanumeric()).take(20).collect();
            Err(BadSettings::of(
                "DATABASE_URL",
                format!("found '{scheme}:…'; standalone keeps its ledger in SQLite; accepted: sqlite:PATH"),
            ))
        }
    }
}

/// `DATA_KEY`, or the key beside the database, made if `make` and there is none.
pub async fn data_keys(settings: &Settings, database: &Path, make: bool) -> Result<DataKeys, BadSettings> {
    let reference = match &settings.data_key {
        Some(reference) => reference.clone(),
        None => {
            let mut path = database.as_os_str().to_owned();
            path.push(".key");
            let path = PathBuf::from(path);
            if make && !path.exists() {
                write_private(&path, &DataKeys::generate()).map_err(|error| {
                    BadSettings::of(
                        "DATA_KEY",
                        format!("no key is set, and {} cannot be made: {error}", path.display()),
                    )
                })?;
                tracing::info!(file = %path.display(), "made a data key; keep a copy of it apart from the database");
            }
            SecretRef::file(path)
        }
    };
    DataKeys::resolve(&reference).await
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

/// Intervals and sizes of both halves.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tuning {
    /// The producer's.
    pub producer: producer::Tuning,
    /// The workers'.
    pub worker: worker::Tuning,
}

/// What a process is made of.
#[derive(Clone)]
pub struct Common {
    /// Ledger, queue, keys, clock.
    pub backing: Backing,
    /// Who works in this process.
    pub company: Company,
    /// Intervals and sizes.
    pub tuning: Tuning,
}

impl Common {
    /// Over an in-process queue, which dry runs and nights share: one command runs at a time.
    pub fn new(ledger: SqliteLedger, keys: Arc<DataKeys>, clock: Clock, tuning: Tuning) -> Self {
        let queues = Queues::one(Arc::new(InProcessQueue::new()));
        Self {
            backing: Backing { ledger: Arc::new(ledger), queues, keys, clock, metrics: Metrics::default() },
            company: Company::default(),
            tuning,
        }
    }

    /// A worker; several may share these.
    pub fn worker(&self, settings: &Settings, fhir: Fhir) -> Worker {
        worker::worker(&self.backing, settings, fhir, self.tuning.worker, &self.company)
    }

    /// A producer.
    pub fn producer(&self, settings: &Settings, sources: Arc<dyn Sources>) -> Producer {
        producer::producer(&self.backing, settings, sources, self.tuning.producer, Until::Closed)
    }
}

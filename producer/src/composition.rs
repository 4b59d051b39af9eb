//! Puts a producer together from settings. Which ledger and which queues it stands on is the program's choice.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use secrecy::SecretString;
use shared::backing::Backing;
use shared::caller;
use shared::error_chain;
use shared::secrets::SecretRef;
use shared::settings::{BadSettings, Settings};
use shared::steward::StewardTerms;
use tokio::sync::OnceCell;

use crate::lock::LockTerms;
use crate::producer::{Producer, ProducerTerms, Sources, Until};
use crate::source::{
    ColumnNames, Egress, FileConfig, FileSource, GoogleConfig, GoogleSource, RowSource, SheetRange,
    SourceError,
};

/// Intervals that no operator sets; tests shorten them.
#[derive(Clone, Copy, Debug)]
pub struct Tuning {
    /// The run lock.
    pub lock: LockTerms,
    /// Publishing and sweeping.
    pub steward: StewardTerms,
    /// How often the producer looks at its run.
    pub look_every: Duration,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            lock: LockTerms::default(),
            steward: StewardTerms::default(),
            look_every: Duration::from_millis(100),
        }
    }
}

/// A producer, which works `until` then.
pub fn producer(
    backing: &Backing,
    settings: &Settings,
    sources: Arc<dyn Sources>,
    tuning: Tuning,
    until: Until,
) -> Producer {
    Producer {
        backing: backing.clone(),
        sources,
        job: settings.job.clone(),
        zone: settings.zone.clone(),
        date_order: settings.sheet.date_order,
        holder: caller::holder(&backing.clock),
        who: caller::who(),
        started: tokio::time::Instant::now(),
        terms: ProducerTerms {
            lock: tuning.lock,
            steward: tuning.steward,
            look_every: tuning.look_every,
            deadline: settings.run_deadline,
            until,
        },
        guard_opened: OnceCell::new(),
    }
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
                    BadSettings::of("--file", format!("{} cannot be opened: {error}", config.path.display()))
                })?;
            }
            SourceKind::Google { credentials, .. } if needed => {
                credentials
                    .resolve()
                    .await
                    .map_err(|error| BadSettings::of("GOOGLE_CREDENTIALS", error_chain(&error)))?;
            }
            SourceKind::Google { .. } | SourceKind::Missing(_) => {}
        }
        Ok(sources)
    }

    /// Checks what can be checked without touching anything. `needed` is false where a run is only carried on.
    pub fn new(settings: &Settings, file: Option<PathBuf>, needed: bool) -> Result<Self, BadSettings> {
        let range: SheetRange =
            settings.sheet.range.parse().map_err(|error| BadSettings::of("SHEET_RANGE", error))?;
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

    /// What the Google Sheet is read with.
    ///
    /// # Errors
    /// It is not what is read, or the credentials cannot be resolved.
    pub(crate) async fn google(&self) -> Result<GoogleConfig, SourceError> {
        match &self.kind {
            SourceKind::Google { config, credentials } => with_credentials(config, credentials).await,
            SourceKind::File(_) => Err(missing("SHEET_ID: not set")),
            SourceKind::Missing(what) => Err(missing(what)),
        }
    }
}

/// Where a setting that is needed is missing.
fn missing(what: &str) -> SourceError {
    let (variable, problem) = what.split_once(": ").unwrap_or(("SHEET_ID", what));
    let variable = if variable == "GOOGLE_CREDENTIALS" { "GOOGLE_CREDENTIALS" } else { "SHEET_ID" };
    SourceError::Setting { variable, problem: problem.to_owned() }
}

async fn with_credentials(
    config: &GoogleConfig,
    credentials: &SecretRef,
) -> Result<GoogleConfig, SourceError> {
    let resolved = credentials.resolve().await;
    let credentials =
        resolved.map_err(|error| SourceError::Credentials { explanation: error_chain(&error) })?;
    Ok(GoogleConfig { credentials, ..config.clone() })
}

#[async_trait]
impl Sources for ConfiguredSources {
    async fn open(&self) -> Result<Box<dyn RowSource>, SourceError> {
        match &self.kind {
            SourceKind::File(config) => Ok(Box::new(FileSource::new(config.clone()))),
            SourceKind::Google { config, credentials } => {
                Ok(Box::new(GoogleSource::new(with_credentials(config, credentials).await?)))
            }
            SourceKind::Missing(what) => Err(missing(what)),
        }
    }

    fn describe(&self) -> String {
        match &self.kind {
            SourceKind::File(_) => "file".into(),
            SourceKind::Google { .. } | SourceKind::Missing(_) => "google-sheets".into(),
        }
    }
}

//! What the programs of a cluster stand on: Postgres and RabbitMQ, from the settings that name them.

use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};

use crate::backing::Backing;
use crate::clock::Clock;
use crate::data_key::DataKeys;
use crate::error_chain;
use crate::ledger::LedgerError;
use crate::ledger::postgres::{PostgresAddress, PostgresLedger, PostgresTerms};
use crate::metrics::Metrics;
use crate::outage::Outage;
use crate::queue::Queues;
use crate::queue::rabbitmq::{KeptStrays, QueueTerms, RabbitMqConfig, RabbitMqQueue, TlsTerms};
use crate::secrets::{LiveSecret, SecretError};
use crate::settings::{BadSettings, Settings};
use crate::testing::hurried;

/// Before a ledger that was not there is asked again.
const RECONNECT: Duration = Duration::from_secs(2);

/// What connecting and bringing the tables up to date may take.
const LONGEST_START: Duration = Duration::from_secs(120);

/// Where everything is; nothing is connected yet.
pub struct Cluster {
    database: PostgresAddress,
    broker: RabbitMqConfig,
    keys: Arc<DataKeys>,
    job: String,
}

/// A cluster's backing, with its queues as they have to be closed.
pub struct Connected {
    /// What producers and workers stand on.
    pub backing: Backing,
    queues: [Arc<RabbitMqQueue>; 2],
}

impl Cluster {
    /// Reads `DATABASE_URL`, `AMQP_URL` and `DATA_KEY` and resolves what they refer to; sends nothing. All that is
    /// wrong is told at once.
    pub async fn prepare(settings: &Settings) -> Result<Self, Vec<BadSettings>> {
        let (database, broker) = (database(settings).await, broker(settings).await);
        let keys = match &settings.data_key {
            Some(reference) => DataKeys::resolve(reference).await,
            None => Err(BadSettings::of(
                "DATA_KEY",
                "not set; every process of a cluster needs the same key: a reference such as file:/run/secrets/data-key",
            )),
        };
        match (database, broker, keys) {
            (Ok(database), Ok(broker), Ok(keys)) => {
                let keys = Arc::new(keys);
                if let Some(reference) = &settings.data_key {
                    keys.follow(reference);
                }
                Ok(Self { database, broker, keys, job: settings.job.clone() })
            }
            (database, broker, keys) => {
                Err([database.err(), broker.err(), keys.err()].into_iter().flatten().collect())
            }
        }
    }

    /// The keys.
    pub fn keys(&self) -> &Arc<DataKeys> {
        &self.keys
    }

    /// The ledger, to be looked at only.
    pub fn look(&self) -> Result<PostgresLedger, LedgerError> {
        PostgresLedger::look(&self.database, PostgresTerms::default())
    }

    /// [`connect`](Self::connect) to a ledger that may come later than its processes, or restart: for as long as it
    /// takes, or until it refuses for a reason that no waiting mends and the caller does not bear with.
    pub async fn connect_patiently(
        &self,
        clock: &Clock,
        bears: impl Fn(&LedgerError) -> bool,
    ) -> Result<Connected, LedgerError> {
        let mut outage = Outage::of("the ledger");
        loop {
            let connected = tokio::time::timeout(LONGEST_START, self.connect(clock.clone())).await;
            let error = match connected {
                Ok(Ok(connected)) => {
                    outage.over();
                    return Ok(connected);
                }
                Ok(Err(error)) => error,
                Err(_) => LedgerError::Silent { within: LONGEST_START },
            };
            if !bears(&error) {
                return Err(error);
            }
            outage.failed(&error);
            tokio::time::sleep(hurried(RECONNECT)).await;
        }
    }

    /// Connects to the ledger and brings its tables up to date; the queues connect when they are first used.
    pub async fn connect(&self, clock: Clock) -> Result<Connected, LedgerError> {
        let ledger = Arc::new(PostgresLedger::connect(&self.database, PostgresTerms::default()).await?);
        let queue = |prefix: String| {
            let mut config = self.broker.clone();
            config.queues = QueueTerms { prefix, ..QueueTerms::default() };
            let strays = KeptStrays::new(ledger.clone(), self.keys.clone());
            Arc::new(RabbitMqQueue::new(config, Arc::new(strays)))
        };
        let queues = [queue(self.job.clone()), queue(format!("{}.dry-run", self.job))];
        let [night, dry_run] = queues.clone();
        let (queues_of, keys) = (Queues { night, dry_run }, self.keys.clone());
        let backing = Backing { ledger, queues: queues_of, keys, clock, metrics: Metrics::default() };
        Ok(Connected { backing, queues })
    }
}

impl Connected {
    /// Closes the queues: what waits in this process goes to the broker first.
    pub async fn close(&self) {
        let [night, dry_run] = &self.queues;
        tokio::join!(night.close(), dry_run.close());
    }
}

/// The value itself, or what it refers to, with whether it was written out.
async fn resolved(
    settings: &Settings,
    variable: &'static str,
    given: Option<&String>,
) -> Result<(LiveSecret, bool), BadSettings> {
    let given = given.ok_or_else(|| {
        let accepted = if variable == "AMQP_URL" { "amqp://… or amqps://…" } else { "postgres://…" };
        BadSettings::of(
            variable,
            format!("not set; accepted: {accepted}, or a reference such as file:/run/secrets/url"),
        )
    })?;
    match settings.secrets.reference(given) {
        Ok(reference) => {
            let secret = LiveSecret::resolve(&reference, variable).await;
            Ok((secret.map_err(|error| BadSettings::of(variable, error_chain(&error)))?, false))
        }
        Err(SecretError::Literal) => Ok((LiveSecret::fixed(SecretString::from(given.clone())), true)),
        Err(error) => Err(BadSettings::of(variable, error)),
    }
}

const WRITTEN_PASSWORD: &str = "holds a password and leads away from this machine; keep the URL where secrets are, and \
                                give a reference such as file:/run/secrets/url. The password has been exposed: change it";

pub(crate) async fn database(settings: &Settings) -> Result<PostgresAddress, BadSettings> {
    let bad = |problem: &dyn std::fmt::Display| BadSettings::of("DATABASE_URL", problem);
    let (live, written) = resolved(settings, "DATABASE_URL", settings.database_url.as_ref()).await?;
    let uri = live.last();
    if uri.expose_secret().starts_with("sqlite:") {
        return Err(bad(&"found sqlite:…; a cluster keeps its ledger in Postgres; accepted: postgres://…"));
    }
    let address = PostgresAddress::parse(&uri).map_err(|error| bad(&error_chain(&error)))?;
    if written && address.sends_written_password_abroad() {
        return Err(bad(&WRITTEN_PASSWORD));
    }
    // A password that is rotated is in use with the next connection.
    Ok(if written { address } else { address.followed(live) })
}

pub(crate) async fn broker(settings: &Settings) -> Result<RabbitMqConfig, BadSettings> {
    let bad = |problem: &dyn std::fmt::Display| BadSettings::of("AMQP_URL", problem);
    let (live, written) = resolved(settings, "AMQP_URL", settings.amqp_url.as_ref()).await?;
    let url = live.last();
    let mut config = RabbitMqConfig::new(url.expose_secret().trim()).map_err(|error| bad(&error))?;
    if written && config.sends_written_password_abroad(url.expose_secret()) {
        return Err(bad(&WRITTEN_PASSWORD));
    }
    if !written {
        config.follow(live);
    }
    let read = async |variable: &str, path: &std::path::Path| {
        let read = tokio::fs::read(path).await;
        read.map_err(|error| BadSettings::of(variable, format!("{} cannot be read: {error}", path.display())))
    };
    let mut tls = TlsTerms::default();
    if let Some(path) = &settings.http.ca_file {
        let pem = String::from_utf8(read("CA_FILE", path).await?);
        tls.roots = Some(pem.map_err(|_| BadSettings::of("CA_FILE", "not a PEM file"))?);
    }
    if let Some((certificate, key)) = &settings.amqp_identity {
        tls.identity = Some((read("AMQP_CERT_FILE", certificate).await?, read("AMQP_KEY_FILE", key).await?));
    }
    config.tls = tls;
    Ok(config)
}

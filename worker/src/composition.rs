//! Puts a worker together from settings. Which ledger and which queues it stands on is the program's choice.

use std::time::Duration;

use secrecy::SecretString;
use shared::backing::Backing;
use shared::caller;
use shared::clock::Clock;
use shared::error_chain;
use shared::retry::RetryPolicy;
use shared::settings::{AuthKind, BadSettings, Settings};

use crate::batches::{BatchTerms, Batches};
use crate::breaker::BreakerTerms;
use crate::company::Company;
use crate::credentials::{CredentialSource, Credentials};
use crate::fhir::{BadConfig, Credential, FhirClient, FhirConfig, TelecomPolicy, reqwest_transport};
use crate::limiter::{Limiter, LimiterConfig};
use crate::pause::PauseTerms;
use crate::row::Rows;
use crate::server::Server;
use crate::worker::Worker;

/// Intervals and sizes that no operator sets; tests shorten them.
#[derive(Clone, Copy, Debug)]
pub struct Tuning {
    /// Batches towards the ledger.
    pub batch: BatchTerms,
    /// When the server is blamed.
    pub breaker: BreakerTerms,
    /// How long pauses last.
    pub pause: PauseTerms,
    /// The delay after a row's first failed attempt, doubled with each.
    pub first_retry: Duration,
    /// What such a delay grows to at most.
    pub longest_retry: Duration,
    /// What a claim lasts beyond two requests' time-outs: their waits for the limiter, and the ledger's steps. What
    /// a dead worker held waits for as long, and a message put off until then up to twice that.
    pub lease_margin: Duration,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            batch: BatchTerms::default(),
            breaker: BreakerTerms::default(),
            pause: PauseTerms::default(),
            first_retry: Duration::from_millis(500),
            longest_retry: Duration::from_secs(300),
            lease_margin: Duration::from_secs(15),
        }
    }
}

/// A worker; several may share a backing, and those of one process share its `company`.
pub fn worker(
    backing: &Backing,
    settings: &Settings,
    fhir: Fhir,
    tuning: Tuning,
    company: &Company,
) -> Worker {
    Worker {
        ledger: backing.ledger.clone(),
        queues: backing.queues.clone(),
        rows: rows(backing, settings, fhir, tuning, company).into(),
        max_concurrency: settings.fhir.max_concurrency,
        holder: caller::holder(&backing.clock),
    }
}

/// The FHIR side, checked before anything is touched.
pub struct Fhir {
    client: FhirClient,
    credentials: Credentials,
}

impl Fhir {
    /// Resolves the credentials and sets up the client; sends nothing.
    pub async fn prepare(settings: &Settings, clock: &Clock) -> Result<Self, BadSettings> {
        let fhir = &settings.fhir;
        let base_url = fhir
            .url
            .clone()
            .ok_or_else(|| BadSettings::of("FHIR_URL", "not set; accepted: the FHIR server's base URL"))?;
        let (credentials, resolved) =
            Credentials::resolve(credential_sources(settings)?).await.map_err(|error| {
                BadSettings::of(
                    "FHIR_AUTH",
                    format!("a credential cannot be resolved: {}", error_chain(&error)),
                )
            })?;
        let config = FhirConfig {
            base_url,
            identifier_system: fhir.identifier_system.clone(),
            timeout: fhir.timeout,
            credentials: resolved,
            search_by_post: false,
            write: fhir.write,
            max_concurrency: fhir.max_concurrency,
            ca_file: settings.http.ca_file.clone(),
            https_proxy: settings.http.https_proxy.clone(),
            no_proxy: settings.http.no_proxy.clone(),
        };
        let invalid = |error: BadConfig| BadSettings(error_chain(&error));
        let transport = reqwest_transport(&config).map_err(invalid)?;
        let client = FhirClient::new(&config, transport, clock.clone()).map_err(invalid)?;
        Ok(Self { client, credentials })
    }
}

fn rows(backing: &Backing, settings: &Settings, fhir: Fhir, tuning: Tuning, company: &Company) -> Rows {
    let Backing { ledger, keys, clock, .. } = backing;
    let limiter = Limiter::new(LimiterConfig {
        max_concurrency: settings.fhir.max_concurrency,
        max_rps: settings.fhir.max_rps,
        ..LimiterConfig::default()
    });
    // For jitter only, which is to differ between processes.
    let seed = u64::from(std::process::id()) ^ clock.micros().unsigned_abs();
    // Room for a row's search and write, each after a wait for the limiter.
    let lease = settings.fhir.timeout * 2 + tuning.lease_margin;
    Rows {
        ledger: ledger.clone(),
        batches: Batches::start(ledger, tuning.batch, lease),
        server: Server::new(fhir.client, limiter, fhir.credentials, (tuning.breaker, tuning.pause), seed),
        company: company.clone(),
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

fn credential_sources(settings: &Settings) -> Result<Vec<CredentialSource>, BadSettings> {
    let one = |kind: &AuthKind| -> Result<CredentialSource, BadSettings> {
        let (variable, secret, make): (_, _, fn(SecretString) -> Credential) = match kind {
            AuthKind::ApiKey => ("FHIR_API_KEY", &settings.fhir.api_key, Credential::ApiKey),
            AuthKind::Bearer => ("FHIR_TOKEN", &settings.fhir.token, Credential::Bearer),
        };
        let secret = secret.clone().ok_or_else(|| {
            BadSettings::of(variable, format!("not set, but FHIR_AUTH asks for it ({kind}); give a reference such as file:/run/secrets/x"))
        })?;
        Ok(CredentialSource { kind: make, secret })
    };
    settings.fhir.auth.iter().map(one).collect()
}

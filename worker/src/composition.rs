//! Puts a worker together from settings. Which ledger and which queues it stands on is the program's choice.

mod fhir;

use std::time::Duration;

use shared::backing::Backing;
use shared::caller;
use shared::retry::RetryPolicy;
use shared::settings::Settings;
use shared::testing::{hurried, hurried_to};

use crate::batches::{BatchTerms, Batches};
use crate::breaker::BreakerTerms;
use crate::company::Company;
use crate::fhir::TelecomPolicy;
use crate::gather::GatherTerms;
use crate::limiter::{Limiter, LimiterConfig};
use crate::pause::PauseTerms;
use crate::row::Rows;
use crate::sampled::BusyWith;
use crate::server::{Server, ServerTerms};
use crate::worker::Worker;

pub use fhir::Fhir;

/// Intervals and sizes that no operator sets; tests shorten them.
#[derive(Clone, Copy, Debug)]
pub struct Tuning {
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
    /// What a claim lasts beyond two requests' time-outs: their waits for the limiter, and the ledger's steps. What
    /// a dead worker held waits for as long, and a message put off until then up to twice that.
    pub lease_margin: Duration,
    /// Seeds what is drawn for waits; none, so that processes differ. With a seed a night under paused time repeats.
    pub seed: Option<u64>,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            batch: BatchTerms::default(),
            breaker: BreakerTerms::default(),
            pause: PauseTerms::default(),
            gather: GatherTerms::default(),
            first_retry: hurried(Duration::from_millis(500)),
            longest_retry: hurried(Duration::from_secs(300)),
            lease_margin: hurried_to(Duration::from_secs(4), Duration::from_secs(15)),
            seed: None,
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

fn rows(backing: &Backing, settings: &Settings, fhir: Fhir, tuning: Tuning, company: &Company) -> Rows {
    let Backing { ledger, keys, clock, metrics, .. } = backing;
    let limiter = Limiter::new(LimiterConfig {
        max_concurrency: settings.fhir.max_concurrency,
        max_rps: settings.fhir.max_rps,
        ..LimiterConfig::default()
    });
    // For jitter only, which is to differ between processes.
    let seed = tuning.seed.unwrap_or_else(|| u64::from(std::process::id()) ^ clock.micros().unsigned_abs());
    // Room for a row's search and write, each after a wait for the limiter.
    let lease = settings.fhir.timeout * 2 + tuning.lease_margin;
    let server_terms = ServerTerms { breaker: tuning.breaker, pause: tuning.pause, gather: tuning.gather };
    let client = fhir.client.watched(metrics.clone());
    Rows {
        ledger: ledger.clone(),
        batches: Batches::start(ledger, tuning.batch, lease, metrics),
        server: Server::new(client, limiter, fhir.credentials, server_terms, seed, metrics.clone()),
        company: company.clone(),
        busy_with: BusyWith::default(),
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

//! Metrics for Prometheus, and the pages that say whether a process lives and whether it can work.
//!
//! Two kinds of numbers. What this process does (requests, durations) is measured where it happens, in
//! [`Metrics`], which travels with what needs it: nothing here is global to the process. What is true of the job
//! (rows, run state, dead letters) is asked of the ledger at each scrape, so it is right after a restart, and the
//! same from every process of a fleet.

mod health;
mod names;
mod page;
mod server;
mod survey;

use std::sync::Arc;
use std::time::Duration;

use metrics::{counter, histogram, with_local_recorder};
use metrics_exporter_prometheus::PrometheusRecorder;

pub use health::health;
pub use names::{ALL, Kind, Metric};
pub use page::{Load, Page, Part, Watched};
pub use server::Served;

/// What a process measures of its own doing; clones share it. Labels are of fixed lists, never personal.
#[derive(Clone)]
pub struct Metrics(Arc<PrometheusRecorder>);

impl Default for Metrics {
    fn default() -> Self {
        let recorder = names::recorder();
        with_local_recorder(&recorder, || {
            // Zero from the start: a first refusal is a rise.
            counter!(names::CREDENTIALS_REFUSED).absolute(0);
        });
        Self(Arc::new(recorder))
    }
}

impl Metrics {
    /// A request to the FHIR server ended: with a status code, or a word for how it came to none.
    pub fn fhir_request(&self, operation: &'static str, status: String, took: Duration) {
        with_local_recorder(&*self.0, || {
            counter!(names::FHIR_REQUESTS, "operation" => operation, "status" => status).increment(1);
            histogram!(names::FHIR_DURATION, "operation" => operation).record(took);
        });
    }

    /// A request failed in a way that is tried again.
    pub fn fhir_retry(&self, reason: &'static str) {
        with_local_recorder(&*self.0, || counter!(names::FHIR_RETRIES, "reason" => reason).increment(1));
    }

    /// The FHIR server, or its token endpoint, does not let us in.
    pub fn credentials_refused(&self) {
        with_local_recorder(&*self.0, || counter!(names::CREDENTIALS_REFUSED).increment(1));
    }

    /// A transaction of the ledger ended.
    pub fn ledger_write(&self, took: Duration) {
        with_local_recorder(&*self.0, || histogram!(names::LEDGER_WRITE).record(took));
    }

    /// Puts what was measured into its buckets; until then every single duration is kept.
    fn upkeep(&self) {
        self.0.handle().run_upkeep();
    }

    fn render(&self) -> String {
        self.0.handle().render()
    }
}

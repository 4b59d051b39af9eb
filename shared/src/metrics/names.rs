//! The metrics of the outside contract: names, kinds, what each tells.

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusRecorder};

/// What kind of number a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows, or starts anew.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Durations in buckets.
    Histogram,
}

/// A metric as `# HELP` and `# TYPE` tell it.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// With its prefix.
    pub name: &'static str,
    /// What kind.
    pub kind: Kind,
    /// Its labels.
    pub labels: &'static [&'static str],
    /// What it tells.
    pub help: &'static str,
}

macro_rules! metrics_of_the_contract {
    ($($constant:ident = $name:literal, $kind:ident, [$($label:literal),*], $help:literal;)*) => {
        $(pub(super) const $constant: &str = concat!("nightly_sync_", $name);)*

        /// Every metric, in the order of the contract.
        pub const ALL: &[Metric] =
            &[$(Metric { name: $constant, kind: Kind::$kind, labels: &[$($label),*], help: $help },)*];
    };
}

metrics_of_the_contract! {
    ROWS = "rows_total", Counter, ["outcome"], "Rows of the newest night by outcome; starts anew with each night.";
    ROWS_READ = "rows_read_total", Counter, [], "Rows of any date that the newest night read; starts anew with each night.";
    FHIR_REQUESTS = "fhir_requests_total", Counter, ["operation", "status"], "Requests of this process to the FHIR server.";
    FHIR_DURATION = "fhir_request_duration_seconds", Histogram, ["operation"], "Duration of this process's requests to the FHIR server.";
    FHIR_RETRIES = "fhir_retries_total", Counter, ["reason"], "Requests of this process that failed in a way that is tried again.";
    FHIR_LIMIT = "fhir_concurrency_limit", Gauge, [], "Requests that this process may have in flight.";
    FHIR_IN_FLIGHT = "fhir_in_flight", Gauge, [], "Requests that this process has in flight.";
    FHIR_PACE = "fhir_pace_requests_per_second", Gauge, [], "Requests that this process starts a second at most; absent where it does not pace them.";
    QUEUE_DEPTH = "queue_depth", Gauge, ["queue"], "Messages that wait.";
    QUEUE_CONSUMERS = "queue_consumers", Gauge, [], "Workers that receive rows of nights.";
    DEAD_LETTERS_OPEN = "dead_letters_open", Gauge, [], "Dead letters that were not replayed.";
    LOCK_REFUSED = "lock_refused_total", Counter, [], "Holders of a run lock that turned other starts away.";
    CREDENTIALS_REFUSED = "credentials_refused_total", Counter, [], "How often the FHIR server or its token endpoint refused this process.";
    RUN_STATE = "run_state", Gauge, ["state"], "1 for the state that the newest night is in.";
    RUN_PROGRESS = "run_progress_ratio", Gauge, [], "The part of the newest night's rows that have their outcome.";
    RUN_PROJECTED = "run_projected_finish_timestamp_seconds", Gauge, [], "When the newest night ends at its pace since its snapshot; when it ended.";
    RUN_LAST_START = "run_last_start_timestamp_seconds", Gauge, [], "When the newest night started.";
    RUN_LAST_SUCCESS = "run_last_success_timestamp_seconds", Gauge, [], "When a night of all of a date's rows was last finished.";
    PRUNE_LAST_SUCCESS = "prune_last_success_timestamp_seconds", Gauge, [], "When retention last ran to its end.";
    LEDGER_WRITE = "ledger_write_duration_seconds", Histogram, [], "Duration of the transactions in which this process's workers write.";
    RECENT_ROWS = "recent_rows", Gauge, ["outcome"], "The 1,000 rows of nights that ended last, by outcome.";
    RUN_LAST_ROW = "run_last_row_timestamp_seconds", Gauge, [], "When a row of the newest night last got its outcome; before the first, when its snapshot was complete.";
    RUN_DEADLINE = "run_deadline_timestamp_seconds", Gauge, [], "RUN_DEADLINE after the newest night started.";
}

/// Upper bounds: from a fast answer on the same network to twice the usual time-out.
const FHIR_BUCKETS: [f64; 13] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];
const LEDGER_BUCKETS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 10.0];

/// A recorder that is nobody's but its owner's; a process may have several.
pub(super) fn recorder() -> PrometheusRecorder {
    let recorder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Full(FHIR_DURATION.into()), &FHIR_BUCKETS)
        .and_then(|builder| {
            builder.set_buckets_for_metric(Matcher::Full(LEDGER_WRITE.into()), &LEDGER_BUCKETS)
        })
        .expect("there are buckets")
        .build_recorder();
    metrics::with_local_recorder(&recorder, || {
        for Metric { name, kind, help, .. } in ALL {
            match kind {
                Kind::Counter => metrics::describe_counter!(*name, *help),
                Kind::Gauge => metrics::describe_gauge!(*name, *help),
                Kind::Histogram => metrics::describe_histogram!(*name, *help),
            }
        }
    });
    recorder
}

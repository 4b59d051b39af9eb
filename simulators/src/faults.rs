//! The fault plan: what a FHIR server does wrong, as data. How a plan is carried out is in `fhir::injection`.
//!
//! Every field defaults to "none"; `{}` is a server that behaves. Unknown fields are refused, so that a
//! misspelt fault is not a passing test.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::capacity::Capacity;
use crate::operation::Operation;

/// What the FHIR simulator does wrong. Rates are probabilities from 0 to 1, drawn once per HTTP request in the
/// order of the fields; a Bundle is one request of the operation `batch`, and its entries meet
/// [`FaultPlan::patients`], [`FaultPlan::concurrent_edit`] and [`FaultPlan::batch_entry_missing`] only.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FaultPlan {
    /// Time each request takes before it is looked at.
    pub latency: Latency,
    /// Latency of some operations, instead of [`FaultPlan::latency`].
    pub latency_by_operation: BTreeMap<Operation, Latency>,
    /// A hidden request rate; beyond it 429.
    pub capacity: Option<Capacity>,
    /// Requests worked on at the same time; beyond it 429.
    pub max_concurrency: Option<usize>,
    /// The connection is reset; the request is not applied.
    pub reset: Rate,
    /// Answers 500 with an OperationOutcome; the request is not applied.
    pub error_500: Rate,
    /// Answers 503; the request is not applied.
    pub error_503: RetryLater,
    /// Answers any other status; the requests are not applied.
    pub statuses: Vec<StatusFault>,
    /// Answers 200 with an OperationOutcome as its body; the request is not applied.
    pub outcome_in_200: Rate,
    /// Somebody else writes the Patient just before this request's write.
    pub concurrent_edit: Rate,
    /// The request is applied, then the connection is reset instead of answering. Writes and Bundles unless
    /// operations are named.
    pub applied_reply_lost: Rate,
    /// The request is applied, and the answer dribbles in.
    pub slow_body: SlowBody,
    /// The request is applied, and the answer ends before its `Content-Length`.
    pub truncated_body: Rate,
    /// An entry of a Bundle is applied and left out of the answer; drawn per entry.
    pub batch_entry_missing: f64,
    /// What is wrong with the answers to Bundles.
    pub batch_lie: Option<BatchLie>,
    /// A Bundle of more entries is answered 413.
    pub largest_batch: Option<usize>,
    /// A search for more identifiers is answered 414.
    pub longest_search: Option<usize>,
    /// Faults of single Patients, by NIK.
    pub patients: BTreeMap<String, PatientFault>,
    /// Every search is answered with everybody, as a server does that ignores an unconfigured parameter.
    pub ignore_search: bool,
    /// `If-Match` is not looked at, as by a server that keeps no versions apart.
    pub ignore_if_match: bool,
    /// A search stops after so many Patients without a link to the rest; its `total` stays right.
    pub search_stops_at: Option<usize>,
    /// A search does not say how many Patients match.
    pub search_without_total: bool,
    /// A search for more than one identifier shows one Patient for each, and says that these are all.
    pub many_hides_twins: bool,
    /// What a search gives of each Patient.
    pub search_view: ResourceView,
    /// What a read gives of a Patient.
    pub read_view: ResourceView,
}

impl fmt::Debug for FaultPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The keys of `patients` are NIKs.
        f.debug_struct("FaultPlan").field("patients", &self.patients.len()).finish_non_exhaustive()
    }
}

/// Time a request takes: a fixed part plus a log-normal part.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Latency {
    /// Milliseconds added to every request.
    pub fixed_ms: f64,
    /// Median of the log-normal part, milliseconds.
    pub median_ms: f64,
    /// Standard deviation of the logarithm; 0 makes every request take the median.
    pub sigma: f64,
}

impl Latency {
    /// The same latency for every request.
    pub fn fixed(ms: f64) -> Self {
        Self { fixed_ms: ms, ..Self::default() }
    }

    /// A log-normal latency.
    pub fn log_normal(median_ms: f64, sigma: f64) -> Self {
        Self { fixed_ms: 0.0, median_ms, sigma }
    }
}

/// How often, and to which operations; all of them when none are named.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rate {
    /// Probability from 0 to 1.
    pub rate: f64,
    /// The operations it is limited to.
    pub operations: Option<Vec<Operation>>,
}

impl Rate {
    /// This probability for every operation.
    pub fn of(rate: f64) -> Self {
        Self { rate, operations: None }
    }

    /// This probability for these operations only.
    pub fn of_operations(rate: f64, operations: impl Into<Vec<Operation>>) -> Self {
        Self { rate, operations: Some(operations.into()) }
    }
}

/// How a server answers Bundles wrongly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BatchLie {
    /// The answers are in reverse order.
    Reversed,
    /// Each answer gives the location of the next entry's Patient.
    Another,
    /// One write of each Bundle is answered 200 and not carried out.
    Unapplied,
}

/// A 503.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RetryLater {
    /// Probability from 0 to 1.
    pub rate: f64,
    /// The operations it is limited to.
    pub operations: Option<Vec<Operation>>,
    /// Seconds in `Retry-After`; no header when absent.
    pub retry_after: Option<u64>,
}

/// Any status at a rate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatusFault {
    /// The HTTP status answered.
    pub status: u16,
    /// Probability from 0 to 1.
    pub rate: f64,
    /// The operations it is limited to.
    #[serde(default)]
    pub operations: Option<Vec<Operation>>,
    /// Seconds in `Retry-After`; no header when absent.
    #[serde(default)]
    pub retry_after: Option<u64>,
    /// The body: a JSON string is sent as `text/plain`, anything else as JSON. An OperationOutcome when absent.
    #[serde(default)]
    pub body: Option<Value>,
}

/// An answer whose body takes its time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SlowBody {
    /// Probability from 0 to 1.
    pub rate: f64,
    /// The operations it is limited to.
    pub operations: Option<Vec<Operation>>,
    /// Milliseconds from the first byte to the last.
    pub over_ms: u64,
}

/// What goes wrong with one Patient. The first of `reset`, `status` and `applied_reply_lost` that is set
/// happens; inside a Bundle only `status` can.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PatientFault {
    /// The operation it is limited to.
    pub operation: Option<Operation>,
    /// How many requests it hits before it is over; all of them when absent.
    pub times: Option<u32>,
    /// The status answered; the request is not applied.
    pub status: Option<u16>,
    /// Seconds in `Retry-After`; no header when absent.
    pub retry_after: Option<u64>,
    /// The body sent with `status`: a JSON string as `text/plain`, anything else as JSON.
    pub body: Option<Value>,
    /// The connection is reset; the request is not applied.
    pub reset: bool,
    /// The request is applied, then the connection is reset.
    pub applied_reply_lost: bool,
    /// Milliseconds added to the latency.
    pub latency_ms: u64,
}

impl fmt::Debug for PatientFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A body may quote personal data.
        f.debug_struct("PatientFault")
            .field("operation", &self.operation)
            .field("times", &self.times)
            .field("status", &self.status)
            .field("reset", &self.reset)
            .field("applied_reply_lost", &self.applied_reply_lost)
            .finish_non_exhaustive()
    }
}

/// How much of a Patient an answer shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResourceView {
    /// All of it.
    #[default]
    Full,
    /// `resourceType` and `id`, without `meta`.
    IdOnly,
    /// `id`, `meta` and `identifier`, tagged SUBSETTED (FHIR R4, search.html#elements).
    Subsetted,
    /// Telecom values and names replaced by `***`.
    Masked,
}

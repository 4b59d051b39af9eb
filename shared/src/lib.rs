//! What the producer and the worker both speak: the domain's types, the two ports (ledger and queue)
//! with their adapters, and what every program needs to run (settings, secrets, sealing, time, logs).
//!
//! Nothing here knows the sheet or the FHIR server: rows are read in `producer`, Patients in `worker`.

pub mod backing;
pub mod body;
pub mod caller;
pub mod clock;
#[cfg(all(feature = "postgres", feature = "rabbitmq"))]
pub mod cluster;
pub mod data_key;
pub mod doctor;
pub mod domain;
mod error_chain;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
pub mod ledger;
pub mod lookout;
pub mod metrics;
mod no_core_dump;
pub mod outage;
pub mod payload;
pub mod program;
pub mod queue;
pub mod rekey;
pub mod report;
pub mod retention;
pub mod retry;
pub mod secrets;
pub mod settings;
pub mod signals;
pub mod spreadsheet;
pub mod status;
pub mod steward;
pub mod telemetry;
pub mod testing;
pub mod traces;
pub mod webhook;

pub use error_chain::error_chain;

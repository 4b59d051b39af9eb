//! The FHIR server as this product needs it: find a Patient by NIK, read it, change its mobile number.
//!
//! One call is one HTTP request (a search may follow `next` links and says how many it made), and every answer
//! is classified once, here, into what the caller does about it ([`Failure`]). JSON stays JSON: a resource is
//! never put through a typed model, because those lose unknown elements and decimal digits.
//!
//! Not here: permits, retries, the breaker, the ledger, and what becomes of a row. The transport is a
//! [`tower::Service`], so that a test needs no socket.

mod answer;
mod auth;
mod capabilities;
mod client;
mod config;
mod explanation;
mod failure;
mod many;
mod measured;
mod patient;
mod period;
mod retry_after;
mod search;
mod telecom;
mod traced;
mod transport;
mod trial;

#[cfg(test)]
mod tests;

pub use answer::MAX_VALUES;
pub use auth::{BadSecret, Credential};
pub use client::{Canary, FhirClient, Operation, Reading, Search, Written};
pub use config::{BadConfig, FhirConfig};
pub use explanation::Explanation;
pub use failure::{Cause, Failure, TooLarge, Transient};
pub use many::{Entry, SearchMany};
pub use patient::{Body, Inactive, Patient, PatientId, VersionId};
pub use search::Found;
pub use telecom::{Change, Edit, TelecomPolicy};
pub use transport::{MAX_BODY, Transport, TransportError, reqwest_transport, token_transport};
pub use trial::TriedUpdate;

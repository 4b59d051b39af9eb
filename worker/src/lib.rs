//! The worker: receives rows, finds each Patient by NIK, sets the mobile number, records one outcome.
//!
//! A library, so that `standalone` runs the same code in one process. It never knows the producer.

mod batches;
mod breaker;
mod company;
mod composition;
mod credentials;
pub mod doctor;
pub mod fhir;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod gate;
mod gather;
pub mod limiter;
mod lookup;
mod many;
mod pause;
mod pause_log;
mod row;
mod sampled;
mod server;
mod token;
mod watched;
mod worker;

pub use batches::{BatchTerms, Batches};
pub use breaker::BreakerTerms;
pub use company::Company;
pub use composition::{Fhir, Tuning, worker};
pub use credentials::{CredentialSource, Credentials};
pub use gather::GatherTerms;
pub use pause::PauseTerms;
pub use row::Rows;
pub use server::{Server, ServerTerms};
pub use token::{NoToken, TokenSource, TokenTerms};
pub use worker::Worker;

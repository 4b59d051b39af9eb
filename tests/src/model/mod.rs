//! A FHIR server in virtual time, and workers' limiters in front of it: what becomes of its capacity, tick by tick.
//!
//! Of the product only the limiter takes part. How whole programs fare is in `process`.

mod night;
mod scenario;
mod server;

pub use night::{Night, Plan, Tick};
pub use scenario::{Change, SCENARIOS, Scenario};
pub use server::{Answer, Bound, Latency, Server};

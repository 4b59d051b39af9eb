//! What the integration tests are made of; the tests themselves are in the one binary `integration`.

pub mod browser;
#[cfg(feature = "failpoints")]
pub mod chaos;
#[cfg(feature = "otlp")]
pub mod collector;
pub mod conformance;
pub mod examples;
pub mod keda;
#[cfg(all(feature = "vault", feature = "gcp-sm", feature = "aws-sm"))]
pub mod managers;
pub mod model;
pub mod night;
pub mod oracle;
pub mod process;
pub mod services;
pub mod simulated;

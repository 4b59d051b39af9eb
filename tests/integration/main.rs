//! The one integration-test binary: every suite is a module of it.

mod browser;
mod cluster;
mod conformance;
mod docs;
mod night;
mod process;
#[cfg(all(feature = "vault", feature = "gcp-sm", feature = "aws-sm"))]
mod secrets;
#[cfg(feature = "otlp")]
mod traces;

//! The one integration-test binary: every suite is a module of it.

mod browser;
mod cluster;
mod conformance;
mod docs;
mod night;
mod process;
#[cfg(feature = "otlp")]
mod traces;
mod watching;

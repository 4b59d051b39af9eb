//! The one integration-test binary: every suite is a module of it.

mod browser;
mod cluster;
mod conformance;
mod deploy;
mod docs;
mod night;
mod process;
mod traces;

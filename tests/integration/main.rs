//! The one integration-test binary: every suite is a module of it.

mod browser;
mod cluster;
mod compose;
mod conformance;
mod deploy;
mod docs;
mod first_night;
mod night;
mod process;
mod secrets;
mod simulated;
mod traces;
mod watching;

//! The one integration-test binary: every suite is a module of it.

mod browser;
mod chaos;
mod cluster;
mod compose;
mod conformance;
mod deploy;
mod docs;
mod first_night;
mod night;
mod process;
mod secrets;
mod traces;
mod watching;

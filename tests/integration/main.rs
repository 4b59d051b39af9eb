//! The one integration-test binary: every suite is a module of it.

mod browser;
mod chaos;
mod cluster;
mod compose;
mod conformance;
mod deploy;
mod docs;
mod first_night;
mod hostile;
#[cfg(feature = "vault")]
mod http2;
mod limiter;
mod night;
mod process;
mod secrets;
mod simulated;
mod traces;
mod watching;

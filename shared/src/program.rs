//! How every program starts.

use std::future::Future;
use std::process::ExitCode;

use crate::no_core_dump;
use crate::status::Status;
use crate::testing;

/// Runs a program to its exit status, with what has to be there once in a process.
pub fn run(work: impl Future<Output = Status>) -> ExitCode {
    if let Err(error) = no_core_dump::apply() {
        eprintln!("warning: core dumps cannot be switched off: {error}");
    }
    let _armed = testing::arm();
    // An error means that a provider is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match tokio::runtime::Runtime::new() {
        Ok(runtime) => {
            let status = runtime.block_on(work);
            // A look-up of a name that nobody answers must not keep a process that is done.
            runtime.shutdown_background();
            status.into()
        }
        Err(error) => {
            eprintln!("error: cannot start: {error}");
            Status::Failed.into()
        }
    }
}

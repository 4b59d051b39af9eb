//! Real servers for the tests: found or started, one of each kind for a test process.
//!
//! They are looked for in this order, and standard error says which was taken: a URL in the environment; server
//! binaries on this machine, started privately. `TEST_SERVICES=env|local|docker` forces one.

mod broker;
mod certificates;
mod folder;
mod management;
pub mod postgres;
mod rabbitmq;
mod relay;

use std::io::Write as _;

pub use broker::Broker;
pub use certificates::Certificates;
pub use management::Management;
pub use postgres::PostgresServer;
pub use rabbitmq::Vhost;
pub use relay::Relay;

/// Where a service comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    /// A URL in the environment.
    Env,
    /// Binaries on this machine.
    Local,
    /// An image.
    Docker,
}

/// `TEST_SERVICES`, where it is set.
fn forced() -> Result<Option<Source>, String> {
    match std::env::var("TEST_SERVICES").as_deref() {
        Err(_) | Ok("") => Ok(None),
        Ok("env") => Ok(Some(Source::Env)),
        Ok("local") => Ok(Some(Source::Local)),
        Ok("docker") => Ok(Some(Source::Docker)),
        Ok(other) => Err(format!("TEST_SERVICES: found '{other}'; accepted: env, local, docker")),
    }
}

/// Says something once to whoever runs the tests. Not by a macro: what those print is kept from passing tests.
fn say(text: &str) {
    // Nobody may be listening, and that is no reason to fail.
    let _ = writeln!(std::io::stderr(), "{text}");
}

//! Real servers for the tests: found or started, one of each kind for a test process.
//!
//! They are looked for in this order, and standard error says which was taken: a URL in the environment
//! (`TEST_AMQP_URL`, `TEST_DATABASE_URL`); server programs on this machine, started privately; Docker, where the
//! feature `docker` is on. `TEST_SERVICES=env|local|docker` forces one.

mod broker;
mod certificates;
mod choice;
#[cfg_attr(not(feature = "docker"), expect(dead_code, reason = "images are for builds with Docker"))]
mod docker;
mod folder;
mod management;
pub mod postgres;
mod prometheus;
mod rabbitmq;
mod relay;

use std::io::Write as _;

pub use broker::Broker;
pub use certificates::Certificates;
pub use management::Management;
pub use postgres::{Place, PostgresServer, connect};
pub use prometheus::Prometheus;
pub use rabbitmq::Vhost;
pub use relay::{Flow, Relay};

/// Says something once to whoever runs the tests. Not by a macro: what those print is kept from passing tests.
fn say(text: &str) {
    // Nobody may be listening, and that is no reason to fail.
    let _ = writeln!(std::io::stderr(), "{text}");
}

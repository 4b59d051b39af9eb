//! Real services for tests: where they come from, and a room of one's own in each.
//!
//! `TEST_SERVICES` forces a source: `env` (URLs in the environment) or `local` (server programs on this machine,
//! started privately). Without it the first that is there is taken, and which one is said on standard error.

mod broker;
mod certificates;
mod management;
mod rabbitmq;
mod relay;

pub use broker::Broker;
pub use certificates::Certificates;
pub use management::Management;
pub use rabbitmq::Vhost;
pub use relay::Relay;

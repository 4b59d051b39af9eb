//! Secrets managers for the tests: a real OpenBao, moto's AWS, and Google's on loopback.

mod agent;
mod bao;
mod egress;
mod google;
mod kubernetes;
mod moto;
mod scene;
mod started;

pub use agent::Agent;
pub use bao::Bao;
pub use egress::Egress;
pub use google::Google;
pub use kubernetes::{Kubernetes, POD};
pub use moto::{Moto, REGION, SessionKey};
pub use scene::Scene;

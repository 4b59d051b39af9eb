//! Secrets managers for the tests: a real OpenBao, moto's AWS, and Google's on loopback.

mod bao;
mod kubernetes;
mod started;

pub use bao::Bao;
pub use kubernetes::{Kubernetes, POD};

use std::collections::BTreeMap;

use shared::settings::Settings;

/// Settings out of these variables alone.
///
/// # Panics
/// They are refused.
pub fn settings(variables: &BTreeMap<&str, String>) -> Settings {
    // An error means that a provider is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Settings::read(&|name| variables.get(name).cloned()).expect("settings that are accepted")
}

//! A process's settings for a secrets manager, and what its references give.

use std::collections::BTreeMap;

use secrecy::ExposeSecret as _;
use shared::error_chain;
use shared::secrets::{SecretRef, Secrets};
use shared::settings::Settings;
use tempfile::TempDir;

/// See the module.
pub struct Scene {
    folder: TempDir,
    variables: BTreeMap<&'static str, String>,
}

impl Default for Scene {
    fn default() -> Self {
        // An error means that a provider is installed already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Self { folder: tempfile::tempdir().expect("a temporary folder"), variables: BTreeMap::new() }
    }
}

impl Scene {
    /// Sets a variable for the processes to come.
    pub fn set(&mut self, variable: &'static str, value: impl Into<String>) {
        self.variables.insert(variable, value.into());
    }

    /// Sets it to the path of a file with this content.
    pub fn set_file(&mut self, variable: &'static str, content: &str) {
        let path = self.folder.path().join(variable);
        std::fs::write(&path, format!("{content}\n")).expect("a file");
        self.set(variable, path.display().to_string());
    }

    /// Sets it to a reference to such a file.
    pub fn set_secret(&mut self, variable: &'static str, secret: &str) {
        self.set_file(variable, secret);
        let path = self.variables[variable].clone();
        self.set(variable, format!("file:{path}"));
    }

    /// Takes a variable away.
    pub fn unset(&mut self, variable: &str) {
        self.variables.remove(variable);
    }

    /// What a new process reads secrets with.
    ///
    /// # Panics
    /// The settings are refused.
    pub fn secrets(&self) -> Secrets {
        Settings::read(&|name| self.variables.get(name).cloned()).expect("settings that are accepted").secrets
    }

    /// A reference in a new process.
    ///
    /// # Panics
    /// It is none.
    pub fn reference(&self, text: &str) -> SecretRef {
        self.secrets().reference(text).expect("a reference")
    }

    /// What a new process reads there.
    ///
    /// # Errors
    /// What it tells its operator.
    pub async fn read(&self, text: &str) -> Result<String, String> {
        match self.reference(text).resolve().await {
            Ok(secret) => Ok(secret.expose_secret().to_owned()),
            Err(error) => Err(error_chain(&error)),
        }
    }

    /// Why a new process reads nothing there.
    ///
    /// # Panics
    /// It reads something, or the refusal does not name the reference.
    pub async fn refusal(&self, text: &str) -> String {
        let refusal = self.read(text).await.expect_err("it cannot be read");
        assert!(refusal.contains(text), "the reference is named: {refusal}");
        refusal
    }
}

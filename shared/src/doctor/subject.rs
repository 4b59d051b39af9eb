//! What is examined.

use super::Findings;
use crate::settings::{SettingError, Settings};

/// The settings as far as they can be read, and those that cannot.
#[derive(Debug)]
pub struct Subject {
    /// A setting that cannot be read has its default.
    pub settings: Settings,
    /// Those that cannot be read.
    pub errors: Vec<SettingError>,
}

impl Subject {
    /// Reads the process's environment.
    pub fn from_env() -> Self {
        Self::read(&|variable| std::env::var(variable).ok())
    }

    /// Reads any environment.
    pub fn read(lookup: &dyn Fn(&str) -> Option<String>) -> Self {
        let (settings, errors) = Settings::read_what_can_be(lookup);
        Self { settings, errors }
    }

    /// Whether `check` has to wait for one of these settings, which cannot be read; then it says so. A variable that
    /// ends in `_` stands for all that begin so.
    pub fn holds_up(&self, findings: &Findings, check: &str, variables: &[&str]) -> bool {
        let needs = |error: &&SettingError| {
            let is_meant = |name: &&str| {
                if name.ends_with('_') { error.variable.starts_with(*name) } else { error.variable == *name }
            };
            variables.iter().any(is_meant)
        };
        let wrong: Vec<_> = self.errors.iter().filter(needs).map(|error| error.variable).collect();
        if wrong.is_empty() {
            return false;
        }
        findings.skipped(check, format!("not checked until {} is mended", wrong.join(", ")));
        true
    }
}

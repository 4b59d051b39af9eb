//! Reads settings one by one and keeps every complaint, so that an operator mends them all at once.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::secrets::{SecretError, SecretRef, Secrets};

/// One setting that cannot be used: which, what was found, what is accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingError {
    /// The environment variable.
    pub variable: &'static str,
    /// What is wrong, and what is accepted.
    pub problem: String,
}

impl fmt::Display for SettingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.variable, self.problem)
    }
}

/// Takes settings out of an environment.
pub(super) struct Reader<'a> {
    lookup: &'a dyn Fn(&str) -> Option<String>,
    pub(super) errors: Vec<SettingError>,
    /// What references are read with.
    pub(super) secrets: Secrets,
}

impl<'a> Reader<'a> {
    pub(super) fn new(lookup: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self { lookup, errors: Vec::new(), secrets: Secrets::default() }
    }

    /// The value as text; a blank one counts as not set.
    pub(super) fn text(&self, variable: &str) -> Option<String> {
        (self.lookup)(variable).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    }

    pub(super) fn refuse(&mut self, variable: &'static str, problem: String) {
        self.errors.push(SettingError { variable, problem });
    }

    /// The value read by `read`, or `default`; `accepted` completes "accepted: …".
    pub(super) fn value<T>(
        &mut self,
        variable: &'static str,
        default: T,
        accepted: &str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> T {
        let Some(text) = self.text(variable) else { return default };
        read(&text).unwrap_or_else(|| {
            self.refuse(variable, format!("found '{}'; accepted: {accepted}", shown(&text)));
            default
        })
    }

    pub(super) fn word<T: FromStr>(&mut self, variable: &'static str, default: T, accepted: &str) -> T {
        self.value(variable, default, accepted, |text| text.parse().ok())
    }

    pub(super) fn secret(&mut self, variable: &'static str) -> Option<SecretRef> {
        match self.secrets.reference(&self.text(variable)?) {
            Ok(reference) => Some(reference),
            // The value is not quoted: it may be the secret.
            Err(error @ SecretError::Literal) => {
                self.refuse(variable, format!("the value {error}"));
                None
            }
            Err(error) => {
                self.refuse(variable, error.to_string());
                None
            }
        }
    }
}

/// A value as a message may show it: cut, and with long runs of digits hidden.
fn shown(text: &str) -> String {
    let mut out = String::new();
    let mut digits = 0;
    for c in text.chars().take(60) {
        digits = if c.is_ascii_digit() { digits + 1 } else { 0 };
        out.push(if digits > 6 { '*' } else { c });
    }
    out
}

/// `250ms`, `30s`, `5m` or `1h`; more than nothing.
pub(super) fn duration(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let amount: u64 = text[..digits].parse().ok()?;
    let millis = match text[digits..].trim() {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    amount.checked_mul(millis).filter(|millis| *millis > 0).map(Duration::from_millis)
}

/// An http or https URL without a user name or password.
pub(super) fn http_url(text: &str) -> Option<String> {
    let url = reqwest::Url::parse(text).ok()?;
    let plain = matches!(url.scheme(), "http" | "https")
        && url.has_host()
        && url.username().is_empty()
        && url.password().is_none();
    plain.then(|| text.trim_end_matches('/').to_owned())
}

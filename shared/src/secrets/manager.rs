//! The secrets managers: how references to them look, and why they do not answer.

#[cfg(any(feature = "vault", feature = "gcp-sm", feature = "aws-sm"))]
use crate::error_chain;

/// A secrets manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Manager {
    /// HashiCorp Vault or OpenBao, KV version 2.
    Vault,
    /// Google Cloud Secret Manager.
    Gcp,
    /// AWS Secrets Manager.
    Aws,
}

/// Why a secrets manager does not give a secret. Never quotes one, nor anything that it was sent.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ManagerError {
    /// A setting for the manager is missing or cannot be used.
    #[error("{variable}: {problem}")]
    Setting {
        /// Which.
        variable: &'static str,
        /// What is wrong with it, and what is accepted.
        problem: String,
    },
    /// No answer.
    #[error("{what} cannot be reached: {why}")]
    Unreachable {
        /// Who was asked.
        what: &'static str,
        /// As the network tells it.
        why: String,
    },
    /// An answer that says no.
    #[error("{what} answered {status}{}{}", if code.is_empty() { "" } else { " " }, code)]
    Refused {
        /// Who was asked.
        what: &'static str,
        /// The HTTP status.
        status: u16,
        /// The error's code, where it has one.
        code: String,
    },
    /// An answer without what was asked for.
    #[error("{what}: {problem}")]
    Unusable {
        /// Who was asked.
        what: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
}

#[cfg(any(feature = "vault", feature = "gcp-sm", feature = "aws-sm"))]
impl ManagerError {
    pub(super) fn setting(variable: &'static str, problem: impl std::fmt::Display) -> Self {
        Self::Setting { variable, problem: problem.to_string() }
    }

    pub(super) fn secret(variable: &'static str, error: &super::SecretError) -> Self {
        Self::setting(variable, error_chain(error))
    }
}

impl Manager {
    pub(super) const ALL: [Self; 3] = [Self::Vault, Self::Gcp, Self::Aws];

    /// How its references begin.
    pub(super) fn scheme(self) -> &'static str {
        match self {
            Self::Vault => "vault://",
            Self::Gcp => "gcp-sm://",
            Self::Aws => "aws-sm://",
        }
    }

    /// The cargo feature that it is a part of.
    pub(super) fn feature(self) -> &'static str {
        self.scheme().trim_end_matches("://")
    }

    /// As people call it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Vault => "Vault",
            Self::Gcp => "Google Cloud Secret Manager",
            Self::Aws => "AWS Secrets Manager",
        }
    }

    pub(super) fn accepted(self) -> &'static str {
        match self {
            Self::Vault => "vault://MOUNT/PATH#FIELD",
            Self::Gcp => {
                "gcp-sm://projects/P/secrets/S/versions/latest, with #FIELD after it for a field of JSON"
            }
            Self::Aws => "aws-sm://REGION/NAME, with #FIELD after it for a field of JSON",
        }
    }

    /// Whether this names a secret. What it is made of goes into a path, so nothing else may be in it.
    pub(super) fn understands(self, document: &str, field: Option<&str>) -> bool {
        let mut parts = document.split('/');
        let plain = document.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_./+=@:!".contains(&b))
            && parts.all(|part| !matches!(part, "" | "." | ".."))
            && field.is_none_or(|field| !field.is_empty());
        let parts: Vec<&str> = document.split('/').collect();
        plain
            && match self {
                Self::Vault => parts.len() >= 2 && field.is_some(),
                Self::Gcp => matches!(
                    parts.as_slice(),
                    ["projects", _, "secrets", _, "versions", _]
                        | ["projects", _, "locations", _, "secrets", _, "versions", _]
                ),
                Self::Aws => parts.len() >= 2,
            }
    }
}

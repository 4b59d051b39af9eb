//! Secrets by reference: a setting names where a secret is kept, never the secret itself.
//!
//! `file:` and `env:` are resolved here. References to cloud secret managers and Vault are recognised, so that
//! a program built without them says so instead of calling them literals.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use secrecy::SecretString;

/// Where a secret is kept.
#[derive(Clone, PartialEq, Eq)]
pub enum SecretRef {
    /// `file:PATH`: the file's content, its last line end left out.
    File(PathBuf),
    /// `env:VARIABLE`: another environment variable; for development.
    Env(String),
    /// A secrets manager's reference, kept as written.
    Manager(String),
}

/// Prefixes of the secrets managers of the outside contract.
const MANAGERS: [&str; 3] = ["gcp-sm://", "aws-sm://", "vault://"];

const ACCEPTED: &str = "file:/run/secrets/x, gcp-sm://projects/P/secrets/S/versions/latest, aws-sm://REGION/NAME#FIELD, \
                        vault://MOUNT/PATH#FIELD, or env:OTHER_VARIABLE for development";

/// What is wrong with a reference, or with what it points at. Never quotes a secret.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The value is no reference; perhaps it is the secret itself.
    #[error(
        "is not a reference to a secret; accepted: {ACCEPTED}. If the secret itself stood here, change it: it has been exposed"
    )]
    Literal,
    /// This build cannot ask that secrets manager.
    #[error("{scheme} references are not supported by this build; accepted here: file:PATH, env:VARIABLE")]
    Unsupported {
        /// For example `vault://`.
        scheme: &'static str,
    },
    /// The file cannot be read.
    #[error("file {} cannot be read", path.display())]
    File {
        /// The file named by the reference.
        path: PathBuf,
        /// What the operating system says.
        source: std::io::Error,
    },
    /// The variable is not set, or not text.
    #[error("environment variable {0}, which the reference names, is not set")]
    Env(String),
    /// There is nothing in it.
    #[error("the secret that the reference names is empty")]
    Empty,
}

impl fmt::Debug for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Env(name) => write!(f, "env:{name}"),
            Self::Manager(reference) => f.write_str(reference),
        }
    }
}

impl FromStr for SecretRef {
    type Err = SecretError;

    fn from_str(text: &str) -> Result<Self, SecretError> {
        if let Some(path) = text.strip_prefix("file:") {
            return Ok(Self::File(PathBuf::from(path)));
        }
        if let Some(name) = text.strip_prefix("env:") {
            return Ok(Self::Env(name.to_owned()));
        }
        if MANAGERS.iter().any(|scheme| text.starts_with(scheme)) {
            return Ok(Self::Manager(text.to_owned()));
        }
        Err(SecretError::Literal)
    }
}

impl SecretRef {
    /// Reads the secret as it is now; again after the other side refused it, since it may have been rotated.
    pub async fn resolve(&self) -> Result<SecretString, SecretError> {
        let text = match self {
            Self::File(path) => tokio::fs::read_to_string(path)
                .await
                .map_err(|source| SecretError::File { path: path.clone(), source })?,
            Self::Env(name) => std::env::var(name).map_err(|_| SecretError::Env(name.clone()))?,
            Self::Manager(reference) => {
                let scheme =
                    MANAGERS.into_iter().find(|scheme| reference.starts_with(scheme)).unwrap_or("such");
                return Err(SecretError::Unsupported { scheme });
            }
        };
        let text = text.trim_end_matches(['\r', '\n']);
        if text.is_empty() { Err(SecretError::Empty) } else { Ok(SecretString::from(text)) }
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn a_literal_is_refused_with_what_is_accepted_and_never_quoted() {
        let error = "s3cr3t-api-key".parse::<SecretRef>().unwrap_err().to_string();
        assert!(
            error.contains("file:/run/secrets/x") && error.contains("vault://MOUNT/PATH#FIELD"),
            "{error}"
        );
        assert!(!error.contains("s3cr3t"), "{error}");
    }

    #[tokio::test]
    async fn a_file_is_read_anew_each_time_without_its_last_line_end() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let reference: SecretRef = format!("file:{}", file.path().display()).parse().unwrap();
        assert!(matches!(reference.resolve().await, Err(SecretError::Empty)));
        for (content, secret) in [("old\n", "old"), ("new\r\n", "new")] {
            std::fs::write(file.path(), content).unwrap();
            assert_eq!(reference.resolve().await.unwrap().expose_secret(), secret);
        }
    }

    #[tokio::test]
    async fn a_missing_file_or_manager_is_named() {
        let missing: SecretRef = "file:/nonexistent/secret".parse().unwrap();
        assert!(missing.resolve().await.unwrap_err().to_string().contains("/nonexistent/secret"));
        let vault: SecretRef = "vault://kv/fhir#key".parse().unwrap();
        assert!(vault.resolve().await.unwrap_err().to_string().contains("vault://"));
    }
}

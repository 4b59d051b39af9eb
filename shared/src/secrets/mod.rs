//! Secrets by reference: a setting names where a secret is kept, never the secret itself.
//!
//! `file:` and `env:` are read each time. What a secrets manager keeps is asked for once and remembered for
//! `SECRETS_TTL`; asked for again where the other side refuses it, and after SIGHUP. The three managers are cargo
//! features: a program built without one says so instead of calling its references literals.

#[cfg(feature = "aws-sm")]
pub(crate) mod aws;
#[cfg(any(feature = "vault", feature = "gcp-sm", feature = "aws-sm"))]
pub(crate) mod exchange;
#[cfg(feature = "gcp-sm")]
pub(crate) mod gcp;
mod live;
mod manager;
mod store;
#[cfg(test)]
mod tests;
#[cfg(feature = "vault")]
pub(crate) mod vault;

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::watch;

pub use live::LiveSecret;
pub use manager::{Manager, ManagerError};
pub(crate) use store::VARIABLES;
pub use store::{Secrets, SecretsTerms};

/// Where a secret is kept, and what can read it there.
#[derive(Clone)]
pub struct SecretRef {
    place: Place,
    secrets: Secrets,
}

#[derive(Clone, PartialEq, Eq)]
enum Place {
    /// Within this process's reach.
    Local(Local),
    /// In a secrets manager.
    Managed { manager: Manager, document: String, field: Option<String> },
}

#[derive(Clone, PartialEq, Eq)]
enum Local {
    /// `file:PATH`: the file's content, its last line end left out.
    File(PathBuf),
    /// `env:VARIABLE`: another environment variable; for development.
    Env(String),
}

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
    /// A manager's reference that names no secret.
    #[error("{reference} is not complete; accepted: {accepted}")]
    Incomplete {
        /// As it was given.
        reference: String,
        /// What it has to look like.
        accepted: &'static str,
    },
    /// This build cannot ask that secrets manager.
    #[error("{reference}: this program was built without {} (--features {})", manager.name(), manager.feature())]
    Unsupported {
        /// The reference.
        reference: String,
        /// Which.
        manager: Manager,
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
    /// The manager does not give it.
    #[error("{reference} cannot be read")]
    Managed {
        /// The reference.
        reference: String,
        /// Why.
        source: ManagerError,
    },
    /// There is no such field in it.
    #[error("{reference}: the secret has no field of this name, or is not made of fields")]
    Field {
        /// The reference.
        reference: String,
    },
    /// There is nothing in it.
    #[error("{reference}: the secret is empty")]
    Empty {
        /// The reference.
        reference: String,
    },
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local(Local::File(path)) => write!(f, "file:{}", path.display()),
            Self::Local(Local::Env(name)) => write!(f, "env:{name}"),
            Self::Managed { manager, document, field } => {
                write!(f, "{}{document}", manager.scheme())?;
                field.as_ref().map_or(Ok(()), |field| write!(f, "#{field}"))
            }
        }
    }
}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.place, f)
    }
}

impl fmt::Debug for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.place, f)
    }
}

impl FromStr for Place {
    type Err = SecretError;

    fn from_str(text: &str) -> Result<Self, SecretError> {
        if let Some(path) = text.strip_prefix("file:") {
            return Ok(Self::Local(Local::File(PathBuf::from(path))));
        }
        if let Some(name) = text.strip_prefix("env:") {
            return Ok(Self::Local(Local::Env(name.to_owned())));
        }
        let Some((manager, rest)) =
            Manager::ALL.into_iter().find_map(|it| Some((it, text.strip_prefix(it.scheme())?)))
        else {
            return Err(SecretError::Literal);
        };
        let (document, field) =
            rest.split_once('#').map_or((rest, None), |(name, field)| (name, Some(field)));
        if !manager.understands(document, field) {
            return Err(SecretError::Incomplete { reference: text.to_owned(), accepted: manager.accepted() });
        }
        Ok(Self::Managed { manager, document: document.to_owned(), field: field.map(str::to_owned) })
    }
}

impl FromStr for SecretRef {
    type Err = SecretError;

    /// A reference for a process without settings for secrets managers.
    fn from_str(text: &str) -> Result<Self, SecretError> {
        Secrets::default().reference(text)
    }
}

impl Local {
    async fn read(&self) -> Result<SecretString, SecretError> {
        match self {
            Self::File(path) => tokio::fs::read_to_string(path)
                .await
                .map(SecretString::from)
                .map_err(|source| SecretError::File { path: path.clone(), source }),
            Self::Env(name) => {
                std::env::var(name).map(SecretString::from).map_err(|_| SecretError::Env(name.clone()))
            }
        }
    }
}

/// A secret without its last line end.
fn trimmed(text: &SecretString, place: &Place) -> Result<SecretString, SecretError> {
    let text = text.expose_secret().trim_end_matches(['\r', '\n']);
    if text.is_empty() {
        return Err(SecretError::Empty { reference: place.to_string() });
    }
    Ok(SecretString::from(text))
}

impl SecretRef {
    /// The file it is in, if it is in one.
    pub fn as_file(&self) -> Option<&Path> {
        if let Place::Local(Local::File(path)) = &self.place { Some(path) } else { None }
    }

    /// What is in a file.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self { place: Place::Local(Local::File(path.into())), secrets: Secrets::default() }
    }

    /// Whether it leads to a secrets manager.
    pub fn is_managed(&self) -> bool {
        matches!(self.place, Place::Managed { .. })
    }

    /// Reads the secret; a manager's as it was at most `SECRETS_TTL` ago.
    pub async fn resolve(&self) -> Result<SecretString, SecretError> {
        self.secrets.read(&self.place, false).await
    }

    /// Reads the secret as it is now: after the other side refused it, since it may have been rotated.
    pub async fn resolve_anew(&self) -> Result<SecretString, SecretError> {
        self.secrets.read(&self.place, true).await
    }

    /// Tells of each [`Secrets::forget`] from now on.
    pub fn forgotten(&self) -> watch::Receiver<u64> {
        self.secrets.forgotten()
    }

    /// Changes with each [`Secrets::forget`]: then is the time to resolve again.
    pub fn generation(&self) -> u64 {
        self.secrets.generation()
    }
}

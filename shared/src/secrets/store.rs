//! What reads secrets: one for a process, with what the managers gave it.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use tokio::sync::{Mutex, watch};
use tokio::time::Instant;

use super::{Manager, ManagerError, Place, SecretError, SecretRef, trimmed};
use crate::settings::HttpSettings;

/// What the managers need to know: their variables, as they were given. Some are commonly set for other programs, so
/// they are judged only where a reference leads to their manager.
#[derive(Clone, Default)]
pub struct SecretsTerms {
    /// `SECRETS_TTL`.
    pub ttl: Duration,
    /// CA and proxies.
    pub http: HttpSettings,
    /// By variable.
    pub given: HashMap<&'static str, SecretString>,
}

/// The variables of [`SecretsTerms::given`].
pub(crate) const VARIABLES: [&str; 24] = [
    "VAULT_ADDR",
    "VAULT_NAMESPACE",
    "VAULT_AUTH",
    "VAULT_AUTH_MOUNT",
    "VAULT_TOKEN",
    "VAULT_ROLE_ID",
    "VAULT_SECRET_ID",
    "VAULT_ROLE",
    "VAULT_JWT",
    "GCP_CREDENTIALS",
    "GCP_SECRETS_URL",
    "GCE_METADATA_HOST",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "AWS_EC2_METADATA_SERVICE_ENDPOINT",
    "AWS_ENDPOINT_URL",
    "AWS_STS_ENDPOINT_URL",
];

/// See the module. Clones share what was read.
#[derive(Clone, Default)]
pub struct Secrets(Arc<Inner>);

#[derive(Default)]
struct Inner {
    terms: SecretsTerms,
    generation: watch::Sender<u64>,
    /// One asks at a time: the others find what it got.
    asking: Mutex<Asking>,
}

#[derive(Default)]
struct Asking {
    documents: HashMap<(Manager, String), Document>,
    #[cfg(feature = "vault")]
    vault: super::vault::Vault,
    #[cfg(feature = "gcp-sm")]
    gcp: super::gcp::Gcp,
    #[cfg(feature = "aws-sm")]
    aws: super::aws::Aws,
}

struct Document {
    text: SecretString,
    asked_at: Instant,
    generation: u64,
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secrets").field("ttl", &self.0.terms.ttl).finish_non_exhaustive()
    }
}

impl Secrets {
    /// By these terms; nothing is asked yet.
    pub fn new(terms: SecretsTerms) -> Self {
        Self(Arc::new(Inner { terms, ..Inner::default() }))
    }

    /// Reads a reference.
    ///
    /// # Errors
    /// It is none, or not complete.
    pub fn reference(&self, text: &str) -> Result<SecretRef, SecretError> {
        Ok(SecretRef { place: text.parse()?, secrets: self.clone() })
    }

    /// Forgets what was read: what is resolved from now on is asked for again.
    pub fn forget(&self) {
        self.0.generation.send_modify(|generation| *generation += 1);
    }

    pub(super) fn generation(&self) -> u64 {
        *self.0.generation.borrow()
    }

    pub(super) fn forgotten(&self) -> watch::Receiver<u64> {
        self.0.generation.subscribe()
    }

    /// Forgets at every SIGHUP from now on, for as long as the process lives.
    pub fn forget_on_hangup(&self) {
        use tokio::signal::unix::{SignalKind, signal};
        let Ok(mut hangups) = signal(SignalKind::hangup()) else {
            tracing::warn!("SIGHUP cannot be listened to; it ends this process");
            return;
        };
        let secrets = self.clone();
        tokio::spawn(async move {
            while hangups.recv().await.is_some() {
                tracing::info!("SIGHUP: secrets are resolved again");
                secrets.forget();
            }
        });
    }

    pub(super) async fn read(&self, place: &Place, anew: bool) -> Result<SecretString, SecretError> {
        let text = match place {
            Place::Local(local) => local.read().await?,
            Place::Managed { manager, document, field } => {
                let whole = self.document(place, *manager, document, anew).await?;
                match field {
                    Some(field) => pick(&whole, field)
                        .ok_or_else(|| SecretError::Field { reference: place.to_string() })?,
                    None => whole,
                }
            }
        };
        trimmed(&text, place)
    }

    /// What the manager keeps under this name: fields are picked from it, so that several need one request.
    async fn document(
        &self,
        place: &Place,
        manager: Manager,
        name: &str,
        anew: bool,
    ) -> Result<SecretString, SecretError> {
        let called_at = Instant::now();
        let mut asking = self.0.asking.lock().await;
        let generation = self.generation();
        let key = (manager, name.to_owned());
        if let Some(known) = asking.documents.get(&key) {
            let young =
                if anew { known.asked_at > called_at } else { known.asked_at.elapsed() < self.0.terms.ttl };
            if young && known.generation == generation {
                return Ok(known.text.clone());
            }
        }
        let asked_at = Instant::now();
        let text = match asking.ask(&self.0.terms, manager, name).await {
            Ok(text) => text,
            Err(Problem::Unsupported) => {
                return Err(SecretError::Unsupported { reference: place.to_string(), manager });
            }
            Err(Problem::Failed(source)) => {
                return Err(SecretError::Managed { reference: place.to_string(), source });
            }
        };
        asking.documents.insert(key, Document { text: text.clone(), asked_at, generation });
        Ok(text)
    }
}

enum Problem {
    Unsupported,
    Failed(ManagerError),
}

impl From<ManagerError> for Problem {
    fn from(error: ManagerError) -> Self {
        Self::Failed(error)
    }
}

impl Asking {
    #[cfg_attr(
        not(any(feature = "vault", feature = "gcp-sm", feature = "aws-sm")),
        expect(unused_variables, reason = "no manager to ask")
    )]
    async fn ask(
        &mut self,
        terms: &SecretsTerms,
        manager: Manager,
        name: &str,
    ) -> Result<SecretString, Problem> {
        match manager {
            #[cfg(feature = "vault")]
            Manager::Vault => Ok(self.vault.read(terms, name).await?),
            #[cfg(feature = "gcp-sm")]
            Manager::Gcp => Ok(self.gcp.read(terms, name).await?),
            #[cfg(feature = "aws-sm")]
            Manager::Aws => Ok(self.aws.read(terms, name).await?),
            #[allow(unreachable_patterns, reason = "with every manager there is no other")]
            _ => Err(Problem::Unsupported),
        }
    }
}

/// A field of a JSON object: text as it is, anything else as JSON.
fn pick(document: &SecretString, field: &str) -> Option<SecretString> {
    let fields: Value = serde_json::from_str(document.expose_secret()).ok()?;
    match fields.get(field)? {
        Value::Null => None,
        Value::String(text) => Some(SecretString::from(text.as_str())),
        other => Some(SecretString::from(other.to_string())),
    }
}

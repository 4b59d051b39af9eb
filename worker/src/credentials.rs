//! The FHIR server's credentials: resolved at start, and once more when the server refuses them, since they may
//! have been rotated.

use secrecy::{ExposeSecret as _, SecretString};
use shared::error_chain;
use shared::secrets::{SecretError, SecretRef};
use tokio::sync::Mutex;

use crate::fhir::{Credential, FhirClient};

/// A kind of credential and where it is kept.
#[derive(Clone, Debug)]
pub struct CredentialSource {
    /// Makes the credential of a secret.
    pub kind: fn(SecretString) -> Credential,
    /// Where the secret is kept.
    pub secret: SecretRef,
}

/// Credentials that can be resolved again.
pub struct Credentials {
    sources: Vec<CredentialSource>,
    known: Mutex<Vec<SecretString>>,
}

impl Credentials {
    /// Resolves all of them.
    pub async fn resolve(sources: Vec<CredentialSource>) -> Result<(Self, Vec<Credential>), SecretError> {
        let mut known = Vec::with_capacity(sources.len());
        for source in &sources {
            known.push(source.secret.resolve().await?);
        }
        let credentials =
            sources.iter().zip(&known).map(|(source, secret)| (source.kind)(secret.clone())).collect();
        Ok((Self { sources, known: Mutex::new(known) }, credentials))
    }

    /// Resolves them again after a request sent with `generation` was refused. True: they are others now, so it
    /// is worth asking again.
    pub async fn renew(&self, client: &FhirClient, generation: u64) -> bool {
        // One at a time: the others find that it is done.
        let mut known = self.known.lock().await;
        if client.credential_generation() != generation {
            return true;
        }
        let mut renewed = false;
        for (source, known) in self.sources.iter().zip(known.iter_mut()) {
            match source.secret.resolve().await {
                Ok(fresh) if fresh.expose_secret() != known.expose_secret() => {
                    match client.replace_credential((source.kind)(fresh.clone())) {
                        Ok(_) => {
                            *known = fresh;
                            renewed = true;
                        }
                        Err(error) => {
                            tracing::warn!(error = error_chain(&error), "a rotated credential cannot be used")
                        }
                    }
                }
                Ok(_) => {}
                Err(error) => tracing::warn!(
                    error = error_chain(&error),
                    "a refused credential cannot be resolved again"
                ),
            }
        }
        if renewed {
            tracing::info!(
                "the FHIR server refused the credentials; their secret had changed, going on with the new one"
            );
        }
        renewed
    }
}

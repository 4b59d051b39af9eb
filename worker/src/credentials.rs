//! The FHIR server's credentials: resolved at start, and once more when the server refuses them, since they may
//! have been rotated. Access tokens are got when they are needed, once for all who need them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};

use secrecy::{ExposeSecret as _, SecretString};
use shared::error_chain;
use shared::secrets::SecretRef;
use shared::settings::BadSettings;
use tokio::sync::Mutex;

use crate::fhir::{Credential, FhirClient};
use crate::token::{NoToken, Token, TokenSource};

/// A kind of credential and where it is kept.
#[derive(Clone, Debug)]
pub struct CredentialSource {
    /// Makes the credential of a secret.
    pub kind: fn(SecretString) -> Credential,
    /// Where the secret is kept.
    pub secret: SecretRef,
    /// The setting that says so.
    pub variable: &'static str,
}

/// Credentials that can be resolved again.
pub struct Credentials {
    sources: Vec<CredentialSource>,
    gets_tokens: bool,
    held: Mutex<Held>,
    token: RwLock<Option<Token>>,
    /// Fetches of a token that ended: who waited for one shares its end.
    fetches: AtomicU64,
    /// Of the secrets, when these were resolved.
    resolved_at: AtomicU64,
}

struct Held {
    known: Vec<SecretString>,
    tokens: Option<TokenSource>,
    last_failure: Option<NoToken>,
}

impl Credentials {
    /// Resolves all of them. A token, if `tokens` gets any, is got by the first [`ready`](Self::ready).
    pub async fn resolve(
        sources: Vec<CredentialSource>,
        tokens: Option<TokenSource>,
    ) -> Result<(Self, Vec<Credential>), BadSettings> {
        let resolved_at = AtomicU64::new(generation(&sources));
        let mut known = Vec::with_capacity(sources.len());
        for source in &sources {
            let bad = |error| BadSettings::of(source.variable, error_chain(&error));
            known.push(source.secret.resolve().await.map_err(bad)?);
        }
        let credentials =
            sources.iter().zip(&known).map(|(source, secret)| (source.kind)(secret.clone())).collect();
        let resolved = Self {
            sources,
            gets_tokens: tokens.is_some(),
            held: Mutex::new(Held { known, tokens, last_failure: None }),
            token: RwLock::new(None),
            fetches: AtomicU64::new(0),
            resolved_at,
        };
        Ok((resolved, credentials))
    }

    /// The settings they come from, for people.
    pub fn variables(&self) -> String {
        let of_tokens = self.gets_tokens.then_some("FHIR_CLIENT_ID, FHIR_CLIENT_SECRET, FHIR_SCOPE");
        self.sources.iter().map(|source| source.variable).chain(of_tokens).collect::<Vec<_>>().join(", ")
    }

    /// Makes sure that requests from now on carry a token that lasts for a while, where they carry one.
    ///
    /// # Errors
    /// There is none to be had.
    pub async fn ready(&self, client: &FhirClient) -> Result<(), NoToken> {
        let generation = generation(&self.sources);
        if self.resolved_at.swap(generation, Ordering::Relaxed) != generation {
            // By somebody who hung up, not refused: whoever meets the old ones meanwhile is let in with them.
            let mut held = self.held.lock().await;
            if self.resolve_again(&mut held, client, false).await {
                tracing::info!(
                    "the secrets of the FHIR server's credentials had changed, going on with the new ones"
                );
            }
        }
        if self.is_fresh() {
            return Ok(());
        }
        let before = self.fetches.load(Ordering::Relaxed);
        let mut held = self.held.lock().await;
        if self.is_fresh() {
            return Ok(());
        }
        match self.fetch(&mut held, client, before).await {
            Err(failure) if self.token_mut(|token| token.put_off()) => {
                tracing::warn!(
                    error = error_chain(&failure),
                    "no new token; going on with the old one while it lasts"
                );
                Ok(())
            }
            other => other,
        }
    }

    /// Resolves them again, and gets another token, after a request sent with `generation` was refused. True: they
    /// are others now, so it is worth asking again.
    ///
    /// # Errors
    /// There is no token to be had.
    pub async fn renew(&self, client: &FhirClient, generation: u64) -> Result<bool, NoToken> {
        let before = self.fetches.load(Ordering::Relaxed);
        // One at a time: the others find that it is done.
        let mut held = self.held.lock().await;
        if client.credential_generation() != generation {
            return Ok(true);
        }
        let mut renewed = self.resolve_again(&mut held, client, true).await;
        if renewed {
            tracing::info!(
                "the FHIR server refused the credentials; their secret had changed, going on with the new one"
            );
        }
        if self.gets_tokens {
            self.fetch(&mut held, client, before).await?;
            renewed = true;
        }
        Ok(renewed)
    }

    /// Puts secrets that changed in use. True: at least one had.
    async fn resolve_again(&self, held: &mut Held, client: &FhirClient, refused: bool) -> bool {
        let mut renewed = false;
        for (source, known) in self.sources.iter().zip(held.known.iter_mut()) {
            let resolved = match refused {
                true => source.secret.resolve_anew().await,
                false => source.secret.resolve().await,
            };
            match resolved {
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
                Err(error) => {
                    let variable = source.variable;
                    tracing::warn!(
                        variable,
                        error = error_chain(&error),
                        "a credential cannot be resolved again"
                    );
                }
            }
        }
        renewed
    }

    fn is_fresh(&self) -> bool {
        !self.gets_tokens || self.token_mut(|token| token.is_fresh())
    }

    /// False where there is no token.
    fn token_mut(&self, look: impl FnOnce(&mut Token) -> bool) -> bool {
        self.token.write().unwrap_or_else(PoisonError::into_inner).as_mut().is_some_and(look)
    }

    /// Gets a token and puts it in use, unless one failed to come since `before` was read.
    async fn fetch(&self, held: &mut Held, client: &FhirClient, before: u64) -> Result<(), NoToken> {
        if let Some(failure) = &held.last_failure
            && self.fetches.load(Ordering::Relaxed) != before
        {
            return Err(failure.clone());
        }
        let Some(tokens) = &mut held.tokens else { return Ok(()) };
        let fetched = tokens.fetch().await.and_then(|token| {
            let unsendable = |_| NoToken::Unusable("holds a token that no HTTP header can carry");
            client.replace_credential(Credential::Access(token.access.clone())).map_err(unsendable)?;
            Ok(token)
        });
        self.fetches.fetch_add(1, Ordering::Relaxed);
        match fetched {
            Ok(token) => {
                *self.token.write().unwrap_or_else(PoisonError::into_inner) = Some(token);
                held.last_failure = None;
                Ok(())
            }
            Err(failure) => {
                held.last_failure = Some(failure.clone());
                Err(failure)
            }
        }
    }
}

fn generation(sources: &[CredentialSource]) -> u64 {
    sources.first().map_or(0, |source| source.secret.generation())
}

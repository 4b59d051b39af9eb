//! What is sent to be let in: an API key, a bearer token given or got, or both; replaceable while requests are in flight.
//!
//! Where secrets come from and when they are resolved again is the caller's business.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use http::{HeaderMap, HeaderName, HeaderValue, header};
use secrecy::{ExposeSecret, SecretString};

const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// One credential; a client holds at most one of each kind.
#[derive(Clone, Debug)]
pub enum Credential {
    /// `FHIR_API_KEY`, sent as `x-api-key`.
    ApiKey(SecretString),
    /// `FHIR_TOKEN`, sent as `Authorization: Bearer …`.
    Bearer(SecretString),
    /// An access token got from `FHIR_TOKEN_URL`, sent likewise.
    Access(SecretString),
}

impl Credential {
    fn header(&self) -> Result<(HeaderName, HeaderValue), BadSecret> {
        let (name, text, variable) = match self {
            Self::ApiKey(key) => (API_KEY, key.expose_secret().to_owned(), "FHIR_API_KEY"),
            Self::Bearer(token) => (header::AUTHORIZATION, bearer(token), "FHIR_TOKEN"),
            Self::Access(token) => (header::AUTHORIZATION, bearer(token), "the token of FHIR_TOKEN_URL"),
        };
        let mut value = HeaderValue::from_str(&text).map_err(|_| BadSecret::Unsendable { variable })?;
        value.set_sensitive(true);
        Ok((name, value))
    }

    fn secret(&self) -> &SecretString {
        match self {
            Self::ApiKey(secret) | Self::Bearer(secret) | Self::Access(secret) => secret,
        }
    }
}

fn bearer(token: &SecretString) -> String {
    format!("Bearer {}", token.expose_secret())
}

/// A credential that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BadSecret {
    /// It holds a line break or another character that no HTTP header can carry.
    #[error("{variable} holds a character that no HTTP header can carry (a line break?)")]
    Unsendable {
        /// The setting it came from.
        variable: &'static str,
    },
    /// The same kind was given twice.
    #[error("FHIR_AUTH names the same kind of credential twice")]
    Twice,
}

/// The credentials as they stand; replaced as a whole.
pub(super) struct Auth(RwLock<Arc<Sent>>);

/// What one request was sent with.
pub(super) struct Sent {
    /// Goes up by one with each replacement.
    pub generation: u64,
    credentials: Vec<Credential>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Sent {
    fn new(generation: u64, credentials: Vec<Credential>) -> Result<Self, BadSecret> {
        let headers = credentials.iter().map(Credential::header).collect::<Result<Vec<_>, _>>()?;
        let twice = (1..headers.len()).any(|i| headers[..i].iter().any(|(name, _)| *name == headers[i].0));
        if twice {
            return Err(BadSecret::Twice);
        }
        Ok(Self { generation, credentials, headers })
    }

    pub fn apply(&self, headers: &mut HeaderMap) {
        for (name, value) in &self.headers {
            headers.insert(name.clone(), value.clone());
        }
    }

    /// Takes every occurrence of a secret out of a text a server sent back.
    pub fn conceal(&self, text: String) -> String {
        self.credentials.iter().fold(text, |text, credential| {
            let secret = credential.secret().expose_secret();
            if secret.is_empty() || !text.contains(secret) { text } else { text.replace(secret, "***") }
        })
    }
}

impl Auth {
    pub fn new(credentials: &[Credential]) -> Result<Self, BadSecret> {
        Ok(Self(RwLock::new(Arc::new(Sent::new(1, credentials.to_vec())?))))
    }

    pub fn current(&self) -> Arc<Sent> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts `fresh` in the place of the credential of its kind, or adds it; returns the new generation.
    pub fn replace(&self, fresh: Credential) -> Result<u64, BadSecret> {
        let mut slot = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let mut credentials = slot.credentials.clone();
        let kind = std::mem::discriminant(&fresh);
        match credentials.iter_mut().find(|held| std::mem::discriminant(*held) == kind) {
            Some(held) => *held = fresh,
            None => credentials.push(fresh),
        }
        let sent = Sent::new(slot.generation + 1, credentials)?;
        let generation = sent.generation;
        *slot = Arc::new(sent);
        Ok(generation)
    }
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Auth").field("generation", &self.current().generation).finish_non_exhaustive()
    }
}

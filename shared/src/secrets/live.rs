//! A secret that a process goes on using while it may be rotated.

use std::sync::{PoisonError, RwLock};

use secrecy::SecretString;

use super::{SecretError, SecretRef};
use crate::error_chain;

/// A secret that is resolved each time it is needed. It was there at the start; where it cannot be read later, the
/// last that could be is used.
pub struct LiveSecret {
    reference: Option<SecretRef>,
    /// For people.
    variable: &'static str,
    last: RwLock<SecretString>,
}

impl LiveSecret {
    /// Resolves it for the first time.
    ///
    /// # Errors
    /// It cannot be.
    pub async fn resolve(reference: &SecretRef, variable: &'static str) -> Result<Self, SecretError> {
        let last = RwLock::new(reference.resolve().await?);
        Ok(Self { reference: Some(reference.clone()), variable, last })
    }

    /// One that never changes.
    pub fn fixed(secret: SecretString) -> Self {
        Self { reference: None, variable: "", last: RwLock::new(secret) }
    }

    /// As it is now.
    pub async fn current(&self) -> SecretString {
        let Some(reference) = &self.reference else { return self.last() };
        match reference.resolve().await {
            Ok(fresh) => {
                *self.last.write().unwrap_or_else(PoisonError::into_inner) = fresh.clone();
                fresh
            }
            Err(error) => {
                let (variable, error) = (self.variable, error_chain(&error));
                tracing::warn!(variable, error, "a secret cannot be read again; going on with the last");
                self.last()
            }
        }
    }

    /// As it was last.
    pub fn last(&self) -> SecretString {
        self.last.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl std::fmt::Debug for LiveSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("LiveSecret").field(&self.reference).finish()
    }
}

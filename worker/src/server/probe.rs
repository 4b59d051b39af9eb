//! Whether the server is there, lets us in and looks at what is searched; and what it offers.

use shared::error_chain;
use shared::ledger::GateKind;

use super::{Server, Stop, verdict};
use crate::fhir::{Canary, Explanation, Failure, Operation};
use crate::limiter::Sample;
use crate::pause::Paused;
use crate::token::NoToken;

impl Server {
    /// Asks for an impossible NIK: is the server there, does it let us in, does it look at what is searched?
    /// `Err` says what to pause for.
    pub async fn probe(&self) -> Result<(), Paused> {
        let systemic = |no_token: NoToken| Paused::found(GateKind::Systemic, self.no_token(&no_token));
        let mut renewed = false;
        loop {
            self.credentials.ready(&self.client).await.map_err(systemic)?;
            let permit = self.limiter.acquire().await;
            let generation = self.client.credential_generation();
            let answer = self.client.canary().await;
            permit.finish(Sample { verdict: verdict(&answer), class: Operation::Canary as usize });
            return match answer {
                Ok(Canary::Honoured) => {
                    self.learn().await;
                    Ok(())
                }
                Ok(Canary::SearchIgnored) => Err(Paused::found(
                    GateKind::Guard,
                    "the FHIR server answers a search for an impossible NIK with Patients: it ignores the identifier \
                     search, so nothing is written; have its owner enable search by identifier, or check \
                     FHIR_IDENTIFIER_SYSTEM"
                        .into(),
                )),
                Err(Failure::Unauthorized { ref text, .. }) => {
                    if !renewed && self.credentials.renew(&self.client, generation).await.map_err(systemic)? {
                        renewed = true;
                        continue;
                    }
                    Err(Paused::found(GateKind::Systemic, self.refused_credentials(text)))
                }
                Err(failure) => {
                    let throttled = match &failure {
                        Failure::Throttled { retry_after, .. } => self.throttled(*retry_after, &failure),
                        _ => {
                            self.served();
                            None
                        }
                    };
                    Err(throttled
                        .unwrap_or_else(|| Paused::found(GateKind::Systemic, error_chain(&failure))))
                }
            };
        }
    }

    pub(super) fn without_token(&self, no_token: &NoToken) -> Stop {
        self.systemic(GateKind::Systemic, self.no_token(no_token))
    }

    fn no_token(&self, no_token: &NoToken) -> String {
        if matches!(no_token, NoToken::InvalidClient | NoToken::Refused(_)) {
            self.metrics.credentials_refused();
        }
        no_token.to_string()
    }

    pub(super) fn refused_credentials(&self, text: &Explanation) -> String {
        self.metrics.credentials_refused();
        let variables = self.credentials.variables();
        format!("the FHIR server refuses our credentials (401){text:#}; check {variables}")
    }

    /// Asks, once, what the server can do, where a setting goes by it.
    async fn learn(&self) {
        if !self.client.wants_capabilities() {
            return;
        }
        let permit = self.limiter.acquire().await;
        let learned = self.client.learn_capabilities().await;
        permit.finish(Sample { verdict: verdict(&learned), class: Operation::Canary as usize });
        match learned {
            Ok(()) => {
                let write = if self.client.writes_by_patch() { "patch" } else { "put" };
                tracing::info!(
                    write,
                    batch = self.client.writes_in_bundles(),
                    "went by the FHIR server's CapabilityStatement"
                );
            }
            Err(failure) => tracing::warn!(
                error = error_chain(&failure),
                "the FHIR server's CapabilityStatement cannot be read; going on as if it offered nothing"
            ),
        }
    }
}

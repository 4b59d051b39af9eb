//! The FHIR side out of the settings.

use secrecy::SecretString;
use shared::clock::Clock;
use shared::error_chain;
use shared::settings::{AuthKind, BadSettings, Settings};

use crate::credentials::{CredentialSource, Credentials};
use crate::fhir::{
    BadConfig, Credential, FhirClient, FhirConfig, Transport, reqwest_transport, token_transport,
};
use crate::token::{TokenSource, TokenTerms};

/// The FHIR side, checked before anything is touched.
pub struct Fhir {
    pub(crate) client: FhirClient,
    pub(crate) credentials: Credentials,
}

impl Fhir {
    /// Resolves the credentials and sets up the client; sends nothing.
    pub async fn prepare(settings: &Settings, clock: &Clock) -> Result<Self, BadSettings> {
        Self::over(settings, clock, reqwest_transport).await
    }

    /// The same over another way to the server than the network.
    pub async fn over(
        settings: &Settings,
        clock: &Clock,
        transport: impl FnOnce(&FhirConfig) -> Result<Transport, BadConfig>,
    ) -> Result<Self, BadSettings> {
        let fhir = &settings.fhir;
        let base_url = fhir
            .url
            .clone()
            .ok_or_else(|| BadSettings::of("FHIR_URL", "not set; accepted: the FHIR server's base URL"))?;
        let mut config = FhirConfig {
            base_url,
            identifier_system: fhir.identifier_system.clone(),
            timeout: fhir.timeout,
            credentials: Vec::new(),
            search: fhir.search,
            write: fhir.write,
            batch: fhir.batch,
            max_concurrency: fhir.max_concurrency,
            ca_file: settings.http.ca_file.clone(),
            https_proxy: settings.http.https_proxy.clone(),
            no_proxy: settings.http.no_proxy.clone(),
        };
        let invalid = |error: BadConfig| BadSettings(error_chain(&error));
        let tokens = match token_terms(settings)? {
            Some(terms) => {
                let transport = token_transport(&config, &terms.url).map_err(invalid)?;
                let prepared = TokenSource::prepare(terms, transport).await;
                Some(prepared.map_err(|error| BadSettings::of("FHIR_CLIENT_SECRET", error_chain(&error)))?)
            }
            None => None,
        };
        let (credentials, resolved) = Credentials::resolve(credential_sources(settings)?, tokens).await?;
        config.credentials = resolved;
        let transport = transport(&config).map_err(invalid)?;
        let client = FhirClient::new(&config, transport, clock.clone()).map_err(invalid)?;
        Ok(Self { client, credentials })
    }
}

fn credential_sources(settings: &Settings) -> Result<Vec<CredentialSource>, BadSettings> {
    let mut sources = Vec::new();
    for kind in &settings.fhir.auth {
        let (variable, secret, make): (_, _, fn(SecretString) -> Credential) = match kind {
            AuthKind::ApiKey => ("FHIR_API_KEY", &settings.fhir.api_key, Credential::ApiKey),
            AuthKind::Bearer => ("FHIR_TOKEN", &settings.fhir.token, Credential::Bearer),
            AuthKind::OAuth2 => continue,
        };
        let secret = secret.clone().ok_or_else(|| missing(variable, *kind))?;
        sources.push(CredentialSource { kind: make, secret, variable });
    }
    Ok(sources)
}

fn token_terms(settings: &Settings) -> Result<Option<TokenTerms>, BadSettings> {
    let fhir = &settings.fhir;
    if !fhir.auth.contains(&AuthKind::OAuth2) {
        return Ok(None);
    }
    let missing = |variable| move || missing(variable, AuthKind::OAuth2);
    Ok(Some(TokenTerms {
        url: fhir.token_url.clone().ok_or_else(missing("FHIR_TOKEN_URL"))?,
        client_id: fhir.client_id.clone().ok_or_else(missing("FHIR_CLIENT_ID"))?,
        client_secret: fhir.client_secret.clone().ok_or_else(missing("FHIR_CLIENT_SECRET"))?,
        scope: fhir.scope.clone(),
        timeout: fhir.timeout,
    }))
}

fn missing(variable: &str, kind: AuthKind) -> BadSettings {
    let hint = match variable {
        "FHIR_TOKEN_URL" => "give the URL of the token endpoint",
        "FHIR_CLIENT_ID" => "give the client's id",
        _ => "give a reference such as file:/run/secrets/x",
    };
    BadSettings::of(variable, format!("not set, but FHIR_AUTH asks for it ({kind}); {hint}"))
}

//! The settings of the FHIR server.

use std::time::Duration;

use super::reader::{Reader, duration, http_url};
use crate::domain::spelled;
use crate::secrets::SecretRef;

spelled! {
    /// One way of `FHIR_AUTH`.
    AuthKind {
        /// `FHIR_API_KEY`, sent as `x-api-key`.
        ApiKey = "api-key",
        /// `FHIR_TOKEN`, sent as bearer token.
        Bearer = "bearer",
        /// A bearer token got from `FHIR_TOKEN_URL` with `FHIR_CLIENT_ID` and `FHIR_CLIENT_SECRET`.
        OAuth2 = "oauth2",
    }
}

spelled! {
    /// `FHIR_SEARCH`.
    FhirSearch {
        /// `GET Patient?identifier=…`, which every server has; the NIK may stand in its access log.
        Get = "get",
        /// `POST Patient/_search` with the NIK in the body (FHIR R4, section 3.1.1.2.1).
        Post = "post",
    }
}

spelled! {
    /// `FHIR_WRITE`.
    FhirWrite {
        /// The whole Patient, with `PUT`.
        Put = "put",
        /// The telecom alone, with JSON Patch.
        Patch = "patch",
        /// JSON Patch where the server's CapabilityStatement declares it.
        Auto = "auto",
    }
}

spelled! {
    /// `FHIR_BATCH`.
    FhirBatch {
        /// Each row has its own requests.
        Off = "off",
        /// Many rows share a request.
        On = "on",
        /// Many rows share a request where the server's CapabilityStatement declares batches.
        Auto = "auto",
    }
}

spelled! {
    /// `PREVIOUS_NUMBER`.
    PreviousNumber {
        /// The entry's value is replaced in place.
        Replace = "replace",
        /// The entry stays as `use=old` with a `period.end`.
        Keep = "keep",
    }
}

/// The FHIR server.
#[derive(Clone, Debug)]
pub struct FhirSettings {
    /// `FHIR_URL`.
    pub url: Option<String>,
    /// `FHIR_AUTH`, each kind once.
    pub auth: Vec<AuthKind>,
    /// `FHIR_API_KEY`.
    pub api_key: Option<SecretRef>,
    /// `FHIR_TOKEN`.
    pub token: Option<SecretRef>,
    /// `FHIR_TOKEN_URL`.
    pub token_url: Option<String>,
    /// `FHIR_CLIENT_ID`.
    pub client_id: Option<String>,
    /// `FHIR_CLIENT_SECRET`.
    pub client_secret: Option<SecretRef>,
    /// `FHIR_SCOPE`.
    pub scope: Option<String>,
    /// `FHIR_IDENTIFIER_SYSTEM`.
    pub identifier_system: String,
    /// `FHIR_SEARCH`.
    pub search: FhirSearch,
    /// `FHIR_WRITE`.
    pub write: FhirWrite,
    /// `FHIR_BATCH`.
    pub batch: FhirBatch,
    /// `FHIR_MAX_CONCURRENCY`.
    pub max_concurrency: usize,
    /// `FHIR_MAX_RPS`.
    pub max_rps: Option<f64>,
    /// `FHIR_TIMEOUT`.
    pub timeout: Duration,
    /// `PREVIOUS_NUMBER`.
    pub previous_number: PreviousNumber,
}

pub(super) fn read(reader: &mut Reader<'_>) -> FhirSettings {
    let accepted = "api-key, bearer or oauth2, or api-key,bearer or api-key,oauth2";
    let auth = reader.value("FHIR_AUTH", vec![AuthKind::ApiKey], accepted, |text| {
        let mut kinds =
            text.split(',').map(|kind| kind.trim().parse().ok()).collect::<Option<Vec<AuthKind>>>()?;
        kinds.sort();
        kinds.dedup();
        // Both of these would be the one Authorization header.
        let clash = kinds.contains(&AuthKind::Bearer) && kinds.contains(&AuthKind::OAuth2);
        (!clash).then_some(kinds)
    });
    FhirSettings {
        url: reader.value("FHIR_URL", None, "an http or https base URL without a password in it", |text| {
            http_url(text).map(Some)
        }),
        auth,
        api_key: reader.secret("FHIR_API_KEY"),
        token: reader.secret("FHIR_TOKEN"),
        token_url: reader.value(
            "FHIR_TOKEN_URL",
            None,
            "an http or https URL without a password in it",
            // As it is: a slash at its end may matter.
            |text| http_url(text).map(|_| Some(text.to_owned())),
        ),
        client_id: reader.text("FHIR_CLIENT_ID"),
        client_secret: reader.secret("FHIR_CLIENT_SECRET"),
        scope: reader.text("FHIR_SCOPE"),
        identifier_system: reader
            .text("FHIR_IDENTIFIER_SYSTEM")
            .unwrap_or_else(|| "https://fhir.kemkes.go.id/id/nik".to_owned()),
        search: reader.word("FHIR_SEARCH", FhirSearch::Get, "get, post"),
        write: reader.word("FHIR_WRITE", FhirWrite::Put, "put, patch, auto"),
        batch: reader.word("FHIR_BATCH", FhirBatch::Off, "off, on, auto"),
        max_concurrency: reader.value("FHIR_MAX_CONCURRENCY", 256, "a number from 1 to 10000", |text| {
            text.parse().ok().filter(|requests| (1..=10_000).contains(requests))
        }),
        max_rps: reader.value("FHIR_MAX_RPS", None, "a number of requests a second, more than 0", |text| {
            text.parse::<f64>().ok().filter(|rps| rps.is_finite() && *rps > 0.0).map(Some)
        }),
        timeout: reader.value(
            "FHIR_TIMEOUT",
            Duration::from_secs(30),
            "a duration such as 30s or 500ms",
            duration,
        ),
        previous_number: reader.word("PREVIOUS_NUMBER", PreviousNumber::Replace, "replace, keep"),
    }
}

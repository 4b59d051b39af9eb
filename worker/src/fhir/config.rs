//! What the client is built from, already read from the settings; no defaults live here.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use reqwest::Url;
use shared::settings::{FhirBatch, FhirSearch, FhirWrite};

use super::auth::{BadSecret, Credential};
use super::failure::Cause;

/// Settings of the FHIR client.
#[derive(Clone)]
pub struct FhirConfig {
    /// `FHIR_URL`: the server's base URL, http or https, with or without a slash at its end.
    pub base_url: String,
    /// `FHIR_IDENTIFIER_SYSTEM`: the identifier system of the NIK.
    pub identifier_system: String,
    /// `FHIR_TIMEOUT`: bound of one request, from connecting to the last byte of the body.
    pub timeout: Duration,
    /// `FHIR_AUTH`: what is sent to be let in, at most one of each kind.
    pub credentials: Vec<Credential>,
    /// `FHIR_SEARCH`: how Patients are looked for.
    pub search: FhirSearch,
    /// `FHIR_WRITE`: how a Patient is written.
    pub write: FhirWrite,
    /// `FHIR_BATCH`: whether many rows may go into one request.
    pub batch: FhirBatch,
    /// `FHIR_MAX_CONCURRENCY`: as many connections are kept alive while idle.
    pub max_concurrency: usize,
    /// `CA_FILE`: PEM roots added to the system's.
    pub ca_file: Option<PathBuf>,
    /// `HTTPS_PROXY`: used for https base URLs; may hold a user name and a password.
    pub https_proxy: Option<String>,
    /// `NO_PROXY`: hosts reached without the proxy, comma separated.
    pub no_proxy: Option<String>,
}

impl fmt::Debug for FhirConfig {
    /// Leaves the proxy out: its URL may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FhirConfig")
            .field("base_url", &self.base_url)
            .field("identifier_system", &self.identifier_system)
            .field("timeout", &self.timeout)
            .field("credentials", &self.credentials)
            .field("write", &self.write)
            .field("batch", &self.batch)
            .field("search", &self.search)
            .field("max_concurrency", &self.max_concurrency)
            .field("ca_file", &self.ca_file)
            .field("https_proxy", &self.https_proxy.is_some())
            .field("no_proxy", &self.no_proxy)
            .finish()
    }
}

impl FhirConfig {
    /// The base URL, its path ending in a slash.
    pub(super) fn base(&self) -> Result<Url, BadConfig> {
        let mut url =
            Url::parse(self.base_url.trim()).map_err(|error| BadConfig::BaseUrl(error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err(BadConfig::BaseUrl("neither http nor https".to_owned()));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(BadConfig::BaseUrl(
                "a user name or password in the URL; use FHIR_AUTH and its secret references".to_owned(),
            ));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(BadConfig::BaseUrl("a query or fragment after the path".to_owned()));
        }
        let path = format!("{}/", url.path().trim_end_matches('/'));
        url.set_path(&path);
        Ok(url)
    }
}

/// A setting the client cannot be built from; names the variable and what is accepted.
#[derive(Debug, thiserror::Error)]
pub enum BadConfig {
    /// `FHIR_URL`.
    #[error("FHIR_URL: {0}; accepted: an http or https base URL such as https://fhir.example.org/r4")]
    BaseUrl(String),
    /// `FHIR_IDENTIFIER_SYSTEM`.
    #[error("FHIR_IDENTIFIER_SYSTEM is empty; accepted: the URI of the NIK's identifier system")]
    IdentifierSystem,
    /// A credential that no header can carry, or two of a kind.
    #[error(transparent)]
    Secret(#[from] BadSecret),
    /// `CA_FILE` cannot be read.
    #[error("CA_FILE: {} cannot be read", path.display())]
    CaFile {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// `CA_FILE` holds no certificate.
    #[error("CA_FILE: {} holds no PEM certificate", path.display())]
    CaFormat {
        /// The file.
        path: PathBuf,
    },
    /// `HTTPS_PROXY`.
    #[error("HTTPS_PROXY is not the URL of a proxy; accepted: http://HOST:PORT or https://HOST:PORT")]
    Proxy,
    /// The HTTP client refuses what it was given: TLS roots, usually.
    #[error("the HTTP client cannot be set up")]
    Client(#[source] Cause),
}

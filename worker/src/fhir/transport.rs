//! The seam between the client and the network: a cloneable [`tower::Service`] of HTTP messages with whole
//! bodies, and the one that talks to a real server.
//!
//! The bound of a whole request is the client's business, so that it holds for every transport, paused time
//! included; this one only bounds connecting.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use reqwest::{Certificate, NoProxy, Proxy};
use shared::body::{self, BodyError};
use tower::util::BoxCloneSyncService;

use super::config::{BadConfig, FhirConfig};
use super::failure::Cause;

/// Sends one request and brings the whole answer. Requests carry the client's
/// [`Operation`](super::Operation) among their extensions, for a layer that measures.
pub type Transport = BoxCloneSyncService<Request<Bytes>, Response<Bytes>, TransportError>;

/// The largest body that is read, in bytes after decompression.
pub const MAX_BODY: usize = 16 * 1024 * 1024;

/// Why there is no answer. Holds no URL: the URL of a search has the NIK in it.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// No connection was made (name resolution, TCP, TLS, proxy): nothing was sent.
    #[error("no connection")]
    Unreachable(#[source] Cause),
    /// Time ran out after the request may have been sent.
    #[error("no complete answer in time")]
    Timeout,
    /// The connection broke after the request may have been sent, or the body could not be decompressed.
    #[error("the connection broke")]
    Broken(#[source] Cause),
    /// The body is larger than [`MAX_BODY`].
    #[error("the answer is larger than {MAX_BODY} bytes")]
    TooLarge,
}

/// Idle connections are given up before common servers do (Node and uvicorn close after 5 s): a request that
/// meets a closing connection fails halfway, and a write is then in doubt.
const POOL_IDLE: Duration = Duration::from_secs(4);
const MAX_CONNECT: Duration = Duration::from_secs(10);

/// A transport over a keep-alive pool.
///
/// Redirects are not followed: the API key must not go to another host, nor the NIK into its log.
///
/// # Errors
/// A CA file, proxy or TLS setting that cannot be used.
pub fn reqwest_transport(config: &FhirConfig) -> Result<Transport, BadConfig> {
    let is_https = config.base()?.scheme() == "https";
    transport_of(config, is_https)
}

/// The same towards a token endpoint, which may be on another host.
///
/// # Errors
/// As [`reqwest_transport`].
pub fn token_transport(config: &FhirConfig, token_url: &str) -> Result<Transport, BadConfig> {
    let config = FhirConfig { max_concurrency: 1, ..config.clone() };
    transport_of(&config, !token_url.starts_with("http:"))
}

fn transport_of(config: &FhirConfig, is_https: bool) -> Result<Transport, BadConfig> {
    // An error means that the process has a provider already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("nightly-sync/", env!("CARGO_PKG_VERSION")))
        // Below the whole request's bound, or a host that drops packets would pass for one that took the
        // request and did not answer.
        .connect_timeout(MAX_CONNECT.min(config.timeout / 2))
        .redirect(reqwest::redirect::Policy::none())
        .pool_max_idle_per_host(config.max_concurrency)
        .pool_idle_timeout(POOL_IDLE)
        .tcp_nodelay(true)
        .gzip(true)
        .no_proxy();
    if let Some(proxy) = &config.https_proxy {
        let except = config.no_proxy.as_deref().and_then(NoProxy::from_string);
        builder = builder.proxy(Proxy::https(proxy).map_err(|_| BadConfig::Proxy)?.no_proxy(except));
    }
    builder = match is_https {
        true => builder.tls_certs_merge(extra_roots(config)?),
        // TLS is never spoken then; without this, building fails where the system has no roots (slim images).
        false => builder.tls_certs_only([]),
    };
    let client = builder.build().map_err(|error| BadConfig::Client(error.into()))?;
    Ok(Transport::new(tower::service_fn(move |request| exchange(client.clone(), request))))
}

fn extra_roots(config: &FhirConfig) -> Result<Vec<Certificate>, BadConfig> {
    let Some(path) = &config.ca_file else { return Ok(Vec::new()) };
    let pem = std::fs::read(path).map_err(|source| BadConfig::CaFile { path: path.clone(), source })?;
    match Certificate::from_pem_bundle(&pem) {
        Ok(roots) if !roots.is_empty() => Ok(roots),
        _ => Err(BadConfig::CaFormat { path: path.clone() }),
    }
}

async fn exchange(
    client: reqwest::Client,
    request: Request<Bytes>,
) -> Result<Response<Bytes>, TransportError> {
    let request = request.try_into().map_err(classify)?;
    let mut answer = client.execute(request).await.map_err(classify)?;
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = answer.status();
    *response.headers_mut() = std::mem::take(answer.headers_mut());
    *response.body_mut() = body::at_most(answer, MAX_BODY).await.map_err(|error| match error {
        BodyError::TooLarge(_) => TransportError::TooLarge,
        BodyError::Broken(error) => classify(error),
    })?;
    Ok(response)
}

fn classify(error: reqwest::Error) -> TransportError {
    let error = error.without_url();
    if error.is_connect() {
        // First: a connection that timed out is both, and nothing was sent.
        TransportError::Unreachable(error.into())
    } else if error.is_timeout() {
        TransportError::Timeout
    } else {
        TransportError::Broken(error.into())
    }
}

//! The way to Google: TLS roots, proxies, and the limit of an answer.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::TokioIo;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use secrecy::{ExposeSecret, SecretString};
use tokio::net::TcpStream;
use tower::Service;

use super::super::error::SourceError;
use super::metered::{Metered, Overflow};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// How connections leave this network.
#[derive(Clone, Debug, Default)]
pub struct Egress {
    /// `CA_FILE`: PEM roots, in addition to the system's.
    pub ca_file: Option<PathBuf>,
    /// `HTTPS_PROXY`: `http://` or `https://`, with user and password where the proxy wants them.
    pub https_proxy: Option<SecretString>,
    /// `NO_PROXY`: names, addresses and networks that are reached directly, separated by commas.
    pub no_proxy: Option<String>,
}

/// Connects to `https://` and `http://`.
pub(super) type Connector = HttpsConnector<Route>;

type BoxError = Box<dyn Error + Send + Sync>;
type TcpOrTls = MaybeHttpsStream<TokioIo<TcpStream>>;
type Stream = TokioIo<Metered<TokioIo<TcpOrTls>>>;

fn metered(stream: TcpOrTls, overflow: Overflow) -> Stream {
    TokioIo::new(Metered::new(TokioIo::new(stream), overflow))
}

/// Connects directly, or through the proxy's tunnel.
#[derive(Clone)]
pub(super) struct Route {
    direct: HttpConnector,
    to_proxy: HttpsConnector<HttpConnector>,
    proxies: Arc<Matcher>,
    overflow: Overflow,
}

impl Egress {
    /// # Errors
    ///
    /// [`SourceError::Setting`] where `CA_FILE` or `HTTPS_PROXY` cannot be used: better no connection than one
    /// around the proxy.
    pub(super) fn connector(&self, overflow: Overflow) -> Result<Connector, SourceError> {
        let tls = self.tls()?;
        let mut direct = HttpConnector::new();
        direct.enforce_http(false);
        direct.set_connect_timeout(Some(CONNECT_TIMEOUT));
        direct.set_nodelay(true);
        let to_proxy = HttpsConnectorBuilder::new()
            .with_tls_config(tls.clone())
            .https_or_http()
            .enable_http1()
            .wrap_connector(direct.clone());
        let route = Route { direct, to_proxy, proxies: Arc::new(self.proxies()?), overflow };
        Ok(HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            // Alone: on HTTP/2 what is written while an answer comes would count as another question.
            .enable_http1()
            .wrap_connector(route))
    }

    fn tls(&self) -> Result<ClientConfig, SourceError> {
        let problem = |problem: String| SourceError::Setting { variable: "CA_FILE", problem };
        let mut roots = RootCertStore::empty();
        // Roots of the system that do not load are not ours to mend; a connection that needs them says so.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if let Some(path) = &self.ca_file {
            let at = path.display();
            let pem =
                std::fs::read(path).map_err(|error| problem(format!("{at} cannot be read: {error}")))?;
            let certificates: Vec<_> = CertificateDer::pem_slice_iter(&pem).collect();
            if certificates.is_empty() {
                return Err(problem(format!("{at} holds no certificate in PEM")));
            }
            for certificate in certificates {
                let added = certificate
                    .map_err(|error| error.to_string())
                    .and_then(|certificate| roots.add(certificate).map_err(|error| error.to_string()));
                added.map_err(|error| problem(format!("a certificate in {at} cannot be used: {error}")))?;
            }
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let versions = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| problem(error.to_string()))?;
        Ok(versions.with_root_certificates(roots).with_no_client_auth())
    }

    fn proxies(&self) -> Result<Matcher, SourceError> {
        let Some(proxy) = &self.https_proxy else { return Ok(Matcher::builder().build()) };
        let proxy = proxy.expose_secret();
        let anywhere = Uri::from_static("https://proxied.invalid");
        let used = Matcher::builder().https(proxy).build().intercept(&anywhere);
        // The matcher drops an address it cannot use without a word.
        if !used.is_some_and(|used| matches!(used.uri().scheme_str(), Some("http" | "https"))) {
            return Err(SourceError::Setting {
                variable: "HTTPS_PROXY",
                problem: "it is not an address like http://proxy.example:3128".to_owned(),
            });
        }
        Ok(Matcher::builder().https(proxy).no(self.no_proxy.as_deref().unwrap_or_default()).build())
    }
}

impl Service<Uri> for Route {
    type Response = Stream;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Stream, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        match self.direct.poll_ready(context) {
            Poll::Ready(Ok(())) => self.to_proxy.poll_ready(context),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error.into())),
            Poll::Pending => Poll::Pending,
        }
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let overflow = self.overflow.clone();
        match self.proxies.intercept(&to) {
            None => {
                let connecting = self.direct.call(to);
                Box::pin(async move { Ok(metered(MaybeHttpsStream::Http(connecting.await?), overflow)) })
            }
            Some(proxy) => {
                let mut tunnel = Tunnel::new(proxy.uri().clone(), self.to_proxy.clone());
                if let Some(authorization) = proxy.basic_auth() {
                    tunnel = tunnel.with_auth(authorization.clone());
                }
                Box::pin(async move { Ok(metered(tunnel.call(to).await?, overflow)) })
            }
        }
    }
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Route").finish_non_exhaustive()
    }
}

//! TLS towards Postgres: whom a certificate must come from, by libpq's modes.

use std::error::Error as _;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use deadpool_postgres::Connect;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::task::JoinHandle;
use tokio_postgres::config::SslMode;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Config, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::address::{BadAddress, Tls};

/// Which certificates are believed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Trust {
    /// Any: nobody listens in, but who is spoken to is not known.
    Anyone,
    /// One that a root vouches for, whatever name it bears.
    Chain,
    /// One that a root vouches for, of the host's name.
    ChainAndName,
}

/// Postgres's protocol in TLS's words, for `sslnegotiation=direct`.
const ALPN: &[u8] = b"postgresql";

pub(super) fn client_config(tls: &Tls, trust: Trust) -> Result<ClientConfig, BadAddress> {
    let broken = |source| BadAddress::Tls(Box::new(source));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(broken)?;
    let builder = match trust {
        Trust::ChainAndName => builder.with_root_certificates(roots(tls)?),
        Trust::Chain => {
            let verifier = Unnamed { roots: Some(roots(tls)?), provider };
            builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier))
        }
        Trust::Anyone => {
            let verifier = Unnamed { roots: None, provider };
            builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier))
        }
    };
    let mut config = match (&tls.certificate, &tls.key) {
        (Some(certificate), Some(key)) => {
            let pem = |parameter, path| move |source| BadAddress::Pem { parameter, path, source };
            let chain = CertificateDer::pem_file_iter(certificate)
                .and_then(Iterator::collect)
                .map_err(pem("sslcert", certificate.clone()))?;
            let key = PrivateKeyDer::from_pem_file(key).map_err(pem("sslkey", key.clone()))?;
            builder.with_client_auth_cert(chain, key).map_err(broken)?
        }
        _ => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(config)
}

/// The certificates of `sslrootcert`, or the system's.
fn roots(tls: &Tls) -> Result<RootCertStore, BadAddress> {
    let mut roots = RootCertStore::empty();
    match &tls.roots {
        Some(path) => {
            let pem = |source| BadAddress::Pem { parameter: "sslrootcert", path: path.clone(), source };
            for certificate in CertificateDer::pem_file_iter(path).map_err(pem)? {
                roots.add(certificate.map_err(pem)?).map_err(|source| BadAddress::Tls(Box::new(source)))?;
            }
            if roots.is_empty() {
                return Err(pem(rustls::pki_types::pem::Error::NoItemsFound));
            }
        }
        None => {
            let native = rustls_native_certs::load_native_certs();
            roots.add_parsable_certificates(native.certs);
            if roots.is_empty() {
                return Err(BadAddress::Tls(
                    "this system has no root certificates; name some with sslrootcert".into(),
                ));
            }
        }
    }
    Ok(roots)
}

/// Does not look at the name; at the chain only where there are roots.
#[derive(Debug)]
struct Unnamed {
    roots: Option<RootCertStore>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Unnamed {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if let Some(roots) = &self.roots {
            let certificate = ParsedCertificate::try_from(end_entity)?;
            let algorithms = self.provider.signature_verification_algorithms.all;
            verify_server_cert_signed_by_trust_anchor(&certificate, roots, intermediates, now, algorithms)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Makes connections for a pool.
#[derive(Clone)]
pub(crate) struct Connector {
    tls: Option<MakeRustlsConnect>,
    or_plain: bool,
}

impl Connector {
    pub(super) fn plain() -> Self {
        Self { tls: None, or_plain: false }
    }

    /// With `or_plain` a server with which TLS fails is tried once more without, as libpq's `prefer` does.
    pub(super) fn tls(config: ClientConfig, or_plain: bool) -> Self {
        Self { tls: Some(MakeRustlsConnect::new(config)), or_plain }
    }

    async fn attempt(&self, config: &Config) -> Result<(Client, JoinHandle<()>), tokio_postgres::Error> {
        match &self.tls {
            Some(tls) if config.get_ssl_mode() != SslMode::Disable => {
                let (client, connection) = config.connect(tls.clone()).await?;
                Ok((client, tokio::spawn(drive(connection))))
            }
            _ => {
                let (client, connection) = config.connect(NoTls).await?;
                Ok((client, tokio::spawn(drive(connection))))
            }
        }
    }
}

type Connecting<'a> =
    Pin<Box<dyn Future<Output = Result<(Client, JoinHandle<()>), tokio_postgres::Error>> + Send + 'a>>;

impl Connect for Connector {
    fn connect(&self, config: &Config) -> Connecting<'_> {
        let mut config = config.clone();
        Box::pin(async move {
            match self.attempt(&config).await {
                Err(error) if self.or_plain && comes_of_tls(&error) => {
                    config.ssl_mode(SslMode::Disable);
                    self.attempt(&config).await
                }
                connected => connected,
            }
        })
    }
}

/// Whether a connection may fare better without TLS: the handshake failed, or `pg_hba.conf` wants none.
fn comes_of_tls(error: &tokio_postgres::Error) -> bool {
    if error.code() == Some(&SqlState::INVALID_AUTHORIZATION_SPECIFICATION) {
        return true;
    }
    let io = error.source().and_then(|source| source.downcast_ref::<std::io::Error>());
    io.and_then(std::io::Error::get_ref).is_some_and(|inner| inner.is::<rustls::Error>())
}

async fn drive<S, T>(connection: tokio_postgres::Connection<S, T>)
where
    tokio_postgres::Connection<S, T>: Future<Output = Result<(), tokio_postgres::Error>>,
{
    if let Err(error) = connection.await {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "a connection to the ledger's database was lost"
        );
    }
}

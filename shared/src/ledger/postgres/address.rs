//! Where the database is and how it is reached: a libpq connection URI, with `sslmode` as libpq means it.
//!
//! `sslmode`, `sslrootcert`, `sslcert` and `sslkey` are read here, every other parameter by tokio-postgres
//! (<https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS>). Differences: `allow` is
//! refused, and nothing is read from `~/.postgresql`; where a mode needs roots and `sslrootcert` names none,
//! the system's are used.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::Connect;
use percent_encoding::percent_decode_str;
use secrecy::{ExposeSecret, SecretString};
use tokio::task::JoinHandle;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::{Client, Config};

use super::tls::{Connector, Trust, client_config};
use crate::error_chain;
use crate::secrets::LiveSecret;

const MODES: &str = "disable, prefer, require, verify-ca, verify-full";

/// Shown in `pg_stat_activity`.
const APPLICATION: &str = "nightly-sync";

/// What is wrong with a database's URI. Never quotes it: it may hold a password.
#[derive(Debug, thiserror::Error)]
pub enum BadAddress {
    /// Another scheme, or no URI at all.
    #[error("not a postgres:// URI, as in postgres://USER@HOST:5432/DATABASE?sslmode=verify-full")]
    NotPostgres,
    /// `sslmode` is none of libpq's.
    #[error("sslmode is not known; accepted: {MODES}")]
    Mode,
    /// `sslrootcert=system` with a mode that does not look at the host's name.
    #[error("sslrootcert=system needs sslmode=verify-full: a public authority vouches for anybody's server")]
    WeakSystem,
    /// A certificate without its key, or a key without its certificate.
    #[error("sslcert and sslkey go together")]
    HalfIdentity,
    /// A parameter that is not understood.
    #[error("the URI cannot be read")]
    Unreadable(#[source] tokio_postgres::Error),
    /// A PEM file cannot be read.
    #[error("{parameter}: {} cannot be read as PEM", path.display())]
    Pem {
        /// `sslrootcert`, `sslcert` or `sslkey`.
        parameter: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: rustls::pki_types::pem::Error,
    },
    /// The system has no roots, or the certificates cannot be used.
    #[error("no TLS connection can be set up")]
    Tls(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Where the database is and how it is reached.
#[derive(Clone)]
pub struct PostgresAddress {
    pub(crate) config: Config,
    pub(crate) connector: Connector,
    /// Where it was read, and may have changed since.
    live: Option<Arc<LiveSecret>>,
}

impl fmt::Debug for PostgresAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // tokio-postgres hides the password in its own.
        f.debug_struct("PostgresAddress").field("config", &self.config).finish_non_exhaustive()
    }
}

/// What the URI says about TLS.
#[derive(Default)]
pub(super) struct Tls {
    mode: Option<String>,
    pub(super) roots: Option<PathBuf>,
    pub(super) certificate: Option<PathBuf>,
    pub(super) key: Option<PathBuf>,
}

impl PostgresAddress {
    /// Reads `postgres://…` (or `postgresql://…`), and the PEM files that it names.
    pub fn parse(uri: &SecretString) -> Result<Self, BadAddress> {
        let uri = uri.expose_secret().trim();
        if !["postgres://", "postgresql://"].iter().any(|scheme| uri.starts_with(scheme)) {
            return Err(BadAddress::NotPostgres);
        }
        let (mut tls, rest) = take_tls(uri);
        let mut config: Config = rest.parse().map_err(BadAddress::Unreadable)?;
        if tls.certificate.is_some() != tls.key.is_some() {
            return Err(BadAddress::HalfIdentity);
        }
        let system = tls.roots.as_ref().is_some_and(|roots| roots.as_os_str() == "system");
        let default = if system { "verify-full" } else { "prefer" };
        let mode = tls.mode.take().unwrap_or_else(|| default.to_owned());
        if system && mode != "verify-full" {
            return Err(BadAddress::WeakSystem);
        }
        if system {
            tls.roots = None;
        }
        let (mode, trust) = match (mode.as_str(), &tls.roots) {
            ("disable", _) => (SslMode::Disable, Trust::Anyone),
            ("prefer", _) => (SslMode::Prefer, Trust::Anyone),
            ("require", None) => (SslMode::Require, Trust::Anyone),
            // Where there are roots they are used: <https://www.postgresql.org/docs/current/libpq-ssl.html>.
            ("require", Some(_)) | ("verify-ca", _) => (SslMode::Require, Trust::Chain),
            ("verify-full", _) => (SslMode::Require, Trust::ChainAndName),
            _ => return Err(BadAddress::Mode),
        };
        // Over a Unix-domain socket libpq ignores the mode.
        let mode = if config.get_hosts().iter().all(is_socket) { SslMode::Disable } else { mode };
        config.ssl_mode(mode);
        if config.get_application_name().is_none() {
            config.application_name(APPLICATION);
        }
        if config.get_tcp_user_timeout().is_none() {
            config.tcp_user_timeout(Duration::from_secs(15));
        }
        config.keepalives_idle(Duration::from_secs(30));
        let connector = match mode {
            SslMode::Disable => Connector::plain(),
            _ => Connector::tls(client_config(&tls, trust)?, mode == SslMode::Prefer),
        };
        Ok(Self { config, connector, live: None })
    }

    /// The same, read again from `live` for each connection.
    pub fn followed(self, live: LiveSecret) -> Self {
        Self { live: Some(Arc::new(live)), ..self }
    }

    /// Whether the URI itself holds a password and leads away from this machine.
    pub fn sends_written_password_abroad(&self) -> bool {
        let local = |host: &Host| match host {
            Host::Tcp(name) => {
                name == "localhost" || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
            }
            #[cfg(unix)]
            Host::Unix(_) => true,
        };
        let hosts = self.config.get_hosts().iter().all(local)
            && self.config.get_hostaddrs().iter().all(IpAddr::is_loopback);
        self.config.get_password().is_some() && !hosts
    }
}

fn is_socket(host: &Host) -> bool {
    match host {
        Host::Tcp(_) => false,
        #[cfg(unix)]
        Host::Unix(_) => true,
    }
}

type Connecting<'a> =
    Pin<Box<dyn Future<Output = Result<(Client, JoinHandle<()>), tokio_postgres::Error>> + Send + 'a>>;

impl Connect for PostgresAddress {
    fn connect(&self, config: &Config) -> Connecting<'_> {
        let config = config.clone();
        Box::pin(async move {
            let Some(live) = &self.live else { return self.connector.connect(&config).await };
            match Self::parse(&live.current().await) {
                Ok(now) => now.connector.connect(&now.config).await,
                Err(error) => {
                    let error = error_chain(&error);
                    tracing::warn!(
                        error,
                        "DATABASE_URL has changed and cannot be used; going on with the first"
                    );
                    self.connector.connect(&config).await
                }
            }
        })
    }
}

/// Takes the parameters about TLS out of a URI.
fn take_tls(uri: &str) -> (Tls, String) {
    let mut tls = Tls::default();
    let Some((base, query)) = uri.split_once('?') else { return (tls, uri.to_owned()) };
    let mut kept = Vec::new();
    for pair in query.split('&') {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = percent_decode_str(value).decode_utf8_lossy().into_owned();
        match name {
            "sslmode" => tls.mode = Some(value),
            "sslrootcert" => tls.roots = Some(value.into()),
            "sslcert" => tls.certificate = Some(value.into()),
            "sslkey" => tls.key = Some(value.into()),
            _ => kept.push(pair),
        }
    }
    let query = kept.join("&");
    (tls, if query.is_empty() { base.to_owned() } else { format!("{base}?{query}") })
}

//! What the adapter is told: where the broker is, how to trust it, what the queues are called, how long to wait.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use lapin::tcp::{OwnedIdentity, OwnedTLSConfig};
use lapin::uri::AMQPUri;
use secrecy::ExposeSecret as _;

use crate::ledger::RowMessage;
use crate::secrets::LiveSecret;
use crate::testing::{delivery_limit, hurried, hurried_ladder, hurried_to};
use crate::traces::Sending;

/// Seconds between heartbeats; two that are missed end a connection.
const HEARTBEAT: u16 = 10;

fn heartbeat() -> u16 {
    let hurried = hurried(Duration::from_secs(HEARTBEAT.into())).as_secs();
    // Below that, heartbeats are late on a machine that has much else to do.
    u16::try_from(hurried).unwrap_or(HEARTBEAT).max(2)
}

/// The broker's address cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("not an AMQP address (amqp://USER:PASSWORD@HOST:PORT/VHOST or amqps://…): {0}")]
pub struct AddressError(String);

/// How to reach and use a broker.
#[derive(Clone)]
pub struct RabbitMqConfig {
    pub(super) uri: AMQPUri,
    /// Where the address was read, and may have changed since.
    live: Option<Arc<LiveSecret>>,
    /// How the broker's pages name our connections.
    pub name: String,
    /// Whom to trust, and who we are, on `amqps`.
    pub tls: TlsTerms,
    /// The queues.
    pub queues: QueueTerms,
    /// The waits.
    pub waits: Waits,
    /// Messages published and not yet confirmed, at most, on one channel.
    pub window: usize,
    /// Begins a message's publishing, towards a messaging system and a queue of it. A retry carries on the trace it
    /// came with.
    pub sending: fn(&RowMessage, &str, &str) -> Sending,
}

impl RabbitMqConfig {
    /// The defaults, for this address. A query of the address is honoured (`auth_mechanism=external` for client
    /// certificates), but for the heartbeat.
    pub fn new(address: &str) -> Result<Self, AddressError> {
        Ok(Self {
            uri: read(address)?,
            live: None,
            name: "nightly-sync".into(),
            tls: TlsTerms::default(),
            queues: QueueTerms::default(),
            waits: Waits::default(),
            window: 1_000,
            sending: Sending::begin,
        })
    }

    /// Reads the address again from `live` for each connection.
    pub fn follow(&mut self, live: LiveSecret) {
        self.live = Some(Arc::new(live));
    }

    /// The address as it is now.
    pub(super) async fn current(&self) -> AMQPUri {
        let Some(live) = &self.live else { return self.uri.clone() };
        read(live.current().await.expose_secret().trim()).unwrap_or_else(|_| {
            tracing::warn!("AMQP_URL has changed and is no AMQP address; going on with the first");
            self.uri.clone()
        })
    }

    /// Whether `address`, which this was made of, holds a password and leads away from this machine.
    pub fn sends_written_password_abroad(&self, address: &str) -> bool {
        let host = self.uri.authority.host.trim_matches(['[', ']']);
        let local = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        // Where none is written the broker's well-known guest is meant, which it lets in from its own machine only.
        let written = address.split_once("://").is_some_and(|(_, rest)| {
            let authority = rest.split('/').next().unwrap_or(rest);
            authority.rsplit_once('@').is_some_and(|(user, _)| user.contains(':'))
        });
        written && !local
    }
}

fn read(address: &str) -> Result<AMQPUri, AddressError> {
    let mut uri: AMQPUri = address.parse().map_err(AddressError)?;
    uri.query.heartbeat = Some(heartbeat());
    Ok(uri)
}

impl fmt::Debug for RabbitMqConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RabbitMqConfig")
            .field("host", &self.uri.authority.host)
            .field("port", &self.uri.authority.port)
            .field("vhost", &self.uri.vhost)
            .field("tls", &self.tls)
            .field("queues", &self.queues)
            .field("waits", &self.waits)
            .finish_non_exhaustive()
    }
}

/// Certificates for `amqps`.
#[derive(Clone, Default)]
pub struct TlsTerms {
    /// PEM roots added to the system's (`CA_FILE`).
    pub roots: Option<String>,
    /// Our own certificate chain and its private key, both PEM.
    pub identity: Option<(Vec<u8>, Vec<u8>)>,
}

impl TlsTerms {
    pub(super) fn to_lapin(&self) -> OwnedTLSConfig {
        let identity = self.identity.clone().map(|(pem, key)| OwnedIdentity::PKCS8 { pem, key });
        OwnedTLSConfig { identity, cert_chain: self.roots.clone() }
    }
}

impl fmt::Debug for TlsTerms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsTerms")
            .field("roots", &self.roots.is_some())
            .field("identity", &self.identity.is_some())
            .finish()
    }
}

/// What the queues are called and made of. Queues that exist keep the arguments they were made with, so other
/// values here need another prefix, or the old queues removed.
#[derive(Clone, Debug)]
pub struct QueueTerms {
    /// What every name starts with.
    pub prefix: String,
    /// The waits of the retry queues, shortest first; not empty.
    pub ladder: Vec<Duration>,
    /// Redeliveries after which the broker gives a message up. Every worker that dies or drains gives back what
    /// it has prefetched, and that counts: well above what a bad night brings.
    pub delivery_limit: u32,
}

impl Default for QueueTerms {
    fn default() -> Self {
        Self {
            prefix: "nightly-sync".into(),
            ladder: hurried_ladder(&[1, 2, 3, 5, 10, 20, 40, 80, 150, 300].map(Duration::from_secs)),
            delivery_limit: delivery_limit(500),
        }
    }
}

/// How long to wait for what.
#[derive(Clone, Copy, Debug)]
pub struct Waits {
    /// For a connection, its handshakes included.
    pub connect: Duration,
    /// For any answer of the broker but a confirm.
    pub answer: Duration,
    /// For each confirm, from when its message was published.
    pub confirm: Duration,
    /// Between looks whether a consumer that gets nothing was forgotten by the broker.
    pub forgotten: Duration,
    /// The longest retry that waits in the process instead of in a retry queue.
    pub in_process: Duration,
    /// The first back-off of a broker that cannot be reached, before jitter; doubles with each failure.
    pub back_off_first: Duration,
    /// What the back-off stops at.
    pub back_off_most: Duration,
}

impl Default for Waits {
    fn default() -> Self {
        Self {
            connect: hurried_to(Duration::from_secs(4), Duration::from_secs(10)),
            answer: hurried_to(Duration::from_secs(4), Duration::from_secs(10)),
            confirm: hurried_to(Duration::from_secs(4), Duration::from_secs(10)),
            forgotten: hurried(Duration::from_secs(20)),
            in_process: hurried(Duration::from_secs(1)),
            back_off_first: hurried(Duration::from_millis(250)),
            back_off_most: hurried(Duration::from_secs(5)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_and_its_password_not_shown() {
        let config = RabbitMqConfig::new("amqps://night:s3cret@broker:5671/prod?heartbeat=0").unwrap();
        assert_eq!(config.uri.query.heartbeat, Some(10), "never without heartbeats");
        let shown = format!("{config:?}");
        assert!(shown.contains("broker") && !shown.contains("s3cret"), "{shown}");
    }

    #[test]
    fn what_is_no_address_is_refused_without_showing_it() {
        let error = RabbitMqConfig::new("http://night:s3cret@broker/").unwrap_err().to_string();
        assert!(!error.contains("s3cret"), "{error}");
    }
}

//! One supervised connection. Whoever needs a channel asks for one; if the connection is lost, the asking makes
//! another, and everything on it is built from scratch. lapin's own recovery is not used: it gives up silently.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lapin::tcp::AsyncTcpStream;
use lapin::uri::AMQPScheme;
use lapin::{Channel, Connection, ConnectionProperties};
use rand::Rng as _;
use tokio::net::lookup_host;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until, timeout};

use super::config::RabbitMqConfig;
use super::fault::{RabbitMqError, within};
use super::socket::{CutOnDrop, Socket};
use super::topology::Topology;

/// What a connection that is let go of has for its farewell, before its socket is cut.
const FAREWELL: Duration = Duration::from_secs(5);

/// Doublings past which every sensible back-off has reached its most.
const MOST_DOUBLINGS: u32 = 16;

/// A connection that is made when it is needed and lost.
pub(super) struct Link {
    config: Arc<RabbitMqConfig>,
    topology: Arc<Topology>,
    purpose: &'static str,
    state: Mutex<State>,
    /// Whether the queues were declared and nobody has missed one since.
    declared: AtomicBool,
}

#[derive(Default)]
struct State {
    live: Option<Live>,
    failed: Option<Failed>,
}

/// The latest failures to connect.
struct Failed {
    at: Instant,
    streak: u32,
    not_before: Instant,
    fault: RabbitMqError,
}

struct Live {
    connection: Connection,
    socket: Socket,
}

impl Live {
    fn is_well(&self) -> bool {
        self.connection.status().connected()
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        // lapin says goodbye by itself when the last channel goes too. A broker that does not answer must not
        // keep its thread for ever, nor let those wait who still use its channels.
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) if self.is_well() => {
                let socket = self.socket.clone();
                runtime.spawn(async move {
                    tokio::time::sleep(FAREWELL).await;
                    socket.cut();
                });
            }
            _ => self.socket.cut(),
        }
    }
}

impl Link {
    pub(super) fn new(config: Arc<RabbitMqConfig>, topology: Arc<Topology>, purpose: &'static str) -> Self {
        Self { config, topology, purpose, state: Mutex::default(), declared: AtomicBool::new(false) }
    }

    /// A new channel, on the connection that stands or on a new one, with all queues declared. Waits out the
    /// back-off and one attempt to connect, no longer.
    pub(super) async fn channel(&self) -> Result<Channel, RabbitMqError> {
        let asked_at = Instant::now();
        let state = &mut *self.state.lock().await;
        // It stays in its place meanwhile: a caller who gives up must not take along what others use.
        let live = match &state.live {
            Some(live) if live.is_well() => live,
            _ => {
                state.live = None;
                let live = self.connect_again(&mut state.failed, asked_at).await?;
                state.live.insert(live)
            }
        };
        let opened = self.open(&live.connection).await;
        match &opened {
            Ok(_) => state.failed = None,
            // Let go of: its heartbeats would take longer to find out.
            Err(RabbitMqError::Silent { .. }) => state.live = None,
            Err(_) => {}
        }
        opened
    }

    async fn connect_again(
        &self,
        last: &mut Option<Failed>,
        asked_at: Instant,
    ) -> Result<Live, RabbitMqError> {
        if let Some(failed) = last {
            // Whoever waited for another's attempt shares its end: attempts must not queue up.
            if failed.at >= asked_at {
                return Err(failed.fault.clone());
            }
            sleep_until(failed.not_before).await;
        }
        match self.connect().await {
            Ok(live) => {
                tracing::debug!(purpose = self.purpose, "connected to RabbitMQ");
                self.declared.store(false, Ordering::Relaxed);
                Ok(live)
            }
            Err(fault) => {
                let streak = last.as_ref().map_or(0, |failed| failed.streak);
                *last = Some(self.failed(streak, fault.clone()));
                Err(fault)
            }
        }
    }

    /// Somebody missed a queue: the next channel declares them all again.
    pub(super) fn declare_again(&self) {
        self.declared.store(false, Ordering::Relaxed);
    }

    /// Says goodbye, and cuts the connection if that is not answered.
    pub(super) async fn close(&self) {
        let Some(live) = self.state.lock().await.live.take() else { return };
        let farewell = live.connection.close(200, "done".into());
        if timeout(FAREWELL, farewell).await.is_err() {
            tracing::debug!(purpose = self.purpose, "RabbitMQ did not answer the farewell");
        }
        live.socket.cut();
    }

    async fn open(&self, connection: &Connection) -> Result<Channel, RabbitMqError> {
        let answer = self.config.waits.answer;
        let channel = within(answer, "open a channel", connection.create_channel()).await?;
        if !self.declared.load(Ordering::Relaxed) {
            // Set before: who misses a queue meanwhile is not overlooked.
            self.declared.store(true, Ordering::Relaxed);
            if let Err(fault) = self.topology.declare(&channel, answer).await {
                self.declared.store(false, Ordering::Relaxed);
                return Err(fault);
            }
        }
        Ok(channel)
    }

    async fn connect(&self) -> Result<Live, RabbitMqError> {
        let socket = Socket::default();
        let guard = CutOnDrop::new(socket.clone());
        let connection = connect(&self.config, self.purpose, socket).await?;
        let socket = guard.keep().unwrap_or_default();
        Ok(Live { connection, socket })
    }

    fn failed(&self, streak: u32, fault: RabbitMqError) -> Failed {
        let waits = &self.config.waits;
        let most = (waits.back_off_first * 2u32.pow(streak.min(MOST_DOUBLINGS))).min(waits.back_off_most);
        // Full jitter: workers that lost one broker must not come back as one.
        let back_off = most.mul_f64(rand::rng().random_range(0.0..=1.0));
        let at = Instant::now();
        Failed { at, streak: streak.saturating_add(1), not_before: at + back_off, fault }
    }
}

/// Connects, by way of `socket`, so that a handshake that does not end can be cut.
pub(super) async fn connect(
    config: &RabbitMqConfig,
    purpose: &'static str,
    socket: Socket,
) -> Result<Connection, RabbitMqError> {
    let wait = config.waits.connect;
    let tls = config.tls.to_lapin();
    let name = format!("{} ({purpose})", config.name);
    let properties = ConnectionProperties::default().with_connection_name(name.into());
    let connecting = Connection::connector(
        config.current().await,
        lapin::runtime::default_runtime()?,
        // It runs on lapin's thread, and may outlive the time-out around the whole: hence one of its own.
        async move |uri, runtime| {
            let host = uri.authority.host.as_str();
            let dialled = timeout(wait, async {
                let addresses: Vec<_> = lookup_host((host, uri.authority.port)).await?.collect();
                let stream = AsyncTcpStream::connect(&runtime, addresses).await?;
                if let AsyncTcpStream::Plain(plain) = &stream {
                    socket.hold(plain.get_ref())?;
                }
                match uri.scheme {
                    AMQPScheme::AMQP => Ok(stream),
                    AMQPScheme::AMQPS => stream.into_tls(host, tls.as_ref()).await,
                }
            });
            let stream = dialled.await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))?;
            Ok(stream)
        },
        properties,
    );
    within(wait, "finish the handshake", connecting).await
}

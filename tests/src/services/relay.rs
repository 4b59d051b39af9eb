//! A TCP relay in front of a service, to do to connections what networks do to them.

use std::net::{Ipv4Addr, SocketAddr, ToSocketAddrs as _};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::Url;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep_until};

/// What is on its way in one direction at most, in pieces as they were read.
const ON_THE_WAY: usize = 64;

/// What becomes of bytes on their way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// They arrive.
    Passes,
    /// They arrive so much later, in each direction.
    Late(Duration),
    /// Those to the service arrive; its answers do not, until they flow again.
    Unanswered,
    /// None arrive, in either direction, until they flow again.
    Swallowed,
}

/// A relay to one address, on loopback.
pub struct Relay {
    to: SocketAddr,
    at: SocketAddr,
    flow: watch::Sender<Flow>,
    /// How often connections were reset.
    resets: watch::Sender<u32>,
    accepted: Arc<AtomicUsize>,
    serving: Mutex<Option<JoinHandle<()>>>,
}

impl Relay {
    /// Relays to this address.
    ///
    /// # Panics
    /// There is no free port.
    pub async fn to(to: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let at = listener.local_addr().expect("a bound socket has an address");
        let relay = Self {
            to,
            at,
            flow: watch::Sender::new(Flow::Passes),
            resets: watch::Sender::new(0),
            accepted: Arc::default(),
            serving: Mutex::default(),
        };
        relay.serve(listener);
        relay
    }

    /// A relay to where a URL leads, and the URL that leads there through it.
    ///
    /// # Panics
    /// It names no port, or a host that is not known.
    pub async fn before(url: &str) -> (Self, String) {
        let mut url = Url::parse(url).expect("a URL");
        let host = url.host_str().expect("it has a host");
        // A Postgres on a socket in this folder listens on loopback too.
        let host = if host.starts_with("%2F") { "127.0.0.1" } else { host };
        let port = url.port_or_known_default().expect("it has a port");
        let mut found = (host, port).to_socket_addrs().expect("its host is known");
        let relay = Self::to(found.next().expect("a host that is known has an address")).await;
        url.set_host(Some("127.0.0.1")).expect("it has a host");
        url.set_port(Some(relay.port())).expect("it has a host");
        (relay, url.into())
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.at.port()
    }

    /// Connections that came so far.
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Cuts every connection; new ones are refused until [`accept`](Self::accept).
    pub async fn refuse(&self) {
        let serving = self.serving.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(serving) = serving {
            serving.abort();
            // Its listener and its connections are gone with it.
            let _ = serving.await;
        }
    }

    /// Accepts connections again.
    ///
    /// # Panics
    /// Another took the port meanwhile.
    pub async fn accept(&self) {
        self.serve(TcpListener::bind(self.at).await.expect("the port is still free"));
    }

    /// Cuts every connection, and accepts new ones.
    pub async fn cut(&self) {
        self.refuse().await;
        self.accept().await;
    }

    /// Resets every connection at both ends: what was on its way is gone, and neither end is told in order. New ones
    /// are accepted.
    pub fn reset(&self) {
        self.resets.send_modify(|resets| *resets += 1);
    }

    /// What becomes of bytes from now on, those on their way included. New connections are accepted all the same.
    pub fn flow(&self, flow: Flow) {
        self.flow.send_replace(flow);
    }

    fn serve(&self, listener: TcpListener) {
        let (to, flow, accepted) = (self.to, self.flow.subscribe(), self.accepted.clone());
        let resets = self.resets.clone();
        let serving = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                accepted.fetch_add(1, Ordering::Relaxed);
                connections.spawn(relay(stream, to, flow.clone(), resets.subscribe()));
            }
        });
        *self.serving.lock().unwrap_or_else(PoisonError::into_inner) = Some(serving);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let serving = self.serving.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(serving) = serving {
            serving.abort();
        }
    }
}

async fn relay(
    mut client: TcpStream,
    to: SocketAddr,
    flow: watch::Receiver<Flow>,
    mut resets: watch::Receiver<u32>,
) {
    let Ok(mut server) = TcpStream::connect(to).await else { return };
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server.split();
    tokio::select! {
        () = pass(from_client, to_server, flow.clone(), |flow| flow != Flow::Swallowed) => {}
        () = pass(from_server, to_client, flow, |flow| !matches!(flow, Flow::Swallowed | Flow::Unanswered)) => {}
        Ok(()) = resets.changed() => {
            for end in [&client, &server] {
                // An end that is gone already needs no reset.
                let _ = end.set_zero_linger();
            }
        }
    }
}

/// Ends with either end of the connection. What comes later is late by the same time, not by more.
async fn pass(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    flow: watch::Receiver<Flow>,
    passes: impl Fn(Flow) -> bool,
) {
    let (read, mut written) = mpsc::channel::<(Instant, Vec<u8>)>(ON_THE_WAY);
    let mut stopped = flow.clone();
    let reading = async move {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(bytes @ 1..) = from.read(&mut buffer).await {
            if read.send((Instant::now(), buffer[..bytes].to_vec())).await.is_err() {
                return;
            }
        }
    };
    let writing = async {
        let mut flow = flow;
        while let Some((at, bytes)) = written.recv().await {
            let Ok(now) = flow.wait_for(|flow| passes(*flow)).await.map(|flow| *flow) else { return };
            if let Flow::Late(by) = now {
                sleep_until(at + by).await;
            }
            if to.write_all(&bytes).await.is_err() {
                return;
            }
        }
    };
    let mut writing = std::pin::pin!(writing);
    tokio::select! {
        () = reading => {}
        () = &mut writing => return,
    }
    // It has said all that it will. What does not arrive now never does.
    tokio::select! {
        () = writing => {}
        _ = stopped.wait_for(|flow| !passes(*flow)) => {}
    }
}

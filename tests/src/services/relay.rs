//! A TCP relay in front of a service, to do to connections what networks do to them.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// A relay to one address, on loopback.
pub struct Relay {
    to: SocketAddr,
    at: SocketAddr,
    flows: watch::Sender<bool>,
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
            flows: watch::Sender::new(true),
            accepted: Arc::default(),
            serving: Mutex::default(),
        };
        relay.serve(listener);
        relay
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

    /// Accepts everything and passes nothing on, in either direction, or does again.
    pub fn swallow(&self, swallow: bool) {
        self.flows.send_replace(!swallow);
    }

    fn serve(&self, listener: TcpListener) {
        let (to, flows, accepted) = (self.to, self.flows.subscribe(), self.accepted.clone());
        let serving = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                accepted.fetch_add(1, Ordering::Relaxed);
                connections.spawn(relay(stream, to, flows.clone()));
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

async fn relay(mut client: TcpStream, to: SocketAddr, flows: watch::Receiver<bool>) {
    let Ok(mut server) = TcpStream::connect(to).await else { return };
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server.split();
    tokio::select! {
        () = pass(from_client, to_server, flows.clone()) => {}
        () = pass(from_server, to_client, flows) => {}
    }
}

async fn pass(
    mut from: tokio::net::tcp::ReadHalf<'_>,
    mut to: tokio::net::tcp::WriteHalf<'_>,
    mut flows: watch::Receiver<bool>,
) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let Ok(read) = from.read(&mut buffer).await else { return };
        if read == 0
            || flows.wait_for(|flows| *flows).await.is_err()
            || to.write_all(&buffer[..read]).await.is_err()
        {
            return;
        }
    }
}

//! The way out of a network with a proxy and a CA of its own: hosts of its names, with certificates of that CA, behind
//! a proxy that counts who is asked for.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::services::Certificates;

/// What the proxy asks for: user and password.
const LOGIN: &str = "nightly:a-proxy-password";

/// See the module. Gone when dropped.
pub struct Egress {
    certificates: Certificates,
    hosts: Arc<Mutex<BTreeMap<String, Host>>>,
    proxy: SocketAddr,
    serving: JoinSet<()>,
}

struct Host {
    at: SocketAddr,
    /// Connections that the proxy made.
    asked: u32,
}

impl Egress {
    /// A proxy, and no host yet.
    pub async fn start() -> Self {
        // An error means that a provider is installed already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let hosts: Arc<Mutex<BTreeMap<String, Host>>> = Arc::default();
        let (listener, proxy) = listen().await;
        let mut serving = JoinSet::new();
        let known = hosts.clone();
        serving.spawn(async move {
            let mut tunnels = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let known = known.clone();
                tunnels.spawn(async move { tunnel(stream, &known).await });
            }
        });
        Self { certificates: Certificates::make(), hosts, proxy, serving }
    }

    /// Puts a server (`http://127.0.0.1:PORT/…`) behind a host of this name, and gives its `https://NAME…` there. Nobody
    /// but the proxy knows the name.
    pub async fn host(&mut self, name: &str, url: &str) -> String {
        let (address, path) = split(url);
        let at = self.front(name, address).await;
        self.hosts().insert(name.to_owned(), Host { at, asked: 0 });
        format!("https://{name}{path}")
    }

    /// Puts it behind a port of `localhost`, which needs no proxy.
    pub async fn local(&mut self, url: &str) -> String {
        let (address, path) = split(url);
        let at = self.front("localhost", address).await;
        format!("https://localhost:{}{path}", at.port())
    }

    /// What `HTTPS_PROXY` is to be.
    pub fn proxy(&self) -> String {
        format!("http://{LOGIN}@{}", self.proxy)
    }

    /// What `CA_FILE` is to hold.
    pub fn root(&self) -> &str {
        &self.certificates.root
    }

    /// How many connections were asked for, by host; 0 where none was.
    pub fn asked(&self) -> BTreeMap<String, u32> {
        self.hosts().iter().map(|(name, host)| (name.clone(), host.asked)).collect()
    }

    fn hosts(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Host>> {
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// TLS on a port, in clear to `address` behind it.
    async fn front(&mut self, name: &str, address: SocketAddr) -> SocketAddr {
        let (certificate, key) = self.certificates.of_host(name);
        let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).expect("a certificate");
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("a key");
        let config = ServerConfig::builder().with_no_client_auth().with_single_cert(vec![certificate], key);
        let acceptor = TlsAcceptor::from(Arc::new(config.expect("a certificate and its key")));
        let (listener, at) = listen().await;
        self.serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                connections.spawn(async move {
                    // One that breaks is the business of whoever made it.
                    let _ = async {
                        let mut clear = acceptor.accept(stream).await?;
                        copy_bidirectional(&mut clear, &mut TcpStream::connect(address).await?).await
                    }
                    .await;
                });
            }
        });
        at
    }
}

fn split(url: &str) -> (SocketAddr, &str) {
    let rest = url.strip_prefix("http://").expect("a server in clear");
    let at = rest.find('/').unwrap_or(rest.len());
    (rest[..at].parse().expect("an address"), &rest[at..])
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has ports");
    let at = listener.local_addr().expect("an address");
    (listener, at)
}

/// One `CONNECT` (RFC 9110, 9.3.6), from a client that says who it is.
async fn tunnel(stream: TcpStream, hosts: &Mutex<BTreeMap<String, Host>>) {
    // One that breaks is the business of whoever made it.
    let _ = async {
        let mut client = BufReader::new(stream);
        let (mut target, mut login, mut line) = (String::new(), String::new(), String::new());
        while client.read_line(&mut line).await? > 0 && line != "\r\n" {
            if let Some(rest) = line.strip_prefix("CONNECT ") {
                target = rest.split(' ').next().unwrap_or_default().to_owned();
            } else if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("proxy-authorization")
            {
                login = value.trim().to_owned();
            }
            line.clear();
        }
        if login != format!("Basic {}", STANDARD.encode(LOGIN)) {
            return client.write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n").await;
        }
        let at = {
            let mut hosts = hosts.lock().unwrap_or_else(PoisonError::into_inner);
            let host = target.strip_suffix(":443").and_then(|name| hosts.get_mut(name));
            host.map(|host| {
                host.asked += 1;
                host.at
            })
        };
        let Some(at) = at else { return client.write_all(b"HTTP/1.1 502 Bad Gateway\r\n\r\n").await };
        let mut server = TcpStream::connect(at).await?;
        client.write_all(b"HTTP/1.1 200 Connection Established\r\n\r\n").await?;
        copy_bidirectional(&mut client, &mut server).await?;
        Ok::<_, io::Error>(())
    }
    .await;
}

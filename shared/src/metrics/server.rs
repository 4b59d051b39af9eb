//! Serves a [`Page`] over HTTP: `/metrics`, `/healthz`, `/readyz`.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use super::page::Page;

/// Connections at a time: scrapers and probes are few.
const CONNECTIONS: usize = 32;

/// How long a request may take to come, and an idle connection to have another.
const HEADERS: Duration = Duration::from_secs(30);

/// How often what was measured is put into its buckets.
const UPKEEP: Duration = Duration::from_secs(5);

/// After a connection that could not be accepted: usually there are too many open files.
const ACCEPT_AGAIN: Duration = Duration::from_secs(1);

/// A page that is served until this is dropped.
pub struct Served {
    address: Option<SocketAddr>,
    task: JoinHandle<()>,
}

impl Served {
    /// Serves on `METRICS_ADDR`. An address that cannot be had is a warning: metrics must not stop a night.
    pub async fn on(address: SocketAddr, page: Arc<Page>) -> Self {
        let listener = match TcpListener::bind(address).await {
            Ok(listener) => Some(listener),
            Err(error) => {
                tracing::warn!(%address, %error,
                    "METRICS_ADDR cannot be listened on; going on without metrics and health pages");
                None
            }
        };
        let address = listener.as_ref().and_then(|listener| listener.local_addr().ok());
        if let Some(address) = address {
            tracing::info!(%address, "serving metrics");
        }
        let task = tokio::spawn(async move {
            let upkeep = async {
                loop {
                    tokio::time::sleep(UPKEEP).await;
                    page.upkeep();
                }
            };
            match listener {
                Some(listener) => {
                    tokio::join!(upkeep, accept(listener, page.clone()));
                }
                None => upkeep.await,
            }
        });
        Self { address, task }
    }

    /// Where, if it is served.
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, page: Arc<Page>) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let Ok(place) = room.clone().acquire_owned().await else { return };
        while connections.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, _)) => {
                let page = page.clone();
                connections.spawn(async move {
                    talk(stream, page).await;
                    drop(place);
                });
            }
            Err(_) => tokio::time::sleep(ACCEPT_AGAIN).await,
        }
    }
}

async fn talk(stream: TcpStream, page: Arc<Page>) {
    let service = service_fn(move |request: Request<Incoming>| {
        let page = page.clone();
        async move { Ok::<_, Infallible>(respond(&page, request.method(), request.uri().path()).await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a connection to the metrics page broke");
    }
}

async fn respond(page: &Page, method: &Method, path: &str) -> Response<Full<Bytes>> {
    const TEXT: &str = "text/plain; charset=utf-8";
    if !matches!(*method, Method::GET | Method::HEAD) {
        return answer(StatusCode::METHOD_NOT_ALLOWED, TEXT, "only GET and HEAD\n".into());
    }
    match path {
        "/metrics" => answer(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", page.scrape().await),
        "/healthz" => answer(StatusCode::OK, TEXT, "ok\n".into()),
        "/readyz" => {
            let (ready, text) = page.readiness().await;
            answer(if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, TEXT, text)
        }
        _ => answer(StatusCode::NOT_FOUND, TEXT, "/metrics, /healthz or /readyz\n".into()),
    }
}

fn answer(status: StatusCode, kind: &'static str, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

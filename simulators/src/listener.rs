//! Sockets: accepts connections, runs HTTP/1.1 on them, and resets those whose request must get no answer.

use std::future::Future;
use std::net::SocketAddr;

use axum::body::Body;
use axum::http::{Request, Response};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Instead of an answer: the client's connection is reset. A caller in the same process treats it as that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the connection is cut by the fault plan")]
pub struct ConnectionCut;

/// A bound socket whose service has yet to start.
pub(crate) struct Listener {
    listener: TcpListener,
    addr: SocketAddr,
}

impl Listener {
    pub(crate) async fn bind(addr: SocketAddr) -> std::io::Result<Self> {
        let listener = TcpListener::bind(addr).await?;
        let addr = listener.local_addr()?;
        Ok(Self { listener, addr })
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Serves until `stop`; open connections are dropped then, as when a server dies. Each is told of.
    pub(crate) fn serve<S, F>(
        self,
        service: S,
        stop: CancellationToken,
        tasks: &TaskTracker,
        opened: impl Fn() + Send + 'static,
    ) where
        S: Fn(Request<Body>) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Result<Response<Body>, ConnectionCut>> + Send + 'static,
    {
        let connections = tasks.clone();
        tasks.spawn(async move {
            loop {
                let accepted = tokio::select! {
                    () = stop.cancelled() => return,
                    accepted = self.listener.accept() => accepted,
                };
                match accepted {
                    Ok((stream, _)) => {
                        opened();
                        connections.spawn(connection(stream, service.clone(), stop.clone()));
                    }
                    // Out of file descriptors, or a client that left before it was accepted.
                    Err(error) => {
                        tracing::warn!(%error, "a connection could not be accepted");
                        tokio::task::yield_now().await;
                    }
                }
            }
        });
    }
}

async fn connection<S, F>(stream: TcpStream, service: S, stop: CancellationToken)
where
    S: Fn(Request<Body>) -> F,
    F: Future<Output = Result<Response<Body>, ConnectionCut>>,
{
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY could not be set");
    }
    let answer = service_fn(|request: Request<hyper::body::Incoming>| service(request.map(Body::new)));
    let mut connection = http1::Builder::new()
        // The default would close connections that a pool keeps idle for half a minute.
        .header_read_timeout(None)
        .serve_connection(TokioIo::new(stream), answer);
    let ended = tokio::select! {
        () = stop.cancelled() => return,
        ended = &mut connection => ended,
    };
    let stream = connection.into_parts().io.into_inner();
    if ended.is_err() {
        // With nothing lingering the client sees a reset rather than an orderly end.
        if let Err(error) = stream.set_zero_linger() {
            tracing::debug!(%error, "the connection ends in order instead of being reset");
        }
    }
}

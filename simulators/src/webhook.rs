//! A chat room's incoming webhook: takes JSON and keeps it.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Body;
use axum::http::{Method, Response, StatusCode};
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::listener::Listener;

/// More than any notice is long, in bytes.
const LONGEST: usize = 64 * 1024;

#[derive(Default)]
struct Room {
    taken: Mutex<Vec<Value>>,
    refusals: AtomicUsize,
    hangs: AtomicBool,
}

/// A room that listens on loopback until it is dropped.
pub struct Webhook {
    room: Arc<Room>,
    url: String,
    stop: CancellationToken,
}

impl Webhook {
    /// Starts listening.
    ///
    /// # Errors
    /// No port is free.
    pub async fn start() -> std::io::Result<Self> {
        let listener = Listener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        let url = format!("http://{}/room", listener.addr());
        let (room, stop) = (Arc::new(Room::default()), CancellationToken::new());
        let answering = room.clone();
        let answer = move |request: axum::http::Request<Body>| {
            let room = answering.clone();
            async move {
                let is_post = request.method() == Method::POST;
                let body = axum::body::to_bytes(request.into_body(), LONGEST).await.unwrap_or_default();
                if room.hangs.load(Ordering::Acquire) {
                    std::future::pending::<()>().await;
                }
                let mut response = Response::new(Body::empty());
                *response.status_mut() = room.take(is_post, &body);
                Ok(response)
            }
        };
        listener.serve(answer, stop.clone(), &TaskTracker::new(), || ());
        Ok(Self { room, url, stop })
    }

    /// Where to post.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Answers 503 to so many posts from now on, and keeps nothing of them.
    pub fn refuse(&self, posts: usize) {
        self.room.refusals.store(posts, Ordering::Release);
    }

    /// Takes posts and never answers, from now on.
    pub fn hang(&self) {
        self.room.hangs.store(true, Ordering::Release);
    }

    /// What was posted, oldest first.
    pub fn taken(&self) -> Vec<Value> {
        self.room.taken.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Room {
    fn take(&self, is_post: bool, body: &[u8]) -> StatusCode {
        let refused = |left: usize| left.checked_sub(1);
        if self.refusals.fetch_update(Ordering::AcqRel, Ordering::Acquire, refused).is_ok() {
            return StatusCode::SERVICE_UNAVAILABLE;
        }
        match serde_json::from_slice(body) {
            Ok(posted) if is_post => {
                self.taken.lock().unwrap_or_else(PoisonError::into_inner).push(posted);
                StatusCode::OK
            }
            _ => StatusCode::BAD_REQUEST,
        }
    }
}

impl Drop for Webhook {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

//! Posts batches of spans. A collector that is away is told of once, and once when it is back.

use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use reqwest::Client;
use tokio::runtime::Handle;

use crate::body::{self, BodyError};
use crate::error_chain;

/// The library asks from a thread of its own, and waits there; the client works on our runtime.
#[derive(Debug)]
pub(super) struct Collector {
    client: Client,
    runtime: Handle,
    is_away: AtomicBool,
}

impl Collector {
    /// To be made on a runtime that outlives it.
    pub(super) fn new(client: Client) -> Self {
        Self { client, runtime: Handle::current(), is_away: AtomicBool::new(false) }
    }

    fn note(&self, answer: &Result<Response<Bytes>, BodyError>) {
        let error = match answer {
            Ok(answer) if answer.status().is_success() => {
                if self.is_away.swap(false, Ordering::Relaxed) {
                    tracing::info!("traces are delivered again");
                }
                return;
            }
            Ok(answer) => format!("it answered {}", answer.status().as_u16()),
            Err(error) => error_chain(error),
        };
        if !self.is_away.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                error,
                "traces cannot be delivered; everything else goes on, and they are lost meanwhile"
            );
        }
    }
}

#[async_trait]
impl HttpClient for Collector {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let client = self.client.clone();
        let posted = self.runtime.spawn(async move { exchange(&client, request).await }).await?;
        // Its URL may hold a token.
        let posted = posted.map_err(|error| match error {
            BodyError::Broken(error) => BodyError::Broken(error.without_url()),
            other => other,
        });
        self.note(&posted);
        Ok(posted?)
    }
}

/// The largest answer that is read of a collector, which has little to say.
const MOST: usize = 1024 * 1024;

async fn exchange(client: &Client, request: Request<Bytes>) -> Result<Response<Bytes>, BodyError> {
    let answer = client.execute(request.try_into()?).await?;
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = answer.status();
    *response.body_mut() = body::at_most(answer, MOST).await?;
    Ok(response)
}

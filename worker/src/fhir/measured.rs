//! Measures requests on their way: by what they are for, and by how they end.

use bytes::Bytes;
use http::{Request, Response};
use shared::metrics::Metrics;
use tokio::time::Instant;
use tower::ServiceExt as _;

use super::client::Operation;
use super::transport::{Transport, TransportError};

/// The same transport, measured.
pub(super) fn measured(transport: Transport, metrics: Metrics) -> Transport {
    Transport::new(tower::service_fn(move |request: Request<Bytes>| {
        let (transport, metrics) = (transport.clone(), metrics.clone());
        async move {
            let operation =
                request.extensions().get::<Operation>().map_or("other", |operation| operation.as_str());
            let mut measure = Measure { metrics, operation, began: Instant::now(), status: None };
            let answer = transport.oneshot(request).await;
            measure.status = Some(word(&answer));
            answer
        }
    }))
}

/// A request under way. Dropped without an answer it took too long: the client bounds the whole of it.
struct Measure {
    metrics: Metrics,
    operation: &'static str,
    began: Instant,
    status: Option<String>,
}

impl Drop for Measure {
    fn drop(&mut self) {
        let status = self.status.take().unwrap_or_else(|| "timeout".into());
        self.metrics.fhir_request(self.operation, status, self.began.elapsed());
    }
}

/// How a request ended: the status, or a word for how it came to none.
pub(super) fn word(answer: &Result<Response<Bytes>, TransportError>) -> String {
    match answer {
        Ok(answer) => answer.status().as_str().to_owned(),
        Err(TransportError::Unreachable(_)) => "unreachable".into(),
        Err(TransportError::Timeout) => "timeout".into(),
        Err(TransportError::Broken(_)) => "broken".into(),
        Err(TransportError::TooLarge) => "too_large".into(),
    }
}

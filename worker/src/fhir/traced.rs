//! Client spans of requests that belong to a traced row, after OpenTelemetry's conventions for HTTP.
//!
//! A search's address holds a NIK and a Patient's its id, so spans show the address's template in their place.

use bytes::Bytes;
use http::{Method, Request, Response};
use reqwest::Url;
use shared::traces;
use tower::ServiceExt as _;
use tracing::{Instrument as _, Span, field, info_span};

use super::client::Operation;
use super::measured::word;
use super::transport::{Transport, TransportError};

/// The same transport towards the server at `base`, traced.
pub(super) fn traced(transport: Transport, base: &Url) -> Transport {
    let base = base.clone();
    Transport::new(tower::service_fn(move |request: Request<Bytes>| {
        let transport = transport.clone();
        let span = if traces::is_on() { span(&base, &request) } else { Span::none() };
        async move {
            let mut under_way = UnderWay { span: Span::current(), is_answered: false };
            let answer = transport.oneshot(request).await;
            under_way.note(&answer);
            answer
        }
        .instrument(span)
    }))
}

fn span(base: &Url, request: &Request<Bytes>) -> Span {
    let method = request.method();
    let rest = template(request.extensions().get::<Operation>().copied(), method);
    let template = format!("{}{rest}", base.path());
    info_span!(target: traces::TARGET, "request", otel.name = format!("{method} {template}"), otel.kind = "client",
        http.request.method = method.as_str(), url.full = format!("{base}{rest}"), url.template = template,
        server.address = base.host_str(), server.port = base.port_or_known_default(),
        http.response.status_code = field::Empty, error.r#type = field::Empty, otel.status_code = field::Empty)
}

/// What follows the server's base in an address of this kind. A search's further pages pass for its first.
fn template(operation: Option<Operation>, method: &Method) -> &'static str {
    match operation {
        Some(Operation::Search | Operation::Canary | Operation::SearchMany) if method == Method::POST => {
            "Patient/_search"
        }
        Some(Operation::Search | Operation::Canary | Operation::SearchMany) => {
            "Patient?identifier={identifier}"
        }
        Some(Operation::Read | Operation::Update) => "Patient/{id}",
        Some(Operation::Metadata) => "metadata",
        Some(Operation::Bundle) | None => "",
    }
}

/// A request under way. Dropped without an answer it took too long: the client bounds the whole of it.
struct UnderWay {
    span: Span,
    is_answered: bool,
}

impl UnderWay {
    fn note(&mut self, answer: &Result<Response<Bytes>, TransportError>) {
        self.is_answered = true;
        if self.span.is_disabled() {
            return;
        }
        let status = answer.as_ref().ok().map(Response::status);
        if let Some(status) = status {
            self.span.record("http.response.status_code", status.as_u16());
        }
        if status.is_none_or(|status| status.is_client_error() || status.is_server_error()) {
            self.failed(&word(answer));
        }
    }

    fn failed(&self, how: &str) {
        self.span.record("error.type", how).record("otel.status_code", "ERROR");
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        if !self.is_answered {
            self.failed("timeout");
        }
    }
}

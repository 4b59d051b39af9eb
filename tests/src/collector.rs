//! A collector of traces: takes what is posted by OTLP over HTTP on loopback, and keeps it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use prost::Message as _;
use tokio::task::AbortHandle;

/// See the module. Gone when dropped.
pub struct Collector {
    kept: Arc<Kept>,
    endpoint: String,
    task: AbortHandle,
}

#[derive(Default)]
struct Kept {
    posts: Mutex<Vec<Bytes>>,
    /// Answered instead of taking anything.
    refusal: Mutex<Option<StatusCode>>,
}

/// A span as it arrived.
#[derive(Clone, Debug)]
pub struct Span {
    /// `service.name` of the process it came from.
    pub service: String,
    /// The trace, in hexadecimal digits.
    pub trace: String,
    /// Its own id.
    pub id: String,
    /// Its parent's id; empty where it has none.
    pub parent: String,
    /// Its name.
    pub name: String,
    /// `internal`, `client`, `producer` or `consumer`.
    pub kind: &'static str,
    /// Whether its status is an error.
    pub failed: bool,
    /// Its attributes, as text.
    pub attributes: BTreeMap<String, String>,
    /// The ids of spans it is linked to.
    pub links: Vec<String>,
    /// Nanoseconds from its start to its end.
    pub nanos: u64,
}

impl Span {
    /// An attribute; empty where there is none.
    pub fn get(&self, attribute: &str) -> &str {
        self.attributes.get(attribute).map_or("", String::as_str)
    }

    /// The row it is about, if it is about one.
    pub fn row(&self) -> Option<u32> {
        self.get("nightly_sync.sheet_row").parse().ok()
    }
}

impl Collector {
    /// Starts one.
    pub async fn start() -> Self {
        let kept = Arc::new(Kept::default());
        let app = Router::new().route("/v1/traces", post(take)).with_state(kept.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("loopback has ports");
        let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
        let serve = async move { axum::serve(listener, app).await.expect("a server") };
        Self { kept, endpoint, task: tokio::spawn(serve).abort_handle() }
    }

    /// What `OTEL_EXPORTER_OTLP_ENDPOINT` is to be.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Answers with this status from now on, and keeps nothing; or takes everything again.
    pub fn refuse(&self, status: Option<u16>) {
        let status = status.map(|status| StatusCode::from_u16(status).expect("a status"));
        *self.kept.refusal.lock().unwrap_or_else(PoisonError::into_inner) = status;
    }

    /// Everything posted, as it came.
    pub fn bytes(&self) -> Vec<u8> {
        self.kept.posts().concat()
    }

    /// All spans so far.
    ///
    /// # Panics
    /// Something else was posted.
    pub fn spans(&self) -> Vec<Span> {
        self.kept.posts().iter().flat_map(|post| spans(post.clone())).collect()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Kept {
    fn posts(&self) -> MutexGuard<'_, Vec<Bytes>> {
        self.posts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn take(State(kept): State<Arc<Kept>>, headers: HeaderMap, body: Bytes) -> (StatusCode, Vec<u8>) {
    assert_eq!(headers[header::CONTENT_TYPE], "application/x-protobuf");
    if let Some(refusal) = *kept.refusal.lock().unwrap_or_else(PoisonError::into_inner) {
        return (refusal, Vec::new());
    }
    kept.posts().push(body);
    (StatusCode::OK, ExportTraceServiceResponse::default().encode_to_vec())
}

fn spans(post: Bytes) -> Vec<Span> {
    let request = ExportTraceServiceRequest::decode(post).expect("OTLP in protobuf");
    let mut spans = Vec::new();
    for of_process in request.resource_spans {
        let resource = attributes(of_process.resource.expect("a resource").attributes);
        for span in of_process.scope_spans.into_iter().flat_map(|scope| scope.spans) {
            spans.push(Span {
                service: resource["service.name"].clone(),
                trace: hexadecimal(&span.trace_id),
                id: hexadecimal(&span.span_id),
                parent: hexadecimal(&span.parent_span_id),
                name: span.name,
                kind: match span.kind {
                    3 => "client",
                    4 => "producer",
                    5 => "consumer",
                    _ => "internal",
                },
                failed: span.status.is_some_and(|status| status.code == 2),
                attributes: attributes(span.attributes),
                links: span.links.iter().map(|link| hexadecimal(&link.span_id)).collect(),
                nanos: span.end_time_unix_nano - span.start_time_unix_nano,
            });
        }
    }
    spans
}

fn attributes(pairs: Vec<KeyValue>) -> BTreeMap<String, String> {
    let text = |value: any_value::Value| match value {
        any_value::Value::StringValue(text) => text,
        any_value::Value::IntValue(number) => number.to_string(),
        any_value::Value::BoolValue(is) => is.to_string(),
        other => format!("{other:?}"),
    };
    let pair =
        |pair: KeyValue| (pair.key, pair.value.and_then(|value| value.value).map_or_else(String::new, text));
    pairs.into_iter().map(pair).collect()
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

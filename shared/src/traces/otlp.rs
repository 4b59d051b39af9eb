//! What a build with the feature `otlp` does: spans go to a collector, over HTTP, in batches.

mod post;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry::trace::{
    SpanContext, SpanId, SpanKind, Status, TraceContextExt as _, TraceFlags, TraceId, TraceState,
    TracerProvider as _,
};
use opentelemetry::{Context, InstrumentationScope, KeyValue};
use opentelemetry_otlp::{RetryPolicy, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{
    BatchSpanProcessor, Sampler, SdkTracerProvider, Span as SdkSpan, SpanData, SpanEvents, SpanLinks,
    SpanProcessor,
};
use secrecy::ExposeSecret as _;
use tracing::{Span, Subscriber, dispatcher};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, filter_fn};
use tracing_subscriber::registry::LookupSpan;
use uuid::Uuid;

use super::TARGET;
use crate::error_chain;
use crate::ledger::{RowKey, Run, RunId};
use crate::settings::{BadSettings, Settings, TraceSettings, pairs};
use post::Collector;

/// What the last spans of a process may take to get away.
const FAREWELL: Duration = Duration::from_secs(2);

/// Traces on their way to a collector; dropping it sends what is left.
pub(crate) struct Tracing {
    provider: SdkTracerProvider,
    found: Found,
}

/// What free functions find in the subscriber: nothing here is global to the process, tests have their own.
#[derive(Clone)]
struct Found {
    processor: Arc<BatchSpanProcessor>,
    scope: InstrumentationScope,
    rows: f64,
}

impl<S: Subscriber> Layer<S> for Found {}

impl Tracing {
    /// Reads what the settings refer to; none where they ask for no traces. Sends nothing. `program` is a part of the
    /// name that spans come under.
    pub(crate) async fn prepare(settings: &Settings, program: &str) -> Result<Option<Self>, BadSettings> {
        let TraceSettings { endpoint: Some(endpoint), headers, timeout, rows, .. } = &settings.traces else {
            return Ok(None);
        };
        const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
        const HEADERS: &str = "OTEL_EXPORTER_OTLP_HEADERS";
        let headers = match headers {
            None => Vec::new(),
            Some(reference) => {
                let resolved = reference.resolve().await;
                let text = resolved.map_err(|error| BadSettings::of(HEADERS, error_chain(&error)))?;
                let read = pairs(text.expose_secret());
                read.ok_or_else(|| {
                    BadSettings::of(HEADERS, "the secret is not of the form NAME=VALUE,NAME=VALUE")
                })?
            }
        };
        let url = reqwest::Url::parse(endpoint).map_err(|error| BadSettings::of(ENDPOINT, error))?;
        let client = crate::webhook::client(&settings.http, &url, *timeout, ENDPOINT)?;
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Collector::new(client))
            .with_endpoint(endpoint)
            .with_timeout(*timeout)
            .with_headers(headers.into_iter().collect())
            // It would hold up the end of a process. What is lost is a span.
            .with_retry_policy(RetryPolicy::disabled())
            .build()
            .map_err(|error| BadSettings::of(ENDPOINT, error_chain(&error)))?;
        Ok(Some(Self::over(
            BatchSpanProcessor::builder(exporter).build(),
            resource(settings, program),
            *rows,
        )))
    }

    fn over(mut processor: BatchSpanProcessor, resource: Resource, rows: f64) -> Self {
        processor.set_resource(&resource);
        let processor = Arc::new(processor);
        let provider = SdkTracerProvider::builder()
            .with_span_processor(Passed(processor.clone()))
            .with_resource(resource)
            // What is traced has a parent that says so.
            .with_sampler(Sampler::ParentBased(Box::new(Sampler::AlwaysOff)))
            .build();
        let scope =
            InstrumentationScope::builder("nightly-sync").with_version(env!("CARGO_PKG_VERSION")).build();
        Self { provider, found: Found { processor, scope, rows } }
    }

    /// Takes the spans of [`TARGET`] and nothing else.
    pub(crate) fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        let spans = tracing_opentelemetry::layer()
            .with_tracer(self.provider.tracer_with_scope(self.found.scope.clone()))
            .with_location(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            .with_target(false)
            .with_level(false)
            .with_context_activation(false)
            .with_filter(filter_fn(|metadata| metadata.is_span() && metadata.target() == TARGET));
        spans.and_then(self.found.clone().with_filter(LevelFilter::OFF))
    }
}

impl Drop for Tracing {
    fn drop(&mut self) {
        // It was told of when it failed first.
        let _ = self.provider.shutdown_with_timeout(FAREWELL);
    }
}

fn resource(settings: &Settings, program: &str) -> Resource {
    let TraceSettings { service, attributes, .. } = &settings.traces;
    let given = attributes.iter().map(|(key, value)| KeyValue::new(key.clone(), value.clone()));
    let named = |name| attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
    let service = service.clone().or_else(|| named("service.name"));
    Resource::builder_empty()
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .with_attribute(KeyValue::new("service.instance.id", Uuid::new_v4().to_string()))
        .with_attribute(KeyValue::new("nightly_sync.job", settings.job.clone()))
        .with_attributes(given)
        .with_service_name(service.unwrap_or_else(|| format!("nightly-sync-{program}")))
        .build()
}

fn with_found<T>(look: impl Fn(&Found) -> T) -> Option<T> {
    dispatcher::get_default(|dispatch| dispatch.downcast_ref::<Found>().map(&look))
}

/// Whether a row's way is traced.
pub(super) fn traces(key: &RowKey) -> bool {
    with_found(|found| place(key) < found.rows).unwrap_or(false)
}

/// A place in 0 to 1 for each row of a run, evenly spread and the same in every process: SplitMix64 of run and row.
fn place(key: &RowKey) -> f64 {
    let (_, run) = key.run.0.as_u64_pair();
    let mut x = run.wrapping_add(u64::from(key.sheet_row).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((x ^ (x >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
}

/// The span around a run. Its id follows from the run's, so that others can name it before it is told of, which is
/// when the run closes.
fn root(run: RunId) -> SpanContext {
    let (_, low) = run.0.as_u64_pair();
    SpanContext::new(
        TraceId::from_bytes(run.0.into_bytes()),
        SpanId::from_bytes(low.to_be_bytes()),
        TraceFlags::SAMPLED,
        true,
        TraceState::NONE,
    )
}

/// Puts a span into the trace of its run; gives the headers that carry it.
pub(super) fn begin(span: &Span, run: RunId) -> Vec<(String, String)> {
    // An error means that the subscriber does not trace.
    let _ = span.set_parent(Context::new().with_remote_span_context(root(run)));
    let mut headers = std::collections::HashMap::new();
    TraceContextPropagator::new().inject_context(&span.context(), &mut headers);
    headers.retain(|_, value| !value.is_empty());
    headers.into_iter().collect()
}

/// A span below the one that headers carry; disabled where they carry none.
pub(super) fn within(headers: &[(String, String)], span: impl FnOnce() -> Span) -> Span {
    if headers.is_empty() || with_found(|_| ()).is_none() {
        return Span::none();
    }
    let headers: std::collections::HashMap<_, _> = headers.iter().cloned().collect();
    let parent = TraceContextPropagator::new().extract_with_context(&Context::new(), &headers);
    if !parent.span().span_context().is_sampled() {
        return Span::none();
    }
    let span = span();
    let _ = span.set_parent(parent);
    span
}

/// A span right below that of its run.
pub(super) fn of_run(run: RunId, span: impl FnOnce() -> Span) -> Span {
    if with_found(|_| ()).is_none() {
        return Span::none();
    }
    let span = span();
    let _ = span.set_parent(Context::new().with_remote_span_context(root(run)));
    span
}

pub(super) fn closed(run: &Run) {
    let Some(closed_at) = run.closed_at else { return };
    with_found(|found| {
        let word = |key: &'static str, value: String| KeyValue::new(key, value);
        found.processor.on_end(SpanData {
            span_context: root(run.id),
            parent_span_id: SpanId::INVALID,
            parent_span_is_remote: false,
            span_kind: SpanKind::Internal,
            name: "run".into(),
            start_time: time(run.started_at),
            end_time: time(closed_at),
            attributes: vec![
                word("nightly_sync.run_id", run.id.to_string()),
                word("nightly_sync.run_date", run.date.to_string()),
                word("nightly_sync.run_kind", run.kind.to_string()),
            ],
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: Status::Unset,
            instrumentation_scope: found.scope.clone(),
        });
    });
}

fn time(at: Timestamp) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_micros(at.as_microsecond().unsigned_abs())
}

/// The processor as its provider has it, which would not share it.
#[derive(Debug)]
struct Passed(Arc<BatchSpanProcessor>);

impl SpanProcessor for Passed {
    fn on_start(&self, span: &mut SdkSpan, context: &Context) {
        self.0.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        self.0.on_end(span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.0.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.0.shutdown_with_timeout(timeout)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_process_takes_the_same_rows_and_as_many_as_it_is_told() {
        let run = RunId(Uuid::from_u128(0x0199_0000_0000_7000_8000_0000_0000_0007));
        let key = |sheet_row, generation| RowKey { run, sheet_row, generation };
        let below = |part: f64| (2..20_002).filter(|row| place(&key(*row, 1)) < part).count();
        assert!((160..240).contains(&below(0.01)), "{}", below(0.01));
        assert_eq!((below(0.0), below(1.0)), (0, 20_000));
        assert_eq!(place(&key(2, 1)), place(&key(2, 2)), "a replay is traced like the row before it");
    }
}

//! Traces: one for each run, with the way of some of its rows from publishing to their outcome.
//!
//! A trace has its run's id, so every process of every start adds to the same one, and the `run_id` of a log line
//! finds it. Whether a row is traced is decided by its run and sheet row, alike in every process; the decision and the
//! span of its publishing travel in the message's `traceparent`, and come back with it after each retry and in its dead
//! letter. A row that is not traced costs one comparison, and no span is made of it.
//!
//! Nothing in a span says who a row is about: rows are named by run and number, addresses are templates.
//!
//! Without the cargo feature `otlp` nothing is traced.

#[cfg(not(feature = "otlp"))]
#[path = "off.rs"]
mod otlp;
#[cfg(feature = "otlp")]
mod otlp;

use tracing::{Span, field, info_span};

use crate::ledger::{RowKey, RowMessage, Run, RunId, Settlement};
use crate::queue::Delivery;

pub(crate) use otlp::Tracing;

/// The target of all spans that are traced, and of nothing else: logs leave them out.
pub const TARGET: &str = "trace";

/// A message's publishing; ends when it is dropped.
#[derive(Debug)]
pub struct Sending {
    /// Headers that carry its trace (W3C `traceparent`); none where its row is not traced.
    pub headers: Vec<(String, String)>,
    _span: Span,
}

impl Sending {
    /// Carries these headers.
    pub fn with(headers: Vec<(String, String)>) -> Self {
        Self { headers, _span: Span::none() }
    }

    /// Begins to publish a message to a queue of the messaging `system`.
    pub fn begin(message: &RowMessage, system: &str, queue: &str) -> Self {
        let RowKey { run, sheet_row, generation } = message.key;
        if !otlp::traces(&message.key) {
            return Self::with(Vec::new());
        }
        let span = info_span!(target: TARGET, parent: None, "publish row", otel.kind = "producer",
            messaging.system = system, messaging.operation.name = "publish", messaging.operation.r#type = "send",
            messaging.destination.name = queue, nightly_sync.run_id = %run, nightly_sync.sheet_row = sheet_row,
            nightly_sync.generation = generation, nightly_sync.turn = message.turn);
        Self { headers: otlp::begin(&span, run), _span: span }
    }
}

/// The span in which a worker carries a row out, once; disabled where its message carries no trace.
pub fn attempt(delivery: &Delivery) -> Span {
    let RowKey { run, sheet_row, generation } = delivery.message.key;
    otlp::within(&delivery.trace, || {
        info_span!(target: TARGET, parent: None, "process row", otel.kind = "consumer",
            messaging.operation.name = "process", messaging.operation.r#type = "process",
            nightly_sync.run_id = %run, nightly_sync.sheet_row = sheet_row, nightly_sync.generation = generation,
            nightly_sync.turn = delivery.message.turn, nightly_sync.settlement = field::Empty,
            otel.status_code = field::Empty)
    })
}

/// The span in which a worker completes a dead letter; disabled where it carries no trace.
pub fn burial(delivery: &Delivery) -> Span {
    let RowKey { run, sheet_row, generation } = delivery.message.key;
    otlp::within(&delivery.trace, || {
        info_span!(target: TARGET, parent: None, "bury row", otel.kind = "consumer",
            messaging.operation.name = "bury", messaging.operation.r#type = "process",
            nightly_sync.run_id = %run, nightly_sync.sheet_row = sheet_row, nightly_sync.generation = generation)
    })
}

/// Notes in the current attempt how its claim ended. What failed is left to the ledger: a server's words are not ours
/// to pass on.
pub fn note(settlement: &Settlement) {
    let span = Span::current();
    span.record("nightly_sync.settlement", settlement.as_str());
    if matches!(settlement, Settlement::Failed { .. } | Settlement::Retry { .. }) {
        span.record("otel.status_code", "ERROR");
    }
}

/// Whether what goes on here is traced.
pub fn is_on() -> bool {
    Span::current().metadata().is_some_and(|metadata| metadata.target() == TARGET)
}

/// The span in which a run's rows are read into the ledger.
pub fn snapshot(run: RunId) -> Span {
    otlp::of_run(run, || info_span!(target: TARGET, parent: None, "snapshot", nightly_sync.run_id = %run))
}

/// Tells of a run that closed: the span around all others of its trace, from the run's own times.
pub fn closed(run: &Run) {
    otlp::closed(run);
}

//! Logs: where they go, in which form, and what never gets into them. Traces are started beside them.

use std::io::IsTerminal as _;

use tracing::{Level, Metadata};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};

use crate::settings::{BadSettings, LogFormat, Settings};
use crate::traces::{TARGET, Tracing};

/// Crates that write secrets at debug level, whatever `RUST_LOG` asks: yup-oauth2 prints the signed assertion
/// and the token; hyper, h2 and reqwest print URLs, and a search URL holds a NIK.
const CAPPED: [&str; 9] = [
    "yup_oauth2",
    "google_sheets4",
    "google_apis_common",
    "hyper",
    "hyper_util",
    "h2",
    "reqwest",
    "rustls",
    "tower",
];

/// What has to live as long as the program: dropping it brings the last spans away.
#[must_use]
pub struct Telemetry {
    _traces: Option<Tracing>,
}

/// Starts logging to standard error: `RUST_LOG` or `info`, as JSON off a terminal and as text on one unless
/// `LOG_FORMAT` says otherwise; and tracing, where the settings ask for it. Called once, by the `main` of a program of
/// this name.
pub async fn start(settings: &Settings, program: &str) -> Result<Telemetry, BadSettings> {
    let tracing = Tracing::prepare(settings, program).await?;
    let asked = std::env::var("RUST_LOG").ok().filter(|filter| !filter.trim().is_empty());
    let filter = EnvFilter::try_new(asked.as_deref().unwrap_or("info,refinery_core=warn"))
        .unwrap_or_else(|_| EnvFilter::new("info"));
    let terminal = std::io::stderr().is_terminal();
    let format = settings.log_format.unwrap_or(if terminal { LogFormat::Text } else { LogFormat::Json });
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = match format {
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
        LogFormat::Text => lines.with_ansi(terminal).with_target(false).boxed(),
    };
    // Not as directives of the filter: one that names a module of a crate is stronger than one for the crate.
    let lines = lines.with_filter(filter).with_filter(filter_fn(is_harmless));
    tracing_subscriber::registry().with(tracing.as_ref().map(Tracing::layer)).with(lines).init();
    if tracing.is_none() && settings.traces.endpoint.is_some() {
        tracing::warn!(
            "OTEL_EXPORTER_OTLP_ENDPOINT is set, but this program was built without traces (--features otlp)"
        );
    }
    Ok(Telemetry { _traces: tracing })
}

fn is_harmless(metadata: &Metadata<'_>) -> bool {
    let source = metadata.target().split("::").next().unwrap_or_default();
    let most = match source {
        // It prints a message that is returned, payload and all, and every connection that ends as an error, ours of
        // our own accord too. What matters of that we log.
        "lapin" => return false,
        // For the collector of traces.
        TARGET => return false,
        _ if CAPPED.contains(&source) => Level::INFO,
        _ => return true,
    };
    *metadata.level() <= most
}

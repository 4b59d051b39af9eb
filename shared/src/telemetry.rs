//! Logs: where they go, in which form, and what never gets into them.

use std::io::IsTerminal as _;

use tracing::{Level, Metadata};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::settings::LogFormat;

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

/// Starts logging to standard error: `RUST_LOG` or `info`, as JSON off a terminal and as text on one unless
/// `format` says otherwise. Called once, by a program's `main`.
pub fn start(format: Option<LogFormat>) {
    let asked = std::env::var("RUST_LOG").ok().filter(|filter| !filter.trim().is_empty());
    let filter = EnvFilter::try_new(asked.as_deref().unwrap_or("info,refinery_core=warn"))
        .unwrap_or_else(|_| EnvFilter::new("info"));
    let terminal = std::io::stderr().is_terminal();
    let format = format.unwrap_or(if terminal { LogFormat::Text } else { LogFormat::Json });
    // Not as directives of the filter: one that names a module of a crate is stronger than one for the crate.
    let registry = tracing_subscriber::registry().with(filter).with(filter_fn(is_harmless));
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    match format {
        LogFormat::Json => registry.with(layer.json().flatten_event(true)).init(),
        LogFormat::Text => registry.with(layer.with_ansi(terminal).with_target(false)).init(),
    }
}

fn is_harmless(metadata: &Metadata<'_>) -> bool {
    let source = metadata.target().split("::").next().unwrap_or_default();
    let most = match source {
        // It prints a message that is returned, payload and all, and every connection that ends as an error, ours of
        // our own accord too. What matters of that we log.
        "lapin" => return false,
        _ if CAPPED.contains(&source) => Level::INFO,
        _ => return true,
    };
    *metadata.level() <= most
}

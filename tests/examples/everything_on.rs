//! What it costs to watch a night: one of `standalone` with traces, metrics that are scraped, notices, logs in JSON and
//! somebody at the page, against the same night with none of them, in turns. Prints the medians and their ratio, and ends
//! with status 1 where it is above 1.10.
//!
//! ```text
//! cargo build --release --locked -p standalone --features otlp
//! cargo run --release --locked -p tests --example everything_on
//! ```

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use simulators::{DemoNight, FaultPlan, Latency, NightOptions, Webhook};
use tests::collector::Collector;
use tests::process::{DATE, Pages, Site};
use tokio::time::MissedTickBehavior;

/// The dearest a watched night may be, in nights that nobody watches.
const MOST: f64 = 1.10;

/// A night with everything on, and one with everything off.
#[derive(Parser)]
struct Cli {
    /// Rows, each of which needs a write.
    #[arg(long, default_value_t = 20_000)]
    rows: usize,
    /// Nights of each kind.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Milliseconds that the FHIR server takes to answer.
    #[arg(long, default_value_t = 50.0)]
    latency: f64,
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let night = DemoNight::build(DemoNight::SEED, DATE, &NightOptions::all_need_write(cli.rows));
    let night = night.expect("the parts fit together");
    let (mut off, mut on) = (Vec::new(), Vec::new());
    for round in 0..cli.rounds {
        // In turns, each first as often as the other.
        for everything in [round % 2 == 1, round % 2 == 0] {
            let seconds = seconds(&night, cli.latency, everything).await;
            println!("round {}, {}: {seconds:.2} s", round + 1, if everything { "on" } else { "off" });
            if everything { &mut on } else { &mut off }.push(seconds);
        }
    }
    let (off, on) = (median(off), median(on));
    let ratio = on / off;
    println!("{} rows, {} ms: off {off:.2} s, on {on:.2} s, ratio {ratio:.3}", cli.rows, cli.latency);
    ExitCode::from(u8::from(ratio > MOST))
}

async fn seconds(night: &DemoNight, latency: f64, everything: bool) -> f64 {
    let mut site = Site::of(night).await;
    site.simulators.set_faults(FaultPlan { latency: Latency::fixed(latency), ..FaultPlan::default() });
    site.set("FHIR_MAX_CONCURRENCY", "64");
    let (collector, room) = (Collector::start().await, Webhook::start().await.expect("loopback has ports"));
    if everything {
        site.set("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint());
        let url = site.file("webhook", room.url());
        site.set("ALERT_WEBHOOK_URL", format!("file:{}", url.display()));
        site.set("LOG_FORMAT", "json");
    } else {
        site.set("RUST_LOG", "off");
    }
    let mut running = site.start_night();
    if !everything {
        return duration(&running.end().await.expect(0).object());
    }
    let (metrics, page) = (Pages::of(&mut running).await, Pages::dashboard_of(&mut running).await);
    let watching = tokio::spawn(async move {
        // As Prometheus does by default, and as the page does by itself.
        let mut every = tokio::time::interval(Duration::from_secs(5));
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            every.tick().await;
            metrics.scrape().await;
            page.get("/").await;
        }
    });
    let finished = running.end().await.expect(0);
    watching.abort();
    assert!(!collector.bytes().is_empty() && !room.taken().is_empty(), "it was traced and told");
    duration(&finished.object())
}

fn duration(report: &serde_json::Value) -> f64 {
    report["duration_seconds"].as_f64().expect("a number")
}

fn median(mut of: Vec<f64>) -> f64 {
    of.sort_by(f64::total_cmp);
    of[of.len() / 2]
}

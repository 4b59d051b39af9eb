//! `dashboard`: the page of a cluster, on Postgres; RabbitMQ to replay, the sheet to rerun.

use std::process::ExitCode;
use std::sync::Arc;

use clap::{Parser, Subcommand};
use dashboard::cluster::ClusterHands;
use dashboard::{Dashboard, Serving};
use shared::clock::Clock;
use shared::cluster::Cluster;
use shared::metrics::{Page, Served, Watched, health};
use shared::settings::Settings;
use shared::signals::{Signal, Signals};
use shared::status::{Status, fail, refuse};
use shared::telemetry;

/// Serves the operators' page until it is stopped. Everything is set by environment variables: DATABASE_URL, AMQP_URL and
/// DATA_KEY as for the workers, DASHBOARD_ADDR and DASHBOARD_TOKEN for the page.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Ask the dashboard that runs beside this one, on METRICS_ADDR, whether it lives: for a container's health check.
    /// Exit status 0, or 1 where nothing answers. Example: health
    Health,
}

fn main() -> ExitCode {
    match Cli::parse().command {
        Some(Command::Health) => shared::program::run(health()),
        None => shared::program::run(run()),
    }
}

async fn run() -> Status {
    let settings = match Settings::from_env() {
        Ok(settings) => settings,
        Err(errors) => return refuse(errors),
    };
    let _telemetry = match telemetry::start(&settings, "dashboard").await {
        Ok(telemetry) => telemetry,
        Err(problem) => return refuse([problem]),
    };
    settings.secrets.forget_on_hangup();
    let (cluster, token) = match (Cluster::prepare(&settings).await, Dashboard::token(&settings).await) {
        (Ok(cluster), Ok(token)) => (cluster, token),
        (cluster, token) => return refuse(cluster.err().into_iter().flatten().chain(token.err())),
    };
    let signals = Signals::listen();
    let page = Arc::new(Page::default());
    let _served = Served::on(settings.metrics_addr, page.clone()).await;
    let connected = match cluster.connect(Clock::system()).await {
        Ok(connected) => connected,
        Err(error) => return fail(&error),
    };
    let backing = connected.backing.clone();
    page.watch(Watched {
        backing: backing.clone(),
        job: settings.job.clone(),
        deadline: settings.run_deadline,
        part: None,
    });
    let ledger = match cluster.look() {
        Ok(ledger) => Arc::new(ledger),
        Err(error) => return fail(&error),
    };
    let hands = ClusterHands::new(backing.clone(), settings.clone(), signals.stop.clone());
    let dashboard = Dashboard::new(ledger, Arc::new(hands), backing.keys.clone(), &settings, token);
    let serving = match Serving::on(dashboard).await {
        Ok(serving) => serving,
        Err(problem) => return refuse([problem]),
    };
    signals.stop.cancelled().await;
    drop(serving);
    connected.close().await;
    Status::Interrupted(signals.first().unwrap_or(Signal::Terminate))
}

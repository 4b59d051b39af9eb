//! `worker`: a replica that carries rows out, and does the steward's duties when they are its turn.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::{Parser, Subcommand};
use shared::clock::Clock;
use shared::cluster::Cluster;
use shared::ledger::RunKind;
use shared::lookout::{Lookout, LookoutTerms};
use shared::metrics::{Page, Served, Watched, health};
use shared::retention::Retention;
use shared::settings::Settings;
use shared::signals::{DRAIN, Signals};
use shared::status::{Status, fail, refuse};
use shared::steward::{Scope, Steward, StewardTerms};
use shared::testing::hurried_to;
use shared::webhook::{Notifier, Webhook};
use shared::{caller, telemetry};
use tokio_util::sync::CancellationToken;
use worker::{Company, Fhir, Tuning};

/// Carries rows out: finds each Patient, sets the number, records what became of the row. Runs until it is told to
/// stop; any number of them run side by side.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 110, after_help = AFTER)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Ask the worker that runs beside this one, on METRICS_ADDR, whether it lives: for a container's health check.
    /// Exit status 0, or 1 where nothing answers. Example: health
    Health,
}

const AFTER: &str = "\
There is nothing to tell it but by environment variables: DATABASE_URL, AMQP_URL, DATA_KEY, FHIR_URL, FHIR_API_KEY and
the others in the README. SIGTERM or Ctrl-C: it takes no more rows and finishes those in hand, 25 seconds at most; a
second signal does not wait.

Exit statuses: 130, 143 stopped by a signal, drained; 2 bad settings.";

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
    let _telemetry = match telemetry::start(&settings, "worker").await {
        Ok(telemetry) => telemetry,
        Err(problem) => return refuse([problem]),
    };
    settings.secrets.forget_on_hangup();
    let clock = Clock::system();
    let (cluster, fhir) = (Cluster::prepare(&settings).await, Fhir::prepare(&settings, &clock).await);
    let (cluster, fhir, webhook) = match (cluster, fhir, Webhook::prepare(&settings).await) {
        (Ok(cluster), Ok(fhir), Ok(webhook)) => (cluster, fhir, webhook),
        (cluster, fhir, webhook) => {
            return refuse(cluster.err().into_iter().flatten().chain(fhir.err()).chain(webhook.err()));
        }
    };
    let page = Arc::new(Page::default());
    let _served = Served::on(settings.metrics_addr, page.clone()).await;
    let signals = Signals::listen();
    let working = async {
        // A database that is not there yet comes later than its workers, or restarts; so may its password.
        let connected = tokio::select! {
            connected = cluster.connect_patiently(&clock, |_| true) => connected,
            () = signals.stop.cancelled() => return signals.interrupted(),
        };
        let connected = match connected {
            Ok(connected) => connected,
            Err(error) => return fail(&error),
        };
        let backing = &connected.backing;
        let worker = worker::worker(backing, &settings, fhir, Tuning::default(), &Company::default());
        let part = Some(worker.part());
        page.watch(Watched {
            backing: backing.clone(),
            job: settings.job.clone(),
            deadline: settings.run_deadline,
            part,
        });
        let duties = CancellationToken::new();
        let holder = caller::holder(&clock);
        // Others may be at it too, all day long: less eager than a producer with a night of its own.
        let terms = StewardTerms {
            every: hurried_to(Duration::from_millis(500), Duration::from_secs(1)),
            ..StewardTerms::default()
        };
        let steward = |kind: RunKind| {
            let (ledger, queue) = (backing.ledger.clone(), backing.queues.of(kind).clone());
            let scope = Scope::Job { job: settings.job.clone(), kind };
            let steward = Steward::new(ledger, queue, holder.clone(), terms, scope);
            let duties = duties.clone();
            async move { steward.serve(duties).await }
        };
        let notifier = Notifier::new(backing.ledger.clone(), webhook, settings.job.clone(), holder.clone());
        let lookout = Lookout::new(
            backing.ledger.clone(),
            settings.job.clone(),
            holder.clone(),
            LookoutTerms::default(),
        );
        let retention = Retention::new(backing.ledger.clone(), &settings, holder.clone());
        tracing::info!(holder, "working");
        tokio::join!(
            steward(RunKind::Night),
            steward(RunKind::DryRun),
            notifier.serve(duties.clone()),
            lookout.serve(duties.clone()),
            retention.serve(duties.clone()),
            async {
                worker.run_at_most(signals.stop.clone(), signals.abort.clone(), DRAIN).await;
                duties.cancel();
            }
        );
        connected.close().await;
        signals.interrupted()
    };
    tokio::select! {
        status = working => status,
        () = signals.run_out() => signals.interrupted(),
    }
}

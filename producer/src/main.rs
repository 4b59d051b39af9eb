//! `producer`: the scheduled job and the operator's command line of a cluster, on Postgres and RabbitMQ.

use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Parser as _};
use producer::flags::{Cli, Command, DoctorOutput, Export, Look, Output, RunFlags, Task};
use producer::{ConfiguredSources, Tidings, Tuning, Until, command, export, manual, program};
use shared::clock::Clock;
use shared::cluster::{Cluster, Connected};
use shared::doctor::{
    self, Findings, Side, Subject, addresses, clock, postgres, rabbitmq, settings, webhook,
};
use shared::ledger::postgres::is_away;
use shared::metrics::{Page, Served, Watched, health};
use shared::settings::Settings;
use shared::signals::Signals;
use shared::status::{Status, fail, refuse};
use shared::telemetry;
use shared::webhook::Webhook;
use tokio::time::Instant;

/// What only `producer` knows.
#[derive(Clone, Debug, Args)]
struct ProducerFlags {
    /// Exit once everything is published and confirmed; the workers finish, close and report the run.
    /// Example: --due 23:00 --detach
    #[arg(long, conflicts_with_all = ["dry_run"])]
    detach: bool,
}

fn main() -> ExitCode {
    let cli = Cli::<ProducerFlags>::parse();
    shared::program::run(run(cli))
}

async fn run(cli: Cli<ProducerFlags>) -> Status {
    if let Err(problem) = cli.run.check() {
        return refuse([problem]);
    }
    let task = match cli.command {
        Some(Command::Manual(manual)) => return manual::print::<ProducerFlags>("producer", &manual),
        // Before the settings are read: it looks at those that are right, too.
        Some(Command::Task(Task::Doctor { output })) => return doctor(output).await,
        // It asks, and has nothing to log.
        Some(Command::Task(Task::Health)) => return health().await,
        Some(Command::Task(task)) => Some(task),
        None => None,
    };
    let settings = match Settings::from_env() {
        Ok(settings) => settings,
        Err(errors) => return refuse(errors),
    };
    let _telemetry = match telemetry::start(&settings, "producer").await {
        Ok(telemetry) => telemetry,
        Err(problem) => return refuse([problem]),
    };
    settings.secrets.forget_on_hangup();
    match task {
        Some(Task::Prune { output }) => prune(&settings, output).await,
        Some(Task::Migrate) => migrate(&settings).await,
        Some(Task::Health) => health().await,
        Some(Task::Export(export)) => answer(&settings, &export).await,
        Some(Task::Rekey { output }) => rekey(&settings, output).await,
        Some(Task::Look(look)) => self::look(&settings, &look).await,
        Some(Task::Doctor { output }) => doctor(output).await,
        None => {
            let until = if cli.extra.detach { Until::Published } else { Until::Closed };
            act(&settings, &cli.run, until).await
        }
    }
}

/// Runs what the flags ask for.
async fn act(settings: &Settings, flags: &RunFlags, until: Until) -> Status {
    let cluster = Cluster::prepare(settings).await;
    let sources =
        ConfiguredSources::prepare(settings, flags.file.clone(), !flags.resume && !flags.replay_dlq).await;
    let (cluster, sources, webhook) = match (cluster, sources, Webhook::prepare(settings).await) {
        (Ok(cluster), Ok(sources), Ok(webhook)) => (cluster, sources, webhook),
        (cluster, sources, webhook) => {
            return refuse(cluster.err().into_iter().flatten().chain(sources.err()).chain(webhook.err()));
        }
    };
    let people = match command::asked_for(flags) {
        Ok(people) => people,
        Err(problem) => return refuse([problem]),
    };
    let niks = producer::hashes(&people, cluster.keys());
    let signals = Signals::listen();
    let page = Arc::new(Page::default());
    let _served = Served::on(settings.metrics_addr, page.clone()).await;
    let started = Instant::now();
    let command = async {
        let connected = match connect(&cluster, started + settings.run_deadline, &signals).await {
            Ok(connected) => connected,
            Err(status) => return status,
        };
        page.watch(Watched {
            backing: connected.backing.clone(),
            job: settings.job.clone(),
            deadline: settings.run_deadline,
            part: None,
        });
        let mut producer =
            producer::producer(&connected.backing, settings, Arc::new(sources), Tuning::default(), until);
        producer.started = started;
        let tidings = Tidings::of(&producer, webhook);
        let executed = program::execute(&producer, settings, flags, niks, &signals).await;
        program::farewell(&producer, settings, tidings, &signals).await;
        let status = executed.tell(&producer, flags).await;
        connected.close().await;
        status
    };
    tokio::select! {
        status = command => status,
        () = signals.run_out() => signals.interrupted(),
    }
}

/// A database that restarts is waited for until `RUN_DEADLINE`; one that refuses us is not.
async fn connect(cluster: &Cluster, deadline: Instant, signals: &Signals) -> Result<Connected, Status> {
    let clock = Clock::system();
    tokio::select! {
        connected = cluster.connect_patiently(&clock, is_away) => connected.map_err(|error| fail(&error)),
        () = signals.stop.cancelled() => Err(signals.interrupted()),
        () = tokio::time::sleep_until(deadline) => {
            tracing::error!("the ledger cannot be reached past RUN_DEADLINE; starting again carries the run on");
            Err(Status::Stopped)
        }
    }
}

/// Brings the tables up to date, and waits for a database that is still starting.
async fn migrate(settings: &Settings) -> Status {
    let cluster = match Cluster::prepare(settings).await {
        Ok(cluster) => cluster,
        Err(problems) => return refuse(problems),
    };
    let signals = Signals::listen();
    match connect(&cluster, Instant::now() + settings.run_deadline, &signals).await {
        Ok(connected) => {
            connected.close().await;
            program::migrated()
        }
        Err(status) => status,
    }
}

/// Deletes what is old.
async fn prune(settings: &Settings, output: Output) -> Status {
    let cluster = match Cluster::prepare(settings).await {
        Ok(cluster) => cluster,
        Err(problems) => return refuse(problems),
    };
    match cluster.connect(Clock::system()).await {
        Ok(connected) => {
            let ledger = connected.backing.ledger.clone();
            let status = program::prune(ledger, settings, &Clock::system(), output).await;
            connected.close().await;
            status
        }
        Err(error) => fail(&error),
    }
}

/// Changes the data key.
async fn rekey(settings: &Settings, output: Output) -> Status {
    let cluster = match Cluster::prepare(settings).await {
        Ok(cluster) => cluster,
        Err(problems) => return refuse(problems),
    };
    match cluster.connect(Clock::system()).await {
        Ok(connected) => {
            let (ledger, keys) = (connected.backing.ledger.clone(), cluster.keys().clone());
            let status = program::rekey(ledger, keys, &Clock::system(), output).await;
            connected.close().await;
            status
        }
        Err(error) => fail(&error),
    }
}

/// Answers an auditor.
async fn answer(settings: &Settings, export: &Export) -> Status {
    let cluster = match Cluster::prepare(settings).await {
        Ok(cluster) => cluster,
        Err(problems) => return refuse(problems),
    };
    let acting = async || match cluster.connect(Clock::system()).await {
        Ok(connected) => Ok(connected.backing.ledger.clone()),
        Err(error) => Err(fail(&error)),
    };
    match cluster.look() {
        Ok(ledger) => export::run(&ledger, acting, cluster.keys(), settings, export).await,
        Err(error) => fail(&error),
    }
}

/// Looks at everything that this program and its workers need.
async fn doctor(output: DoctorOutput) -> Status {
    let (subject, clock) = (Arc::new(Subject::from_env()), Clock::system());
    let sides = vec![
        Side::begin("settings", |findings| settings::examine_of_cluster(subject.clone(), findings)),
        Side::begin("clock", |findings| clock::examine(subject.clone(), clock.clone(), findings)),
        Side::begin("sheet", |findings| producer::doctor::examine(subject.clone(), findings)),
        Side::begin("fhir", |findings| fhir(subject.clone(), clock.clone(), findings)),
        Side::begin("database", |findings| postgres::examine(subject.clone(), clock.clone(), findings)),
        Side::begin("queue", |findings| rabbitmq::examine(subject.clone(), findings)),
        Side::begin("webhook", |findings| webhook::examine(subject.clone(), findings)),
        Side::begin("METRICS_ADDR", |findings| addresses::metrics(subject.clone(), findings)),
    ];
    doctor::tell(sides, output == DoctorOutput::Json).await
}

/// The FHIR server is the workers'; here it may be unknown.
async fn fhir(subject: Arc<Subject>, clock: Clock, findings: Findings) {
    if subject.settings.fhir.url.is_none() && !subject.errors.iter().any(|error| error.variable == "FHIR_URL")
    {
        let why = "FHIR_URL is not set here, and only workers need it; run this once with their settings too";
        return findings.skipped("fhir", why);
    }
    worker::doctor::examine(subject, clock, findings).await;
}

/// Prints a list.
async fn look(settings: &Settings, command: &Look) -> Status {
    let cluster = match Cluster::prepare(settings).await {
        Ok(cluster) => cluster,
        Err(problems) => return refuse(problems),
    };
    match cluster.look() {
        Ok(ledger) => program::look(&ledger, cluster.keys(), settings, &Clock::system(), command).await,
        Err(error) => fail(&error),
    }
}

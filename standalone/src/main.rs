//! `standalone`: the whole night in one process, on SQLite and an in-process queue.

mod demo;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Parser as _};
use producer::flags::{Cli, Command, Output, RunFlags};
use producer::{ConfiguredSources, command, program};
use shared::clock::Clock;
use shared::ledger::sqlite::SqliteLedger;
use shared::ledger::{LedgerError, LedgerView as _};
use shared::metrics::{Page, Served, Watched};
use shared::settings::{BadSettings, Settings};
use shared::signals::Signals;
use shared::status::{Status, fail, refuse};
use shared::telemetry;
use shared::webhook::Webhook;
use standalone::composition::{Common, Tuning, data_keys, database_path};
use tokio_util::sync::CancellationToken;
use worker::Fhir;

/// How long a starter waits for another process on the same database: one lease of the run lock.
const PATIENCE: Duration = Duration::from_secs(15);

/// What only `standalone` knows.
#[derive(Clone, Debug, Args)]
struct StandaloneFlags {
    /// Start simulators of Google Sheets and of a FHIR server, and run a night of 20,000 rows against them.
    /// Everything it makes is in ./demo-night. Example: --demo
    #[arg(long, conflicts_with_all = ["date", "due", "from", "file", "resume", "replay_dlq"])]
    demo: bool,
}

fn main() -> ExitCode {
    let cli = Cli::<StandaloneFlags>::parse();
    shared::program::run(run(cli))
}

async fn run(cli: Cli<StandaloneFlags>) -> Status {
    if let Err(problem) = cli.run.check() {
        return refuse([problem]);
    }
    if cli.extra.demo {
        return demo::run(&cli.run).await;
    }
    let settings = match Settings::from_env() {
        Ok(settings) => settings,
        Err(errors) => return refuse(errors),
    };
    telemetry::start(settings.log_format);
    match &cli.command {
        Some(Command::Prune { output }) => prune(&settings, *output).await,
        Some(command) => look(&settings, command).await,
        None => act(&settings, &cli.run).await,
    }
}

/// Runs what the flags ask for.
async fn act(settings: &Settings, flags: &RunFlags) -> Status {
    let clock = Clock::system();
    let path = database_path(settings);
    let sources =
        ConfiguredSources::prepare(settings, flags.file.clone(), !flags.resume && !flags.replay_dlq).await;
    let fhir = Fhir::prepare(settings, &clock).await;
    let (path, sources, fhir, webhook) = match (path, sources, fhir, Webhook::prepare(settings).await) {
        (Ok(path), Ok(sources), Ok(fhir), Ok(webhook)) => (path, sources, fhir, webhook),
        (path, sources, fhir, webhook) => {
            return refuse([path.err(), sources.err(), fhir.err(), webhook.err()].into_iter().flatten());
        }
    };
    let people = match command::asked_for(flags) {
        Ok(people) => people,
        Err(problem) => return refuse([problem]),
    };
    let ledger = match open(&path, &clock).await {
        Ok(ledger) => ledger,
        Err(status) => return status,
    };
    // Another key cannot read what is there, and would not know whom it is about.
    let is_new = match ledger.runs(&settings.job, None, 1).await {
        Ok(runs) => runs.is_empty(),
        Err(error) => return fail(&error),
    };
    // Under the ledger's lock, so that two starters do not make two keys.
    let keys = match data_keys(settings, &path, is_new).await {
        Ok(keys) => Arc::new(keys),
        Err(problem) => return refuse([problem]),
    };
    let niks = producer::hashes(&people, &keys);
    let common = Common::new(ledger, keys, clock, Tuning::default());
    let (producer, worker) = (common.producer(settings, Arc::new(sources)), common.worker(settings, fhir));
    let page = Arc::new(Page::default());
    let (backing, part) = (common.backing.clone(), Some(worker.part()));
    page.watch(Watched { backing, job: settings.job.clone(), part });
    let _served = Served::on(settings.metrics_addr, page).await;
    let signals = Signals::listen();
    let drain = CancellationToken::new();
    let command = async {
        let executed = program::execute(&producer, settings, flags, niks, webhook, &signals).await;
        drain.cancel();
        executed
    };
    let work = worker.run_at_most(drain.clone(), signals.abort.clone(), worker::DRAIN);
    let (executed, ()) = tokio::join!(command, work);
    executed.tell(&producer, flags).await
}

/// Opens the ledger to act on it.
async fn open(path: &Path, clock: &Clock) -> Result<SqliteLedger, Status> {
    SqliteLedger::act(path, clock.clone(), PATIENCE).await.map_err(|error| match error {
        LedgerError::InUse { .. } => {
            tracing::error!(error = %error, "another live process works on this database; nothing was done");
            Status::Locked
        }
        error => fail(&error),
    })
}

/// The database, which must be there.
fn existing(settings: &Settings) -> Result<PathBuf, BadSettings> {
    let path = database_path(settings)?;
    if path.exists() {
        return Ok(path);
    }
    let problem = format!("there is no database at {}; nothing ran yet", path.display());
    Err(BadSettings::of("DATABASE_URL", problem))
}

/// Deletes what is old.
async fn prune(settings: &Settings, output: Output) -> Status {
    let clock = Clock::system();
    let path = match existing(settings) {
        Ok(path) => path,
        Err(problem) => return refuse([problem]),
    };
    match open(&path, &clock).await {
        Ok(ledger) => program::prune(Arc::new(ledger), settings, &clock, output).await,
        Err(status) => status,
    }
}

/// Prints a list.
async fn look(settings: &Settings, command: &Command) -> Status {
    let prepared = async {
        let path = existing(settings)?;
        let keys = data_keys(settings, &path, false).await?;
        Ok::<_, BadSettings>((path, keys))
    };
    let (path, keys) = match prepared.await {
        Ok(prepared) => prepared,
        Err(problem) => return refuse([problem]),
    };
    let clock = Clock::system();
    match SqliteLedger::look(&path, clock.clone()) {
        Ok(ledger) => program::look(&ledger, &keys, settings, &clock, command).await,
        Err(error) => fail(&error),
    }
}

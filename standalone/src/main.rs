//! `standalone`: the whole night in one process, on SQLite and an in-process queue.

mod demo;
mod examination;
mod serving;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Parser as _};
use dashboard::Dashboard;
use producer::flags::{Cli, Command, Export, Look, Output, RunFlags, Task};
use producer::{ConfiguredSources, Tidings, command, export, manual, overlap, program};
use shared::backing::Backing;
use shared::clock::Clock;
use shared::data_key::DataKeys;
use shared::ledger::sqlite::SqliteLedger;
use shared::ledger::{Ledger, LedgerError, LedgerView as _};
use shared::metrics::{Page, Served, Watched, health};
use shared::settings::{BadSettings, Settings};
use shared::signals::{DRAIN, Signals};
use shared::status::{Status, fail, refuse};
use shared::webhook::Webhook;
use shared::{error_chain, telemetry};
use standalone::composition::{Common, Tuning, data_keys, database_path};
use standalone::hands::Acting;
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
    /// Write a copy of the database into a new file and end; also beside a running night. The data key is not in it.
    /// Example: --backup /backup/nightly-sync-2026-11-24.db
    #[arg(long, value_name = "FILE", exclusive = true)]
    backup: Option<PathBuf>,
    /// Serve the page on DASHBOARD_ADDR until stopped. Alone it runs nothing; with --demo, or with a date, the page stays
    /// up after the night. Example: --serve
    #[arg(long)]
    serve: bool,
}

fn main() -> ExitCode {
    let cli = Cli::<StandaloneFlags>::parse();
    shared::program::run(run(cli))
}

async fn run(cli: Cli<StandaloneFlags>) -> Status {
    if let Err(problem) = cli.run.check() {
        return refuse([problem]);
    }
    let task = match cli.command {
        Some(Command::Manual(manual)) => return manual::print::<StandaloneFlags>("standalone", &manual),
        // Before the settings are read: it looks at those that are right, too.
        Some(Command::Task(Task::Doctor { output })) => return examination::run(output).await,
        // It asks, and has nothing to log.
        Some(Command::Task(Task::Health)) => return health().await,
        Some(Command::Task(task)) => Some(task),
        None => None,
    };
    if cli.extra.demo {
        return Box::pin(demo::run(&cli.run, cli.extra.serve)).await;
    }
    let settings = match Settings::from_env() {
        Ok(settings) => settings,
        Err(errors) => return refuse(errors),
    };
    let _telemetry = match telemetry::start(&settings, "standalone").await {
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
        None if let Some(to) = &cli.extra.backup => back_up(&settings, to).await,
        Some(Task::Doctor { output }) => examination::run(output).await,
        None if cli.extra.serve && cli.run.names_nothing() => serving::alone(&settings).await,
        None => Box::pin(act(&settings, &cli.run, cli.extra.serve)).await,
    }
}

/// Runs what the flags ask for.
async fn act(settings: &Settings, flags: &RunFlags, serve: bool) -> Status {
    let clock = Clock::system();
    let path = database_path(settings).await;
    let sources =
        ConfiguredSources::prepare(settings, flags.file.clone(), !flags.resume && !flags.replay_dlq).await;
    let fhir = Fhir::prepare(settings, &clock).await;
    let (webhook, token) = (Webhook::prepare(settings).await, Dashboard::token(settings).await);
    // One that is made is made below.
    let key = match &settings.data_key {
        Some(reference) => DataKeys::resolve(reference).await.map(drop),
        None => Ok(()),
    };
    let (path, sources, fhir, webhook, token) = match (path, sources, fhir, webhook, token, key) {
        (Ok(path), Ok(sources), Ok(fhir), Ok(webhook), Ok(token), Ok(())) => {
            (path, sources, fhir, webhook, token)
        }
        (path, sources, fhir, webhook, token, key) => {
            let problems = [path.err(), sources.err(), fhir.err(), webhook.err(), token.err(), key.err()];
            return refuse(problems.into_iter().flatten());
        }
    };
    let people = match command::asked_for(flags) {
        Ok(people) => people,
        Err(problem) => return refuse([problem]),
    };
    let ledger = match open(&path, &clock).await {
        Ok(ledger) => ledger,
        Err(Status::Locked) => {
            leave_word(&path, &clock, settings, flags).await;
            return Status::Locked;
        }
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
    if let Some(reference) = &settings.data_key {
        keys.follow(reference);
    }
    let niks = producer::hashes(&people, &keys);
    let common = Common::new(ledger, keys.clone(), clock, Tuning::default());
    let (producer, worker) = (common.producer(settings, Arc::new(sources)), common.worker(settings, fhir));
    let page = Arc::new(Page::default());
    // Looked at beside the acting side, so that what outlives the command holds no lock.
    let looked_at = match SqliteLedger::look(&path, common.backing.clock.clone()) {
        Ok(ledger) => Arc::new(ledger),
        Err(error) => return fail(&error),
    };
    let backing = Backing { ledger: looked_at, ..common.backing.clone() };
    page.watch(Watched {
        backing,
        job: settings.job.clone(),
        deadline: settings.run_deadline,
        part: Some(worker.part()),
    });
    let _served = Served::on(settings.metrics_addr, page).await;
    let signals = Signals::listen();
    let acting = Acting::default();
    acting.set(Some(common.backing.ledger.clone()));
    // A page that cannot be served stops no night, unless it was asked for.
    let serving = match serving::open(settings, path, keys, token, acting.clone(), &signals).await {
        Ok(serving) => Some(serving),
        Err(problem) if serve => return refuse([problem]),
        Err(problem) => {
            tracing::warn!(%problem, "going on without the page");
            None
        }
    };
    // The worker drains as soon as this process is told to stop, or its command has ended.
    let drain = signals.stop.child_token();
    let command = async {
        let tidings = Tidings::of(&producer, webhook);
        let executed = program::execute(&producer, settings, flags, niks, &signals).await;
        drain.cancel();
        program::farewell(&producer, settings, tidings, &signals).await;
        executed
    };
    let work = worker.run_at_most(drain.clone(), signals.abort.clone(), DRAIN);
    let night = async {
        let (executed, ()) = tokio::join!(command, work);
        executed.tell(&producer, flags).await
    };
    let status = tokio::select! {
        status = night => status,
        () = signals.run_out() => signals.interrupted(),
    };
    if !serve || matches!(status, Status::Interrupted(_)) {
        return status;
    }
    // What is pressed from now on takes the lock for itself.
    acting.set(None);
    drop((producer, worker, common));
    if let Some(serving) = &serving {
        tracing::info!("the page stays up at http://{}/ until this program is stopped", serving.address());
    }
    signals.stop.cancelled().await;
    status
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

/// Notes a start that was turned away where the process that works on the database finds it: that one posts it, and it
/// counts.
async fn leave_word(path: &Path, clock: &Clock, settings: &Settings, flags: &RunFlags) {
    let date = command::dates(flags, clock.now(), &settings.zone).into_iter().next();
    let (Some(date), Some(holder)) = (date, SqliteLedger::holder(path)) else { return };
    tracing::warn!(job = settings.job, run_date = %date, holder, "it is held by this process");
    let notice = overlap(&settings.job, date, &holder);
    if let Err(error) = SqliteLedger::leave_notice(path, clock, &notice).await {
        tracing::warn!(error = error_chain(&error), "the other process could not be told of this start");
    }
}

/// The database, which must be there.
async fn existing(settings: &Settings) -> Result<PathBuf, BadSettings> {
    let path = database_path(settings).await?;
    if path.exists() {
        return Ok(path);
    }
    let problem = format!("there is no database at {}; nothing ran yet", path.display());
    Err(BadSettings::of("DATABASE_URL", problem))
}

/// Copies the database.
async fn back_up(settings: &Settings, to: &Path) -> Status {
    let path = match existing(settings).await {
        Ok(path) => path,
        Err(problem) => return refuse([problem]),
    };
    let copied = async { SqliteLedger::look(&path, Clock::system())?.backup(to).await };
    match copied.await {
        Ok(()) => {
            tracing::info!(file = %to.display(), "the database is backed up; the data key is not in it");
            Status::Done
        }
        Err(error) => fail(&error),
    }
}

/// Brings the tables up to date.
async fn migrate(settings: &Settings) -> Status {
    let path = match existing(settings).await {
        Ok(path) => path,
        Err(problem) => return refuse([problem]),
    };
    match open(&path, &Clock::system()).await {
        Ok(_) => program::migrated(),
        Err(status) => status,
    }
}

/// Deletes what is old.
async fn prune(settings: &Settings, output: Output) -> Status {
    let clock = Clock::system();
    let path = match existing(settings).await {
        Ok(path) => path,
        Err(problem) => return refuse([problem]),
    };
    match open(&path, &clock).await {
        Ok(ledger) => program::prune(Arc::new(ledger), settings, &clock, output).await,
        Err(status) => status,
    }
}

/// Changes the data key.
async fn rekey(settings: &Settings, output: Output) -> Status {
    let clock = Clock::system();
    let prepared = async {
        let path = existing(settings).await?;
        let keys = data_keys(settings, &path, false).await?;
        Ok::<_, BadSettings>((path, Arc::new(keys)))
    };
    let (path, keys) = match prepared.await {
        Ok(prepared) => prepared,
        Err(problem) => return refuse([problem]),
    };
    match open(&path, &clock).await {
        Ok(ledger) => program::rekey(Arc::new(ledger), keys, &clock, output).await,
        Err(status) => status,
    }
}

/// The ledger to look at, and the keys of what is sealed in it.
async fn looked_at(settings: &Settings) -> Result<(PathBuf, SqliteLedger, DataKeys), Status> {
    let prepared = async {
        let path = existing(settings).await?;
        let keys = data_keys(settings, &path, false).await?;
        Ok::<_, BadSettings>((path, keys))
    };
    let (path, keys) = prepared.await.map_err(|problem| refuse([problem]))?;
    let ledger = SqliteLedger::look(&path, Clock::system()).map_err(|error| fail(&error))?;
    Ok((path, ledger, keys))
}

/// Answers an auditor.
async fn answer(settings: &Settings, export: &Export) -> Status {
    match looked_at(settings).await {
        Ok((path, ledger, keys)) => {
            let acting = async || {
                let ledger = open(&path, &Clock::system()).await?;
                Ok(Arc::new(ledger) as Arc<dyn Ledger>)
            };
            export::run(&ledger, acting, &keys, settings, export).await
        }
        Err(status) => status,
    }
}

/// Prints a list.
async fn look(settings: &Settings, command: &Look) -> Status {
    match looked_at(settings).await {
        Ok((_, ledger, keys)) => program::look(&ledger, &keys, settings, &Clock::system(), command).await,
        Err(status) => status,
    }
}

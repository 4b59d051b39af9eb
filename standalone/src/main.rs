//! `standalone`: the whole night in one process, on SQLite and an in-process queue.

mod demo;
mod signals;

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Parser as _};
use producer::flags::{Cli, Command, RunFlags};
use producer::listing::{Listing, ListingError};
use producer::{Status, command};
use shared::clock::Clock;
use shared::domain::Language;
use shared::error_chain;
use shared::ledger::sqlite::SqliteLedger;
use shared::ledger::{LedgerError, LedgerView as _, Replay, RowFilter};
use shared::settings::Settings;
use shared::telemetry;
use tokio_util::sync::CancellationToken;

use signals::Signals;
use standalone::composition::{
    BadSettings, Common, ConfiguredSources, Fhir, Tuning, columns, data_keys, database_path,
};

/// How long a starter waits for another process on the same database: one lease of the run lock.
const PATIENCE: Duration = Duration::from_secs(15);

/// A service manager's usual patience is 30 s; what is not drained by then is delivered again next time.
const DRAIN: Duration = Duration::from_secs(25);

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
    // An error means that a provider is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: cannot start: {error}");
            return Status::Failed.into();
        }
    };
    runtime.block_on(run(cli)).into()
}

async fn run(cli: Cli<StandaloneFlags>) -> Status {
    if let Err(problem) = cli.run.check() {
        return refuse(&[problem]);
    }
    if cli.extra.demo {
        return demo::run(&cli.run).await;
    }
    let settings = match Settings::from_env() {
        Ok(settings) => settings,
        Err(errors) => return refuse(&errors.iter().map(ToString::to_string).collect::<Vec<_>>()),
    };
    telemetry::start(settings.log_format);
    match &cli.command {
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
    let (path, sources, fhir) = match (path, sources, fhir) {
        (Ok(path), Ok(sources), Ok(fhir)) => (path, sources, fhir),
        (path, sources, fhir) => {
            let problems = [path.err(), sources.err(), fhir.err()];
            return refuse(&problems.iter().flatten().map(ToString::to_string).collect::<Vec<_>>());
        }
    };
    let people = match command::asked_for(flags) {
        Ok(people) => people,
        Err(problem) => return refuse(&[problem.to_string()]),
    };
    let ledger = match SqliteLedger::act(&path, clock.clone(), PATIENCE).await {
        Ok(ledger) => ledger,
        Err(error @ LedgerError::InUse { .. }) => {
            tracing::error!(error = %error, "another live process works on this database; nothing was done");
            return Status::Locked;
        }
        Err(error) => return fail(&error),
    };
    // Another key cannot read what is there, and would not know whom it is about.
    let is_new = match ledger.runs(&settings.job, None, 1).await {
        Ok(runs) => runs.is_empty(),
        Err(error) => return fail(&error),
    };
    // Under the ledger's lock, so that two starters do not make two keys.
    let keys = match data_keys(settings, &path, is_new).await {
        Ok(keys) => Arc::new(keys),
        Err(problem) => return refuse(&[problem.to_string()]),
    };
    let niks = producer::hashes(&people, &keys);
    let common = Common::new(ledger, keys, clock, Tuning::default());
    let (producer, worker) = (common.producer(settings, Arc::new(sources)), common.worker(settings, fhir));
    let signals = Signals::listen();
    let drain = CancellationToken::new();
    let command = async {
        let mut said = Vec::new();
        let ended = command::execute(
            &producer,
            flags,
            niks,
            &columns(settings),
            &signals.stop,
            || signals.first(),
            &mut said,
        )
        .await;
        drain.cancel();
        (ended, said)
    };
    let abort = signals.abort.clone();
    let work = async {
        let give_up = async {
            drain.cancelled().await;
            tokio::time::sleep(DRAIN).await;
            abort.cancel();
        };
        tokio::select! {
            () = worker.run(drain.clone(), abort.clone()) => {}
            () = async { give_up.await; std::future::pending::<()>().await } => {}
        }
    };
    let ((ended, said), ()) = tokio::join!(command, work);
    // Whatever there is to say is printed, also when the command failed later.
    if let Err(error) = command::print(&producer, flags.output, said, &mut std::io::stdout()).await {
        return fail(&error);
    }
    match ended {
        Ok(status) => status,
        Err(error) if error.is_bad_setting() => refuse(&[error.to_string()]),
        Err(error) => fail(&error),
    }
}

/// Prints a list; takes no lock, so it works beside a running night.
async fn look(settings: &Settings, command: &Command) -> Status {
    let prepared = async {
        let path = database_path(settings)?;
        if !path.exists() {
            return Err(BadSettings(format!(
                "DATABASE_URL: there is no database at {}; nothing ran yet",
                path.display()
            )));
        }
        let keys = data_keys(settings, &path, false).await?;
        Ok::<_, BadSettings>((path, keys))
    };
    let (path, keys) = match prepared.await {
        Ok(prepared) => prepared,
        Err(problem) => return refuse(&[problem.to_string()]),
    };
    let clock = Clock::system();
    let ledger = match SqliteLedger::look(&path, clock.clone()) {
        Ok(ledger) => ledger,
        Err(error) => return fail(&error),
    };
    let columns = columns(settings);
    let listing = |output, language| Listing {
        ledger: &ledger,
        keys: &keys,
        job: &settings.job,
        columns: &columns,
        clock: &clock,
        output,
        language,
    };
    let mut out = std::io::BufWriter::new(std::io::stdout());
    let niks = |given: &[String]| {
        let flags = RunFlags { nik: given.to_vec(), ..RunFlags::default() };
        command::asked_for(&flags).map(|people| producer::hashes(&people, &keys))
    };
    let listed = match command {
        Command::Runs { date, limit, output } => {
            listing(*output, Language::En).runs(*date, *limit, &mut out).await
        }
        Command::Rows { run, outcome, reason, nik, lang, output } => {
            let niks = match niks(nik) {
                Ok(niks) => niks,
                Err(problem) => return refuse(&[problem.to_string()]),
            };
            let filter = RowFilter { outcome: *outcome, reason: *reason, niks };
            listing(*output, *lang).rows(run, &filter, &mut out).await
        }
        Command::DeadLetters { from, to, reason, nik, all, lang, output } => {
            let niks = match niks(nik) {
                Ok(niks) => niks,
                Err(problem) => return refuse(&[problem.to_string()]),
            };
            let filter = Replay { niks, from: *from, to: *to, reason: *reason, rows: Vec::new() };
            listing(*output, *lang).dead_letters(&filter, *all, &mut out).await
        }
    };
    match listed.and_then(|()| out.flush().map_err(Into::into)) {
        Ok(()) => Status::Done,
        // Whoever read the list has seen enough of it.
        Err(ListingError::Output(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => Status::Done,
        Err(error @ ListingError::NoRun(_)) => refuse(&[error.to_string()]),
        Err(error) => fail(&error),
    }
}

/// Bad flags or settings: said once, all of them, before anything was touched.
fn refuse(problems: &[String]) -> Status {
    for problem in problems {
        eprintln!("error: {problem}");
    }
    Status::BadSettings
}

fn fail(error: &dyn std::error::Error) -> Status {
    tracing::error!(error = error_chain(error), "failed; starting again carries the run on");
    Status::Failed
}

//! What the programs with the operator's command line have in common: whichever ledger and queues they chose.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use shared::caller;
use shared::clock::Clock;
use shared::data_key::{DataKeys, KeyedHash};
use shared::domain::Language;
use shared::ledger::{Ledger, LedgerError, LedgerSamples, LedgerView, Replay, RowFilter};
use shared::rekey::{Rekey, RekeyError};
use shared::report::Report;
use shared::retention::Retention;
use shared::settings::Settings;
use shared::signals::Signals;
use shared::status::{Status, fail, refuse};

use crate::command::{self, CommandError, Said};
use crate::composition::columns;
use crate::flags::{Look, Output, ReportOutput, RunFlags};
use crate::listing::{Listing, ListingError};
use crate::niks::{self, NikFlagError};
use crate::producer::{Producer, Until};
use crate::source::ColumnNames;
use crate::tidings::Tidings;
use crate::{report, report_html};

/// What a program that ends has for deleting what is old; the next goes on with the rest.
const CLEANING: Duration = Duration::from_secs(30);

/// A command that ended, and what it has to say.
pub struct Executed {
    ended: Result<Status, CommandError>,
    said: Vec<Said>,
    columns: ColumnNames,
}

/// Carries the flags out.
pub async fn execute(
    producer: &Producer,
    settings: &Settings,
    flags: &RunFlags,
    niks: Vec<KeyedHash>,
    signals: &Signals,
) -> Executed {
    let mut said = Vec::new();
    let columns = columns(settings);
    let first = || signals.first();
    let ended = command::execute(producer, flags, niks, &columns, &signals.stop, first, &mut said).await;
    Executed { ended, said, columns }
}

/// Posts the notices of a command that ended and deletes what is old; a second signal does not wait for that.
pub async fn farewell(producer: &Producer, settings: &Settings, tidings: Tidings, signals: &Signals) {
    let last = async {
        tidings.end().await;
        if producer.terms.until == Until::Closed && !signals.stop.is_cancelled() {
            let ledger = producer.backing.ledger.clone();
            Retention::new(ledger, settings, producer.holder.clone()).tend(CLEANING).await;
        }
    };
    tokio::select! {
        () = last => {}
        () = signals.abort.cancelled() => {}
    }
}

/// Says that the tables are up to date.
pub fn migrated() -> Status {
    match writeln!(std::io::stdout(), "The ledger's tables are up to date.") {
        Ok(()) => Status::Done,
        Err(error) => fail(&error),
    }
}

/// Deletes what is older than `RETENTION_DAYS`.
pub async fn prune(ledger: Arc<dyn Ledger>, settings: &Settings, clock: &Clock, output: Output) -> Status {
    let retention = Retention::new(ledger, settings, caller::holder(clock));
    let pruned = match retention.prune(&caller::who()).await {
        Ok(Some(pruned)) => pruned,
        Ok(None) => {
            tracing::warn!("another process is deleting what is old; nothing was done");
            return Status::Locked;
        }
        Err(error) => return fail(&error),
    };
    let text = if output == Output::Json {
        serde_json::to_string(&pruned).expect("counts are plain data")
    } else {
        let days = settings.retention_days;
        format!("Deleted what was older than {days} days: {pruned}.")
    };
    match writeln!(std::io::stdout(), "{text}") {
        Ok(()) => Status::Done,
        Err(error) => fail(&error),
    }
}

/// Brings everything that the ledger holds under the newest key.
pub async fn rekey(ledger: Arc<dyn Ledger>, keys: Arc<DataKeys>, clock: &Clock, output: Output) -> Status {
    let newest = keys.newest();
    let rekeyed = match Rekey::new(ledger, keys, caller::holder(clock)).run(&caller::who()).await {
        Ok(Some(rekeyed)) => rekeyed,
        Ok(None) => {
            tracing::warn!("another process is changing the data key; nothing more was done here");
            return Status::Locked;
        }
        Err(RekeyError::Ledger(error @ LedgerError::Unfinished { .. })) => {
            tracing::error!(error = %error, "the data key cannot be changed now; nothing was done");
            return Status::Stopped;
        }
        Err(error) => return fail(&error),
    };
    let text = match output {
        Output::Json => serde_json::to_string(&rekeyed).expect("counts are plain data"),
        _ if rekeyed.left == 0 => {
            format!(
                "Under key '{newest}' now: {rekeyed}. The other lines of DATA_KEY are not needed any more."
            )
        }
        _ => format!("Under key '{newest}' now: {rekeyed}. Keep the other lines of DATA_KEY for those."),
    };
    match writeln!(std::io::stdout(), "{text}") {
        Ok(()) => Status::Done,
        Err(error) => fail(&error),
    }
}

impl Executed {
    /// Prints what there is to say, also when the command failed later, and gives the exit status. To be called when
    /// the workers of this process have drained: they may have finished rows since.
    pub async fn tell(self, producer: &Producer, flags: &RunFlags) -> Status {
        if let Some(path) = &flags.report
            && let Err(error) = report_html::write(producer, &self.said, path).await
        {
            return fail(&error);
        }
        let printed =
            command::print(producer, &self.columns, flags.output, self.said, &mut std::io::stdout()).await;
        if let Err(error) = printed {
            return fail(&error);
        }
        match self.ended {
            Ok(status) => status,
            Err(error) if error.is_bad_setting() => refuse([error]),
            Err(error) => fail(&error),
        }
    }
}

/// Prints a list. It takes no lock, so it works beside a running night.
pub async fn look(
    ledger: &(impl LedgerView + LedgerSamples),
    keys: &DataKeys,
    settings: &Settings,
    clock: &Clock,
    command: &Look,
) -> Status {
    let columns = columns(settings);
    let listing = |output, language| Listing {
        ledger,
        keys,
        job: &settings.job,
        columns: &columns,
        clock,
        output,
        language,
    };
    let niks = |given: &[String]| -> Result<Vec<KeyedHash>, NikFlagError> {
        Ok(niks::hashes(&niks::from_stdin(given)?, keys))
    };
    let mut out = std::io::BufWriter::new(std::io::stdout());
    let listed = match command {
        Look::Runs { date, limit, output } => {
            listing(*output, Language::En).runs(*date, *limit, &mut out).await
        }
        Look::Run { run, output } => {
            one_run(&listing(Output::Text, Language::En), ledger, settings, run, *output, &mut out).await
        }
        Look::Rows { run, outcome, reason, nik, lang, output } => {
            let niks = match niks(nik) {
                Ok(niks) => niks,
                Err(problem) => return refuse([problem]),
            };
            let filter = RowFilter { outcome: *outcome, reason: *reason, niks, ..RowFilter::default() };
            listing(*output, *lang).rows(run, &filter, &mut out).await
        }
        Look::DeadLetters { from, to, reason, nik, all, lang, output } => {
            let niks = match niks(nik) {
                Ok(niks) => niks,
                Err(problem) => return refuse([problem]),
            };
            let filter = Replay { niks, from: *from, to: *to, reason: *reason, rows: Vec::new() };
            listing(*output, *lang).dead_letters(&filter, *all, &mut out).await
        }
    };
    match listed.and_then(|()| out.flush().map_err(Into::into)) {
        Ok(()) => Status::Done,
        // Whoever read the list has seen enough of it.
        Err(ListingError::Output(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => Status::Done,
        Err(error @ ListingError::NoRun(_)) => refuse([error]),
        Err(error) => fail(&error),
    }
}

/// A run's report in the form that is asked for.
async fn one_run(
    listing: &Listing<'_>,
    ledger: &(impl LedgerView + LedgerSamples),
    settings: &Settings,
    run: &str,
    output: ReportOutput,
    to: &mut dyn io::Write,
) -> Result<(), ListingError> {
    let run = listing.find(run).await?;
    let report = Report::new(&run, &ledger.tally(run.id).await?, listing.clock.now());
    match output {
        ReportOutput::Text => writeln!(to, "{}", report::table(&report, &settings.zone))?,
        ReportOutput::Json => writeln!(to, "{}", report.json())?,
        ReportOutput::Html => {
            let series = ledger.samples(run.id).await?;
            to.write_all(report_html::page(&report, &series, &settings.zone).as_bytes())?;
        }
    }
    Ok(())
}

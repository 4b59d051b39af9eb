//! From flags to a finished command: which dates, in which order, what is printed, which status.

use std::io::Write;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use shared::data_key::KeyedHash;
use shared::domain::RunDate;
use shared::ledger::{Replay, RunKind, Selection};
use shared::report::Report;
use shared::signals::Signal;
use shared::status::Status;
use tokio_util::sync::CancellationToken;

use crate::flags::{Output, RunFlags};
use crate::listing::{Listing, ListingError};
use crate::niks::{self, NikFlagError, Person};
use crate::producer::{Ended, Halt, Order, Producer, ProducerError, Until};
use crate::report;
use crate::source::{ColumnNames, SourceError};

/// Why a command failed unexpectedly.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// Of the producer.
    #[error(transparent)]
    Producer(#[from] ProducerError),
    /// Of a list.
    #[error(transparent)]
    Listing(#[from] ListingError),
    /// The file of `--report` cannot be written.
    #[error("the report could not be written to {}", path.display())]
    ReportFile {
        /// Its path.
        path: std::path::PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Standard output cannot be written.
    #[error("the report could not be written")]
    Output(#[from] std::io::Error),
}

impl CommandError {
    /// Whether a setting that could be judged only when it was used is bad: exit status 2.
    pub fn is_bad_setting(&self) -> bool {
        matches!(self, Self::Producer(ProducerError::Source(SourceError::Setting { .. })))
    }
}

/// Whom `--nik` names; asked before anything is opened or locked, since it may wait for somebody to type.
pub fn asked_for(flags: &RunFlags) -> Result<Vec<Person>, NikFlagError> {
    niks::from_stdin(&flags.nik)
}

/// What a command has to print at its end: [`print`] does it.
#[derive(Debug)]
pub enum Said {
    /// A run's report.
    Report(Box<Report>),
    /// Anything else, in its final form.
    Text(Vec<u8>),
}

/// Carries a command out and adds what it has to print to `said`; `signal` tells which one interrupted it.
pub async fn execute(
    producer: &Producer,
    flags: &RunFlags,
    niks: Vec<KeyedHash>,
    columns: &ColumnNames,
    stop: &CancellationToken,
    signal: impl Fn() -> Option<Signal>,
    said: &mut Vec<Said>,
) -> Result<Status, CommandError> {
    if flags.replay_dlq {
        let mut text = Vec::new();
        let status = replay(producer, flags, niks, columns, stop, signal, &mut text).await;
        said.push(Said::Text(text));
        return status;
    }
    let mut status = Status::Done;
    if flags.resume {
        match producer.resume(flags.date, stop).await? {
            Some(ended) => status = conclude(producer, ended, &signal, said),
            None => match producer.last_report(flags.date).await? {
                Some(report) => {
                    tracing::info!("nothing is unfinished; this is the last report");
                    status = report.status();
                    said.push(Said::Report(Box::new(report)));
                }
                None => tracing::info!("nothing is unfinished, and there is no run to report"),
            },
        }
        return Ok(status);
    }
    let order = Order {
        kind: if flags.dry_run { RunKind::DryRun } else { RunKind::Night },
        selection: Selection {
            limit: flags.limit,
            niks: niks.iter().map(ToString::to_string).collect(),
            reapply: flags.reapply,
        },
    };
    for date in dates(flags, producer.backing.clock.now(), &producer.zone) {
        let ended = producer.night(date, &order, stop).await?;
        let is_halted = ended.halt.is_some();
        status = status.and(conclude(producer, ended, &signal, said));
        if is_halted {
            break;
        }
    }
    Ok(status)
}

/// The run dates that the flags name.
pub fn dates(flags: &RunFlags, now: Timestamp, zone: &TimeZone) -> Vec<RunDate> {
    if let (Some(from), Some(to)) = (flags.from, flags.to) {
        return from.through(to).collect();
    }
    let date = match (flags.date, flags.due) {
        (Some(date), _) => date,
        (None, Some(time)) => RunDate::due(now, zone, time),
        (None, None) => RunDate::today(now, zone),
    };
    vec![date]
}

async fn replay(
    producer: &Producer,
    flags: &RunFlags,
    niks: Vec<KeyedHash>,
    columns: &ColumnNames,
    stop: &CancellationToken,
    signal: impl Fn() -> Option<Signal>,
    out: &mut dyn Write,
) -> Result<Status, CommandError> {
    let replay = Replay { niks, from: flags.from, to: flags.to, reason: flags.reason, rows: Vec::new() };
    if flags.dry_run {
        listing(producer, columns, flags.output).dead_letters(&replay, false, out).await?;
        return Ok(Status::Done);
    }
    let ended = producer.replay(replay, stop).await?;
    match flags.output {
        Output::Json => {
            writeln!(
                out,
                "{}",
                serde_json::json!({ "replayed": ended.replayed, "died_again": ended.died_again })
            )?;
        }
        Output::Text | Output::Csv => {
            writeln!(out, "Replayed {} dead letters; {} died again.", ended.replayed, ended.died_again)?;
        }
    }
    Ok(match &ended.halt {
        Some(halt) => halt_status(halt, &signal),
        None if ended.died_again > 0 => Status::DeadLetters,
        None => Status::Done,
    })
}

fn listing<'a>(producer: &'a Producer, columns: &'a ColumnNames, output: Output) -> Listing<'a> {
    Listing {
        ledger: producer.backing.ledger.as_ref(),
        keys: &producer.backing.keys,
        job: &producer.job,
        columns,
        clock: &producer.backing.clock,
        output,
        language: shared::domain::Language::En,
    }
}

fn halt_status(halt: &Halt, signal: &impl Fn() -> Option<Signal>) -> Status {
    match halt {
        Halt::Locked => {
            tracing::error!("another live process holds the lock of this job and date; nothing was done");
            Status::Locked
        }
        Halt::Stopped(reason) => {
            tracing::error!(reason, "the night was stopped; starting again carries it on");
            Status::Stopped
        }
        Halt::Interrupted => {
            tracing::info!("interrupted; starting again carries the run on");
            Status::Interrupted(signal().unwrap_or(Signal::Terminate))
        }
    }
}

fn conclude(
    producer: &Producer,
    ended: Ended,
    signal: &impl Fn() -> Option<Signal>,
    said: &mut Vec<Said>,
) -> Status {
    let status = match &ended.halt {
        Some(halt) => halt_status(halt, signal),
        // What is published is the workers' to finish.
        None if producer.terms.until == Until::Published => Status::Done,
        None => ended.status(),
    };
    said.extend(ended.reports.into_iter().map(|report| Said::Report(Box::new(report))));
    status
}

/// Prints what a command has to say. A run that is not closed is counted again: workers that drained since it
/// was halted have finished rows.
pub async fn print(
    producer: &Producer,
    columns: &ColumnNames,
    output: Output,
    said: Vec<Said>,
    out: &mut dyn Write,
) -> Result<(), CommandError> {
    for said in said {
        let report = match said {
            Said::Text(text) => {
                out.write_all(&text)?;
                continue;
            }
            Said::Report(report) if report.finished_at.is_some() => *report,
            Said::Report(report) => producer.report_again(&report).await?.unwrap_or(*report),
        };
        match output {
            Output::Json if report.kind == RunKind::DryRun.as_str() => {
                listing(producer, columns, output).preview(&report, out).await?;
            }
            Output::Json => writeln!(out, "{}", report.json())?,
            Output::Text | Output::Csv => writeln!(out, "{}", report::table(&report, &producer.zone))?,
        }
    }
    Ok(())
}

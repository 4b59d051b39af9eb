//! From flags to a finished command: which dates, in which order, what is printed, which status.

use std::io::Write;

use shared::data_key::KeyedHash;
use shared::domain::RunDate;
use shared::ledger::{Replay, RunKind, Selection};
use tokio_util::sync::CancellationToken;

use crate::flags::{Output, RunFlags};
use crate::listing::{Listing, ListingError};
use crate::niks::{self, NikFlagError, Person};
use crate::producer::{Ended, Halt, Order, Producer, ProducerError};
use crate::report::Report;
use crate::source::{ColumnNames, SourceError};
use crate::status::{Signal, Status};

/// Why a command failed unexpectedly.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// Of the producer.
    #[error(transparent)]
    Producer(#[from] ProducerError),
    /// Of a list.
    #[error(transparent)]
    Listing(#[from] ListingError),
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

/// Carries a command out and prints its reports to `out`; `signal` tells which one interrupted it.
pub async fn execute(
    producer: &Producer,
    flags: &RunFlags,
    niks: Vec<KeyedHash>,
    columns: &ColumnNames,
    stop: &CancellationToken,
    signal: impl Fn() -> Option<Signal>,
    out: &mut dyn Write,
) -> Result<Status, CommandError> {
    if flags.replay_dlq {
        return replay(producer, flags, niks, columns, stop, signal, out).await;
    }
    let mut status = Status::Done;
    if flags.resume {
        match producer.resume(flags.date, stop).await? {
            Some(ended) => status = print(producer, &ended, flags.output, &signal, out)?,
            None => match producer.last_report(flags.date).await? {
                Some(report) => {
                    tracing::info!("nothing is unfinished; this is the last report");
                    print_report(producer, &report, flags.output, out)?;
                    status = report.status();
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
    for date in dates(producer, flags) {
        let ended = producer.night(date, &order, stop).await?;
        status = status.and(print(producer, &ended, flags.output, &signal, out)?);
        if ended.halt.is_some() {
            break;
        }
    }
    Ok(status)
}

fn dates(producer: &Producer, flags: &RunFlags) -> Vec<RunDate> {
    let now = producer.clock.now();
    if let (Some(from), Some(to)) = (flags.from, flags.to) {
        return from.through(to).collect();
    }
    let date = match (flags.date, flags.due) {
        (Some(date), _) => date,
        (None, Some(time)) => RunDate::due(now, &producer.zone, time),
        (None, None) => RunDate::today(now, &producer.zone),
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
        let listing = Listing {
            ledger: producer.ledger.as_ref(),
            keys: &producer.keys,
            job: &producer.job,
            columns,
            clock: &producer.clock,
            output: flags.output,
            language: shared::domain::Language::En,
        };
        listing.dead_letters(&replay, false, out).await?;
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

fn print(
    producer: &Producer,
    ended: &Ended,
    output: Output,
    signal: &impl Fn() -> Option<Signal>,
    out: &mut dyn Write,
) -> Result<Status, CommandError> {
    for report in &ended.reports {
        print_report(producer, report, output, out)?;
    }
    Ok(match &ended.halt {
        Some(halt) => halt_status(halt, signal),
        None => ended.status(),
    })
}

fn print_report(
    producer: &Producer,
    report: &Report,
    output: Output,
    out: &mut dyn Write,
) -> std::io::Result<()> {
    match output {
        Output::Json => writeln!(out, "{}", report.json()),
        Output::Text | Output::Csv => writeln!(out, "{}", report.table(&producer.zone)),
    }
}

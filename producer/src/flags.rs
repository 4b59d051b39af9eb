//! The command line of `producer` and `standalone`.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use jiff::civil::Time;
use shared::domain::{Language, Outcome, Reason, RunDate};

use crate::export::Moment;

/// Brings the WhatsApp numbers of a Google Sheet into the Patients of a FHIR server.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true, max_term_width = 110, after_help = EXAMPLES)]
pub struct Cli<Extra: Args> {
    /// Look at what was done, instead of doing something.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// What to do.
    #[command(flatten)]
    pub run: RunFlags,
    /// What only this program knows.
    #[command(flatten)]
    pub extra: Extra,
}

const EXAMPLES: &str = "\
Examples:
  Tonight's run (what a scheduler starts at 23:00):      --due 23:00
  A missed night, later:                                 --date 2026-11-22
  Carry on a night that was interrupted:                 --resume
  What would change, without writing:                    --dry-run
  The first 20 rows only:                                --limit 20
  From an export, when Google is down:                   --file export.xlsx
  Replay what a server fault broke:                      --replay-dlq --reason retries_exhausted
  Is everything set up, before the first night:          doctor
  The rows a data steward must fix:                      rows 2026-11-23 --outcome rejected --output csv

Exit statuses: 0 finished; 1 unexpected failure; 2 bad flags or settings; 3 finished with dead letters;
4 another process holds the lock; 5 stopped by a guard or a systemic failure; 130, 143 interrupted.
After 1, 5, 130 and 143, starting again carries the run on.";

/// What to run, and on which rows.
#[derive(Clone, Debug, Default, Args)]
pub struct RunFlags {
    /// The run date; default: today in RUN_TIMEZONE. An unfinished run of that date is carried on; on a
    /// finished date a new run opens, and what was applied is not applied again. Example: --date 2026-11-22
    #[arg(long, value_name = "YYYY-MM-DD")]
    pub date: Option<RunDate>,
    /// For schedulers: take the night of the latest HH:MM in RUN_TIMEZONE that has passed, with five minutes'
    /// grace, so a start that is late past midnight still takes its own night. Example: --due 23:00
    #[arg(long, value_name = "HH:MM", value_parser = clock_time, conflicts_with_all = ["date", "from"])]
    pub due: Option<Time>,
    /// Carry on the unfinished run of --date, or the newest unfinished one, from its snapshot, without reading
    /// the sheet again; with nothing unfinished, print the last report. Example: --resume
    #[arg(long, conflicts_with_all = ["due", "from", "replay_dlq", "dry_run", "limit", "nik", "reapply"])]
    pub resume: bool,
    /// These run dates, oldest first, both included. Example: --from 2026-11-20 --to 2026-11-22
    #[arg(long, value_name = "DATE", conflicts_with = "date")]
    pub from: Option<RunDate>,
    /// The last of the run dates; see --from.
    #[arg(long, value_name = "DATE")]
    pub to: Option<RunDate>,
    /// Compare with FHIR even what is already applied, and write what differs: after the FHIR server was
    /// restored. Example: --from 2026-11-20 --to 2026-11-22 --reapply
    #[arg(long, conflicts_with = "replay_dlq")]
    pub reapply: bool,
    /// Publish dead letters again, and wait for the end; narrowed by --nik, --from, --to and --reason; with
    /// --dry-run it lists what it would replay. Example: --replay-dlq --reason retries_exhausted
    #[arg(long, conflicts_with_all = ["date", "due", "limit", "file"])]
    pub replay_dlq: bool,
    /// Only dead letters of this reason. Example: --replay-dlq --reason rejected_by_server
    #[arg(long, value_name = "REASON", requires = "replay_dlq")]
    pub reason: Option<Reason>,
    /// Only this person: the keyed hash that logs and pages show (repeatable), or - to type or pipe NIKs, one a
    /// line. A NIK itself is refused: process lists and shell histories keep it. Example: --nik -
    #[arg(long, value_name = "HASH|-")]
    pub nik: Vec<String>,
    /// Read, check and look up everything, write nothing to FHIR, and print what would change. Changes no
    /// idempotency record. Example: --dry-run
    #[arg(long)]
    pub dry_run: bool,
    /// Only the first N selected rows; does not count as the date's finished run. Example: --limit 20
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: Option<u32>,
    /// Read the rows from a CSV or XLSX export instead of the Sheets API. Example: --file export.csv
    #[arg(long, value_name = "PATH")]
    pub file: Option<PathBuf>,
    /// Write the report as one HTML file too, to be mailed or printed: no script, nothing from elsewhere, no personal
    /// data. Example: --due 23:00 --report night.html
    #[arg(long, value_name = "FILE", conflicts_with_all = ["from", "to", "replay_dlq"])]
    pub report: Option<PathBuf>,
    /// The final report's form on standard output; progress and logs go to standard error.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

/// Forms of what is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// A table.
    #[default]
    Text,
    /// JSON, one object a line.
    Json,
    /// Comma separated, with a header; for lists.
    Csv,
}

/// Forms of what `doctor` says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum DoctorOutput {
    /// A line a check.
    #[default]
    Text,
    /// JSON, one object a line.
    Json,
}

/// Forms of one run's report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ReportOutput {
    /// A table.
    #[default]
    Text,
    /// JSON, one object.
    Json,
    /// One HTML file that needs nothing else.
    Html,
}

/// Commands other than a run.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Those about the program itself, which need no setting.
    #[command(flatten)]
    Manual(Manual),
    /// Those that need the settings.
    #[command(flatten)]
    Task(Task),
}

/// Commands about the program itself.
#[derive(Clone, Debug, Subcommand)]
pub enum Manual {
    /// Print what a shell completes. Example: completions bash
    Completions {
        /// Of which shell.
        shell: clap_complete::Shell,
    },
    /// Write the man pages into a folder, one for each command. Example: man /usr/local/share/man/man1
    Man {
        /// The folder; it is made if it is not there.
        folder: PathBuf,
    },
}

/// Commands that need the settings.
#[derive(Clone, Debug, Subcommand)]
pub enum Task {
    /// Delete what is older than RETENTION_DAYS, and say how much that was; it also happens at the end of each run.
    /// Open dead letters are announced three days before. Example: prune
    Prune {
        /// Form of what is said.
        #[arg(long, value_enum, default_value_t = Output::Text)]
        output: Output,
    },
    /// Bring the ledger's tables up to date, and end: before the programs of a new version start. They also do it
    /// themselves, as far as their user may. Example: migrate
    Migrate,
    /// Ask the process that runs beside this one, on METRICS_ADDR, whether it lives: for a container's health check.
    /// Exit status 0, or 1 where nothing answers. Example: health
    Health,
    /// Those that answer an auditor.
    #[command(flatten)]
    Export(Export),
    /// Check every setting, and whatever is at the other end of it: the sheet, the FHIR server, database and queue,
    /// addresses, clock and disk. Writes nothing anywhere. One line a check: ok, or what is wrong and how to mend it.
    /// Exit status 0, or 5 where anything is wrong. Example: doctor
    Doctor {
        /// Form of what is said.
        #[arg(long, value_enum, default_value_t = DoctorOutput::Text)]
        output: DoctorOutput,
    },
    /// Bring everything in the ledger under the first key of DATA_KEY: after a line was put on top of it, and before the
    /// old one is taken away. Refused while a run is unfinished; interrupted, it is carried on by starting it again, or
    /// by the next night. Example: rekey
    Rekey {
        /// Form of what is said.
        #[arg(long, value_enum, default_value_t = Output::Text)]
        output: Output,
    },
    /// Those that only look.
    #[command(flatten)]
    Look(Look),
}

/// Commands that answer an auditor. Whom they are about is masked; what shows NIKs and numbers in clear is noted first.
#[derive(Clone, Debug, Subcommand)]
pub enum Export {
    /// List what happened with one person's data, and who saw it: readings, attempts, writes, replays, looks at the page.
    /// Example: export-access --nik - --output csv
    ExportAccess {
        /// The person: the keyed hash, or - to type or pipe NIKs.
        #[arg(long, value_name = "HASH|-", required = true)]
        nik: Vec<String>,
        /// Form of the list.
        #[arg(long, value_enum, default_value_t = Output::Text)]
        output: Output,
    },
    /// List whose data was in hand between two instants: read, in a queue, with a worker, or looked at.
    /// Example: export-breach --from 2026-11-23T22:50 --to 2026-11-24T01:00 --output csv
    ExportBreach {
        /// Its beginning, on the clock of RUN_TIMEZONE or with an offset from UTC.
        #[arg(long, value_name = "INSTANT")]
        from: Moment,
        /// Its end.
        #[arg(long, value_name = "INSTANT")]
        to: Moment,
        /// NIKs and numbers in clear, to reach the persons; noted as an act. Not beside a night of standalone.
        #[arg(long)]
        in_clear: bool,
        /// Form of the list.
        #[arg(long, value_enum, default_value_t = Output::Text)]
        output: Output,
    },
}

/// Commands that only look at what the ledger has.
#[derive(Clone, Debug, Subcommand)]
pub enum Look {
    /// List the newest runs. Example: runs --output json
    Runs {
        /// Only runs of this date.
        #[arg(long, value_name = "YYYY-MM-DD")]
        date: Option<RunDate>,
        /// At most so many.
        #[arg(long, default_value_t = 30)]
        limit: u32,
        /// Form of the list.
        #[arg(long, value_enum, default_value_t = Output::Text)]
        output: Output,
    },
    /// Print a run's report as it stands now. Example: run 2026-11-23 --output html > night.html
    Run {
        /// The run's id, or a date: its newest run.
        #[arg(value_name = "RUN_ID|DATE")]
        run: String,
        /// Form of the report.
        #[arg(long, value_enum, default_value_t = ReportOutput::Text)]
        output: ReportOutput,
    },
    /// List a run's rows in sheet order. Example: rows 2026-11-23 --outcome rejected --output csv
    Rows {
        /// The run's id, or a date: its newest run.
        #[arg(value_name = "RUN_ID|DATE")]
        run: String,
        /// Only rows with this outcome.
        #[arg(long)]
        outcome: Option<Outcome>,
        /// Only rows with this reason.
        #[arg(long)]
        reason: Option<Reason>,
        /// Only this person: the keyed hash, or - to type or pipe NIKs.
        #[arg(long, value_name = "HASH|-")]
        nik: Vec<String>,
        /// Language of the messages.
        #[arg(long, default_value = "en")]
        lang: Language,
        /// Form of the list.
        #[arg(long, value_enum, default_value_t = Output::Text)]
        output: Output,
    },
    /// List dead letters, oldest first. Example: dead-letters --reason ambiguous_patient --output json
    DeadLetters {
        /// Only run dates from this one on.
        #[arg(long, value_name = "DATE")]
        from: Option<RunDate>,
        /// Only run dates up to this one.
        #[arg(long, value_name = "DATE")]
        to: Option<RunDate>,
        /// Only this reason.
        #[arg(long)]
        reason: Option<Reason>,
        /// Only this person: the keyed hash, or - to type or pipe NIKs.
        #[arg(long, value_name = "HASH|-")]
        nik: Vec<String>,
        /// Those already replayed too.
        #[arg(long)]
        all: bool,
        /// Language of the messages.
        #[arg(long, default_value = "en")]
        lang: Language,
        /// Form of the list.
        #[arg(long, value_enum, default_value_t = Output::Text)]
        output: Output,
    },
}

impl RunFlags {
    /// Whether nothing says what to run.
    pub fn names_nothing(&self) -> bool {
        let Self {
            date,
            due,
            resume,
            from,
            to,
            reapply,
            replay_dlq,
            reason,
            nik,
            dry_run,
            limit,
            file,
            report: _,
            output: _,
        } = self;
        let dates = date.is_some() || due.is_some() || from.is_some() || to.is_some();
        let ways = *resume || *reapply || *replay_dlq || *dry_run;
        !dates && !ways && reason.is_none() && nik.is_empty() && limit.is_none() && file.is_none()
    }

    /// What clap cannot say about flags together.
    pub fn check(&self) -> Result<(), String> {
        match (self.from, self.to) {
            (Some(from), Some(to)) if to < from => Err(format!("--to {to} is before --from {from}")),
            (Some(from), None) if !self.replay_dlq => Err(format!("--from {from} needs --to")),
            (None, Some(to)) if !self.replay_dlq => Err(format!("--to {to} needs --from")),
            _ if self.output == Output::Csv => {
                Err("--output csv is for lists; the report is text or json".into())
            }
            _ => Ok(()),
        }
    }
}

fn clock_time(text: &str) -> Result<Time, String> {
    let complain = || format!("'{text}' is not a time of day; write it as HH:MM, for example 23:00");
    let (hour, minute) = text.split_once(':').ok_or_else(complain)?;
    let part = |part: &str| (part.len() == 2).then(|| part.parse::<i8>().ok()).flatten();
    let (hour, minute) = part(hour).zip(part(minute)).ok_or_else(complain)?;
    Time::new(hour, minute, 0, 0).map_err(|_| complain())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[derive(Debug, Args)]
    struct None {}

    #[test]
    fn the_command_line_is_sound() {
        Cli::<None>::command().debug_assert();
    }

    #[test]
    fn a_time_of_day_is_two_digits_each() {
        assert_eq!(clock_time("23:00"), Ok(Time::constant(23, 0, 0, 0)));
        for wrong in ["23", "24:00", "23:60", "1:00", "23:00:00", "-1:00", "２３:00"] {
            assert!(clock_time(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn from_and_to_belong_together_and_in_order() {
        let check = |line: &[&str]| {
            let line = std::iter::once(&"producer").chain(line);
            Cli::<None>::try_parse_from(line)
                .map_err(|error| error.to_string())
                .and_then(|cli| cli.run.check())
        };
        assert!(check(&["--from", "2026-11-20", "--to", "2026-11-22"]).is_ok());
        assert!(check(&["--from", "2026-11-20"]).unwrap_err().contains("--to"));
        assert!(check(&["--from", "2026-11-22", "--to", "2026-11-20"]).unwrap_err().contains("before"));
        assert!(check(&["--replay-dlq", "--from", "2026-11-20"]).is_ok());
        assert!(check(&["--date", "2026-11-20", "--from", "2026-11-20", "--to", "2026-11-22"]).is_err());
    }
}

//! Lists at the terminal: runs, rows, dead letters; as a table, JSON lines or CSV.

use std::io::{self, Write};

use comfy_table::{Table, presets};
use serde_json::{Map, Value, json};
use shared::clock::Clock;
use shared::data_key::{DataKeys, KeyedHash};
use shared::domain::{Column, Language, Outcome, Reason, explain};
use shared::ledger::{LedgerError, LedgerView, Replay, RowFilter, RowKey, Run, RunId, RunKind};
use shared::payload::Payload;
use shared::report::Report;
use shared::spreadsheet;

use crate::flags::Output;
use crate::source::ColumnNames;

/// Rows asked of the ledger at a time.
const PAGE: u32 = 1_000;

/// Why a list could not be printed.
#[derive(Debug, thiserror::Error)]
pub enum ListingError {
    /// The ledger failed.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// There is no such run.
    #[error("there is no run {0}; see: runs")]
    NoRun(String),
    /// Standard output cannot be written.
    #[error("the list could not be written")]
    Output(#[from] io::Error),
}

/// What every list needs.
pub struct Listing<'a> {
    /// Where to look.
    pub ledger: &'a dyn LedgerView,
    /// Opens payloads, to show them masked.
    pub keys: &'a DataKeys,
    /// `JOB_NAME`.
    pub job: &'a str,
    /// Header names, for messages.
    pub columns: &'a ColumnNames,
    /// What time it is.
    pub clock: &'a Clock,
    /// The form.
    pub output: Output,
    /// Language of the messages.
    pub language: Language,
}

impl Listing<'_> {
    /// The newest runs, newest first.
    pub async fn runs(
        &self,
        date: Option<shared::domain::RunDate>,
        limit: u32,
        to: &mut dyn Write,
    ) -> Result<(), ListingError> {
        let mut list = List::new(self.output, to);
        for summary in self.ledger.runs(self.job, date, limit).await? {
            let report = Report::new(&summary.run, &summary.tally, self.clock.now());
            let Ok(Value::Object(mut object)) = serde_json::to_value(&report) else { continue };
            if self.output != Output::Json {
                // A table has no room for the maps; these say most of it.
                for (outcome, rows) in &report.outcomes {
                    object.insert((*outcome).to_owned(), json!(rows));
                }
                let shown = [
                    "run_date",
                    "run_id",
                    "kind",
                    "state",
                    "started_at",
                    "finished_at",
                    "rows_selected",
                    "updated",
                    "unchanged",
                    "rejected",
                    "dead_lettered",
                ];
                object = shown.iter().map(|key| ((*key).to_owned(), object[*key].clone())).collect();
            }
            list.add(object)?;
        }
        Ok(list.finish()?)
    }

    /// A run's rows in sheet order. `run` is an id, or a date: that date's newest run.
    pub async fn rows(&self, run: &str, filter: &RowFilter, to: &mut dyn Write) -> Result<(), ListingError> {
        let run = self.find(run).await?;
        let mut list = List::new(self.output, to);
        self.each_row(&run, filter, |object| list.add(object)).await?;
        Ok(list.finish()?)
    }

    /// A dry run's report as one object of JSON with all its `rows`.
    pub async fn preview(&self, report: &Report, to: &mut dyn Write) -> Result<(), ListingError> {
        let run = self.find(&report.run_id).await?;
        let json = report.json();
        // Opened up and written piece by piece: a sheet may be larger than what should be held at once.
        write!(to, "{},\"rows\":[", json.strip_suffix('}').unwrap_or(&json))?;
        let mut comma = "";
        let each = |object| write!(to, "{}{}", std::mem::replace(&mut comma, ","), Value::Object(object));
        self.each_row(&run, &RowFilter::default(), each).await?;
        Ok(writeln!(to, "]}}")?)
    }

    async fn each_row(
        &self,
        run: &Run,
        filter: &RowFilter,
        mut each: impl FnMut(Map<String, Value>) -> io::Result<()>,
    ) -> Result<(), ListingError> {
        let mut after = 0;
        loop {
            let page = self.ledger.rows(run.id, filter, after, PAGE).await?;
            let Some(last) = page.last() else { break };
            after = last.key.sheet_row;
            for row in page {
                let mut object = Map::new();
                object.insert("sheet_row".into(), json!(row.key.sheet_row));
                object.insert("run_date".into(), json!(run.date));
                object.insert("outcome".into(), json!(row.outcome.map(|outcome| outcome.as_str())));
                object.insert("reason".into(), json!(row.reason.map(Reason::as_str)));
                object.insert("column".into(), json!(row.column.map(|column| self.column(column))));
                let message = self.message(row.reason, row.column, &row.key, row.found.as_deref());
                object.insert("message".into(), json!(message));
                object.insert(
                    "warnings".into(),
                    json!(row.warnings.iter().map(|w| w.as_str()).collect::<Vec<_>>()),
                );
                object.insert("attempts".into(), json!(row.attempts));
                self.person(&mut object, &row.key, row.nik.as_ref(), &row.sealed);
                if run.kind == RunKind::DryRun {
                    let previous = row.found.as_deref().filter(|_| row.outcome == Some(Outcome::Updated));
                    object.insert("previous_phone_masked".into(), json!(previous));
                }
                // Not in a CSV, whose rows all have the columns of its header.
                if row.outcome.is_none() && self.output == Output::Json {
                    object.insert("state".into(), json!(row.state));
                }
                each(object)?;
            }
        }
        Ok(())
    }

    /// Dead letters, oldest first.
    pub async fn dead_letters(
        &self,
        filter: &Replay,
        all: bool,
        to: &mut dyn Write,
    ) -> Result<(), ListingError> {
        let mut list = List::new(self.output, to);
        let mut after = 0;
        loop {
            let page = self.ledger.dead_letters(filter, after, PAGE).await?;
            let Some(last) = page.last() else { break };
            after = last.number;
            for letter in page.into_iter().filter(|letter| all || letter.replayed_at.is_none()) {
                let mut object = Map::new();
                object.insert("run_date".into(), json!(letter.date));
                object.insert("sheet_row".into(), json!(letter.key.sheet_row));
                object.insert("generation".into(), json!(letter.key.generation));
                object.insert("reason".into(), json!(letter.reason.as_str()));
                let message = self.message(Some(letter.reason), None, &letter.key, Some(&letter.error));
                object.insert("message".into(), json!(message));
                object.insert("error".into(), json!(letter.error));
                object.insert("attempts".into(), json!(letter.attempts));
                object.insert("died_at".into(), json!(letter.died_at));
                object.insert("replayed_at".into(), json!(letter.replayed_at));
                object.insert("run_id".into(), json!(letter.key.run));
                self.person(&mut object, &letter.key, Some(&letter.nik), &letter.sealed);
                list.add(object)?;
            }
        }
        Ok(list.finish()?)
    }

    /// A run by its id, or a date's newest.
    pub(crate) async fn find(&self, run: &str) -> Result<Run, ListingError> {
        let found = match (run.parse::<RunId>(), run.parse()) {
            (Ok(id), _) => self.ledger.run(id).await?,
            (_, Ok(date)) => {
                self.ledger.runs(self.job, Some(date), 1).await?.pop().map(|summary| summary.run)
            }
            _ => None,
        };
        // Digits are not repeated: somebody may have typed a NIK.
        let shown = if run.len() <= 10 || run.parse::<RunId>().is_ok() { run } else { "of that name" };
        found.ok_or_else(|| ListingError::NoRun(shown.to_owned()))
    }

    fn column(&self, column: Column) -> &str {
        match column {
            Column::Nik => &self.columns.nik,
            Column::Phone => &self.columns.phone,
            Column::Updated => &self.columns.updated,
        }
    }

    fn message(
        &self,
        reason: Option<Reason>,
        column: Option<Column>,
        row: &RowKey,
        found: Option<&str>,
    ) -> Option<String> {
        let name = column.map_or("", |column| self.column(column));
        reason.map(|reason| {
            explain(reason, column, row.sheet_row, found.unwrap_or_default(), name, self.language)
        })
    }

    fn person(&self, object: &mut Map<String, Value>, row: &RowKey, nik: Option<&KeyedHash>, sealed: &[u8]) {
        // A payload sealed with a key that is gone is still listed, without its masked forms.
        let payload = Payload::open(self.keys, row, sealed).unwrap_or_default();
        object.insert("nik_masked".into(), json!(payload.nik.map(|nik| nik.masked())));
        object.insert("nik_hash".into(), json!(nik.map(KeyedHash::as_str)));
        object.insert("phone_masked".into(), json!(payload.number.map(|number| number.to_string())));
    }
}

/// Prints objects as they come; a table is printed at the end.
pub(crate) struct List<'a> {
    output: Output,
    to: &'a mut dyn Write,
    table: Table,
    started: bool,
}

impl<'a> List<'a> {
    pub(crate) fn new(output: Output, to: &'a mut dyn Write) -> Self {
        let mut table = Table::new();
        table.load_style(presets::UTF8_FULL_CONDENSED);
        Self { output, to, table, started: false }
    }

    pub(crate) fn add(&mut self, object: Map<String, Value>) -> io::Result<()> {
        match self.output {
            Output::Json => writeln!(self.to, "{}", Value::Object(object))?,
            Output::Csv => {
                if !self.started {
                    write_csv(self.to, object.keys().cloned())?;
                }
                write_csv(self.to, object.values().map(plain))?;
            }
            Output::Text => {
                if !self.started {
                    self.table.set_header(object.keys());
                }
                self.table.add_row(object.values().map(plain));
            }
        }
        self.started = true;
        Ok(())
    }

    pub(crate) fn finish(self) -> io::Result<()> {
        match self.output {
            Output::Text if self.started => writeln!(self.to, "{}", self.table),
            Output::Text => writeln!(self.to, "Nothing to list."),
            Output::Json | Output::Csv => Ok(()),
        }
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(" "),
        other => other.to_string(),
    }
}

fn write_csv(to: &mut dyn Write, cells: impl Iterator<Item = String>) -> io::Result<()> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(cells.map(|cell| spreadsheet::cell(&cell).into_owned()))?;
    to.write_all(&writer.into_inner().map_err(|error| io::Error::other(error.to_string()))?)
}

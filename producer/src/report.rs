//! The report of a run: what is printed at the end, as a table or as JSON.

use std::collections::BTreeMap;

use comfy_table::{CellAlignment, Table, presets};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;
use shared::domain::Outcome;
use shared::ledger::{Run, RunKind, RunState, Tally};

use shared::status::Status;

/// The report, in the words of the outside contract.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The run.
    pub run_id: String,
    /// `JOB_NAME`.
    pub job: String,
    /// `YYYY-MM-DD`.
    pub run_date: String,
    /// `night` or `dry_run`.
    pub kind: &'static str,
    /// `seeding`, `open`, `closed` or `abandoned`.
    pub state: &'static str,
    /// RFC 3339.
    pub started_at: Timestamp,
    /// RFC 3339; null while it is not closed.
    pub finished_at: Option<Timestamp>,
    /// Rows below the header that are not blank, of any date.
    pub rows_read: u64,
    /// Rows of the run.
    pub rows_selected: u64,
    /// Rows without an outcome yet; 0 once it is closed.
    pub rows_open: u64,
    /// Rows by outcome, every outcome named.
    pub outcomes: BTreeMap<&'static str, u64>,
    /// Rejected and dead-lettered rows by reason.
    pub reasons: BTreeMap<&'static str, u64>,
    /// Rows by warning.
    pub warnings: BTreeMap<&'static str, u64>,
    /// Requests made to the FHIR server for these rows.
    pub fhir_requests: u64,
    /// How often rows had to be tried again.
    pub retries: u64,
    /// From start to close.
    pub duration_seconds: f64,
    /// Rows selected by duration.
    pub rows_per_second: f64,
    /// Whether the sheet kept changing while it was read: each row is as last seen.
    pub sheet_changed_while_read: bool,
}

impl Report {
    /// Counts a run; one that is not closed is reported as of `now`.
    pub fn new(run: &Run, tally: &Tally, now: Timestamp) -> Self {
        let until = run.closed_at.unwrap_or(now);
        let duration_seconds = until.duration_since(run.started_at).as_secs_f64().max(0.0);
        let selected = tally.selected();
        Self {
            run_id: run.id.to_string(),
            job: run.job.clone(),
            run_date: run.date.to_string(),
            kind: run.kind.as_str(),
            state: run.state.as_str(),
            started_at: run.started_at,
            finished_at: run.closed_at,
            rows_read: run.rows_read,
            rows_selected: selected,
            rows_open: tally.open,
            outcomes: Outcome::ALL.iter().map(|outcome| (outcome.as_str(), tally.count(*outcome))).collect(),
            reasons: tally.reasons.iter().map(|(reason, rows)| (reason.as_str(), *rows)).collect(),
            warnings: tally.warnings.iter().map(|(warning, rows)| (warning.as_str(), *rows)).collect(),
            fhir_requests: tally.requests,
            retries: tally.retries,
            duration_seconds,
            rows_per_second: if duration_seconds > 0.0 { selected as f64 / duration_seconds } else { 0.0 },
            sheet_changed_while_read: run.changed_while_read,
        }
    }

    /// The exit status that a finished run's report stands for. A dry run keeps no dead letters to look at.
    pub fn status(&self) -> Status {
        if self.state != RunState::Closed.as_str() {
            Status::Stopped
        } else if self.kind == RunKind::Night.as_str() && self.count(Outcome::DeadLettered) > 0 {
            Status::DeadLetters
        } else {
            Status::Done
        }
    }

    fn count(&self, outcome: Outcome) -> u64 {
        self.outcomes.get(outcome.as_str()).copied().unwrap_or(0)
    }

    /// One line of JSON.
    pub fn json(&self) -> String {
        serde_json::to_string(self).expect("a report is plain data")
    }

    /// A table for people, times in `zone`.
    pub fn table(&self, zone: &TimeZone) -> String {
        let mut table = Table::new();
        table.load_style(presets::UTF8_FULL_CONDENSED);
        let what = if self.kind == "dry_run" { "Dry run (nothing was written)" } else { "Run" };
        let time =
            |at: Timestamp| at.to_zoned_datetime(zone.clone()).strftime("%Y-%m-%d %H:%M:%S %Z").to_string();
        let mut row = |name: &str, value: String| {
            table.add_row(vec![name.to_owned(), value]);
        };
        row(what, format!("{} of {}", self.run_date, self.job));
        row("Id", self.run_id.clone());
        row("Started", time(self.started_at));
        row("Finished", self.finished_at.map_or_else(|| format!("not yet ({})", self.state), time));
        row("Took", format!("{:.1} s, {:.0} rows/s", self.duration_seconds, self.rows_per_second));
        row("Rows read", count(self.rows_read));
        row("Rows selected", count(self.rows_selected));
        for outcome in Outcome::ALL {
            row(&format!("  {outcome}"), count(self.count(*outcome)));
        }
        if self.rows_open > 0 {
            row("  (not finished)", count(self.rows_open));
        }
        for (reason, rows) in &self.reasons {
            row(&format!("    {reason}"), count(*rows));
        }
        for (warning, rows) in &self.warnings {
            row(&format!("  warning {warning}"), count(*rows));
        }
        row("FHIR requests", count(self.fhir_requests));
        row("Retries", count(self.retries));
        if self.sheet_changed_while_read {
            row("Note", "the sheet kept changing while it was read; each row is as last seen".into());
        }
        if let Some(column) = table.column_mut(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        format!("{table}\n{}", self.remark())
    }

    fn remark(&self) -> String {
        let dead = self.count(Outcome::DeadLettered);
        let applied = self.count(Outcome::SkippedAlreadyApplied);
        let mut lines = Vec::new();
        if applied > 0 {
            lines.push(format!(
                "{} rows were already applied on this date and were not applied again.",
                count(applied)
            ));
        }
        if dead > 0 && self.kind == "night" {
            lines.push(format!(
                "{} dead letters are open. See them with: dead-letters; try them again with: --replay-dlq",
                count(dead)
            ));
        }
        if self.count(Outcome::Rejected) > 0 {
            lines.push(format!(
                "{} rows must be corrected in the sheet. List them with: rows {} --outcome rejected --output csv",
                count(self.count(Outcome::Rejected)),
                self.run_date
            ));
        }
        lines.join("\n")
    }
}

/// `20000` as `20,000`.
fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    #[test]
    fn thousands_are_set_apart() {
        for (number, text) in
            [(0, "0"), (999, "999"), (1_000, "1,000"), (20_000, "20,000"), (1_234_567, "1,234,567")]
        {
            assert_eq!(super::count(number), text);
        }
    }
}

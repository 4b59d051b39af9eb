//! The report of a run: counted when it closes, and in between for whoever asks. How it is printed is the command
//! line's.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use crate::domain::Outcome;
use crate::ledger::{Notice, Run, RunKind, RunState, Tally};
use crate::status::Status;

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
    /// When the sheet was read and every row noted; RFC 3339, like all of them.
    pub snapshot_at: Option<Timestamp>,
    /// When every row had been published for the first time.
    pub published_at: Option<Timestamp>,
    /// When the first write was recorded; known once it is closed.
    pub first_write_at: Option<Timestamp>,
    /// When the last was; likewise.
    pub last_write_at: Option<Timestamp>,
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
            snapshot_at: run.snapshot_at,
            published_at: run.published_at,
            first_write_at: run.first_write_at,
            last_write_at: run.last_write_at,
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

    /// Rows with this outcome.
    pub fn count(&self, outcome: Outcome) -> u64 {
        self.outcomes.get(outcome.as_str()).copied().unwrap_or(0)
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

    /// One line of JSON.
    pub fn json(&self) -> String {
        serde_json::to_string(self).expect("a report is plain data")
    }

    /// The news that the run is closed, for an operator.
    pub fn notice(&self) -> Notice {
        let counted = Outcome::ALL.iter().map(|outcome| (outcome, self.count(*outcome)));
        let counted = counted.filter(|(_, rows)| *rows > 0);
        let counted: Vec<_> = counted
            .map(|(outcome, rows)| format!("{} {}", thousands(rows), outcome.as_str().replace('_', " ")))
            .collect();
        let what = if counted.is_empty() { "no rows".to_owned() } else { counted.join(", ") };
        let mut text = format!(
            "{} of {} is {} after {}: {what}.",
            self.job,
            self.run_date,
            self.state,
            in_words(self.duration_seconds)
        );
        match self.count(Outcome::DeadLettered) {
            0 => {}
            1 => text.push_str(" One dead letter waits to be looked at."),
            dead => text.push_str(&format!(" {} dead letters wait to be looked at.", thousands(dead))),
        }
        Notice {
            key: format!("closed:{}", self.run_id),
            kind: "closed".to_owned(),
            text,
            detail: serde_json::to_value(self).expect("a report is plain data"),
        }
    }
}

/// A time for people: `42 s`, `5 min 3 s`, `2 h 10 min`.
pub fn in_words(seconds: f64) -> String {
    let seconds = seconds.round() as u64;
    match (seconds / 3_600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds} s"),
        (0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (hours, minutes, _) => format!("{hours} h {minutes} min"),
    }
}

/// `20000` as `20,000`.
pub fn thousands(number: u64) -> String {
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
    use super::*;

    #[test]
    fn thousands_are_set_apart() {
        for (number, text) in
            [(0, "0"), (999, "999"), (1_000, "1,000"), (20_000, "20,000"), (1_234_567, "1,234,567")]
        {
            assert_eq!(thousands(number), text);
        }
    }

    #[test]
    fn durations_are_told_in_two_units() {
        for (seconds, text) in [
            (0.4, "0 s"),
            (59.0, "59 s"),
            (60.0, "1 min 0 s"),
            (754.6, "12 min 35 s"),
            (7_384.0, "2 h 3 min"),
        ] {
            assert_eq!(in_words(seconds), text);
        }
    }
}

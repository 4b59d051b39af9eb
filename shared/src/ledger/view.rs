//! What can be seen of a ledger.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::row::RowKey;
use super::run::Run;
use crate::data_key::KeyedHash;
use crate::domain::{Column, Outcome, Reason, RunDate, Warning};

/// A run with its counts.
#[derive(Clone, Debug)]
pub struct RunSummary {
    /// The run.
    pub run: Run,
    /// Its rows.
    pub tally: Tally,
}

/// A run's rows, counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Rows by outcome; an outcome that no row has is left out.
    pub outcomes: BTreeMap<Outcome, u64>,
    /// Rejected and dead-lettered rows by reason.
    pub reasons: BTreeMap<Reason, u64>,
    /// Rows by warning.
    pub warnings: BTreeMap<Warning, u64>,
    /// Rows without an outcome yet.
    pub open: u64,
    /// Requests made to the FHIR server for these rows.
    pub requests: u64,
    /// How often rows had to be tried again.
    pub retries: u64,
}

impl Tally {
    /// All rows of the snapshot.
    pub fn selected(&self) -> u64 {
        self.open + self.outcomes.values().sum::<u64>()
    }

    /// Rows with this outcome.
    pub fn count(&self, outcome: Outcome) -> u64 {
        self.outcomes.get(&outcome).copied().unwrap_or(0)
    }
}

/// How many rows tell how rows fare now.
pub const RECENT_ROWS: u32 = 1_000;

/// Nights that [`RECENT_ROWS`] are looked for in: a few small ones, and one in which old dead letters are replayed.
pub const RECENT_NIGHTS: u32 = 5;

/// Where a job stands: what its metrics are made of.
#[derive(Clone, Debug, Default)]
pub struct Standing {
    /// The newest run that writes, with its counts.
    pub newest: Option<RunSummary>,
    /// When a row of that run last got its outcome; none before the first, those of the snapshot aside.
    pub last_ended: Option<Timestamp>,
    /// The rows of nights that ended last, by outcome: [`RECENT_ROWS`] of the newest [`RECENT_NIGHTS`] at most.
    pub recent: BTreeMap<Outcome, u64>,
    /// When a run of all of a date's rows last closed.
    pub last_success: Option<Timestamp>,
    /// Dead letters that were not replayed.
    pub dead_letters_open: u64,
    /// When retention last ran to its end.
    pub last_prune: Option<Timestamp>,
    /// Starts that were refused because another process held the lock; one for each holder.
    pub overlaps_refused: u64,
}

/// How far a run is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Rows of the snapshot.
    pub selected: u64,
    /// Rows without an outcome yet.
    pub open: u64,
    /// Rows waiting to be tried again.
    pub retrying: u64,
    /// Pending rows whose message the queue has not confirmed: those that are still to be published. A retry is not
    /// among them: the worker that failed carried it to the queue.
    pub unpublished: u64,
    /// Rows that became dead letters, complete or not.
    pub dead: u64,
}

/// Which rows to show.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RowFilter {
    /// Only this outcome.
    pub outcome: Option<Outcome>,
    /// Only this reason.
    pub reason: Option<Reason>,
    /// Only rows with this warning.
    pub warning: Option<Warning>,
    /// Only this row of the sheet.
    pub sheet_row: Option<u32>,
    /// Only rows without an outcome yet.
    pub unfinished: bool,
    /// Only these NIKs; empty means all.
    pub niks: Vec<KeyedHash>,
}

/// A row as it can be shown; its personal data is still sealed.
#[derive(Clone, Debug)]
pub struct RowView {
    /// Which row, in its newest generation.
    pub key: RowKey,
    /// Its outcome, if it has one.
    pub outcome: Option<Outcome>,
    /// The state as stored: `pending`, `claimed`, `retrying`, `failed` or `done`.
    pub state: String,
    /// Why it was rejected or dead-lettered.
    pub reason: Option<Reason>,
    /// The column a rejection is about.
    pub column: Option<Column>,
    /// What was found there, masked; or the last error, scrubbed.
    pub found: Option<String>,
    /// What is odd about it.
    pub warnings: Vec<Warning>,
    /// Attempts made: failed ones, and the one that ended it.
    pub attempts: u32,
    /// The NIK's hash.
    pub nik: Option<KeyedHash>,
    /// NIK and number, sealed.
    pub sealed: Vec<u8>,
}

/// A dead letter as it can be shown.
#[derive(Clone, Debug)]
pub struct DeadLetterView {
    /// Its number in the table: the key to page by.
    pub number: i64,
    /// Which row and generation.
    pub key: RowKey,
    /// The row's run date.
    pub date: RunDate,
    /// Why.
    pub reason: Reason,
    /// The last error, scrubbed.
    pub error: String,
    /// Attempts made.
    pub attempts: u32,
    /// When it died.
    pub died_at: Timestamp,
    /// When it was replayed; an open one was not.
    pub replayed_at: Option<Timestamp>,
    /// The NIK's hash.
    pub nik: KeyedHash,
    /// NIK and number, sealed.
    pub sealed: Vec<u8>,
}

/// What an operator did.
#[derive(Clone, Debug)]
pub struct Act {
    /// Who: OS user and host, or the name given at log-in.
    pub who: String,
    /// What, one word: `start`, `resume`, `replay`, `reapply`, …
    pub act: String,
    /// On what: run dates, filters and counts as JSON; no personal data but keyed hashes.
    pub detail: serde_json::Value,
}

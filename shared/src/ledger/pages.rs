//! What is looked at page by page: nothing here takes longer because a run has a million rows.
//!
//! Every list pages by key, forwards and backwards. Counts are kept beside the rows by the verbs that change
//! outcomes, in the same transaction: counting a million rows takes seconds.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::LedgerError;
use super::row::RowKey;
use super::run::RunId;
use super::view::{Act, DeadLetterView, RowFilter, RowView, RunSummary, Tally};
use crate::data_key::KeyedHash;
use crate::domain::{Outcome, Reason, RunDate};

/// A page of a list, in the list's own order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Page<K> {
    /// The beginning.
    #[default]
    First,
    /// What follows this key.
    After(K),
    /// What comes before this key: the entries nearest to it.
    Before(K),
}

/// One question to the FHIR server and how it was answered; nothing of what was in either.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exchange {
    /// `search`, `read`, `update`, `patch`.
    #[serde(rename = "o")]
    pub operation: String,
    /// `ok`, a status, `timeout`, `unreachable`, …
    #[serde(rename = "a")]
    pub answer: String,
    /// From the question to its answer, in milliseconds.
    #[serde(rename = "ms")]
    pub millis: u64,
}

/// How a row's newest generation ended, where it did not end with the snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    /// When.
    pub at: Timestamp,
    /// How long its last claim was worked on; nothing where the ledger settled it, or where it failed: see
    /// [`RowHistory::attempts`].
    pub took: Duration,
    /// What was asked in it; likewise.
    pub exchanges: Vec<Exchange>,
}

/// An attempt that did not come to a good end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// In which generation.
    pub generation: u32,
    /// When it ended.
    pub at: Timestamp,
    /// How long it was worked on.
    pub took: Duration,
    /// Whether it was the last of its generation.
    pub last: bool,
    /// Whether it used one of the row's attempts.
    pub counted: bool,
    /// What went wrong, scrubbed.
    pub error: String,
    /// What was asked in it.
    pub exchanges: Vec<Exchange>,
}

/// A generation that was replayed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Generation {
    /// Its number.
    pub generation: u32,
    /// How it ended.
    pub outcome: Outcome,
    /// Why.
    pub reason: Option<Reason>,
    /// The last error, scrubbed.
    pub found: Option<String>,
    /// Attempts made.
    pub attempts: u32,
    /// When it was replayed.
    pub replayed_at: Timestamp,
}

/// A write that was announced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IntentView {
    /// In which generation.
    pub generation: u32,
    /// The Patient's logical id, sealed.
    pub patient: String,
    /// The version it built on.
    pub version: String,
    /// The Patient's telecom before it, sealed.
    pub sealed_before: Vec<u8>,
    /// When.
    pub at: Timestamp,
}

/// Everything the ledger knows of one row; personal data is still sealed.
#[derive(Clone, Debug)]
pub struct RowHistory {
    /// As it stands.
    pub row: RowView,
    /// Requests made for it, over all generations.
    pub requests: u32,
    /// How often it, or a request of it, was tried again.
    pub retries: u32,
    /// How it ended, if it has.
    pub ending: Option<Ending>,
    /// What failed, oldest first.
    pub attempts: Vec<Attempt>,
    /// Generations before this one, oldest first.
    pub generations: Vec<Generation>,
    /// Writes that were announced, the latest of each generation.
    pub intents: Vec<IntentView>,
    /// Its dead letters, oldest first.
    pub dead_letters: Vec<DeadLetterView>,
}

/// Which dead letters to show.
#[derive(Clone, Debug, Default)]
pub struct DeadLetterFilter {
    /// Only those of this run.
    pub run: Option<RunId>,
    /// Only this reason.
    pub reason: Option<Reason>,
    /// Only those that were not replayed.
    pub open: bool,
    /// Only these NIKs; empty means all.
    pub niks: Vec<KeyedHash>,
}

/// Open dead letters with one reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeadLetterGroup {
    /// The reason.
    pub reason: Reason,
    /// How many.
    pub open: u64,
    /// When the first of them died.
    pub oldest: Timestamp,
    /// When the last of them died.
    pub newest: Timestamp,
}

/// A replay: the rows that were given a new generation at one instant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplayView {
    /// When.
    pub at: Timestamp,
    /// The runs of its rows, by run date.
    pub runs: Vec<(RunId, RunDate)>,
    /// Rows by how the generation it opened ended.
    pub outcomes: BTreeMap<Outcome, u64>,
    /// Rows whose generation has not ended yet.
    pub open: u64,
}

impl ReplayView {
    /// All rows of it.
    pub fn rows(&self) -> u64 {
        self.open + self.outcomes.values().sum::<u64>()
    }

    /// Puts together what an adapter counted by instant, run and outcome, in the order that it counted in.
    pub(super) fn of(counted: impl IntoIterator<Item = ReplayCount>) -> Vec<Self> {
        let mut replays: Vec<Self> = Vec::new();
        for ReplayCount { at, run, outcome, rows } in counted {
            if replays.last().is_none_or(|last| last.at != at) {
                replays.push(Self { at, runs: Vec::new(), outcomes: BTreeMap::new(), open: 0 });
            }
            let Some(replay) = replays.last_mut() else { continue };
            if replay.runs.last() != Some(&run) {
                replay.runs.push(run);
            }
            match outcome {
                Some(outcome) => *replay.outcomes.entry(outcome).or_default() += rows,
                None => replay.open += rows,
            }
        }
        replays
    }
}

/// Rows of one replay and one run that became the same.
pub(super) struct ReplayCount {
    pub(super) at: Timestamp,
    pub(super) run: (RunId, RunDate),
    pub(super) outcome: Option<Outcome>,
    pub(super) rows: u64,
}

/// An operator's act, as it was noted.
#[derive(Clone, Debug)]
pub struct NotedAct {
    /// Its number: the key to page by.
    pub number: i64,
    /// When.
    pub at: Timestamp,
    /// Who did what on what.
    pub act: Act,
}

/// From one instant to another, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Its beginning.
    pub from: Timestamp,
    /// Its end.
    pub to: Timestamp,
}

/// A row whose data was in hand at some time of a window: read from the sheet, in a queue, with a worker.
#[derive(Clone, Debug)]
pub struct Handled {
    /// Which row, in its newest generation.
    pub key: RowKey,
    /// The NIK's hash.
    pub nik: Option<KeyedHash>,
    /// NIK and number, sealed.
    pub sealed: Vec<u8>,
    /// Since when: the beginning of the reading, or a replay.
    pub from: Timestamp,
    /// Until when; nothing while it has no outcome.
    pub until: Option<Timestamp>,
}

/// The side that pages are made of.
#[async_trait]
pub trait LedgerPages: Send + Sync {
    /// A run's tally as it is kept beside the rows; empty until the snapshot is complete.
    async fn counted(&self, run: RunId) -> Result<Tally, LedgerError>;

    /// Runs of a job, newest first; the key is [`Run::order`](super::Run::order).
    async fn run_page(&self, job: &str, page: Page<i64>, limit: u32) -> Result<Vec<RunSummary>, LedgerError>;

    /// Runs of a job with run dates between the two, both included; by date, then in the order they were opened.
    async fn runs_between(
        &self,
        job: &str,
        from: RunDate,
        to: RunDate,
    ) -> Result<Vec<RunSummary>, LedgerError>;

    /// Who opened a run: OS user and host, or the name given at log-in.
    async fn started_by(&self, run: RunId) -> Result<Option<String>, LedgerError>;

    /// Rows of a run in sheet order; the key is the sheet row.
    async fn row_page(
        &self,
        run: RunId,
        filter: &RowFilter,
        page: Page<u32>,
        limit: u32,
    ) -> Result<Vec<RowView>, LedgerError>;

    /// Everything about one row.
    async fn history(&self, run: RunId, sheet_row: u32) -> Result<Option<RowHistory>, LedgerError>;

    /// Rows of a run whose data was in hand in the window, in sheet order, after the sheet row `after`.
    async fn handled(
        &self,
        run: RunId,
        window: Window,
        after: u32,
        limit: u32,
    ) -> Result<Vec<Handled>, LedgerError>;

    /// Open dead letters by reason, of one run or of all; the most frequent first.
    async fn dead_letter_groups(&self, run: Option<RunId>) -> Result<Vec<DeadLetterGroup>, LedgerError>;

    /// Dead letters, oldest first; the key is [`DeadLetterView::number`].
    async fn dead_letter_page(
        &self,
        filter: &DeadLetterFilter,
        page: Page<i64>,
        limit: u32,
    ) -> Result<Vec<DeadLetterView>, LedgerError>;

    /// The newest replays, none before `since`, and how far they are; newest first. It takes the longer the more rows
    /// these have.
    async fn replays(&self, since: Timestamp, limit: u32) -> Result<Vec<ReplayView>, LedgerError>;

    /// What operators did, newest first; the key is [`NotedAct::number`]. Of a run: what names it as `run_id`, or
    /// among its `runs`.
    async fn acts(
        &self,
        run: Option<RunId>,
        page: Page<i64>,
        limit: u32,
    ) -> Result<Vec<NotedAct>, LedgerError>;
}

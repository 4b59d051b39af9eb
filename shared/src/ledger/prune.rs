//! What the ledger deletes when it is old enough.

use std::fmt;
use std::ops::AddAssign;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::json;

use super::{Notice, RunId};
use crate::domain::RunDate;

/// Begins the key of the notice that a run's open dead letters go soon; the run's id follows, as hex digits.
pub(super) const EXPIRY: &str = "dead_letters_expire:";

/// What may be deleted of a job, and how much at a time.
#[derive(Clone, Debug)]
pub struct PruneTerms {
    /// `JOB_NAME`.
    pub job: String,
    /// Younger than this nothing goes.
    pub keep: Duration,
    /// How long before they go open dead letters have to be announced.
    pub announce: Duration,
    /// Rows deleted in one transaction.
    pub limit: u32,
}

/// How many of each kind were deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Pruned {
    /// Runs, with their reports.
    pub runs: u64,
    /// Rows, with their history, intents and successes.
    pub rows: u64,
    /// Dead letters that were replayed.
    pub dead_letters: u64,
    /// Dead letters that nobody replayed; they were announced.
    pub open_dead_letters: u64,
    /// Notices.
    pub notices: u64,
    /// Messages that nobody could read.
    pub strays: u64,
    /// Notes of what operators did.
    pub acts: u64,
}

impl Pruned {
    /// Whether there was nothing to delete.
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

impl fmt::Display for Pruned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { runs, rows, dead_letters, open_dead_letters, notices, strays, acts } = self;
        write!(
            f,
            "{runs} runs, {rows} rows, {dead_letters} replayed and {open_dead_letters} open dead letters, \
             {notices} notices, {strays} unreadable messages, {acts} notes of acts"
        )
    }
}

impl AddAssign for Pruned {
    fn add_assign(&mut self, other: Self) {
        self.runs += other.runs;
        self.rows += other.rows;
        self.dead_letters += other.dead_letters;
        self.open_dead_letters += other.open_dead_letters;
        self.notices += other.notices;
        self.strays += other.strays;
        self.acts += other.acts;
    }
}

/// A run whose open dead letters go soon, or may not go before they were announced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expiring {
    /// Which run.
    pub run: RunId,
    /// Its date.
    pub date: RunDate,
    /// How many of its dead letters nobody replayed.
    pub dead_letters: u64,
}

impl Expiring {
    /// Announces that they go at `when` at the earliest.
    pub fn notice(&self, when: Timestamp, zone: &TimeZone) -> Notice {
        let Self { run, date, dead_letters } = self;
        let day = zone.to_datetime(when).date();
        Notice {
            key: format!("{EXPIRY}{}", run.0.simple()),
            kind: "dead_letters_expire".into(),
            text: format!(
                "{dead_letters} dead letters of the night of {date} will be deleted on {day}, because they are older than \
                 RETENTION_DAYS by then. Until then they can be replayed: --replay-dlq --from {date} --to {date}"
            ),
            detail: json!({ "run_id": run, "run_date": date, "dead_letters": dead_letters, "deleted_on": day }),
        }
    }
}

//! A run: one night's work on one run date, its lock, and what is asked of all its rows at once.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::outbox::Notice;
use super::row::RowKey;
use crate::data_key::KeyedHash;
use crate::domain::{Reason, RunDate, spelled};

/// Names one run, everywhere: ledger, messages, logs, commands. A version 7 UUID (RFC 9562 §5.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(pub Uuid);

impl RunId {
    /// A new one, ordered by `now`.
    pub fn new(now: Timestamp) -> Self {
        let seconds = u64::try_from(now.as_second()).unwrap_or(0);
        let nanos = u32::try_from(now.subsec_nanosecond()).unwrap_or(0);
        Self(Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, seconds, nanos)))
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for RunId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, uuid::Error> {
        Uuid::parse_str(text).map(Self)
    }
}

spelled! {
    /// Whether a run writes.
    RunKind {
        /// Writes to FHIR.
        Night = "night",
        /// Looks everything up and writes nothing; its results stand apart and change no record.
        DryRun = "dry_run",
    }
}

spelled! {
    /// Where a run stands.
    RunState {
        /// The sheet is being read; nothing is published.
        Seeding = "seeding",
        /// The snapshot is complete; rows are on their way.
        Open = "open",
        /// Every row has its outcome.
        Closed = "closed",
        /// A dry run that nobody will finish.
        Abandoned = "abandoned",
    }
}

/// Which of the date's rows a run takes, and how it treats them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selection {
    /// Only the first so many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// Only these NIKs, as keyed hashes; empty means all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub niks: Vec<String>,
    /// Compare with FHIR even what the ledger says is applied.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reapply: bool,
}

/// What a run is opened with.
#[derive(Clone, Debug)]
pub struct NewRun {
    /// Its name.
    pub id: RunId,
    /// Whether it writes.
    pub kind: RunKind,
    /// Which rows.
    pub selection: Selection,
    /// Where the rows come from, in words.
    pub source: String,
    /// Who started it: OS user and host.
    pub started_by: String,
    /// The name of the key that its persons will be hashed with; refused where the ledger's hashes are of another.
    pub hashes: String,
}

/// A run as the ledger has it.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// Its name.
    pub id: RunId,
    /// `JOB_NAME`.
    pub job: String,
    /// The run date.
    pub date: RunDate,
    /// Whether it writes.
    pub kind: RunKind,
    /// Which rows.
    pub selection: Selection,
    /// Its place among all runs: a later snapshot of the same date is newer.
    pub order: i64,
    /// Where it stands.
    pub state: RunState,
    /// Where the rows came from.
    pub source: String,
    /// When it was opened.
    pub started_at: Timestamp,
    /// When its snapshot was complete.
    pub snapshot_at: Option<Timestamp>,
    /// When every row had been published for the first time.
    pub published_at: Option<Timestamp>,
    /// When its first `updated` row was recorded; known once it is closed.
    pub first_write_at: Option<Timestamp>,
    /// When its last `updated` row was recorded; likewise. Replays do not change it.
    pub last_write_at: Option<Timestamp>,
    /// When it closed.
    pub closed_at: Option<Timestamp>,
    /// Rows below the header that are not blank, of any date.
    pub rows_read: u64,
    /// Whether the sheet kept changing while it was read.
    pub changed_while_read: bool,
}

/// What reading the source came to.
#[derive(Clone, Copy, Debug)]
pub struct Snapshot {
    /// Rows below the header that are not blank, of any date.
    pub rows_read: u64,
    /// Whether the sheet kept changing while it was read.
    pub changed_while_read: bool,
}

/// What a run is closed with.
#[derive(Clone, Debug, PartialEq)]
pub struct Closing {
    /// When it closed, by the ledger's clock ([`LedgerView::now`](super::LedgerView::now)): the one source of this
    /// time, for the run and for its report alike.
    pub closed_at: Timestamp,
    /// When its first and its last write were recorded, where it wrote.
    pub writes: Option<(Timestamp, Timestamp)>,
    /// Its report as of then.
    pub report: serde_json::Value,
    /// The news of it, where anybody wants them.
    pub notice: Option<Notice>,
}

/// The right to write as the holder of a run lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fence {
    /// The job locked.
    pub job: String,
    /// The date locked.
    pub date: RunDate,
    /// Grows with each holder; a write with an old epoch is refused.
    pub epoch: i64,
}

/// The answer to an attempt to lock.
#[derive(Clone, Debug)]
pub enum LockAttempt {
    /// It is ours.
    Taken(Fence),
    /// Somebody holds it.
    Held {
        /// Who, as they gave their name.
        holder: String,
        /// How much of their lease is left.
        left: Duration,
    },
}

/// Which rows a sweep takes.
#[derive(Clone, Debug)]
pub struct DueTerms {
    /// One run's; none means all.
    pub run: Option<RunId>,
    /// Only those of this job; none means all.
    pub job: Option<String>,
    /// Only those of runs of this kind; none means all.
    pub kind: Option<RunKind>,
    /// At most so many.
    pub limit: u32,
    /// Whether the work queue holds nothing ready: only then is a row that merely waited long taken, so a
    /// healthy backlog is not published twice.
    pub queue_idle: bool,
    /// How long a taken row stays out of the next sweep; doubled each time the same row is taken.
    pub retake_after: Duration,
}

/// Which dead letters to replay, and on whose behalf.
#[derive(Clone, Debug, Default)]
pub struct Replay {
    /// Only these NIKs.
    pub niks: Vec<KeyedHash>,
    /// Only run dates from this one on.
    pub from: Option<RunDate>,
    /// Only run dates up to this one.
    pub to: Option<RunDate>,
    /// Only this reason.
    pub reason: Option<Reason>,
    /// Only these rows; empty means all.
    pub rows: Vec<RowKey>,
}

spelled! {
    /// Why nobody may call the FHIR server.
    GateKind {
        /// The server asked for a pause (`Retry-After`).
        Throttled = "throttled",
        /// Something is wrong for every row: credentials, reachability, a failure rate.
        Systemic = "systemic",
        /// Going on could write to the wrong Patient: the night stops until an operator starts it again.
        Guard = "guard",
    }
}

/// A pause of the whole fleet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gate {
    /// What kind.
    pub kind: GateKind,
    /// Why, for an operator; no personal data.
    pub reason: String,
}

/// A gate as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShutGate {
    /// Why it is shut.
    pub gate: Gate,
    /// Since when: prolonging it, for whatever reason, does not change that.
    pub since: Timestamp,
    /// When it lapses by itself, unless it is shut again: by the ledger's clock.
    pub left: Duration,
    /// Tells this shutting of it from every other one.
    pub mark: i64,
}

//! A row's way through the ledger: seeded, due, claimed, intended, recorded, buried.

use std::ops::RangeInclusive;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::pages::Exchange;
use super::run::{RunId, RunKind};
use crate::data_key::KeyedHash;
use crate::domain::{Column, Outcome, Reason, RunDate, Warning};

/// One generation of one row of one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RowKey {
    /// The run.
    pub run: RunId,
    /// The row's number in the sheet; the header is 1.
    pub sheet_row: u32,
    /// 1, and one more with each replay.
    pub generation: u32,
}

impl RowKey {
    /// What a sealed payload is bound to: its run and row, the same in every generation.
    pub fn place(&self) -> [u8; 20] {
        let mut place = [0; 20];
        place[..16].copy_from_slice(self.run.0.as_bytes());
        place[16..].copy_from_slice(&self.sheet_row.to_be_bytes());
        place
    }
}

/// Newest wins: run date first, then the order of the snapshots within it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Order {
    /// The run date.
    pub date: RunDate,
    /// [`Run::order`](super::Run::order).
    pub snapshot: i64,
}

/// A stretch of the sheet as it goes into the snapshot.
#[derive(Clone, Debug)]
pub struct Seeded {
    /// The sheet rows this stands for; rows of it that the snapshot held before go away.
    pub range: RangeInclusive<u32>,
    /// Those of its rows that belong to the run, in sheet order.
    pub rows: Vec<SeedRow>,
}

/// A row as it goes into the snapshot.
#[derive(Clone, Debug)]
pub struct SeedRow {
    /// The row's number in the sheet.
    pub sheet_row: u32,
    /// Why it is rejected, in which column, and what was found there (masked); a good row has none.
    pub rejected: Option<(Reason, Column, String)>,
    /// The NIK's hash, where one could be read.
    pub nik: Option<KeyedHash>,
    /// The number's hash, where one could be read.
    pub number: Option<KeyedHash>,
    /// NIK and number, sealed; see [`crate::payload`].
    pub sealed: Vec<u8>,
    /// What the hashes are made of, sealed.
    pub digests: Option<Vec<u8>>,
    /// What is odd about it.
    pub warnings: Vec<Warning>,
}

/// A row on its way: what the ledger has published and what the queue delivers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowMessage {
    /// Which row.
    pub key: RowKey,
    /// How often the row went back to the queue: an older message of the same row is stale.
    pub turn: u32,
    /// NIK and number, sealed.
    pub sealed: Vec<u8>,
}

/// A wish to work on a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClaimRequest {
    /// Which row.
    pub key: RowKey,
    /// The message's turn.
    pub turn: u32,
    /// Whether its process holds no other claim, and takes none before this one has ended. A row that crashed
    /// [`CRASHES_IN_COMPANY`](super::CRASHES_IN_COMPANY) times is claimed only so.
    pub alone: bool,
}

/// What became of the wish.
#[derive(Clone, Debug)]
pub enum Claim {
    /// It is ours until the lease ends.
    Ours(Box<Claimed>),
    /// The row has its outcome, or just got it from the ledger: settle the delivery as done.
    Settled(Option<Outcome>),
    /// The row failed for good, earlier or by this claim, and its dead letter is not complete: reject the
    /// delivery.
    Failed(Reason),
    /// A later message of this row is on its way, or the row is gone: settle as done.
    Stale,
    /// Somebody works on this row or on its NIK. Uses no attempt.
    Leased {
        /// How much of their lease is left.
        left: Duration,
    },
    /// Its claims keep ending without a record: claim it again, alone. Nothing was counted.
    Suspect,
}

/// A claim that succeeded.
#[derive(Clone, Debug)]
pub struct Claimed {
    /// Which row.
    pub key: RowKey,
    /// Grows with each claim; a record with an older one is refused.
    pub epoch: i64,
    /// When the lease ends, by the ledger's clock.
    pub lease: Duration,
    /// Failed attempts so far.
    pub attempts: u32,
    /// Whether the run writes.
    pub kind: RunKind,
    /// Where this row stands among all for the same NIK.
    pub order: Order,
    /// NIK and number, sealed.
    pub sealed: Vec<u8>,
    /// The NIK's hash.
    pub nik: KeyedHash,
    /// The number's hash.
    pub number: KeyedHash,
    /// A write that an earlier claim of this generation was about to make, as [`Intent::patient`] and
    /// [`Intent::version`]: it may have gone through.
    pub intent: Option<(String, String)>,
    /// A newer success of the same NIK stands, yet a write of ours may have gone through: put right what FHIR
    /// holds, then record `superseded`.
    pub superseded: bool,
}

/// A write about to be made.
#[derive(Clone, Debug)]
pub struct Intent {
    /// Which row.
    pub key: RowKey,
    /// The claim's epoch.
    pub epoch: i64,
    /// The Patient's logical id, sealed: some servers use the NIK as id.
    pub patient: String,
    /// The version the write builds on (`meta.versionId`).
    pub version: String,
    /// The Patient's telecom before the write, sealed.
    pub sealed_before: Vec<u8>,
}

/// How a claim ended.
#[derive(Clone, Debug)]
pub struct Record {
    /// Which row.
    pub key: RowKey,
    /// The claim's epoch.
    pub epoch: i64,
    /// The end.
    pub settlement: Settlement,
    /// Requests made to the FHIR server during this claim.
    pub requests: u32,
    /// How often the row had to be tried again.
    pub retries: u32,
    /// How long the claim was worked on.
    pub took: Duration,
    /// What was asked of the FHIR server during it.
    pub exchanges: Vec<Exchange>,
}

/// The end of a claim.
#[derive(Clone, Debug, PartialEq)]
pub enum Settlement {
    /// The row has its outcome.
    Done {
        /// Not `dead_lettered`: that takes [`Failed`](Self::Failed) and a burial.
        outcome: Outcome,
        /// What the report should mention.
        warnings: Vec<Warning>,
        /// Of a dry run: the number that would be replaced, masked.
        previous: Option<String>,
    },
    /// It is tried again later.
    Retry {
        /// After so long.
        after: Duration,
        /// Whether this used one of its attempts.
        counted: bool,
        /// What went wrong, scrubbed.
        error: String,
    },
    /// It cannot be done: its dead letter follows.
    Failed {
        /// Why.
        reason: Reason,
        /// What went wrong, scrubbed.
        error: String,
    },
    /// Nothing was tried, or nothing can be for now: back to pending, to be published again by the sweep.
    Returned,
}

impl Settlement {
    /// In a word, for a log: the outcome or reason where there is one.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Done { outcome, .. } => outcome.as_str(),
            Self::Retry { .. } => "retry",
            Self::Failed { reason, .. } => reason.as_str(),
            Self::Returned => "returned",
        }
    }
}

/// Whether a record was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// It stands. The turn that the row's next message must carry.
    Yes {
        /// See [`RowMessage::turn`].
        turn: u32,
    },
    /// The claim is no longer ours: another took the row after our lease ran out.
    Refused,
}

/// A message that the queue gave up, by rejection or by its delivery limit.
#[derive(Clone, Debug)]
pub struct Burial {
    /// Which row.
    pub key: RowKey,
    /// What the queue tells of the message's deaths (`x-death`), in short.
    pub deaths: Option<String>,
}

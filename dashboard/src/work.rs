//! What was begun from the page, and how it goes.

use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use producer::{Ended, Halt, Order, Producer};
use shared::error_chain;
use shared::ledger::{RunKind, Selection};
use tokio_util::sync::CancellationToken;

use crate::hands::{Deed, Refused};

/// Items that are remembered.
const KEPT: usize = 20;

/// A deed that was begun.
#[derive(Clone, Debug)]
pub struct Item {
    /// Which.
    pub deed: Deed,
    /// On whose behalf.
    pub who: String,
    /// When.
    pub since: Timestamp,
    /// How it ended, once it has.
    pub ended: Option<Result<Done, Undone>>,
}

/// What a deed came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Done {
    /// There was nothing to resume.
    NothingUnfinished,
    /// A night or a dry run, to its end.
    Finished {
        /// Rows of it.
        rows: u64,
    },
    /// A replay, to its end.
    Replayed {
        /// Rows that were tried again.
        rows: u64,
        /// Those of them that became dead letters again.
        died_again: u64,
    },
}

/// Why a deed did not come to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Undone {
    /// Another process is at work on the same.
    Locked,
    /// A guard or a failure of everything; in words.
    Stopped(String),
    /// The program was told to stop. Starting again carries it on.
    Interrupted,
    /// It failed; in words. Starting again carries it on.
    Failed(String),
}

impl From<Halt> for Undone {
    fn from(halt: Halt) -> Self {
        match halt {
            Halt::Locked => Self::Locked,
            Halt::Stopped(reason) => Self::Stopped(reason),
            Halt::Interrupted => Self::Interrupted,
        }
    }
}

impl From<Refused> for Undone {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Locked(_) => Self::Locked,
            Refused::Failed(reason) => Self::Failed(reason),
        }
    }
}

/// The deeds of one process, one at a time.
#[derive(Clone, Default)]
pub struct Bench {
    items: Arc<Mutex<Vec<Item>>>,
}

/// A place at the bench; dropped without [`end`](Self::end), the deed counts as broken off.
pub struct Place {
    bench: Bench,
    since: Timestamp,
    ended: bool,
}

impl Bench {
    /// Notes that a deed begins, unless another is under way.
    pub fn take(&self, deed: Deed, who: String, since: Timestamp) -> Result<Place, Refused> {
        let mut items = self.items.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(busy) = items.iter().find(|item| item.ended.is_none()) {
            return Err(Refused::Locked(format!("{}, since {}", busy.who, busy.since)));
        }
        items.insert(0, Item { deed, who, since, ended: None });
        items.truncate(KEPT);
        Ok(Place { bench: self.clone(), since, ended: false })
    }

    /// Newest first.
    pub fn items(&self) -> Vec<Item> {
        self.items.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Place {
    /// Notes how it ended.
    pub fn end(mut self, result: Result<Done, Undone>) {
        self.note(result);
    }

    fn note(&mut self, result: Result<Done, Undone>) {
        self.ended = true;
        let mut items = self.bench.items.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(item) = items.iter_mut().find(|item| item.since == self.since && item.ended.is_none()) {
            item.ended = Some(result);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.ended {
            self.note(Err(Undone::Interrupted));
        }
    }
}

/// Carries a deed out with a producer, to its end.
pub async fn carry_out(producer: &Producer, deed: Deed, stop: &CancellationToken) -> Result<Done, Undone> {
    let failed = |error: producer::ProducerError| Undone::Failed(error_chain(&error));
    match deed {
        Deed::Resume(date) => match producer.resume(date, stop).await.map_err(failed)? {
            Some(ended) => told(ended),
            None => Ok(Done::NothingUnfinished),
        },
        Deed::Rerun { date, dry_run } => {
            let kind = if dry_run { RunKind::DryRun } else { RunKind::Night };
            let order = Order { kind, selection: Selection::default() };
            told(producer.night(date, &order, stop).await.map_err(failed)?)
        }
        Deed::Replay(replay) => {
            let ended = producer.replay(replay, stop).await.map_err(failed)?;
            match ended.halt {
                Some(halt) => Err(halt.into()),
                None => Ok(Done::Replayed { rows: ended.replayed, died_again: ended.died_again }),
            }
        }
    }
}

fn told(ended: Ended) -> Result<Done, Undone> {
    match ended.halt {
        Some(halt) => Err(halt.into()),
        None => Ok(Done::Finished { rows: ended.reports.iter().map(|report| report.rows_selected).sum() }),
    }
}

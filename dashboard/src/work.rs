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
    /// How it ended, in words, once it has; and whether well.
    pub ended: Option<Result<String, String>>,
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
    pub fn end(mut self, result: Result<String, String>) {
        self.note(result);
    }

    fn note(&mut self, result: Result<String, String>) {
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
            self.note(Err("broken off; starting again carries it on".into()));
        }
    }
}

/// Carries a deed out with a producer, to its end. What it did, in words; or why not.
pub async fn carry_out(producer: &Producer, deed: Deed, stop: &CancellationToken) -> Result<String, String> {
    let failed = |error: producer::ProducerError| error_chain(&error);
    match deed {
        Deed::Resume(date) => match producer.resume(date, stop).await.map_err(failed)? {
            Some(ended) => told(ended),
            None => Ok("nothing was unfinished".into()),
        },
        Deed::Rerun { date, dry_run } => {
            let kind = if dry_run { RunKind::DryRun } else { RunKind::Night };
            let order = Order { kind, selection: Selection::default() };
            told(producer.night(date, &order, stop).await.map_err(failed)?)
        }
        Deed::Replay(replay) => {
            let ended = producer.replay(replay, stop).await.map_err(failed)?;
            match ended.halt {
                Some(halt) => Err(halted(&halt)),
                None => Ok(format!("replayed {}, of which {} died again", ended.replayed, ended.died_again)),
            }
        }
    }
}

fn told(ended: Ended) -> Result<String, String> {
    if let Some(halt) = &ended.halt {
        return Err(halted(halt));
    }
    let rows: u64 = ended.reports.iter().map(|report| report.rows_selected).sum();
    Ok(format!("finished; {rows} rows"))
}

fn halted(halt: &Halt) -> String {
    match halt {
        Halt::Locked => "another live process holds the lock of this job and date; nothing was done".into(),
        Halt::Stopped(reason) => format!("stopped: {reason}"),
        Halt::Interrupted => "interrupted; starting again carries it on".into(),
    }
}

//! What the page does, as opposed to shows.

use async_trait::async_trait;
use shared::domain::RunDate;
use shared::ledger::{Act, Replay};

use crate::work::Item;

/// Something an operator pressed.
#[derive(Clone, Debug)]
pub enum Deed {
    /// `--resume`, of this date or the newest unfinished run.
    Resume(Option<RunDate>),
    /// `--date`, with or without `--dry-run`.
    Rerun {
        /// Which date.
        date: RunDate,
        /// Whether it only looks.
        dry_run: bool,
    },
    /// `--replay-dlq`.
    Replay(Replay),
}

/// Why something was not done; in words for the operator.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Somebody else is at work on the same.
    #[error("another process is at work: {0}")]
    Locked(String),
    /// It cannot be done.
    #[error("{0}")]
    Failed(String),
}

/// Carries out what is pressed: the same code as the command line's. Given by the program, which chooses ledger and
/// queue.
#[async_trait]
pub trait Hands: Send + Sync {
    /// Notes an act in the ledger.
    async fn note(&self, act: Act) -> Result<(), Refused>;

    /// Begins a deed on behalf of `who`, and returns when it is under way.
    async fn begin(&self, deed: Deed, who: String) -> Result<(), Refused>;

    /// What was begun here since the start, newest first.
    fn begun(&self) -> Vec<Item>;
}

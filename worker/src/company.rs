//! Whether a row is worked on beside others, or alone in its process: a row under suspicion of ending the process
//! must not take others with it, nor be blamed for what they do.

use std::sync::Arc;

use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Who works in this process; all of its workers share one.
#[derive(Clone, Debug, Default)]
pub struct Company(Arc<RwLock<()>>);

/// Held from before a row's claim until that claim has ended.
pub(crate) enum Place<'a> {
    /// Beside others.
    Among { _held: RwLockReadGuard<'a, ()> },
    /// With nobody beside.
    Alone { _held: RwLockWriteGuard<'a, ()> },
}

impl Company {
    /// A place beside others, once nobody works alone, nor waits to.
    pub(crate) async fn join(&self) -> Place<'_> {
        Place::Among { _held: self.0.read().await }
    }

    /// The only place, once all others have ended. Who joins meanwhile waits.
    pub(crate) async fn only(&self) -> Place<'_> {
        Place::Alone { _held: self.0.write().await }
    }
}

impl Place<'_> {
    /// Whether nobody is beside.
    pub(crate) fn is_alone(&self) -> bool {
        matches!(self, Self::Alone { .. })
    }
}

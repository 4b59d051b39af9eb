//! What producers and workers stand on. A program chooses its parts; what stands on it does not know which.

use std::sync::Arc;

use crate::clock::Clock;
use crate::data_key::DataKeys;
use crate::ledger::Ledger;
use crate::metrics::Metrics;
use crate::queue::Queues;

/// See the module.
#[derive(Clone)]
pub struct Backing {
    /// The truth.
    pub ledger: Arc<dyn Ledger>,
    /// The transport.
    pub queues: Queues,
    /// Seals and hashes.
    pub keys: Arc<DataKeys>,
    /// What time it is.
    pub clock: Clock,
    /// What this process measures.
    pub metrics: Metrics,
}

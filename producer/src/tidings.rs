//! The notices of a command: looked out for and posted while it runs, and at its end.

use std::time::Duration;

use shared::lookout::{Lookout, LookoutTerms};
use shared::webhook::{Notifier, Webhook};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::producer::Producer;

/// What a command that ended has for its notices: a webhook that does not answer holds it up for so long, and no longer.
pub const FAREWELL: Duration = Duration::from_secs(10);

/// Beside a command; dropped, it stops at once.
pub struct Tidings {
    over: CancellationToken,
    task: JoinHandle<()>,
}

impl Tidings {
    /// Begins. Without a webhook the notices are noted in the ledger alone.
    pub fn of(producer: &Producer, webhook: Option<Webhook>) -> Self {
        let (ledger, job) = (producer.backing.ledger.clone(), producer.job.clone());
        let notifier = Notifier::new(ledger.clone(), webhook, job.clone(), producer.holder.clone());
        let lookout = Lookout::new(ledger, job, producer.holder.clone(), LookoutTerms::default());
        let over = CancellationToken::new();
        let until = over.clone();
        let task = tokio::spawn(async move {
            tokio::join!(lookout.serve(until.clone()), notifier.serve_to_the_end(until, FAREWELL));
        });
        Self { over, task }
    }

    /// The command ended: posts what there is to post, for [`FAREWELL`] at most.
    pub async fn end(mut self) {
        self.over.cancel();
        if let Err(error) = (&mut self.task).await {
            tracing::error!(%error, "notices are left to the next start");
        }
    }
}

impl Drop for Tidings {
    fn drop(&mut self) {
        self.task.abort();
    }
}

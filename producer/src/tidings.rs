//! The notices of a command: looked out for and posted while it runs, and at its end.

use std::time::Duration;

use shared::lookout::{Lookout, LookoutTerms};
use shared::webhook::{Notifier, Webhook};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::producer::Producer;

/// What a command that ended has for its notices: a webhook that does not answer holds it up for so long, and no longer.
pub const FAREWELL: Duration = Duration::from_secs(10);

/// The part of it in which a pause that ended just before the command is found to be over.
const LAST_LOOK: Duration = Duration::from_secs(1);

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
        let (until, looked) = (over.clone(), CancellationToken::new());
        let task = tokio::spawn(async move {
            let looking = async {
                lookout.serve(until).await;
                // A ledger that fails keeps no news.
                let _ = tokio::time::timeout(LAST_LOOK, lookout.look_last()).await;
                looked.cancel();
            };
            tokio::join!(looking, notifier.serve_to_the_end(looked.clone(), FAREWELL - LAST_LOOK));
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

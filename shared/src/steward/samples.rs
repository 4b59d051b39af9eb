//! A point of each open run's series every second, while the steward's duty is ours.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{Steward, StewardError};
use crate::error_chain;
use crate::ledger::Sample;

/// Between two points at most as far apart as they may be; the ledger passes over what comes too early.
const EVERY: Duration = Duration::from_secs(1);

impl Steward {
    /// Until `stop`. What cannot be sampled now is a gap in a picture.
    pub(super) async fn sample(&self, stop: &CancellationToken) {
        let mut holds = self.holds.subscribe();
        loop {
            tokio::select! {
                biased;
                held = holds.wait_for(|holds| *holds) => if held.is_err() { return },
                () = stop.cancelled() => return,
            }
            let taken = tokio::select! {
                biased;
                taken = self.take_samples() => taken,
                () = stop.cancelled() => return,
            };
            if let Err(error) = taken {
                tracing::debug!(error = error_chain(&error), "a sample could not be taken");
            }
            tokio::select! {
                biased;
                () = tokio::time::sleep(EVERY) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    async fn take_samples(&self) -> Result<(), StewardError> {
        let runs = self.unfinished().await?;
        if runs.is_empty() {
            return Ok(());
        }
        // A queue that is away says nothing of how far the rows are.
        let depth = self.queue.depth().await.ok();
        for run in runs {
            let mut sample = Sample::new(&self.ledger.counted(run.id).await?);
            sample.ready = depth.map(|depth| depth.ready);
            sample.waiting = depth.map(|depth| depth.waiting);
            self.ledger.add_sample(run.id, &sample).await?;
        }
        Ok(())
    }
}

//! The run lock as its holder keeps it: renewed in time, and given up by the holder itself before the lease ends.

use std::sync::Arc;
use std::time::Duration;

use shared::domain::RunDate;
use shared::error_chain;
use shared::ledger::{Fence, Ledger, LedgerError, LockAttempt, Notice};
use shared::testing::{hurried, hurried_to};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// The lease of the run lock; tests shorten it.
#[derive(Clone, Copy, Debug)]
pub struct LockTerms {
    /// How long it stands without renewal.
    pub lease: Duration,
    /// How often it is renewed.
    pub renew: Duration,
}

impl Default for LockTerms {
    fn default() -> Self {
        Self {
            lease: hurried_to(Duration::from_secs(4), Duration::from_secs(15)),
            renew: hurried(Duration::from_secs(5)),
        }
    }
}

/// A held run lock.
pub struct RunLock {
    /// The right to write.
    pub fence: Fence,
    /// Cancelled when the lock is lost, or cannot be known to be ours for much longer.
    pub lost: CancellationToken,
    ledger: Arc<dyn Ledger>,
    renewal: JoinHandle<()>,
}

/// Takes the lock. One that is held is waited for as long as one lease: if its holder died it runs out; if it
/// is renewed, somebody lives. `None`: held by another.
pub async fn take(
    ledger: &Arc<dyn Ledger>,
    job: &str,
    date: RunDate,
    holder: &str,
    terms: LockTerms,
) -> Result<Option<RunLock>, LedgerError> {
    let patience = Instant::now() + terms.lease + Duration::from_millis(500);
    loop {
        let asked = Instant::now();
        match ledger.lock(job, date, holder, terms.lease).await? {
            LockAttempt::Taken(fence) => {
                let lost = CancellationToken::new();
                let renewal = tokio::spawn(renew(ledger.clone(), fence.clone(), terms, asked, lost.clone()));
                return Ok(Some(RunLock { fence, lost, ledger: ledger.clone(), renewal }));
            }
            LockAttempt::Held { holder, left } => {
                if Instant::now() >= patience {
                    tracing::warn!(job, run_date = %date, holder, "another process holds the lock of this job and date");
                    ledger.post_notice(&overlap(job, date, &holder)).await?;
                    return Ok(None);
                }
                tokio::time::sleep(left.clamp(Duration::from_millis(50), Duration::from_millis(500))).await;
            }
        }
    }
}

/// The news of a start that was refused; one for each holder, however many starts it turns away.
pub fn overlap(job: &str, date: RunDate, holder: &str) -> Notice {
    Notice {
        key: format!("overlap:{job}:{date}:{holder}"),
        kind: "overlap_refused".into(),
        text: format!(
            "{job} of {date} was started while another process works on it ({holder}); the second start did nothing. \
             If it was not meant: are there two schedulers?"
        ),
        detail: serde_json::json!({ "run_date": date, "holder": holder }),
    }
}

async fn renew(
    ledger: Arc<dyn Ledger>,
    fence: Fence,
    terms: LockTerms,
    mut renewed: Instant,
    lost: CancellationToken,
) {
    // The margin is one renewal interval: whoever stops then has stopped before another can take over.
    let _lost = lost.drop_guard();
    loop {
        tokio::time::sleep(terms.renew).await;
        let asked = Instant::now();
        let ends = renewed + terms.lease.saturating_sub(terms.renew);
        match tokio::time::timeout_at(ends, ledger.renew_lock(&fence, terms.lease)).await {
            Ok(Ok(true)) => renewed = asked,
            Ok(Ok(false)) => {
                tracing::error!(run_date = %fence.date, "another process took the run lock over; this one stops");
                return;
            }
            Ok(Err(error)) if Instant::now() < ends => {
                tracing::warn!(
                    error = error_chain(&error),
                    "the run lock could not be renewed; trying again"
                );
            }
            Ok(Err(_)) | Err(_) => {
                tracing::error!(run_date = %fence.date, "the run lock could not be renewed in time; this process stops");
                return;
            }
        }
    }
}

impl RunLock {
    /// Gives it back.
    pub async fn give_back(self) {
        self.renewal.abort();
        if let Err(error) = self.ledger.unlock(&self.fence).await {
            tracing::warn!(
                error = error_chain(&error),
                "the run lock could not be given back; it runs out by itself"
            );
        }
    }
}

impl Drop for RunLock {
    fn drop(&mut self) {
        self.renewal.abort();
    }
}

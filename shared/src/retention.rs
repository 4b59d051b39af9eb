//! Retention: deletes what is older than `RETENTION_DAYS`, in batches small enough that a night beside it does not
//! notice, and records what was deleted.
//!
//! A person's newest success (hashes and times) is not deleted: any date can be run again however old it is, and
//! must still be superseded by what was applied later.

use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::error_chain;
use crate::ledger::{Act, Ledger, LedgerError, PruneTerms, Pruned};
use crate::settings::Settings;

/// What a batch deletes of rows: some ten milliseconds' work of either ledger.
const BATCH: u32 = 500;

/// How long before they go open dead letters are announced.
const ANNOUNCE: Duration = Duration::from_secs(3 * 86_400);

/// How often a process that stays looks whether there is something to do.
const EVERY: Duration = Duration::from_secs(60);

/// How often something is deleted, or found to be too young, at least.
const DAY: Duration = Duration::from_secs(86_400);

/// How long the duty is held; each batch holds it anew.
const LEASE: Duration = Duration::from_secs(60);

const FAILED: &str = "what is older than RETENTION_DAYS could not be deleted";

/// See the module.
pub struct Retention {
    ledger: Arc<dyn Ledger>,
    job: String,
    keep: Duration,
    zone: TimeZone,
    holder: String,
}

impl Retention {
    /// By the settings; `holder` names this process among its peers.
    pub fn new(ledger: Arc<dyn Ledger>, settings: &Settings, holder: String) -> Self {
        Self {
            ledger,
            job: settings.job.clone(),
            keep: DAY * settings.retention_days,
            zone: settings.zone.clone(),
            holder,
        }
    }

    /// Announces what goes soon, deletes all that is old enough, and records it as an act of `who`. None: another
    /// process is at it.
    pub async fn prune(&self, who: &str) -> Result<Option<Pruned>, LedgerError> {
        if !self.hold().await? {
            return Ok(None);
        }
        self.announce().await?;
        let terms = PruneTerms { job: self.job.clone(), keep: self.keep, announce: ANNOUNCE, limit: BATCH };
        let mut all = Pruned::default();
        loop {
            let pruned = self.ledger.prune(&terms).await?;
            all += pruned;
            if pruned.is_nothing() || !self.hold().await? {
                break;
            }
        }
        let detail = json!({ "job": self.job, "older_than_days": self.keep.as_secs() / DAY.as_secs(), "deleted": all });
        self.ledger.note_act(Act { who: who.to_owned(), act: "prune".into(), detail }).await?;
        if !all.is_nothing() {
            tracing::info!(
                runs = all.runs,
                rows = all.rows,
                dead_letters = all.dead_letters + all.open_dead_letters,
                "what was older than RETENTION_DAYS is deleted"
            );
        }
        // Free for the next, whoever that is.
        self.ledger.hold_duty(&self.duty(), &self.holder, Duration::ZERO).await?;
        Ok(Some(all))
    }

    /// Prunes if it is due, `patience` at most: for a process that ends. What it does not come to is left to the next.
    pub async fn tend(&self, patience: Duration) {
        let round = tokio::time::timeout(patience, self.round()).await;
        if let Ok(Err(error)) = round {
            tracing::warn!(error = error_chain(&error), "{FAILED}");
        }
    }

    async fn round(&self) -> Result<(), LedgerError> {
        if self.is_due().await? {
            self.prune(&self.holder).await?;
        }
        Ok(())
    }

    /// Prunes once a day, and after each run that closed, until `stop`.
    pub async fn serve(&self, stop: CancellationToken) {
        let mut failed_before = false;
        loop {
            tokio::select! {
                () = tokio::time::sleep(EVERY) => {}
                () = stop.cancelled() => return,
            }
            let round = tokio::select! {
                round = self.round() => round,
                () = stop.cancelled() => return,
            };
            if let Err(error) = &round
                && !failed_before
            {
                tracing::warn!(error = error_chain(error), "{FAILED}");
            }
            failed_before = round.is_err();
        }
    }

    async fn is_due(&self) -> Result<bool, LedgerError> {
        let standing = self.ledger.standing(&self.job).await?;
        let now = self.ledger.now().await?;
        let closed = standing.newest.and_then(|newest| newest.run.closed_at);
        Ok(standing.last_prune.is_none_or(|pruned| {
            closed.is_some_and(|closed| closed > pruned) || now.duration_since(pruned).unsigned_abs() >= DAY
        }))
    }

    async fn announce(&self) -> Result<(), LedgerError> {
        let now = self.ledger.now().await?;
        for expiring in self.ledger.expiring(&self.job, self.keep.saturating_sub(ANNOUNCE)).await? {
            let when = now.saturating_add(ANNOUNCE).unwrap_or(now);
            self.ledger.post_notice(&expiring.notice(when, &self.zone)).await?;
        }
        Ok(())
    }

    async fn hold(&self) -> Result<bool, LedgerError> {
        self.ledger.hold_duty(&self.duty(), &self.holder, LEASE).await
    }

    fn duty(&self) -> String {
        format!("prune of {}", self.job)
    }
}

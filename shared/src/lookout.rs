//! The lookout: what an operator who does not watch has to hear of while it lasts, and that it is over. A pause, a
//! standstill, many dead letters. Looking is a duty that one process of a job has at a time.
//!
//! What was told last is read back from the ledger, so a change of state is told once, whoever saw it, also across
//! restarts: a notice's key is the condition's with the number of the one before it, of which the first is heard.

mod condition;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use crate::error_chain;
use crate::ledger::{Ledger, LedgerError, Notice};
use condition::{Condition, Finding, Seen};

/// Intervals of the lookout; tests shorten them.
#[derive(Clone, Copy, Debug)]
pub struct LookoutTerms {
    /// Between two looks.
    pub every: Duration,
    /// How long a pause lasts before it is told. A guard is told at once.
    pub paused_for: Duration,
    /// How long no row ends in an open run before that is told.
    pub still_for: Duration,
    /// How long something is over before that is told: what comes back within it is one trouble.
    pub calm: Duration,
}

impl Default for LookoutTerms {
    fn default() -> Self {
        Self {
            every: Duration::from_secs(3),
            paused_for: Duration::from_secs(10),
            still_for: Duration::from_secs(300),
            calm: Duration::from_secs(15),
        }
    }
}

/// See the module.
pub struct Lookout {
    ledger: Arc<dyn Ledger>,
    job: String,
    holder: String,
    terms: LookoutTerms,
    memory: Mutex<Memory>,
}

/// What a lookout knows by having looked before, by the ledger's clock.
#[derive(Debug, Default)]
struct Memory {
    /// Since when each condition is over.
    calm_since: [Option<Timestamp>; Condition::ALL.len()],
    /// Since when rows could end: a night that comes out of a pause does not stand still yet.
    unpaused_since: Option<Timestamp>,
}

impl Lookout {
    /// `holder` names this process among its peers.
    pub fn new(ledger: Arc<dyn Ledger>, job: String, holder: String, terms: LookoutTerms) -> Self {
        Self { ledger, job, holder, terms, memory: Mutex::default() }
    }

    /// Looks until `stop`; a look that failed is logged and made again.
    pub async fn serve(&self, stop: CancellationToken) {
        let looking = async {
            let mut failed_before = false;
            loop {
                tokio::time::sleep(self.terms.every).await;
                let look = self.look().await;
                if let Err(error) = &look
                    && !failed_before
                {
                    tracing::warn!(error = error_chain(error), "looking for news failed; looking again");
                }
                failed_before = look.is_err();
            }
        };
        tokio::select! {
            () = looking => {}
            () = stop.cancelled() => {}
        }
    }

    /// One look, and what there is to tell of it.
    pub async fn look(&self) -> Result<(), LedgerError> {
        self.look_at(self.terms.calm).await
    }

    /// The last look of a process that ends, which cannot wait whether what is over stays so.
    pub async fn look_last(&self) -> Result<(), LedgerError> {
        self.look_at(Duration::ZERO).await
    }

    async fn look_at(&self, calm: Duration) -> Result<(), LedgerError> {
        let duty = format!("lookout of {}", self.job);
        let mut memory = self.memory.lock().await;
        if !self.ledger.hold_duty(&duty, &self.holder, self.terms.every * 4).await? {
            // What another process sees meanwhile is not ours to remember.
            *memory = Memory::default();
            return Ok(());
        }
        let seen = Seen {
            now: self.ledger.now().await?,
            gate: self.ledger.gate().await?,
            standing: self.ledger.standing(&self.job).await?,
        };
        if seen.is_paused() {
            memory.unpaused_since = None;
        } else {
            memory.unpaused_since.get_or_insert(seen.now);
        }
        for (index, condition) in Condition::ALL.into_iter().enumerate() {
            let calm_since = memory.calm_since[index];
            memory.calm_since[index] = self.tell(condition, &seen, &memory, (calm_since, calm)).await?;
        }
        Ok(())
    }

    /// Tells of a condition what there is to tell, and since when it is over.
    async fn tell(
        &self,
        condition: Condition,
        seen: &Seen,
        memory: &Memory,
        (calm_since, calm): (Option<Timestamp>, Duration),
    ) -> Result<Option<Timestamp>, LedgerError> {
        let key = format!("{}:{}:", condition.kind(), self.job);
        let latest = self.ledger.latest_notice(&key).await?;
        let told = latest.as_ref().filter(|latest| latest.notice.kind == condition.kind());
        let next = format!("{key}{}", latest.as_ref().map_or(0, |latest| latest.number));
        let unpaused_for = memory.unpaused_since.map_or(Duration::ZERO, |since| seen.since(since));
        let (kind, (text, detail)) = match condition.find(seen, told, &self.terms, unpaused_for) {
            Finding::Trouble(words) if told.is_none() => (condition.kind(), words),
            Finding::Over(words) => {
                let since = calm_since.unwrap_or(seen.now);
                if seen.since(since) < calm {
                    return Ok(Some(since));
                }
                (condition.over(), words)
            }
            Finding::Trouble(_) | Finding::Nothing => return Ok(None),
        };
        tracing::debug!(kind, "told of a change of state");
        let text = format!("{}: {text}", self.job);
        self.ledger.post_notice(&Notice { key: next, kind: kind.to_owned(), text, detail }).await?;
        Ok(None)
    }
}

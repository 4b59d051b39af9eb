//! The news that a night was stopped before its end. That it went on, and how it ended, the closing tells.

use serde_json::json;
use shared::error_chain;
use shared::ledger::{LedgerError, Notice, Run, RunKind};
use shared::rekey::RekeyError;

use crate::producer::{Halt, Producer, ProducerError};

const KIND: &str = "stopped";

impl Producer {
    /// Tells of a night that stopped by itself, once for each reason in a row: a scheduler may start it again every
    /// minute.
    pub(crate) async fn note_a_stop(&self, run: &Run, halt: &Result<Option<Halt>, ProducerError>) {
        let why = match halt {
            Ok(Some(Halt::Stopped(why))) => why.clone(),
            Err(
                error @ (ProducerError::Source(_)
                | ProducerError::LockLost
                | ProducerError::Rekey(RekeyError::Key(_) | RekeyError::Other { .. })),
            ) => error_chain(error),
            // A ledger that fails keeps no news.
            Ok(_) | Err(ProducerError::Ledger(_) | ProducerError::Rekey(RekeyError::Ledger(_))) => return,
        };
        if run.kind == RunKind::Night
            && let Err(error) = self.tell_why(run, &why).await
        {
            tracing::warn!(error = error_chain(&error), "nobody can be told that the night was stopped");
        }
    }

    async fn tell_why(&self, run: &Run, why: &str) -> Result<(), LedgerError> {
        let key = format!("{KIND}:{}:", run.id);
        let latest = self.backing.ledger.latest_notice(&key).await?;
        if latest.as_ref().is_some_and(|latest| latest.notice.detail["reason"] == why) {
            return Ok(());
        }
        let notice = Notice {
            key: format!("{key}{}", latest.map_or(0, |latest| latest.number)),
            kind: KIND.into(),
            text: format!(
                "{} of {} was stopped: {why}. No row is lost; starting it again carries it on.",
                self.job, run.date
            ),
            detail: json!({ "run_id": run.id, "run_date": run.date, "reason": why }),
        };
        self.backing.ledger.post_notice(&notice).await
    }
}

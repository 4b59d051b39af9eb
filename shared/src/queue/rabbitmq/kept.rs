//! Strays kept in the ledger: sealed, with a notice for an operator.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::json;

use super::strays::{Stray, Strays};
use crate::data_key::DataKeys;
use crate::ledger::{Ledger, Notice, StrayMessage};

/// See the module.
pub struct KeptStrays {
    ledger: Arc<dyn Ledger>,
    keys: Arc<DataKeys>,
}

impl KeptStrays {
    /// Keeps what is found in this ledger.
    pub fn new(ledger: Arc<dyn Ledger>, keys: Arc<DataKeys>) -> Self {
        Self { ledger, keys }
    }
}

#[async_trait]
impl Strays for KeptStrays {
    async fn keep(&self, stray: &Stray) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let place = StrayMessage::place(&stray.queue, stray.message_id.as_deref());
        let kept = StrayMessage {
            queue: stray.queue.clone(),
            message_id: stray.message_id.clone(),
            content_type: stray.content_type.clone(),
            // Without its causes: what could not be parsed may be quoted there.
            fault: stray.fault.to_string(),
            sealed: self.keys.seal(&place, &stray.body),
        };
        self.ledger.keep_stray(&kept).await?;
        // One for each queue: a program of another version may bring a great many.
        let notice = Notice {
            key: format!("stray:{}", stray.queue),
            kind: "stray".into(),
            text: format!(
                "A message in the queue {} could not be read ({}). It is kept, sealed, and its row is published again. \
                 Most likely a program of another version, or not ours, publishes there.",
                stray.queue, kept.fault
            ),
            detail: json!({ "queue": stray.queue, "message_id": stray.message_id }),
        };
        self.ledger.post_notice(&notice).await?;
        Ok(())
    }
}

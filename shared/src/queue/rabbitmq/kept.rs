//! Strays kept in the ledger: sealed, announced once a day and queue, and logged without their content.

use std::sync::Arc;

use async_trait::async_trait;
use uuid::Uuid;

use super::strays::{Stray, Strays};
use crate::data_key::DataKeys;
use crate::ledger::{Ledger, Notice, StrayMessage};

/// Up to this many digits say nothing about anybody: a version, a status.
const HARMLESS: usize = 4;

/// The most characters kept of a text from outside.
const LONGEST: usize = 120;

/// See the module.
pub struct KeptStrays {
    ledger: Arc<dyn Ledger>,
    keys: Arc<DataKeys>,
}

impl KeptStrays {
    /// Keeps them in `ledger`, sealed with `keys`.
    pub fn new(ledger: Arc<dyn Ledger>, keys: Arc<DataKeys>) -> Self {
        Self { ledger, keys }
    }

    /// Our own ids are UUIDs; another's may be anything, a NIK among it, and only has to be told from others.
    fn id(&self, id: &str) -> String {
        if Uuid::parse_str(id).is_ok() { id.to_owned() } else { self.keys.text_hash(id).as_str().to_owned() }
    }
}

#[async_trait]
impl Strays for KeptStrays {
    async fn keep(&self, stray: &Stray) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let queue = &stray.queue;
        let message_id = stray.message_id.as_deref().map(|id| self.id(id));
        // Its cause may quote the body.
        let fault = masked(&stray.fault.to_string());
        let message = StrayMessage {
            queue: queue.clone(),
            content_type: stray.content_type.as_deref().map(masked),
            sealed: self.keys.seal(&StrayMessage::place(queue, message_id.as_deref()), &stray.body),
            fault: fault.clone(),
            message_id: message_id.clone(),
        };
        let day = self.ledger.now().await?.strftime("%Y-%m-%d").to_string();
        let notice = Notice {
            key: format!("stray:{queue}:{day}"),
            kind: "stray".into(),
            text: format!(
                "A message in the queue {queue} could not be read: {fault}. It was set aside, sealed; no row is \
                 lost by it. Find out who publishes there. Others of this day are set aside without another word."
            ),
            detail: serde_json::json!({ "queue": queue, "message_id": message_id, "fault": fault }),
        };
        // Announced before it is kept: one without an id would be kept again by another attempt.
        self.ledger.post_notice(&notice).await?;
        self.ledger.keep_stray(&message).await?;
        tracing::error!(
            queue,
            message_id,
            fault,
            bytes = stray.body.len(),
            "a message that cannot be read was set aside"
        );
        Ok(())
    }
}

/// A text from outside, cut, and without its digits where they could be somebody's.
fn masked(text: &str) -> String {
    let hide = text.chars().filter(char::is_ascii_digit).count() > HARMLESS;
    let shown = |c: char| if c.is_control() || hide && c.is_numeric() { '*' } else { c };
    text.chars().take(LONGEST).map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::masked;

    #[test]
    fn digits_that_could_be_somebodys_are_hidden() {
        for (text, shown) in [
            ("application/vnd.nightly-sync.row.v12+json", "application/vnd.nightly-sync.row.v12+json"),
            ("text/plain; nik=3171234567890001", "text/plain; nik=****************"),
            ("0812-3456-789", "****-****-***"),
            ("two\nlines", "two*lines"),
        ] {
            assert_eq!(masked(text), shown);
        }
        assert_eq!(masked(&"long ".repeat(100)).chars().count(), super::LONGEST);
    }
}

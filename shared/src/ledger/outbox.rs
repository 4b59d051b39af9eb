//! What the ledger keeps for people: notices on their way to them, and messages that nobody could read.

use jiff::Timestamp;

use crate::data_key::{DataKeyError, DataKeys};

/// A piece of news for an operator who does not watch. Holds no personal data.
#[derive(Clone, Debug, PartialEq)]
pub struct Notice {
    /// Names the change of state: of several processes that see the same one, the first is heard.
    pub key: String,
    /// What it is about, one word: `closed`, `stray`, …
    pub kind: String,
    /// In plain words.
    pub text: String,
    /// The same for programs.
    pub detail: serde_json::Value,
}

/// A notice as it is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct KeptNotice {
    /// Its number: notices are posted in this order.
    pub number: i64,
    /// The notice.
    pub notice: Notice,
    /// When it was noted.
    pub noted_at: Timestamp,
    /// How often it could not be posted.
    pub attempts: u32,
}

/// A message that could not be decoded, as it is kept. Its row is not lost: the sweep publishes it again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StrayMessage {
    /// The queue it was in.
    pub queue: String,
    /// Its id, by which it is kept once; a message without one is kept each time it is seen.
    pub message_id: Option<String>,
    /// Its content type, if it has one; no personal data.
    pub content_type: Option<String>,
    /// Why it could not be decoded; no personal data.
    pub fault: String,
    /// Its body, sealed for [`place`](Self::place).
    pub sealed: Vec<u8>,
}

impl StrayMessage {
    /// What a body is bound to: the queue it was in, and its id.
    pub fn place(queue: &str, message_id: Option<&str>) -> Vec<u8> {
        format!("stray\n{queue}\n{}", message_id.unwrap_or_default()).into_bytes()
    }

    /// Its body as it came.
    pub fn open(&self, keys: &DataKeys) -> Result<Vec<u8>, DataKeyError> {
        keys.open(&Self::place(&self.queue, self.message_id.as_deref()), &self.sealed)
    }
}

/// A kept message as it can be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StrayView {
    /// Its number in the table: the key to page by.
    pub number: i64,
    /// The message.
    pub message: StrayMessage,
    /// When it was kept.
    pub kept_at: Timestamp,
}

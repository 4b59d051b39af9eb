//! What becomes of a message that cannot be decoded: the broker's part of it. Keeping it, sealed, is another's.

use async_trait::async_trait;

use super::message::DecodeError;

/// A message that cannot be decoded. Its body may be anything, personal data included: it is not in its `Debug`.
pub struct Stray {
    /// The queue it was in.
    pub queue: String,
    /// Its `message_id`, if it has one.
    pub message_id: Option<String>,
    /// Its content type, if it has one.
    pub content_type: Option<String>,
    /// Its body, as it came, but no more than its first 64 KiB.
    pub body: Vec<u8>,
    /// Why it cannot be decoded.
    pub fault: DecodeError,
}

impl std::fmt::Debug for Stray {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stray")
            .field("queue", &self.queue)
            .field("message_id", &self.message_id)
            .field("bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// Keeps strays where an operator finds them.
#[async_trait]
pub trait Strays: Send + Sync {
    /// Keeps one, sealed, and alerts; after that it is acknowledged. May be asked again with the same one. On an
    /// error the message stays in its queue, and this is asked again a little later.
    async fn keep(&self, stray: &Stray) -> Result<(), Box<dyn std::error::Error + Send + Sync>>;
}

//! What can go wrong between us and the broker.

use std::time::Duration;

use lapin::ErrorKind;
use lapin::protocol::{AMQPErrorKind, AMQPSoftError};

use crate::queue::QueueError;

/// The adapter's failure; the cause of a [`QueueError`].
#[derive(Clone, Debug, thiserror::Error)]
pub enum RabbitMqError {
    /// The broker refused, or the connection broke.
    #[error("the broker refused or the connection broke")]
    Broken(#[from] lapin::Error),
    /// Nothing came back in time.
    #[error("the broker did not {what} within {within:?}")]
    Silent {
        /// What it was to do.
        what: &'static str,
        /// How long we waited.
        within: Duration,
    },
    /// A queue could not be declared.
    #[error("the queue {queue} could not be declared")]
    Undeclared {
        /// Its name.
        queue: String,
        /// What the broker said.
        source: lapin::Error,
    },
    /// The delivery's channel is gone, so the broker delivers it again.
    #[error("the delivery's channel is gone")]
    NotAcknowledged,
    /// The copy for the retry queue was not confirmed.
    #[error("the copy to be tried again was not confirmed")]
    NotConfirmed,
}

impl RabbitMqError {
    pub(super) fn while_to(self, doing: &'static str) -> QueueError {
        match self {
            Self::Undeclared { queue, source } if is_refusal(&source, AMQPSoftError::PRECONDITIONFAILED) => {
                QueueError::Mismatch { queue, source: Box::new(source) }
            }
            fault => QueueError::Failed { doing, source: Box::new(fault) },
        }
    }

    pub(super) fn is_not_found(&self) -> bool {
        matches!(self, Self::Broken(error) if is_refusal(error, AMQPSoftError::NOTFOUND))
    }
}

fn is_refusal(error: &lapin::Error, refusal: AMQPSoftError) -> bool {
    matches!(error.kind(), ErrorKind::ProtocolError(error) if *error.kind() == AMQPErrorKind::Soft(refusal))
}

/// Bounds a call to the broker: lapin waits for ever.
pub(super) async fn within<T>(
    within: Duration,
    what: &'static str,
    call: impl Future<Output = lapin::Result<T>>,
) -> Result<T, RabbitMqError> {
    match tokio::time::timeout(within, call).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(RabbitMqError::Silent { what, within }),
    }
}

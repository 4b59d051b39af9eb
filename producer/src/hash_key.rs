//! The key that persons are hashed with: the ledger's, whatever the newest here is.

use std::time::Duration;

use shared::rekey::{Rekey, Settled};
use tokio_util::sync::CancellationToken;

use crate::producer::{Halt, Producer, ProducerError};

/// Between two looks whether another process is done with changing the key.
const EVERY: Duration = Duration::from_secs(1);

/// Waits until the data key is not being changed, and carries a change on that nobody is at.
pub(crate) async fn settle(
    producer: &Producer,
    stop: &CancellationToken,
) -> Result<Option<Halt>, ProducerError> {
    let backing = &producer.backing;
    let rekey = Rekey::new(backing.ledger.clone(), backing.keys.clone(), producer.holder.clone());
    let mut told = false;
    loop {
        let settled = tokio::select! {
            biased;
            // Seldom more than a look, and large: not a part of every night's future.
            settled = Box::pin(rekey.settle(&producer.who)) => settled?,
            () = stop.cancelled() => return Ok(Some(Halt::Interrupted)),
        };
        if settled == Settled::Yes {
            return Ok(None);
        }
        if !std::mem::replace(&mut told, true) {
            tracing::info!("another process is changing the data key; waiting for its end");
        }
        tokio::select! {
            biased;
            () = tokio::time::sleep(EVERY) => {}
            () = stop.cancelled() => return Ok(Some(Halt::Interrupted)),
        }
    }
}

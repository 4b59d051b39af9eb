//! Carries copies of messages that are to be tried again into the retry queues: many deliveries settle side by
//! side, and their copies go out in one window.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use super::fault::RabbitMqError;
use super::publisher::{Outgoing, Publisher};

/// Copies in one window at most.
const WINDOW: usize = 500;

type Confirmed = oneshot::Sender<Result<(), RabbitMqError>>;

/// Clones share one courier, which ends with the last of them.
#[derive(Clone)]
pub(super) struct Courier(mpsc::Sender<(Outgoing, Confirmed)>);

impl Courier {
    /// Starts one on the current runtime.
    pub(super) fn start(publisher: Arc<Publisher>) -> Self {
        let (sender, mut receiver) = mpsc::channel(WINDOW);
        tokio::spawn(async move {
            let mut batch: Vec<(Outgoing, Confirmed)> = Vec::new();
            while receiver.recv_many(&mut batch, WINDOW).await > 0 {
                let (outgoing, asked): (Vec<_>, Vec<_>) = batch.drain(..).unzip();
                match publisher.publish(&outgoing).await {
                    Ok(confirmed) => {
                        for (confirmed, asked) in confirmed.into_iter().zip(asked) {
                            // Whoever asked may have given up.
                            let _ =
                                asked.send(if confirmed { Ok(()) } else { Err(RabbitMqError::NotConfirmed) });
                        }
                    }
                    Err(fault) => {
                        for asked in asked {
                            let _ = asked.send(Err(fault.clone()));
                        }
                    }
                }
            }
        });
        Self(sender)
    }

    /// Publishes a copy; done when it is confirmed.
    pub(super) async fn carry(&self, copy: Outgoing) -> Result<(), RabbitMqError> {
        let (asked, confirmed) = oneshot::channel();
        self.0.send((copy, asked)).await.map_err(|_| RabbitMqError::NotConfirmed)?;
        confirmed.await.map_err(|_| RabbitMqError::NotConfirmed)?
    }
}

//! The page of a cluster: on Postgres; deeds publish to RabbitMQ, and the workers carry them out.

use std::sync::Arc;

use async_trait::async_trait;
use producer::{ConfiguredSources, Tuning, Until};
use shared::backing::Backing;
use shared::error_chain;
use shared::ledger::Act;
use shared::settings::Settings;
use tokio_util::sync::CancellationToken;

use crate::hands::{Deed, Hands, Refused};
use crate::work::{Bench, Item, carry_out};

/// See the module.
pub struct ClusterHands {
    backing: Backing,
    settings: Settings,
    bench: Bench,
    stop: CancellationToken,
}

impl ClusterHands {
    /// On this backing, until `stop`.
    pub fn new(backing: Backing, settings: Settings, stop: CancellationToken) -> Self {
        Self { backing, settings, bench: Bench::default(), stop }
    }
}

#[async_trait]
impl Hands for ClusterHands {
    async fn note(&self, act: Act) -> Result<(), Refused> {
        self.backing.ledger.note_act(act).await.map_err(|error| Refused::Failed(error_chain(&error)))
    }

    async fn begin(&self, deed: Deed, who: String) -> Result<(), Refused> {
        let needed = matches!(deed, Deed::Rerun { .. });
        let sources = ConfiguredSources::prepare(&self.settings, None, needed).await;
        let sources = sources.map_err(|error| Refused::Failed(error.to_string()))?;
        let place = self.bench.take(deed.clone(), who.clone(), self.backing.clock.now())?;
        let mut producer = producer::producer(
            &self.backing,
            &self.settings,
            Arc::new(sources),
            Tuning::default(),
            Until::Closed,
        );
        producer.who = who;
        let stop = self.stop.clone();
        tokio::spawn(async move { place.end(carry_out(&producer, deed, &stop).await) });
        Ok(())
    }

    fn begun(&self) -> Vec<Item> {
        self.bench.items()
    }
}

//! Postgres as the suite's adapter: a place of its own in the server that the tests share.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use shared::ledger::Ledger;
use shared::ledger::postgres::{PostgresLedger, PostgresTerms};
use tokio::sync::Mutex;
use tokio_postgres::Client;

use super::Adapter;
use crate::services::PostgresServer;
use crate::services::postgres::Place;

/// A ledger in a place of its own. Its clock is the database's: to let time pass, the function that every
/// statement asks for it is replaced by one that is ahead.
pub struct Postgres {
    ledger: Arc<dyn Ledger>,
    beside: Client,
    ahead: Mutex<Duration>,
}

impl Postgres {
    /// In a new place.
    pub async fn new() -> Self {
        Self::at(&PostgresServer::get().await.place().await).await
    }

    /// In this place, as one more process that acts there.
    pub async fn at(place: &Place) -> Self {
        let ledger =
            PostgresLedger::connect(&place.address(), PostgresTerms::default()).await.expect("to connect");
        Self { ledger: Arc::new(ledger), beside: place.client().await, ahead: Mutex::default() }
    }
}

#[async_trait]
impl Adapter for Postgres {
    fn ledger(&self) -> &Arc<dyn Ledger> {
        &self.ledger
    }

    async fn advance(&self, by: Duration) {
        let mut ahead = self.ahead.lock().await;
        *ahead += by;
        let replaced = format!(
            "CREATE OR REPLACE FUNCTION ledger_now() RETURNS TIMESTAMPTZ LANGUAGE sql VOLATILE AS \
             'SELECT clock_timestamp() + {} * interval ''1 microsecond'''",
            ahead.as_micros()
        );
        self.beside.batch_execute(&replaced).await.expect("to put the clock forward");
    }
}

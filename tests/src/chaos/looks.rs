//! How a night is looked at from outside, beside the network that its programs suffer from.

use async_trait::async_trait;
use shared::ledger::postgres::PostgresLedger;
use shared::queue::rabbitmq::RabbitMqQueue;
use shared::queue::{Depth, Queue as _};
use tokio::sync::Mutex;
use tokio_postgres::Client;

use crate::oracle::World;
use crate::process::Cluster;
use crate::services::connect;

/// See the module.
pub(super) struct Looks {
    database: String,
    client: Mutex<Option<Client>>,
    pub(super) ledger: PostgresLedger,
    queues: [RabbitMqQueue; 2],
}

impl Looks {
    pub(super) fn at(cluster: &Cluster, database: String) -> Self {
        let (ledger, queues) = (cluster.ledger(), cluster.queues());
        Self { database, client: Mutex::default(), ledger, queues }
    }

    /// The answer to a query for one number. None: the server is away, or the tables are not there yet.
    pub(super) async fn ask(&self, sql: &str) -> Option<i64> {
        let mut client = self.client.lock().await;
        if client.as_ref().is_none_or(Client::is_closed) {
            *client = connect(&self.database).await.ok();
        }
        let rows = client.as_ref()?.query_typed(sql, &[]).await.ok()?;
        rows.first()?.try_get(0).ok()
    }

    /// Whether any run is in the ledger. None: it cannot be known now.
    pub(super) async fn has_run(&self) -> Option<bool> {
        // The tables may not be there before the first process made them.
        let tables = self.ask("SELECT count(to_regclass('run'))").await?;
        if tables == 0 { Some(false) } else { Some(self.ask("SELECT count(*) FROM run").await? > 0) }
    }

    /// Whether every run is closed, and every row of it has its outcome.
    pub(super) async fn is_over(&self) -> bool {
        const UNFINISHED: &str = "SELECT (SELECT count(*) FROM run WHERE state <> 'closed')
                                       + (SELECT count(*) FROM row WHERE state <> 'done')";
        self.has_run().await == Some(true) && self.ask(UNFINISHED).await == Some(0)
    }

    /// How many workers receive rows of nights.
    pub(super) async fn consumers(&self) -> u64 {
        self.queues[0].consumers().await.unwrap_or(0)
    }

    pub(super) async fn close(&self) {
        for queue in &self.queues {
            queue.close().await;
        }
    }
}

#[async_trait(?Send)]
impl World for Looks {
    async fn count(&self, sql: &str) -> u64 {
        let count = self.ask(sql).await.expect("the ledger answers");
        u64::try_from(count).expect("a count")
    }

    async fn depths(&self) -> Vec<Depth> {
        let mut depths = Vec::new();
        for queue in &self.queues {
            // A broker that was killed is connected to anew.
            let depth = match queue.depth().await {
                Ok(depth) => Ok(depth),
                Err(_) => queue.depth().await,
            };
            depths.push(depth.expect("the broker answers"));
        }
        depths
    }

    async fn held(&self) -> (u64, u64) {
        let held = async |table: &str| {
            self.count(&format!("SELECT count(*) FROM {table} WHERE lease_until > ledger_now()")).await
        };
        (held("run_lock").await, held("nik_lease").await)
    }
}

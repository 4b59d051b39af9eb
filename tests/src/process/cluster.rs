//! The programs of a cluster, on a place of their own in a real Postgres and a real RabbitMQ.

use std::ops::Deref;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use shared::data_key::{DataKeys, KeyedHash};
use shared::ledger::LedgerView as _;
use shared::ledger::postgres::{PostgresAddress, PostgresLedger, PostgresTerms};
use shared::queue::rabbitmq::{QueueTerms, RabbitMqConfig, RabbitMqQueue, Stray, Strays};
use shared::queue::{Depth, Queue as _};
use simulators::{DemoNight, SimulatorsConfig};

use super::child::{Finished, Running};
use super::site::{DATE, Site};
use crate::night::until_within;
use crate::oracle::{Oracle, Verdict, World, Writes};
use crate::services::postgres::connect;
use crate::services::{PostgresServer, Vhost};

/// What a dead worker held waits for its lease, in a retry queue for up to twice that, and perhaps again.
const LONGEST_RETRY: Duration = Duration::from_secs(120);

/// What the queues of nights are called by: the default of `JOB_NAME`.
const NIGHT: &str = "nightly-whatsapp-sync";

/// A [`Site`] with a ledger and queues that its programs share.
pub struct Cluster {
    site: Site,
    database: String,
    broker: String,
    keys: DataKeys,
    queues: QueueTerms,
    /// Removed when dropped.
    _vhost: Option<Vhost>,
}

impl Deref for Cluster {
    type Target = Site;

    fn deref(&self) -> &Site {
        &self.site
    }
}

impl Cluster {
    /// Around this night, on the servers that all tests of this process share.
    pub async fn of(night: &DemoNight) -> Self {
        Self::with(Site::world_of(night)).await
    }

    /// Around these simulators, on the servers that all tests of this process share.
    pub async fn with(world: SimulatorsConfig) -> Self {
        let (place, vhost) = (PostgresServer::get().await.place().await, Vhost::new().await);
        let broker = vhost.url().to_owned();
        let cluster = Self::on(world, place.uri, broker).await;
        Self { _vhost: Some(vhost), ..cluster }
    }

    /// On these servers.
    pub async fn on(world: SimulatorsConfig, database: String, broker: String) -> Self {
        let mut site = Site::with(world).await;
        let key = DataKeys::generate();
        let keys = DataKeys::parse(&key).expect("a key just made");
        let key_file = site.file("data-key", key.expose_secret());
        site.set("DATA_KEY", format!("file:{}", key_file.display()));
        site.set("DATABASE_URL", database.clone());
        site.set("AMQP_URL", broker.clone());
        // What a dead worker held is free again after two of them and 15 s.
        site.set("FHIR_TIMEOUT", "1s");
        Self { site, database, broker, keys, queues: QueueTerms::default(), _vhost: None }
    }

    /// Sets a variable for the starts to come.
    pub fn set(&mut self, variable: &str, value: impl Into<String>) {
        self.site.set(variable, value);
    }

    /// Programs started from now on keep a fraction of all intervals, and queues that are made from now on allow so many
    /// deliveries, if a number is given.
    #[cfg(feature = "failpoints")]
    pub fn hurry(&mut self, by: u32, delivery_limit: Option<u32>) {
        self.set("TEST_HURRY", by.to_string());
        let usual = QueueTerms::default();
        self.queues.ladder = shared::testing::ladder_of(&usual.ladder, by);
        self.queues.delivery_limit = delivery_limit.unwrap_or(usual.delivery_limit);
        self.set("TEST_DELIVERY_LIMIT", self.queues.delivery_limit.to_string());
    }

    /// The site, to be set up.
    pub fn site_mut(&mut self) -> &mut Site {
        &mut self.site
    }

    /// Starts a worker.
    pub fn worker(&self) -> Running {
        self.spawn(self.program("worker", &[]))
    }

    /// Starts so many workers.
    pub fn workers(&self, count: usize) -> Vec<Running> {
        (0..count).map(|_| self.worker()).collect()
    }

    /// Starts a dashboard whose log-in takes this token, on `DASHBOARD_ADDR`.
    pub fn dashboard(&mut self, token: &str) -> Running {
        let file = self.site.file("dashboard-token", token);
        self.set("DASHBOARD_TOKEN", format!("file:{}", file.display()));
        self.spawn(self.program("dashboard", &[]))
    }

    /// Starts a producer.
    pub fn producer(&self, arguments: &[&str]) -> Running {
        self.spawn(self.program("producer", arguments))
    }

    /// Starts a producer and waits for its end.
    pub async fn produce(&self, arguments: &[&str]) -> Finished {
        self.producer(arguments).end().await
    }

    /// The night of [`DATE`], by a producer that watches, with the report in JSON.
    pub fn start_produced_night(&self) -> Running {
        self.producer(&["--date", DATE, "--output", "json"])
    }

    /// The ledger, to be looked at.
    pub fn ledger(&self) -> PostgresLedger {
        let address = PostgresAddress::parse(&SecretString::from(self.database.clone())).expect("a URI");
        PostgresLedger::look(&address, PostgresTerms::default()).expect("a ledger to look at")
    }

    /// The keyed hash of a NIK.
    pub fn nik_hash(&self, nik: &str) -> KeyedHash {
        self.keys.nik_hash(&nik.parse().expect("a NIK"))
    }

    /// How many rows are in this state.
    pub async fn count_rows(&self, state: &str) -> i64 {
        self.count(&format!("SELECT count(*) FROM row WHERE state = '{state}'")).await
    }

    /// How many dead letters there are, replayed ones too.
    pub async fn count_dead_letters(&self) -> i64 {
        self.count("SELECT count(*) FROM dead_letter").await
    }

    /// Counts in the tables; 0 before there are any.
    pub async fn count(&self, query: &str) -> i64 {
        let client = connect(&self.database).await.expect("a database");
        client.query_typed(query, &[]).await.map_or(0, |rows| rows[0].get(0))
    }

    /// What the oracle says once everything has come to rest, as soon as it has; `rows` are those of each night.
    pub async fn verdict(&self, rows: Option<u64>, writes: Writes) -> Verdict {
        let (ledger, before) = (self.ledger(), self.before());
        let oracle = Oracle {
            ledger: &ledger,
            world: self,
            keys: &self.keys,
            job: NIGHT,
            store: self.simulators.store(),
            stats: self.simulators.stats(),
            before: Some(&before),
            writes,
            other_writes: 0,
            rows,
            patience: LONGEST_RETRY,
        };
        oracle.verdict().await
    }

    /// The oracle, on nights of what this one must come to. A message that was put off because a worker that died held
    /// its row comes out of its retry queue after the night, and is dropped as stale: that is waited for.
    ///
    /// # Panics
    /// Something does not hold.
    pub async fn check(&self, night: &DemoNight) {
        self.verdict(Some(night.expected().rows_selected), Writes::Exact).await.assert();
    }

    /// What the queues hold: those of nights and of dry runs.
    pub async fn depths(&self) -> [Depth; 2] {
        let depth = async |prefix: &str| {
            let queue = self.queue(prefix);
            let depth = queue.depth().await.expect("a depth");
            queue.close().await;
            depth
        };
        [depth(NIGHT).await, depth("nightly-whatsapp-sync.dry-run").await]
    }

    /// How many workers receive rows of nights.
    pub async fn consumers(&self) -> u64 {
        let queue = self.queue(NIGHT);
        let consumers = queue.consumers().await.expect("a count");
        queue.close().await;
        consumers
    }

    /// The queues of nights and of dry runs, to be looked at.
    pub fn queues(&self) -> [RabbitMqQueue; 2] {
        [self.queue(NIGHT), self.queue("nightly-whatsapp-sync.dry-run")]
    }

    /// The keys of what is sealed.
    pub fn keys(&self) -> &DataKeys {
        &self.keys
    }

    fn queue(&self, prefix: &str) -> RabbitMqQueue {
        let mut config = RabbitMqConfig::new(&self.broker).expect("an address");
        config.queues = QueueTerms { prefix: prefix.into(), ..self.queues.clone() };
        RabbitMqQueue::new(config, std::sync::Arc::new(NoStrays))
    }

    /// Waits until nothing is left in the queues. A message that was put off because a worker that died held its row
    /// comes out of its retry queue after the night, and is dropped as stale.
    pub async fn until_queues_are_empty(&self) {
        until_within(
            LONGEST_RETRY,
            "the queues to be empty",
            || self.depths(),
            |depths| *depths == [Depth::default(); 2],
        )
        .await;
    }

    /// Waits until the newest run is in this state, and gives its line of `runs`.
    pub async fn until_run_is(&self, state: &str) -> Value {
        let look = || async {
            let runs = self.ledger().runs("nightly-whatsapp-sync", None, 1).await;
            // Not there before the first process made the tables.
            runs.unwrap_or_default().first().map(|summary| summary.run.state.to_string())
        };
        let what = format!("the run to be {state}");
        until_within(LONGEST_RETRY, &what, look, |seen| seen.as_deref() == Some(state)).await;
        self.produce(&["runs", "--output", "json", "--limit", "1"]).await.expect(0).object()
    }
}

#[async_trait::async_trait(?Send)]
impl World for Cluster {
    async fn count(&self, sql: &str) -> u64 {
        let client = connect(&self.database).await.expect("a database");
        let rows = client.query_typed(sql, &[]).await.expect("a query");
        u64::try_from(rows[0].get::<_, i64>(0)).expect("a count")
    }

    async fn depths(&self) -> Vec<Depth> {
        Cluster::depths(self).await.to_vec()
    }

    /// What a process held that died is free when its lease is over.
    async fn held(&self) -> (u64, u64) {
        let of = async |table: &str| {
            let sql = format!("SELECT count(*) FROM {table} WHERE lease_until > now()");
            World::count(self, &sql).await
        };
        (of("run_lock").await, of("nik_lease").await)
    }
}

/// For a look at depths, which receives nothing.
struct NoStrays;

#[async_trait::async_trait]
impl Strays for NoStrays {
    async fn keep(&self, _: &Stray) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        Ok(())
    }
}

//! The oracle over a [`Scene`].

use std::time::Duration;

use async_trait::async_trait;
use rusqlite::{Connection, OpenFlags};
use shared::queue::Depth;
use shared::settings::FhirBatch;

use super::scene::Scene;
use crate::oracle::{Oracle, Verdict, World};

impl Scene {
    /// The oracle. Call it when every night of the test has ended.
    ///
    /// # Panics
    /// Something does not hold.
    pub async fn check(&self) {
        self.verdict(true).await.assert();
    }

    /// The oracle without its look at each Patient, where the test itself changed or deleted some.
    ///
    /// # Panics
    /// Something does not hold.
    pub async fn check_but_patients(&self) {
        self.verdict(false).await.assert();
    }

    async fn verdict(&self, patients: bool) -> Verdict {
        let (ledger, keys, settings) = (self.look(), self.keys().await, self.settings());
        let asked_for = settings.fhir.batch != FhirBatch::Off;
        let bundles = self.simulators.snapshot().requests.contains_key("batch");
        assert!(asked_for || !bundles, "a Bundle nobody asked for");
        let oracle = Oracle {
            ledger: &ledger,
            world: self,
            keys: &keys,
            job: &settings.job,
            store: self.simulators.store(),
            stats: self.simulators.stats(),
            before: patients.then(|| self.before()),
            writes: self.writes,
            other_writes: self.other_writes,
            rows: None,
            // A process that ended left nothing to be done.
            patience: Duration::ZERO,
        };
        oracle.verdict().await
    }

    /// What the database answers to a query of one column of numbers: for what no view shows.
    pub fn ask(&self, sql: &str) -> Vec<i64> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
        let db = Connection::open_with_flags(self.database(), flags).expect("a database");
        let mut found = db.prepare(sql).expect("a query");
        let numbers = found.query_map([], |row| row.get(0)).expect("an answer");
        numbers.collect::<rusqlite::Result<_>>().expect("numbers")
    }
}

#[async_trait(?Send)]
impl World for Scene {
    async fn count(&self, sql: &str) -> u64 {
        u64::try_from(self.ask(sql)[0]).expect("a count")
    }

    /// The queue is gone with its process; `order` looks at it before.
    async fn depths(&self) -> Vec<Depth> {
        Vec::new()
    }

    /// The clock of these leases is the scene's; none may stand at all once a night has ended.
    async fn held(&self) -> (u64, u64) {
        let locks = self.count("SELECT COUNT(*) FROM run_lock WHERE lease_until > 0").await;
        (locks, self.count("SELECT COUNT(*) FROM nik_lease").await)
    }
}

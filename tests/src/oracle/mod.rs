//! The oracle: what must hold once every night of a test has ended, whatever died or failed in it.
//!
//! It looks at a ledger by either adapter, at the simulators' FHIR store, and at the queues; a [`World`] asks what no
//! view shows. It says everything that does not hold, sorted by what it would mean for a person:
//! lost, doubled, or stuck.

mod ledger;
mod patients;
mod verdict;

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;
use shared::data_key::DataKeys;
use shared::ledger::{LedgerView, RunState};
use shared::queue::Depth;
use simulators::{FhirStore, Stats};
use tokio::time::{Instant, sleep};

pub use verdict::Verdict;

const EVERY: Duration = Duration::from_millis(50);

/// Patients as they were before the first night, by NIK.
pub type Before = BTreeMap<String, Vec<Value>>;

/// What is asked of a world beside its views.
#[async_trait(?Send)]
pub trait World {
    /// The answer of the ledger's database to a query for one number, in the SQL that both adapters speak.
    async fn count(&self, sql: &str) -> u64;

    /// What the queues hold, those of dry runs too.
    async fn depths(&self) -> Vec<Depth>;

    /// How many run locks and leases of NIKs are held now.
    async fn held(&self) -> (u64, u64);
}

/// How versions and outcomes belong together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Writes {
    /// Each `updated` is one version and each version one `updated`. It holds whoever died when, as long as a row
    /// that wrote ends as `updated`: an intent that stands makes it so.
    #[default]
    Exact,
    /// Some rows ended otherwise with a write in doubt, because their attempts ran out or a newer number came: each
    /// of those may have bumped a version too, and one that was superseded may have put the newer number back. Of rows
    /// that say the same number, one may have found it there and be `updated` because its intent stood.
    Explained,
    /// The ledger was put back to an earlier moment, and what it said since is gone: whoever was written in that time ends
    /// as `unchanged`. Still nobody was written more often than rows ask for.
    LostTail,
    /// Others write the same Patients, without being counted.
    Others,
}

/// What the oracle looks at.
pub struct Oracle<'a> {
    /// The ledger.
    pub ledger: &'a dyn LedgerView,
    /// What no view shows.
    pub world: &'a dyn World,
    /// The keys of what is sealed.
    pub keys: &'a DataKeys,
    /// Whose runs.
    pub job: &'a str,
    /// The Patients as they are.
    pub store: &'a FhirStore,
    /// What the FHIR server counted.
    pub stats: &'a Stats,
    /// The Patients as they were. None: they are not looked at, since the test itself changed or deleted some.
    pub before: Option<&'a Before>,
    /// How versions and outcomes belong together.
    pub writes: Writes,
    /// Writes that the FHIR server counted and that are the test's own.
    pub other_writes: u64,
    /// Rows of each night, where the test knows.
    pub rows: Option<u64>,
    /// How long the nights may still take to come to their end.
    pub patience: Duration,
}

impl Oracle<'_> {
    /// Waits until everything has ended, and no longer than the patience, then says what holds.
    pub async fn verdict(&self) -> Verdict {
        let gives_up = Instant::now() + self.patience;
        while !self.is_at_rest().await && Instant::now() < gives_up {
            sleep(EVERY).await;
        }
        let mut verdict = Verdict::default();
        let updates = self.judge_ledger(&mut verdict).await;
        self.judge_leftovers(&mut verdict).await;
        self.judge_writes(&mut verdict, &updates).await;
        verdict
    }

    async fn is_at_rest(&self) -> bool {
        let runs = self.ledger.runs(self.job, None, 1_000).await.unwrap_or_default();
        let at_rest = |state| matches!(state, RunState::Closed | RunState::Abandoned);
        runs.iter().all(|summary| at_rest(summary.run.state) && summary.tally.open == 0)
            && self.world.depths().await.iter().all(|depth| *depth == Depth::default())
            && self.world.held().await == (0, 0)
    }

    async fn judge_leftovers(&self, verdict: &mut Verdict) {
        for depth in self.world.depths().await {
            let left = depth.ready + depth.unsettled + depth.waiting + depth.dead;
            verdict.stuck(left, || format!("the queue holds messages after the night: {depth:?}"));
        }
        let (locks, niks) = self.world.held().await;
        verdict.stuck(locks, || "the run lock is not free".into());
        verdict.stuck(niks, || format!("{niks} NIKs are held after the night"));
        match self.ledger.gate().await {
            Ok(gate) => verdict.stuck(u64::from(gate.is_some()), || format!("the gate is shut: {gate:?}")),
            Err(error) => verdict.wrong(true, || format!("the gate cannot be looked at: {error}")),
        }
    }
}

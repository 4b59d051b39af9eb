//! One start of a process: it makes steps, may stand still, and may be killed between any two of them.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use shared::ledger::{Claim, LedgerError};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::trace::Trace;
use super::watched::Claims;
use super::weather::Weather;
use crate::night::Watch;

/// See the module. Clones are the same process.
#[derive(Clone)]
pub(super) struct Life(Arc<Inner>);

struct Inner {
    name: String,
    /// Steps left until its death; none left below 0.
    left: AtomicI64,
    stands_until: Mutex<Option<Instant>>,
    dead: CancellationToken,
    steps: AtomicU64,
    trace: Trace,
    weather: Arc<Weather>,
}

impl Life {
    pub(super) fn new(name: String, trace: Trace, weather: Arc<Weather>) -> Self {
        let (left, steps) = (AtomicI64::new(i64::MAX), AtomicU64::new(0));
        let (stands_until, dead) = (Mutex::default(), CancellationToken::new());
        Self(Arc::new(Inner { name, left, stands_until, dead, steps, trace, weather }))
    }

    pub(super) fn name(&self) -> &str {
        &self.0.name
    }

    /// Whatever it does or waits for then ends.
    pub(super) fn dead(&self) -> &CancellationToken {
        &self.0.dead
    }

    /// Kills it when it has made so many more steps.
    pub(super) fn kill_after(&self, steps: u32) {
        self.0.left.fetch_min(i64::from(steps), Ordering::Relaxed);
    }

    /// Makes it stand still.
    pub(super) fn freeze(&self, lasts: Duration) {
        *self.0.stands_until.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now() + lasts);
    }

    /// One step. A dead process comes no further.
    pub(super) async fn step(&self, what: &str) {
        if self.0.dead.is_cancelled() {
            std::future::pending::<()>().await;
        }
        let stands_until = *self.0.stands_until.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(until) = stands_until.filter(|until| *until > Instant::now()) {
            sleep_until(until).await;
        }
        self.0.steps.fetch_add(1, Ordering::Relaxed);
        self.0.trace.note(&self.0.name, what);
        if self.0.left.fetch_sub(1, Ordering::Relaxed) <= 1 {
            self.0.trace.note(&self.0.name, "is killed");
            self.0.dead.cancel();
            std::future::pending::<()>().await;
        }
    }
}

/// A process's calls to the ledger are steps, too.
pub(super) struct Calls(pub(super) Life, pub(super) Claims);

#[async_trait]
impl Watch for Calls {
    async fn before(&self, call: &'static str) -> Result<(), LedgerError> {
        self.0.step(call).await;
        self.0.0.weather.ledger_fails(false).map_or(Ok(()), Err)
    }

    async fn after(&self, call: &'static str) -> Result<(), LedgerError> {
        self.1.deprive(call);
        self.0.step(call).await;
        self.0.0.weather.ledger_fails(true).map_or(Ok(()), Err)
    }

    fn claimed(&self, claims: &Result<Vec<Claim>, LedgerError>) {
        for claim in claims.iter().flatten() {
            if let Claim::Ours(claimed) = claim {
                self.1.given(claimed.key, claimed.epoch);
            }
        }
    }
}

//! A ledger that holds one call of its process: a process that is stopped right there, while others go on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use shared::ledger::LedgerError;
use tokio_util::sync::CancellationToken;

use super::watched_ledger::Watch;

/// Where a process is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// Rows are claimed; nothing was asked of the FHIR server.
    Claimed,
    /// The Patient was read and the intent stands; the write was not sent.
    Intended,
    /// The write went through; its outcome is not recorded.
    Written,
    /// The outcome stands; the delivery is not settled.
    Recorded,
    /// The row failed for good; its dead letter is not written.
    Dying,
    /// Half of the sheet is in the snapshot.
    Seeded,
    /// A pause was found; the fleet was not told.
    Shutting,
    /// A probe went well; the gate is still shut.
    Opening,
    /// Nowhere: it is only killed.
    Never,
}

/// The first call at one point.
#[derive(Clone)]
pub struct Hold(Arc<Held>);

struct Held {
    point: Point,
    taken: AtomicBool,
    reached: CancellationToken,
    released: CancellationToken,
    dead: AtomicBool,
    refusals: AtomicU32,
}

impl Hold {
    /// At this point.
    pub fn at(point: Point) -> Self {
        let (reached, released) = (CancellationToken::new(), CancellationToken::new());
        let (taken, dead) = (AtomicBool::new(false), AtomicBool::new(false));
        let refusals = AtomicU32::new(0);
        Self(Arc::new(Held { point, taken, reached, released, dead, refusals }))
    }

    /// Waits until the process stands there.
    ///
    /// # Panics
    /// It does not come there.
    pub async fn reached(&self) {
        let reached = tokio::time::timeout(Duration::from_secs(30), self.0.reached.cancelled()).await;
        assert!(reached.is_ok(), "nothing came to the point {:?}", self.0.point);
    }

    /// Lets it go on.
    pub fn release(&self) {
        self.0.released.cancel();
    }

    /// The process is dead: what was held and whatever it asks from now on does not come to the ledger.
    pub fn kill(&self) {
        self.0.dead.store(true, Ordering::Relaxed);
        self.release();
    }

    /// How many calls came to nothing.
    pub fn refusals(&self) -> u32 {
        self.0.refusals.load(Ordering::Relaxed)
    }

    /// It was not the process but the ledger that was away, and it is back: what is asked from now on comes to it.
    pub fn revive(&self) {
        self.0.dead.store(false, Ordering::Relaxed);
    }

    async fn pass(&self, point: Point) -> Result<(), LedgerError> {
        if point == self.0.point && !self.0.taken.swap(true, Ordering::Relaxed) {
            self.0.reached.cancel();
            self.0.released.cancelled().await;
        }
        if self.0.dead.load(Ordering::Relaxed) {
            self.0.refusals.fetch_add(1, Ordering::Relaxed);
            return Err(LedgerError::Fenced);
        }
        Ok(())
    }
}

#[async_trait]
impl Watch for Hold {
    async fn before(&self, call: &'static str) -> Result<(), LedgerError> {
        match call {
            "record" => self.pass(Point::Written).await,
            "bury" => self.pass(Point::Dying).await,
            "shut_gate" => self.pass(Point::Shutting).await,
            "open_gate" => self.pass(Point::Opening).await,
            _ => Ok(()),
        }
    }

    async fn after(&self, call: &'static str) -> Result<(), LedgerError> {
        match call {
            "seed" => self.pass(Point::Seeded).await,
            "claim" => self.pass(Point::Claimed).await,
            "record_intents" => self.pass(Point::Intended).await,
            "record" => self.pass(Point::Recorded).await,
            _ => Ok(()),
        }
    }
}

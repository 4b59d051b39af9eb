//! SQLite as the suite's adapter: on a file, with its writer's thread, and in memory on the caller's thread.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use shared::clock::Clock;
use shared::ledger::Ledger;
use shared::ledger::sqlite::SqliteLedger;
use tempfile::TempDir;

use super::Adapter;

/// A ledger on a file. Its clock is the machine's, put forward by whatever time is let pass.
pub struct SqliteOnFile {
    // Before the folder: fields are dropped in order.
    ledger: Arc<dyn Ledger>,
    ahead: Arc<AtomicI64>,
    _folder: Option<TempDir>,
}

impl SqliteOnFile {
    /// On a new file of its own.
    pub async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut adapter = Self::at(&folder.path().join("ledger.db")).await;
        adapter._folder = Some(folder);
        adapter
    }

    /// On this file, which no living process may have open to act on.
    pub async fn at(path: &Path) -> Self {
        let (machine, ahead) = (Clock::system(), Arc::new(AtomicI64::new(0)));
        let read = ahead.clone();
        let clock =
            Clock::from_fn(move || machine.now() + SignedDuration::from_micros(read.load(Ordering::Relaxed)));
        let ledger = SqliteLedger::act(path, clock, Duration::ZERO).await.expect("nobody else has this file");
        Self { ledger: Arc::new(ledger), ahead, _folder: None }
    }
}

#[async_trait]
impl Adapter for SqliteOnFile {
    fn ledger(&self) -> &Arc<dyn Ledger> {
        &self.ledger
    }

    async fn advance(&self, by: Duration) {
        self.ahead.fetch_add(i64::try_from(by.as_micros()).expect("a test's time"), Ordering::Relaxed);
    }
}

/// A ledger in memory, whose clock is tokio's paused time.
pub struct SqliteInMemory(Arc<dyn Ledger>);

impl SqliteInMemory {
    /// Makes one; tokio's time must be paused.
    pub fn new() -> Self {
        let start = "2026-11-23T22:00:00+07:00".parse::<Timestamp>().expect("a timestamp");
        Self(Arc::new(SqliteLedger::in_memory(Clock::following_tokio(start)).expect("memory is there")))
    }
}

impl Default for SqliteInMemory {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Adapter for SqliteInMemory {
    fn ledger(&self) -> &Arc<dyn Ledger> {
        &self.0
    }

    async fn advance(&self, by: Duration) {
        tokio::time::advance(by).await;
    }
}

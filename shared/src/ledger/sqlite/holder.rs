//! Who acts on the file, as those hear who are turned away, and what they leave for that process to tell.

use std::fs::File;
use std::io::{Seek as _, Write as _};
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::file::lock_path;
use super::{Sql as _, SqliteLedger, outbox};
use crate::clock::Clock;
use crate::ledger::{LedgerError, Notice};

/// How long the acting process may keep a notice waiting: it commits many times a second.
const PATIENCE: Duration = Duration::from_secs(10);

/// Notes in the locked file who locked it.
pub(super) fn write(mut lock: &File, path: &Path, holder: &str) -> Result<(), LedgerError> {
    let written = lock.set_len(0).and_then(|()| lock.rewind()).and_then(|()| writeln!(lock, "{holder}"));
    written.map_err(|source| LedgerError::File { path: path.to_owned(), source })
}

impl SqliteLedger {
    /// Who acts on the file now, or did last.
    pub fn holder(path: &Path) -> Option<String> {
        let holder = std::fs::read_to_string(lock_path(path)).ok()?;
        Some(holder.trim().to_owned()).filter(|holder| !holder.is_empty())
    }

    /// Notes a notice beside the process that acts, which posts it. It is one insertion: no lease, no claim and no row
    /// depends on it, so it needs no lock but SQLite's own.
    pub async fn leave_notice(path: &Path, clock: &Clock, notice: &Notice) -> Result<(), LedgerError> {
        let doing = "leave a notice";
        let (path, now, notice) = (path.to_owned(), clock.micros(), notice.clone());
        let left = tokio::task::spawn_blocking(move || {
            let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let db = Connection::open_with_flags(&path, flags).doing(doing)?;
            db.execute_batch("PRAGMA synchronous = FULL")
                .and_then(|()| db.busy_timeout(PATIENCE))
                .doing(doing)?;
            outbox::post_notice(&db, now, &notice)
        });
        left.await.map_err(|source| super::failed(doing, source))?
    }
}

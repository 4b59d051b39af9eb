//! The database's file: who may open it, its tables, and connections that only read.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::Sql as _;
use crate::ledger::LedgerError;

mod migrations {
    refinery::embed_migrations!("../migrations/sqlite");
}

/// The tables' versions, oldest first, as they are noted in the database: version, name, checksum.
pub(crate) fn versions() -> Vec<(String, String, String)> {
    let runner = migrations::migrations::runner();
    let mut all: Vec<_> = runner.get_migrations().iter().collect();
    all.sort();
    let noted = |migration: &&refinery::Migration| {
        (migration.version().to_string(), migration.name().to_owned(), migration.checksum().to_string())
    };
    all.iter().map(noted).collect()
}

/// Readers kept open at most; more are opened under load and closed again.
const IDLE_READERS: usize = 4;

/// Connections that only read, as many as are asked for at once.
pub(super) struct Readers {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    pub(super) fn of(path: PathBuf) -> Self {
        Self { path, idle: Mutex::default() }
    }

    pub(super) fn open(&self) -> Result<Connection, LedgerError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.path, flags).doing("open the database to read")?;
        connection.busy_timeout(Duration::from_secs(10)).doing("open the database to read")?;
        Ok(connection)
    }

    pub(super) fn take(&self) -> Result<Connection, LedgerError> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        idle.map_or_else(|| self.open(), Ok)
    }

    pub(super) fn give_back(&self, connection: Connection) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_READERS {
            idle.push(connection);
        }
    }
}

/// The file whose OS lock an acting process holds.
pub(super) fn lock_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock-file");
    PathBuf::from(name)
}

/// Opens a file, making it readable by its owner alone if it is new.
pub(super) fn open_private(path: &Path) -> Result<File, LedgerError> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map_err(|source| LedgerError::File { path: path.to_owned(), source })
}

/// Brings the tables up to date, and voids what a dead process left.
pub(super) fn prepare(connection: &mut Connection) -> Result<(), LedgerError> {
    connection
        .execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA busy_timeout = 10000;
             PRAGMA cache_size = -16384; PRAGMA journal_size_limit = 67108864;",
        )
        .doing("open the database")?;
    connection.set_prepared_statement_cache_capacity(64);
    // refinery logs each statement's outcome at info; its report is not needed.
    // One transaction: by itself refinery commits a change before the note that it was made, and a process killed in
    // between would leave a ledger that no start can open again.
    migrations::migrations::runner()
        .set_grouped(true)
        .run(connection)
        .map_err(|error| LedgerError::Migration(Box::new(error)))?;
    // Whoever left these is dead: we hold the OS lock. Crash counts stay.
    connection
        .execute_batch(
            "UPDATE run_lock SET lease_until = 0; DELETE FROM nik_lease; DELETE FROM duty;
             UPDATE row SET sweep_at = 0 WHERE state <> 'done' AND state = 'claimed'
               AND run_id IN (SELECT run_id FROM run WHERE state IN ('open', 'closed'));",
        )
        .doing("void the leases of dead processes")
}

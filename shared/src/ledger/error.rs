//! What can go wrong with a ledger.

use std::path::PathBuf;
use std::time::Duration;

use super::RunId;

/// A ledger's failure. Never quotes a row.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// Another process acts on this ledger (SQLite only).
    #[error("{} is in use by another process (its lock is {})", path.display(), lock.display())]
    InUse {
        /// The database file.
        path: PathBuf,
        /// The file whose OS lock is held.
        lock: PathBuf,
    },
    /// The run lock was lost to another process: nothing was written.
    #[error("another process took over the run lock of this job and date; nothing more was written")]
    Fenced,
    /// A file cannot be made, opened or locked.
    #[error("cannot use {}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What the operating system says.
        source: std::io::Error,
    },
    /// The tables could not be brought up to date.
    #[error("the ledger's tables could not be brought up to date")]
    Migration(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A newer program took away what this one needs (Postgres only).
    #[error(
        "the ledger's tables were brought to version {version} ({name}) by a newer program; this one cannot work with \
         them: start the newer one"
    )]
    TooNew {
        /// The version that took something away.
        version: String,
        /// What it is called.
        name: String,
    },
    /// The database refused or failed.
    #[error("the ledger's database failed while it was to {doing}")]
    Database {
        /// The verb, as in "claim rows".
        doing: &'static str,
        /// What the database says.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A whole start got no answer.
    #[error("the ledger's database did not answer within {} s", within.as_secs())]
    Silent {
        /// What it had.
        within: Duration,
    },
    /// The data key is being changed.
    #[error("the data key is being changed; no run can be opened or replayed before that is done")]
    Rekeying,
    /// The ledger's hashes are of another key than ours would be.
    #[error("the ledger's hashes are made with key '{theirs}', and ours would be with '{ours}'; start again")]
    OtherKey {
        /// The ledger's.
        theirs: String,
        /// This process's.
        ours: String,
    },
    /// The data key cannot be changed now.
    #[error("run {run} is not finished; finish it first, by --resume or by running its date again")]
    Unfinished {
        /// Which run.
        run: RunId,
    },
    /// Something stored cannot be understood: another version wrote it, or it was edited by hand.
    #[error("the ledger holds a {what} that this version does not understand")]
    Foreign {
        /// Which value.
        what: &'static str,
    },
}

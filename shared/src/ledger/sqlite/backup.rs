//! A copy of the whole database, as of one instant.

use std::fs::{File, OpenOptions};
use std::path::Path;

use super::{Sql as _, SqliteLedger};
use crate::ledger::LedgerError;

impl SqliteLedger {
    /// Writes a copy of the database as it is now into a new file, readable by its owner alone; also beside a process
    /// that acts. What is there already is left alone and is an error.
    pub async fn backup(&self, to: &Path) -> Result<(), LedgerError> {
        let to = to.to_owned();
        self.read("back the database up", move |db| {
            let fault = |source| LedgerError::File { path: to.clone(), source };
            // VACUUM INTO takes an empty file, so nobody else can read it at any time
            // (https://www.sqlite.org/lang_vacuum.html#vacuuminto).
            let copy = new_private(&to).map_err(fault)?;
            let name = to.to_str().ok_or_else(|| fault(std::io::ErrorKind::InvalidFilename.into()))?;
            let written = db.execute("VACUUM INTO ?", [name]).doing("back the database up");
            let written = written.and_then(|_| copy.sync_all().map_err(fault));
            if written.is_err() {
                // Half a copy helps nobody; that it cannot be removed changes nothing about the error.
                let _ = std::fs::remove_file(&to);
            }
            written
        })
        .await
    }
}

fn new_private(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

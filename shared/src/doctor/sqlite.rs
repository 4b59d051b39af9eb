//! The ledger on SQLite: its file, its folder, its key, its tables, and room for it. Only looked at: a ledger that
//! nobody has open is read as it lies there.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};
use rustix::fs::{Access, StatVfs, access, statvfs};
use tokio::task::spawn_blocking;

use super::Findings;
use crate::ledger::sqlite::file::versions;

/// Room that a night needs with some to spare: 20,000 rows take 30 MB, and a month of them is kept.
const ROOM: u64 = 1 << 30;

/// `database.…` and `disk`; `own_key` says that the key is the one beside the database.
pub async fn examine(path: PathBuf, own_key: bool, findings: Findings) {
    // Files may be on a disk that hangs.
    let _ = spawn_blocking(move || look(&path, own_key, &findings)).await;
}

fn look(path: &Path, own_key: bool, findings: &Findings) {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let at = folder.display();
    if !folder.is_dir() {
        findings.wrong(
            "database.folder",
            format!("there is no folder {at} (DATABASE_URL); make it, for this user alone"),
        );
        return;
    }
    if access(folder, Access::WRITE_OK | Access::EXEC_OK).is_err() {
        findings.wrong(
            "database.folder",
            format!("this user may not write to {at} (DATABASE_URL); make it the owner"),
        );
    } else {
        findings.ok(
            "database.folder",
            format!("{} can be written to", folder.canonicalize().unwrap_or(folder.into()).display()),
        );
    }
    match statvfs(folder) {
        Ok(disk) => room(free(&disk), &at, findings),
        Err(error) => findings.wrong("disk", format!("how much room is at {at} cannot be asked: {error}")),
    }
    if !path.exists() {
        findings.ok("database.file", format!("{} is not there yet; the first run makes it", path.display()));
        return;
    }
    if !is_private(path, "database.file", findings) {
        return;
    }
    tables(path, findings);
    if own_key {
        let mut key = path.as_os_str().to_owned();
        key.push(".key");
        of_key(path, &PathBuf::from(key), findings);
    }
}

fn free(disk: &StatVfs) -> u64 {
    disk.f_bavail.saturating_mul(disk.f_frsize)
}

fn room(free: u64, at: &dyn std::fmt::Display, findings: &Findings) {
    let megabytes = free >> 20;
    if free < ROOM {
        findings
            .wrong("disk", format!("{megabytes} MB are free at {at}; make room, {} MB at least", ROOM >> 20));
    } else {
        findings.ok("disk", format!("{megabytes} MB are free where the database is"));
    }
}

/// Whether a file can be used; wrong too where others can read it.
fn is_private(path: &Path, check: &'static str, findings: &Findings) -> bool {
    let at = path.display();
    if access(path, Access::READ_OK | Access::WRITE_OK).is_err() {
        findings.wrong(check, format!("this user may not read and write {at}; make it the owner (chown)"));
        return false;
    }
    match std::fs::metadata(path) {
        Ok(file) if file.permissions().mode() & 0o077 != 0 => {
            findings.wrong(check, format!("others on this machine can read {at}; chmod 600 {at}"));
        }
        Ok(_) => findings.ok(check, format!("{at} is this user's alone")),
        Err(error) => findings.wrong(check, format!("{at} cannot be looked at: {error}")),
    }
    true
}

fn tables(path: &Path, findings: &Findings) {
    const CHECK: &str = "database.tables";
    match noted(path) {
        Ok(noted) => of_versions(&versions(), &noted, "the next run brings them", findings),
        Err(error) => findings.wrong(
            CHECK,
            format!(
                "{} is no database that can be read ({error}); name another, or restore a copy",
                path.display()
            ),
        ),
    }
}

/// Tells how the tables that are there compare with those of this program.
pub(super) fn of_versions(
    ours: &[(String, String, String)],
    noted: &[(String, String, String)],
    brings: &str,
    findings: &Findings,
) {
    const CHECK: &str = "database.tables";
    let same = ours.iter().zip(noted).take_while(|(ours, noted)| ours == noted).count();
    let newest = noted.last().map_or("0", |(version, ..)| version);
    if same < ours.len().min(noted.len()) {
        let (version, name, _) = &noted[same];
        let problem = format!(
            "version {version} ({name}) of the tables is not this program's; they were made by another build: use \
             that build, or another database"
        );
        findings.wrong(CHECK, problem);
    } else if noted.len() > ours.len() {
        let problem = format!(
            "the tables are of version {newest}, which a newer program made; install that, or restore a copy from before"
        );
        findings.wrong(CHECK, problem);
    } else if noted.len() < ours.len() {
        findings.ok(CHECK, format!("of version {newest}; {brings} to version {}", ours.len()));
    } else {
        findings.ok(CHECK, format!("up to date (version {newest})"));
    }
}

fn noted(path: &Path) -> rusqlite::Result<Vec<(String, String, String)>> {
    let database = open(path)?;
    let known: i64 = database.query_row(
        "SELECT count(*) FROM sqlite_master WHERE name = 'refinery_schema_history'",
        [],
        |row| row.get(0),
    )?;
    if known == 0 {
        return Ok(Vec::new());
    }
    let mut asked =
        database.prepare("SELECT version, name, checksum FROM refinery_schema_history ORDER BY version")?;
    let rows =
        asked.query_map([], |row| Ok((row.get::<_, i64>(0)?.to_string(), row.get(1)?, row.get(2)?)))?;
    rows.collect()
}

/// Without a write-ahead log nobody has it open, and it is read as it lies: a usual open would make one.
fn open(path: &Path) -> rusqlite::Result<Connection> {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let database = if Path::new(&log).exists() {
        Connection::open_with_flags(path, flags)?
    } else {
        let escaped = path.to_string_lossy().replace('%', "%25").replace('?', "%3f").replace('#', "%23");
        Connection::open_with_flags(
            format!("file:{escaped}?immutable=1"),
            flags | OpenFlags::SQLITE_OPEN_URI,
        )?
    };
    database.busy_timeout(super::ANSWER)?;
    Ok(database)
}

fn of_key(database: &Path, key: &Path, findings: &Findings) {
    const CHECK: &str = "database.key";
    if key.exists() {
        is_private(key, CHECK, findings);
        return;
    }
    let has_runs = open(database).and_then(|database| {
        database.query_row("SELECT EXISTS (SELECT 1 FROM run)", [], |row| row.get::<_, bool>(0))
    });
    // Without tables there is nothing to be read with it.
    if has_runs.unwrap_or(false) {
        let problem = format!(
            "{} is gone, and what {} holds cannot be read without it; put the copy back, or name it with DATA_KEY",
            key.display(),
            database.display()
        );
        findings.wrong(CHECK, problem);
    } else {
        findings.ok(CHECK, format!("{} is not there yet; the first run makes it", key.display()));
    }
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn a_disk_that_is_nearly_full_is_found() {
        for (free, verdict) in [(300 << 20, Verdict::Wrong), (5 << 30, Verdict::Ok)] {
            let findings = Findings::default();
            room(free, &"/var/lib", &findings);
            let found = findings.take().remove(0);
            assert_eq!((found.check.as_str(), found.verdict), ("disk", verdict), "{found}");
        }
    }

    #[test]
    fn tables_of_another_program_are_told_from_older_ones() {
        let version =
            |number: &str, checksum: &str| (number.to_owned(), "ledger".to_owned(), checksum.to_owned());
        let ours = [version("1", "a"), version("2", "b")];
        for (noted, verdict, says) in [
            (&ours[..], Verdict::Ok, "up to date"),
            (&ours[..1], Verdict::Ok, "version 1"),
            (&[][..], Verdict::Ok, "version 0"),
            (&[version("1", "a"), version("2", "b"), version("3", "c")], Verdict::Wrong, "newer program"),
            (&[version("1", "x")], Verdict::Wrong, "another build"),
        ] {
            let findings = Findings::default();
            of_versions(&ours, noted, "the next run brings them", &findings);
            let found = findings.take().remove(0);
            assert_eq!(found.verdict, verdict, "{found}");
            assert!(found.text.contains(says), "{found}");
        }
    }
}

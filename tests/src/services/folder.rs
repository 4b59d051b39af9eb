//! A server started privately, in a folder of its own: both are gone when the test process is, however it ends.

use std::ffi::OsStr;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Stands between the test process and the server. It reads from a pipe whose other end only the test process
/// holds: when that is closed, by an exit or by `kill -9`, it stops the server at once (nobody will read its
/// data again) and removes the folder. A script
/// is handed `$folder`, and `as` to run a program as `$user`, since a server may refuse to run as root; it must
/// start the server in the background and leave its process id in `$server`.
const KEEPER: &str = r#"
set -eu
folder=$1 user=$2
shift 2
as() {
  if [ -n "$user" ]; then exec setpriv --reuid "$user" --regid "$user" --clear-groups -- "$@"; else exec "$@"; fi
}
[ -z "$user" ] || chown "$user" "$folder"
trap 'rm -rf "$folder"' EXIT
"#;

const AFTER: &str = r#"
read -r _ || true
kill -QUIT "$server" 2>/dev/null || true
wait "$server" || true
"#;

/// A server, for as long as this process lives.
pub(super) struct Private {
    /// Where it keeps everything.
    pub(super) folder: PathBuf,
    keeper: Child,
}

impl Private {
    /// Starts a server by `script`, with these arguments as `$1`, `$2`, … The folder is named for `kind`.
    pub(super) fn start(kind: &str, script: &str, arguments: &[&OsStr]) -> Result<Self, String> {
        let folder = tempfile::Builder::new()
            .prefix(&format!("nightly-sync-{kind}-"))
            .tempdir()
            .map_err(|error| format!("no temporary folder: {error}"))?
            .keep();
        let root = std::fs::metadata(&folder).map_err(|error| error.to_string())?.uid() == 0;
        let user = if root { unprivileged(kind)? } else { String::new() };
        let keeper = Command::new("sh")
            .arg("-c")
            .arg(format!("{KEEPER}{script}{AFTER}"))
            .arg("keeper")
            .arg(&folder)
            .arg(user)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // A group of its own: an interrupt typed at the tests is not for it.
            .process_group(0)
            .spawn()
            .map_err(|error| format!("sh cannot be started: {error}"))?;
        Ok(Self { folder, keeper })
    }

    /// Whether it has ended already, which it should not.
    pub(super) fn has_ended(&mut self) -> bool {
        self.keeper.try_wait().is_ok_and(|status| status.is_some())
    }
}

/// A user to run a server as where we are root: one named like the service, or nobody.
fn unprivileged(kind: &str) -> Result<String, String> {
    let exists = |name: &&str| {
        let id = Command::new("id").arg("-u").arg(name).stdout(Stdio::null()).stderr(Stdio::null()).status();
        id.is_ok_and(|status| status.success())
    };
    let found = [kind, "nobody"].into_iter().find(exists);
    found.map(str::to_owned).ok_or_else(|| "running as root, and there is no other user for a server".into())
}

/// A port of loopback that nobody listens on now.
pub(super) fn free_port() -> Result<String, String> {
    let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    port.map(|address| address.port().to_string()).map_err(|error| format!("no free port: {error}"))
}

/// The first folder of `PATH`, and then of `others`, that holds all these programs.
pub(super) fn folder_of(programs: &[&str], others: &[PathBuf]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let holds = |folder: &PathBuf| programs.iter().all(|program| is_file(&folder.join(program)));
    std::env::split_paths(&path).chain(others.iter().cloned()).find(holds)
}

fn is_file(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|found| found.is_file())
}

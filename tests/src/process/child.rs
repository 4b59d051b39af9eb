//! One start of a program: what it prints, signals to it, and its end.

use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, Command};

use crate::night::until;

/// Longer than any start in a test takes, also one that waits for a lease.
const PATIENCE: Duration = Duration::from_secs(120);

/// Lines of standard error that a failing test shows.
const SHOWN: usize = 30;

/// A signal.
#[derive(Clone, Copy, Debug)]
pub enum Sign {
    /// SIGINT: Ctrl-C.
    Interrupt,
    /// SIGTERM: a service manager's.
    Terminate,
    /// SIGSTOP: it stands still, and holds what it has.
    Stop,
    /// SIGKILL, without waiting for its end.
    Kill,
    /// SIGCONT: it goes on after [`Stop`](Self::Stop), and does not know how long it stood.
    Continue,
    /// SIGHUP: what is kept elsewhere has changed.
    HangUp,
}

/// A program that runs; killed when dropped.
pub struct Running {
    child: Child,
    stdout: PathBuf,
    stderr: PathBuf,
}

/// How a program ended, and what it printed.
#[derive(Debug)]
pub struct Finished {
    /// The exit status; none where a signal killed it.
    pub status: Option<i32>,
    /// All of standard output.
    pub stdout: String,
    /// All of standard error.
    pub stderr: String,
}

impl Running {
    /// Starts a program whose output goes to `NAME.out` and `NAME.err` in `folder`.
    pub(super) fn start(mut command: Command, folder: &Path, name: &str) -> Self {
        let file = |ending: &str| folder.join(format!("{name}.{ending}"));
        let (stdout, stderr) = (file("out"), file("err"));
        let create = |path: &Path| Stdio::from(std::fs::File::create(path).expect("a file for output"));
        let child = command
            .stdout(create(&stdout))
            .stderr(create(&stderr))
            .kill_on_drop(true)
            .spawn()
            .expect("the program starts");
        Self { child, stdout, stderr }
    }

    /// The process id.
    ///
    /// # Panics
    /// It has ended.
    pub fn id(&self) -> u32 {
        self.child.id().expect("a running process has an id")
    }

    /// The exit status, if it has ended by itself.
    pub fn ended(&mut self) -> Option<i32> {
        self.child.try_wait().expect("a child can be asked").and_then(|status| status.code())
    }

    /// How it ended, if it has, by itself or by a signal.
    pub fn exited(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child can be asked")
    }

    /// Sends a signal.
    pub fn signal(&self, sign: Sign) {
        let name = match sign {
            Sign::Interrupt => "-INT",
            Sign::Terminate => "-TERM",
            Sign::Stop => "-STOP",
            Sign::Kill => "-KILL",
            Sign::Continue => "-CONT",
            Sign::HangUp => "-HUP",
        };
        let sent = std::process::Command::new("kill").arg(name).arg(self.id().to_string()).status();
        assert!(sent.is_ok_and(|status| status.success()), "kill {name} works");
    }

    /// `kill -9`; waits until it is gone. Whether it was still running.
    pub async fn kill(mut self) -> bool {
        let was_running = self.child.try_wait().expect("a child can be asked").is_none();
        self.child.kill().await.expect("a child can be killed");
        was_running
    }

    /// A crash, by `SIGABRT`. Whether the kernel dumped its memory.
    ///
    /// # Panics
    /// It had ended before.
    pub async fn crash(mut self) -> bool {
        let sent = std::process::Command::new("kill").arg("-ABRT").arg(self.id().to_string()).status();
        assert!(sent.is_ok_and(|status| status.success()), "kill -ABRT works");
        let ended = self.child.wait().await.expect("a child can be waited for");
        assert!(ended.signal().is_some(), "{ended}");
        ended.core_dumped()
    }

    /// Types into a terminal or a pipe; its standard input must be one.
    ///
    /// # Panics
    /// It is not.
    pub async fn type_in(&mut self, text: &str) {
        let stdin = self.child.stdin.as_mut().expect("a program whose standard input is piped");
        stdin.write_all(text.as_bytes()).await.expect("it reads what is typed");
        stdin.flush().await.expect("it reads what is typed");
    }

    /// What standard output has so far.
    pub fn stdout(&self) -> String {
        read(&self.stdout)
    }

    /// What standard error has so far.
    pub fn stderr(&self) -> String {
        read(&self.stderr)
    }

    /// Waits until standard error has this text.
    ///
    /// # Panics
    /// It does not come, or the program ends before.
    pub async fn until_logged(&mut self, text: &str) {
        let what = format!("'{text}' on standard error");
        let child = &mut self.child;
        let stderr = &self.stderr;
        let look = || {
            // In this order, so that the last words of a program that ended are not missed.
            let ended = child.try_wait().expect("a child can be asked");
            let seen = read(stderr);
            async move { (ended, seen) }
        };
        let (_, seen) = until(&what, look, |(ended, seen)| ended.is_some() || seen.contains(text)).await;
        assert!(seen.contains(text), "the program ended without {what}:\n{}", tail(&seen));
    }

    /// Waits for the end.
    ///
    /// # Panics
    /// It takes too long.
    pub async fn end(mut self) -> Finished {
        let status: ExitStatus = match tokio::time::timeout(PATIENCE, self.child.wait()).await {
            Ok(status) => status.expect("a child can be waited for"),
            Err(_) => panic!("still running after {PATIENCE:?}:\n{}", tail(&self.stderr())),
        };
        Finished { status: status.code(), stdout: read(&self.stdout), stderr: read(&self.stderr) }
    }
}

impl Finished {
    /// Makes sure of the exit status.
    ///
    /// # Panics
    /// It is another.
    #[track_caller]
    pub fn expect(self, status: i32) -> Self {
        assert_eq!(
            self.status,
            Some(status),
            "the exit status, after:\n{}{}",
            self.stdout,
            tail(&self.stderr)
        );
        self
    }

    /// Standard output as JSON, an object a line.
    ///
    /// # Panics
    /// There is something else on it.
    #[track_caller]
    pub fn objects(&self) -> Vec<Value> {
        let object = |line: &str| match serde_json::from_str(line) {
            Ok(object @ Value::Object(_)) => object,
            _ => panic!("not a JSON object on standard output: {line}"),
        };
        self.stdout.lines().map(object).collect()
    }

    /// The one object on standard output.
    ///
    /// # Panics
    /// There is none, more than one, or something else.
    #[track_caller]
    pub fn object(&self) -> Value {
        let mut objects = self.objects();
        assert_eq!(objects.len(), 1, "objects on standard output:\n{}{}", self.stdout, tail(&self.stderr));
        objects.remove(0)
    }
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&std::fs::read(path).expect("output is kept in a file")).into_owned()
}

fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(SHOWN)..].join("\n")
}

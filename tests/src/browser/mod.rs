//! A real Chromium, driven by a Node script with playwright-core: what a test asks of a page, and what it saw.
//!
//! A scenario is a module in `tests/browser/scenarios`. It is given its input as JSON, and tells one line of JSON for
//! each check. A missing Node, Chromium or playwright-core is an error that says what to install.

mod office;

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::process::in_repository;

pub use office::{Office, TOKEN, furnish};

/// Longer than any scenario takes, a night included.
const PATIENCE: Duration = Duration::from_secs(240);

/// Names a test may give in `TEST_CHROMIUM`, or else these programs in `PATH`.
const CHROMIUM: [&str; 4] = ["chromium", "chromium-browser", "google-chrome-stable", "google-chrome"];

/// What a scenario saw.
#[derive(Debug, Default)]
pub struct Seen {
    /// Each check, as it was told.
    pub checks: Vec<Check>,
    /// What else it told, by name.
    pub told: serde_json::Map<String, Value>,
}

/// One thing that was looked at.
#[derive(Debug, PartialEq, Eq)]
pub struct Check {
    /// What should be so.
    pub name: String,
    /// Whether it is.
    pub ok: bool,
    /// What is there instead.
    pub detail: String,
}

impl Seen {
    /// Makes sure that everything was as it should be, and that something was looked at.
    ///
    /// # Panics
    /// It was not; all that failed are named.
    #[track_caller]
    pub fn all_well(self) -> Self {
        assert!(!self.checks.is_empty(), "nothing was looked at");
        let bad: Vec<String> =
            self.failed().map(|check| format!("{}: {}", check.name, check.detail)).collect();
        assert!(bad.is_empty(), "{} of {} checks:\n{}", bad.len(), self.checks.len(), bad.join("\n"));
        self
    }

    /// The checks that failed.
    pub fn failed(&self) -> impl Iterator<Item = &Check> {
        self.checks.iter().filter(|check| !check.ok)
    }
}

fn on_path(names: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let programs =
        std::env::split_paths(&path).flat_map(|folder| names.iter().map(move |name| folder.join(name)));
    programs.into_iter().find(|program| program.is_file())
}

fn chromium() -> PathBuf {
    let given = std::env::var_os("TEST_CHROMIUM").map(PathBuf::from);
    given.or_else(|| on_path(&CHROMIUM)).unwrap_or_else(|| {
        panic!("Chromium is missing; run first: scripts/install-chromium, or name one by TEST_CHROMIUM")
    })
}

/// Plays a scenario.
///
/// # Panics
/// Something that it needs is not installed, or it did not come to its end.
pub async fn play(scenario: &str, input: Value) -> Seen {
    let node = on_path(&["node"]).expect("Node.js is missing; install version 20 or newer");
    let playwright = in_repository("tests/browser/node_modules/playwright-core");
    assert!(playwright.is_dir(), "playwright-core is missing; run first: scripts/install-playwright");
    let mut child = Command::new(node)
        .arg(in_repository("tests/browser/play.mjs"))
        .arg(scenario)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("Node starts");
    let input = json!({ "chromium": chromium(), "input": input }).to_string();
    let mut stdin = child.stdin.take().expect("a piped standard input");
    stdin.write_all(input.as_bytes()).await.expect("it reads its input");
    drop(stdin);
    let ended = tokio::time::timeout(PATIENCE, child.wait_with_output()).await;
    let ended = ended.unwrap_or_else(|_| panic!("the scenario '{scenario}' did not end in {PATIENCE:?}"));
    let ended = ended.expect("Node can be waited for");
    let mut seen = Seen::default();
    for line in String::from_utf8_lossy(&ended.stdout).lines() {
        let line: Value =
            serde_json::from_str(line).unwrap_or_else(|_| panic!("'{scenario}' printed no JSON: {line}"));
        match line["check"].as_str() {
            Some(name) => seen.checks.push(Check {
                name: name.to_owned(),
                ok: line["ok"] == true,
                detail: line["detail"].as_str().unwrap_or_default().to_owned(),
            }),
            None => seen.told.extend(line.as_object().cloned().unwrap_or_default()),
        }
    }
    assert!(
        ended.status.success(),
        "the scenario '{scenario}' broke off: {}\nfailed until then: {:#?}",
        String::from_utf8_lossy(&ended.stderr),
        seen.failed().collect::<Vec<_>>()
    );
    seen
}

//! `doctor`: looks at the settings and at every other side, and says of each check in one line that it is well, or
//! what is wrong and how to mend it.
//!
//! It only looks: nothing is written, declared, posted or taken. No line holds a secret, a NIK or a number. A side
//! that does not answer is cut off, and what was found until then stays.
//!
//! Here is what all programs have in common, and the sides that `shared` knows: settings and secrets, the ledger, the
//! queue, the clock, the webhook, the addresses listened on. The sheet is examined in `producer`, the FHIR server in
//! `worker`; a program puts together the sides that it has.

pub mod addresses;
pub mod clock;
mod finding;
#[cfg(all(feature = "postgres", feature = "rabbitmq"))]
pub mod postgres;
#[cfg(all(feature = "postgres", feature = "rabbitmq"))]
pub mod rabbitmq;
pub mod settings;
pub mod sqlite;
mod subject;
pub mod webhook;

use std::future::Future;
use std::io::Write as _;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, timeout_at};

use crate::status::{Status, fail};

pub use finding::{Finding, Findings, Verdict};
pub use subject::Subject;

/// What one side may take in all. Each of its questions has a shorter bound of its own.
const LONGEST: Duration = Duration::from_secs(20);

/// What one question to another side may take.
pub const ANSWER: Duration = Duration::from_secs(8);

/// One side under examination; all go on at the same time.
pub struct Side {
    name: &'static str,
    findings: Findings,
    examination: JoinHandle<()>,
    ends: Instant,
}

impl Side {
    /// Begins to examine a side: `name` is the check that is wrong where the side does not answer.
    pub fn begin<F>(name: &'static str, examine: impl FnOnce(Findings) -> F) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let findings = Findings::default();
        let examination = examine(findings.clone());
        // On a thread of its own: a file that never ends (a pipe, a share that is away) must not stop the clock by
        // which the others are bounded.
        let runtime = Handle::current();
        let examination = spawn_blocking(move || runtime.block_on(examination));
        Self { name, findings, examination, ends: Instant::now() + LONGEST }
    }

    async fn end(mut self) -> Vec<Finding> {
        match timeout_at(self.ends, &mut self.examination).await {
            Ok(Ok(())) => {}
            // Its message is on standard error already.
            Ok(Err(_)) => self.findings.wrong(self.name, "the check itself failed; please report this"),
            Err(_) => {
                let problem =
                    format!("no answer within {} s; see that it is up and reachable", LONGEST.as_secs());
                self.findings.wrong(self.name, problem);
            }
        }
        self.findings.take()
    }
}

/// Waits for all sides and prints what was found, in their order; `json` is one object a line. Exit status 0, or 5
/// where anything is wrong.
pub async fn tell(sides: Vec<Side>, json: bool) -> Status {
    let mut findings: Vec<Finding> = Vec::new();
    for side in sides {
        let of_side = side.end().await;
        // Two sides may meet the same bad setting, such as CA_FILE: once is enough.
        let is_told = |found: &Finding| {
            findings.iter().any(|told| told.check == found.check && told.verdict == Verdict::Wrong)
        };
        let news: Vec<_> = of_side.into_iter().filter(|found| !is_told(found)).collect();
        // As each is known: the next may take its time.
        if let Err(error) = print(&news, json) {
            return fail(&error);
        }
        findings.extend(news);
    }
    if findings.iter().any(|finding| finding.verdict == Verdict::Wrong) {
        Status::Stopped
    } else {
        Status::Done
    }
}

fn print(findings: &[Finding], json: bool) -> std::io::Result<()> {
    let mut text = String::new();
    for finding in findings {
        text.push_str(&if json { finding.json() } else { finding.to_string() });
        text.push('\n');
    }
    std::io::stdout().write_all(text.as_bytes())
}

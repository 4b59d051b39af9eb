//! What a test may do to a program from outside: end it at a named point as `kill -9` would, and shorten the intervals
//! that no operator sets. All of it is compiled in by the cargo feature `failpoints` alone. The crate `tests` switches that
//! on, for the programs that are built together with it; what is shipped is built without it, and has none of this.
//!
//! - `FAILPOINTS=written=3*off->return`: ends at the fourth write that went through. The language is that of the crate `fail`.
//! - `TEST_HURRY=10`: intervals are a tenth, and so are leases and waits, down to what a busy machine needs.
//! - `TEST_DELIVERY_LIMIT=5`: what queues that are made now allow.

use std::time::Duration;

/// A point at which a test may end the process. Each lies between two steps, of which the first is done for good and
/// the second is not begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failpoint {
    /// The run is in the ledger; nothing of the sheet is read.
    RunOpened,
    /// A part of the sheet is seeded; the snapshot is not complete.
    Seeded,
    /// The snapshot is complete; nothing is published.
    SnapshotComplete,
    /// Rows are stamped as taken; their messages are not published.
    Taken,
    /// Messages are handed to the broker; no confirm is waited for.
    Published,
    /// They are confirmed; the ledger does not know it.
    Confirmed,
    /// The ledger knows it.
    NotedPublished,
    /// All rows are done; the run is not closed.
    Settled,
    /// The run is closed.
    Closed,
    /// Dead letters have a new generation; nothing of it is published.
    Replayed,
    /// A row is claimed; nobody was asked about it.
    Claimed,
    /// A write is announced; it is not sent.
    Intended,
    /// A write went through; that is not recorded.
    Written,
    /// A row's end is recorded; its message is not settled.
    Recorded,
    /// A row's message is settled.
    Settle,
    /// The copy of a message is in a retry queue; the original is not acknowledged.
    PutOff,
    /// A row is recorded as failed; its message is not rejected.
    Failed,
    /// A dead letter is in the ledger; its message is not acknowledged.
    Buried,
}

impl Failpoint {
    /// All of them.
    pub const ALL: [Self; 18] = [
        Self::RunOpened,
        Self::Seeded,
        Self::SnapshotComplete,
        Self::Taken,
        Self::Published,
        Self::Confirmed,
        Self::NotedPublished,
        Self::Settled,
        Self::Closed,
        Self::Replayed,
        Self::Claimed,
        Self::Intended,
        Self::Written,
        Self::Recorded,
        Self::Settle,
        Self::PutOff,
        Self::Failed,
        Self::Buried,
    ];

    /// As `FAILPOINTS` names it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RunOpened => "run-opened",
            Self::Seeded => "seeded",
            Self::SnapshotComplete => "snapshot-complete",
            Self::Taken => "taken",
            Self::Published => "published",
            Self::Confirmed => "confirmed",
            Self::NotedPublished => "noted-published",
            Self::Settled => "settled",
            Self::Closed => "closed",
            Self::Replayed => "replayed",
            Self::Claimed => "claimed",
            Self::Intended => "intended",
            Self::Written => "written",
            Self::Recorded => "recorded",
            Self::Settle => "settle",
            Self::PutOff => "put-off",
            Self::Failed => "failed",
            Self::Buried => "buried",
        }
    }

    /// Ends the process here, where a test says so.
    #[inline]
    pub fn pass(self) {
        #[cfg(feature = "failpoints")]
        on::pass(self);
    }
}

/// An interval as this process keeps it.
#[inline]
pub fn hurried(interval: Duration) -> Duration {
    #[cfg(feature = "failpoints")]
    return interval / on::hurry();
    #[cfg(not(feature = "failpoints"))]
    interval
}

/// A lease or a wait for an answer as this process keeps it: no less than `least`, since it runs on a machine where much
/// else is going on.
#[inline]
pub fn hurried_to(least: Duration, interval: Duration) -> Duration {
    hurried(interval).max(least.min(interval))
}

/// The waits of the retry queues as this process keeps them.
#[inline]
pub fn hurried_ladder(usual: &[Duration]) -> Vec<Duration> {
    #[cfg(feature = "failpoints")]
    return ladder_of(usual, on::hurry());
    #[cfg(not(feature = "failpoints"))]
    usual.to_vec()
}

/// The waits of the retry queues in a process that hurries so much. Fewer, because making them is most of what a small
/// night costs a broker.
#[cfg(feature = "failpoints")]
pub fn ladder_of(usual: &[Duration], hurry: u32) -> Vec<Duration> {
    let step = if hurry == 1 { 1 } else { 3 };
    usual.iter().step_by(step).map(|wait| *wait / hurry).collect()
}

/// What queues allow that are made now.
#[inline]
pub fn delivery_limit(usual: u32) -> u32 {
    #[cfg(feature = "failpoints")]
    return on::number("TEST_DELIVERY_LIMIT").unwrap_or(usual);
    #[cfg(not(feature = "failpoints"))]
    usual
}

/// Reads `FAILPOINTS`. What is given back is held while the program runs.
pub fn arm() -> impl Drop {
    #[cfg(feature = "failpoints")]
    return fail::FailScenario::setup();
    #[cfg(not(feature = "failpoints"))]
    Unarmed
}

#[cfg(not(feature = "failpoints"))]
struct Unarmed;

#[cfg(not(feature = "failpoints"))]
impl Drop for Unarmed {
    fn drop(&mut self) {}
}

#[cfg(feature = "failpoints")]
mod on {
    use std::sync::OnceLock;

    use rustix::process::{Signal, getpid, kill_process};

    use super::Failpoint;

    pub(super) fn pass(point: Failpoint) {
        fail::fail_point!(point.as_str(), |_| {
            // Nothing is flushed, dropped or said, as when the kernel ends a process.
            let _ = kill_process(getpid(), Signal::KILL);
            // The signal may take a moment to reach this thread, which must not go on meanwhile.
            loop {
                std::thread::park();
            }
        });
    }

    pub(super) fn hurry() -> u32 {
        static HURRY: OnceLock<u32> = OnceLock::new();
        *HURRY.get_or_init(|| number("TEST_HURRY").unwrap_or(1).max(1))
    }

    pub(super) fn number(variable: &str) -> Option<u32> {
        let text = std::env::var(variable).ok()?;
        Some(text.parse().unwrap_or_else(|_| panic!("{variable}: found '{text}'; accepted: a whole number")))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_point_has_a_name_of_its_own() {
        let names: BTreeSet<_> = Failpoint::ALL.iter().map(|point| point.as_str()).collect();
        assert_eq!(names.len(), Failpoint::ALL.len());
    }
}

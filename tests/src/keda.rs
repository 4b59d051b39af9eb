//! KEDA's arithmetic: how many workers its ScaledObject asks for, by the one that is deployed.
//!
//! KEDA itself is not here, nor a cluster to scale. What a scaler reads, what it makes of it, and what the horizontal pod
//! autoscaler makes of that is done in the same way: "no worker" is KEDA's own decision, one to many is the autoscaler's.

use std::collections::VecDeque;

use crate::process::in_repository;

const MANIFEST: &str = "deploy/kubernetes/base/scaling.yaml";

/// The numbers and the questions of the ScaledObject of the workers.
#[derive(Clone, Debug)]
pub struct ScaledObject {
    /// Which queues count, as a regular expression.
    pub queues: String,
    /// Asks the ledger whether a run is open.
    pub query: String,
    /// So many messages are one worker's.
    pub messages: u64,
    /// At most so many workers.
    pub most: usize,
}

/// What the two triggers read.
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    /// Messages in the queues.
    pub messages: u64,
    /// 1 while a run is open.
    pub open_runs: u64,
}

/// The wanted numbers of the last while: fewer are taken only when all of it agree.
#[derive(Debug)]
pub struct Stabilised {
    recent: VecDeque<usize>,
    window: usize,
}

impl ScaledObject {
    /// That of the manifest.
    ///
    /// # Panics
    /// The manifest has something twice, or not at all.
    pub fn deployed() -> Self {
        let text = std::fs::read_to_string(in_repository(MANIFEST)).expect("a manifest");
        let one = |key: &str| {
            let values: Vec<&str> =
                text.lines().filter_map(|line| line.trim().strip_prefix(key)).map(str::trim).collect();
            assert_eq!(values.len(), 1, "{key} {values:?} in {MANIFEST}");
            values[0].to_owned()
        };
        let number = |key: &str, end: &str| one(key).trim_end_matches(end).parse().expect("a number");
        // What this arithmetic takes for granted.
        for (key, value) in [
            ("mode:", "QueueLength"),
            ("operation:", "sum"),
            ("useRegex:", "\"true\""),
            ("excludeUnacknowledged:", "\"false\""),
            ("activationValue:", "\"0\""),
            ("targetQueryValue:", "\"1\""),
            ("activationTargetQueryValue:", "\"0\""),
            ("minReplicaCount:", "0"),
        ] {
            assert_eq!(one(key), value, "{key} in {MANIFEST}");
        }
        Self {
            queues: one("queueName:"),
            query: one("query:"),
            messages: number("value: \"", "\""),
            most: number("maxReplicaCount:", "") as usize,
        }
    }

    /// How many workers a reading asks for: none where no trigger is active; else as many as the trigger that asks for
    /// most, each by its own average, and one at least.
    pub fn workers(&self, reading: Reading) -> usize {
        if reading.messages == 0 && reading.open_runs == 0 {
            return 0;
        }
        let by_messages = reading.messages.div_ceil(self.messages);
        usize::try_from(by_messages.max(reading.open_runs)).unwrap_or(usize::MAX).clamp(1, self.most)
    }
}

impl Stabilised {
    /// Over so many readings: `stabilizationWindowSeconds` and `cooldownPeriod` by the polling interval.
    pub fn over(window: usize) -> Self {
        Self { recent: VecDeque::new(), window }
    }

    /// More at once, fewer once nothing within the window asked for more.
    pub fn take(&mut self, wanted: usize) -> usize {
        self.recent.push_back(wanted);
        if self.recent.len() > self.window {
            self.recent.pop_front();
        }
        self.recent.iter().copied().max().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_follow_messages_up_to_the_most_and_never_go_while_a_run_is_open() {
        let scaled = ScaledObject { messages: 500, most: 4, ..ScaledObject::deployed() };
        for (messages, open_runs, workers) in
            [(0, 0, 0), (0, 1, 1), (1, 0, 1), (500, 1, 1), (501, 1, 2), (1_999, 1, 4), (20_000, 1, 4)]
        {
            assert_eq!(scaled.workers(Reading { messages, open_runs }), workers, "{messages}, {open_runs}");
        }
    }

    #[test]
    fn fewer_are_taken_only_when_the_whole_window_agrees() {
        let mut stabilised = Stabilised::over(3);
        let taken: Vec<usize> = [4, 1, 1, 1, 2, 0, 0, 0].map(|wanted| stabilised.take(wanted)).into();
        assert_eq!(taken, [4, 4, 4, 1, 2, 2, 2, 0]);
    }
}

//! The processes of a night, kept up as an orchestrator and a scheduler keep them.

use rand::Rng as _;
use rand::rngs::StdRng;

use crate::process::{Cluster, DATE, Running, Sign};

/// How often a producer may be started again: more than any fault here makes it end.
const STARTS: u32 = 60;

/// See the module.
#[derive(Default)]
pub(super) struct Fleet {
    pub(super) workers: Vec<Running>,
    pub(super) producer: Option<Running>,
    /// What a producer that ended before its time is started with, where it is not to carry on the night.
    again: Option<Vec<String>>,
    starts: u32,
    /// Processes that a signal ended which nobody here sent.
    pub(super) deaths: u32,
}

impl Fleet {
    pub(super) fn start_workers(&mut self, cluster: &Cluster, count: usize) {
        self.workers.extend(cluster.workers(count));
    }

    /// The night, by a producer that watches.
    pub(super) fn start_producer(&mut self, cluster: &Cluster) {
        self.producer = Some(cluster.start_produced_night());
        self.again = None;
    }

    /// Another command of the producer's, which is started again with the same arguments.
    pub(super) fn command(&mut self, cluster: &Cluster, arguments: &[&str]) {
        self.producer = Some(cluster.producer(arguments));
        self.again = Some(arguments.iter().map(|argument| (*argument).to_owned()).collect());
    }

    /// Starts what has ended and is not done. `opened`: whether there is a run to carry on.
    pub(super) fn tend(&mut self, cluster: &Cluster, opened: bool) {
        for worker in &mut self.workers {
            if let Some(ended) = worker.exited() {
                self.deaths += u32::from(ended.code().is_none());
                *worker = cluster.worker();
            }
        }
        let Some(ended) = self.producer.as_mut().and_then(Running::exited) else { return };
        self.deaths += u32::from(ended.code().is_none());
        match ended.code() {
            Some(0 | 3) => self.producer = None,
            // A failure, a lock whose dead holder's lease stands yet, a guard, a death: a scheduler starts it again.
            Some(1 | 4 | 5) | None => {
                self.starts += 1;
                assert!(self.starts < STARTS, "the producer ended {STARTS} times, at last with {ended}");
                // On a date whose night is closed `--date` would open another.
                let carried_on =
                    if opened { vec!["--resume"] } else { vec!["--date", DATE, "--output", "json"] };
                let arguments = match &self.again {
                    Some(again) => again.iter().map(String::as_str).collect(),
                    None => carried_on,
                };
                self.producer = Some(cluster.producer(&arguments));
            }
            other => panic!("the producer ended with {other:?}"),
        }
    }

    /// `kill -9` to every worker, at once; [`tend`](Self::tend) starts them again.
    pub(super) fn kill_workers(&mut self, cluster: &Cluster) {
        let count = self.workers.len();
        for worker in &self.workers {
            worker.signal(Sign::Kill);
        }
        self.workers.clear();
        self.start_workers(cluster, count);
    }

    /// Takes one worker out; another is started in its place.
    pub(super) fn replace(&mut self, cluster: &Cluster, which: usize) -> Running {
        std::mem::replace(&mut self.workers[which], cluster.worker())
    }

    /// The same of any.
    pub(super) fn replace_any(&mut self, cluster: &Cluster, dice: &mut StdRng) -> Running {
        let victim = dice.random_range(0..self.workers.len());
        self.replace(cluster, victim)
    }
}

//! The processes of a night, kept up as an orchestrator and a scheduler keep them.

use std::process::ExitStatus;

use rand::Rng as _;
use rand::rngs::StdRng;

use crate::process::{Cluster, DATE, Running, Sign};

/// How often a producer may be started again: more than any fault here makes it end.
const STARTS: u32 = 60;

/// The night that is started.
const NIGHT: [&str; 4] = ["--date", DATE, "--output", "json"];

/// See the module.
#[derive(Default)]
pub(super) struct Fleet {
    pub(super) workers: Vec<Running>,
    pub(super) producer: Option<Running>,
    /// What a producer that ended before its time is started with, where it is not to carry on the night.
    again: Option<Vec<String>>,
    starts: u32,
    /// What is armed in whoever is started, until somebody has died.
    pub(super) armed: Option<String>,
    /// Processes that a signal ended which nobody here sent.
    pub(super) deaths: u32,
}

impl Fleet {
    pub(super) fn start_workers(&mut self, cluster: &Cluster, count: usize) {
        for _ in 0..count {
            let worker = self.spawn(cluster, "worker", &[]);
            self.workers.push(worker);
        }
    }

    /// The night, by a producer that watches.
    pub(super) fn start_producer(&mut self, cluster: &Cluster) {
        self.producer = Some(self.spawn(cluster, "producer", &NIGHT));
        self.again = None;
    }

    /// Another command of the producer's, which is started again with the same arguments.
    pub(super) fn command(&mut self, cluster: &Cluster, arguments: &[&str]) {
        self.producer = Some(self.spawn(cluster, "producer", arguments));
        self.again = Some(arguments.iter().map(|argument| (*argument).to_owned()).collect());
    }

    /// Starts what has ended and is not done. `opened`: whether there is a run to carry on.
    pub(super) fn tend(&mut self, cluster: &Cluster, opened: bool) {
        for at in 0..self.workers.len() {
            if let Some(ended) = self.workers[at].exited() {
                self.count(ended);
                self.workers[at] = self.spawn(cluster, "worker", &[]);
            }
        }
        let Some(ended) = self.producer.as_mut().and_then(Running::exited) else { return };
        self.count(ended);
        match ended.code() {
            Some(0 | 3) => self.producer = None,
            // A failure, a lock whose dead holder's lease stands yet, a guard, a death: a scheduler starts it again.
            Some(1 | 4 | 5) | None => {
                self.starts += 1;
                assert!(self.starts < STARTS, "the producer ended {STARTS} times, at last with {ended}");
                // On a date whose night is closed `--date` would open another.
                let carried_on = if opened { vec!["--resume"] } else { NIGHT.to_vec() };
                let again = self.again.clone();
                let arguments = match &again {
                    Some(again) => again.iter().map(String::as_str).collect(),
                    None => carried_on,
                };
                self.producer = Some(self.spawn(cluster, "producer", &arguments));
            }
            other => panic!("the producer ended with {other:?}"),
        }
    }

    fn count(&mut self, ended: ExitStatus) {
        if ended.code().is_none() {
            self.deaths += 1;
            self.armed = None;
        }
    }

    fn spawn(&self, cluster: &Cluster, program: &str, arguments: &[&str]) -> Running {
        let mut command = cluster.program(program, arguments);
        if let Some(points) = &self.armed {
            command.env("FAILPOINTS", points);
        }
        cluster.spawn(command)
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
        let worker = self.spawn(cluster, "worker", &[]);
        std::mem::replace(&mut self.workers[which], worker)
    }

    /// The same of any.
    pub(super) fn replace_any(&mut self, cluster: &Cluster, dice: &mut StdRng) -> Running {
        let victim = dice.random_range(0..self.workers.len());
        self.replace(cluster, victim)
    }
}

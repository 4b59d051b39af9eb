//! What processes cost, as Linux counts it in `/proc`.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::{Instant, MissedTickBehavior, interval};

/// Ticks of processor time a second: `USER_HZ`, 100 on all architectures that Linux runs these programs on.
const TICKS: f64 = 100.0;

/// Between two looks at a process. Peak memory only grows, so that a look misses what the last of them adds.
const LOOKS: Duration = Duration::from_millis(20);

/// What one process took.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Cost {
    /// Processor time, user and system, seconds.
    pub(crate) cpu: f64,
    /// The largest resident memory, bytes.
    pub(crate) peak: u64,
}

/// One line of `/proc/PID/stat`.
struct Stat {
    state: String,
    parent: u32,
    ticks: u64,
}

fn stat(process: u32) -> Option<Stat> {
    parsed(&std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?)
}

fn parsed(text: &str) -> Option<Stat> {
    // The name, in brackets, may hold anything.
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    // proc(5): user and system time of its own, and of its children that have ended and were waited for.
    let ticks = fields.get(11..15)?.iter().filter_map(|field| field.parse::<u64>().ok()).sum();
    Some(Stat { state: (*fields.first()?).to_owned(), parent: fields.get(1)?.parse().ok()?, ticks })
}

fn peak(process: u32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

/// Watches a child of ours to its end. It stays a zombie, whose times can still be read, until it is waited for.
pub(crate) async fn watch(process: u32) -> (Cost, Instant) {
    let (mut cost, mut looks) = (Cost::default(), interval(LOOKS));
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        let now = Instant::now();
        let Some(stat) = stat(process) else { return (cost, now) };
        cost.cpu = stat.ticks as f64 / TICKS;
        if stat.state == "Z" {
            return (cost, now);
        }
        cost.peak = cost.peak.max(peak(process).unwrap_or_default());
    }
}

/// Processor seconds of these processes and of all below them, those that have ended too.
pub(crate) fn cpu_of(roots: &[u32]) -> f64 {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let all: HashMap<u32, Stat> = entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(|process| Some((process, stat(process)?)))
        .collect();
    let is_below = |process: u32| {
        let mut at = process;
        while let Some(stat) = all.get(&at) {
            if roots.contains(&at) {
                return true;
            }
            at = stat.parent;
        }
        false
    };
    let ticks: u64 = all.iter().filter(|(process, _)| is_below(**process)).map(|(_, stat)| stat.ticks).sum();
    ticks as f64 / TICKS
}

/// Processor seconds of this process and of its children that ended.
pub(crate) fn own_cpu() -> f64 {
    stat(std::process::id()).map_or(0.0, |stat| stat.ticks as f64 / TICKS)
}

/// Processor seconds of the whole machine, idle ones not counted.
pub(crate) fn machine_cpu() -> f64 {
    let text = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let fields = text.lines().next().unwrap_or_default().split_whitespace().skip(1);
    let ticks: Vec<u64> = fields.filter_map(|field| field.parse().ok()).collect();
    // proc(5): user, nice, system, idle, iowait, irq, softirq, steal; what guests take is within user.
    let busy = |at: &usize| !matches!(at, 3 | 4) && *at < 8;
    (0..ticks.len()).filter(busy).map(|at| ticks[at]).sum::<u64>() as f64 / TICKS
}

/// What this was measured on.
#[derive(Serialize, Deserialize)]
pub(crate) struct Machine {
    pub(crate) processor: String,
    pub(crate) cores: usize,
    pub(crate) memory_gb: u64,
    pub(crate) kernel: String,
}

impl Machine {
    pub(crate) fn this() -> Self {
        let read = |path: &str| std::fs::read_to_string(Path::new(path)).unwrap_or_default();
        let field = |text: &str, name: &str| {
            let line = text.lines().find(|line| line.starts_with(name))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        };
        let kilobytes = field(&read("/proc/meminfo"), "MemTotal")
            .and_then(|text| text.split_whitespace().next()?.parse::<u64>().ok());
        Self {
            processor: field(&read("/proc/cpuinfo"), "model name").unwrap_or_else(|| "not known".into()),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_gb: kilobytes.unwrap_or_default().div_ceil(1 << 20),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_read_whatever_it_is_called() {
        let line = "17 (a) b (c) Z 4 17 17 0 -1 4194304 101 7 1 0 250 30 11 9 20 0 1 0 49112 3133440 389";
        let stat = parsed(line).unwrap();
        assert_eq!((stat.state.as_str(), stat.parent, stat.ticks), ("Z", 4, 300));
        assert!(parsed("17 (a)").is_none());
    }

    #[test]
    fn what_a_child_has_used_stays_with_its_parent() {
        let before = own_cpu();
        let busy = "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done";
        assert!(std::process::Command::new("sh").args(["-c", busy]).status().unwrap().success());
        assert!(cpu_of(&[std::process::id()]) > before, "a child that was waited for counts");
        assert!(machine_cpu() >= own_cpu());
    }
}

//! What rows cost: processor time and memory of processes, from Linux' own books (proc(5)).

use std::fmt::Write as _;
use std::time::Instant;

/// What a second of processor time is counted in: `USER_HZ`, 100 on Linux.
const TICKS: f64 = 100.0;

/// Processes, and where they stood when so many rows were done.
pub struct RowCosts {
    processes: Vec<u32>,
    rows: i64,
    at: Instant,
    cpu: f64,
}

impl RowCosts {
    /// From now on, with no row done.
    pub fn new(processes: impl IntoIterator<Item = u32>) -> Self {
        let processes: Vec<u32> = processes.into_iter().collect();
        let cpu = cpu(&processes);
        Self { processes, rows: 0, at: Instant::now(), cpu }
    }

    /// A line of text for people, once `every` rows more are done.
    pub fn line(&mut self, rows: i64, every: i64) -> Option<String> {
        let more = rows - self.rows;
        if more < every.max(1) {
            return None;
        }
        let (cpu, seconds) = (cpu(&self.processes), self.at.elapsed().as_secs_f64());
        let thousands = more as f64 / 1_000.0;
        let (rate, cost) = (more as f64 / seconds, (cpu - self.cpu) / thousands);
        let mut line =
            format!("{rows:>9} rows, {rate:>6.0} a second, {cost:.3} s of processors for 1,000; peaks");
        for process in &self.processes {
            // Writing to a string cannot fail.
            let _ = write!(line, " {:.0}", peak(*process));
        }
        (self.rows, self.at, self.cpu) = (rows, Instant::now(), cpu);
        Some(line + " MB")
    }
}

/// Seconds of processor time of all of them; one that has ended counts nothing.
fn cpu(processes: &[u32]) -> f64 {
    let of = |process: &u32| {
        let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
        // After the name, which may hold anything, the third field is the first.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let ticks = |at: usize| fields.get(at - 3)?.parse::<f64>().ok();
        Some((ticks(14)? + ticks(15)?) / TICKS)
    };
    processes.iter().filter_map(of).sum()
}

/// The most memory it had at a time, in MB; 0 where it has ended.
fn peak(process: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<f64>().ok());
    kilobytes.unwrap_or_default() / 1024.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_costs_something() {
        let mut costs = RowCosts::new([std::process::id()]);
        assert_eq!(costs.line(9, 10), None);
        let line = costs.line(10, 10).expect("as many as that");
        let peak = line.rsplit_once("peaks ").and_then(|(_, peak)| peak.strip_suffix(" MB"));
        assert!(peak.is_some_and(|peak| peak.parse::<u32>().is_ok_and(|peak| peak > 0)), "{line}");
        assert_eq!(costs.line(19, 10), None);
    }
}

//! How a run is shown while it goes on: a bar on a terminal, a line every few seconds elsewhere.

use std::io::IsTerminal as _;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use shared::ledger::{Gate, Progress, RunId};
use tokio::time::Instant;

/// Between two lines off a terminal, at first.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// What that grows to at most, with the time that has passed: a night that is paused for hours must not fill a log.
const LINE_AFTER: Duration = Duration::from_secs(60);

/// Shows one run.
pub struct Display {
    bar: Option<ProgressBar>,
    run: RunId,
    started: Instant,
    done_at_start: Option<u64>,
    last_line: Option<Instant>,
}

impl Display {
    /// On standard error: a bar if that is a terminal, lines if not.
    pub fn new(run: RunId) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(4));
            let style =
                ProgressStyle::with_template("{bar:30} {pos}/{len} rows, {per_sec}, {eta} left {msg}");
            bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        });
        Self { bar, run, started: Instant::now(), done_at_start: None, last_line: None }
    }

    /// Shows where it stands.
    pub fn show(&mut self, progress: Progress, gate: Option<&Gate>) {
        let done = progress.selected - progress.open.min(progress.selected);
        let first = *self.done_at_start.get_or_insert(done);
        if let Some(bar) = &self.bar {
            bar.set_length(progress.selected);
            bar.set_position(done);
            bar.set_message(match gate {
                Some(gate) => format!("- paused: {}", gate.reason),
                None if progress.retrying > 0 => format!("- {} waiting to be tried again", progress.retrying),
                None => String::new(),
            });
            return;
        }
        if self.last_line.is_some_and(|at| at.elapsed() < line_every(self.started.elapsed())) {
            return;
        }
        self.last_line = Some(Instant::now());
        let rate = (done - first.min(done)) as f64 / self.started.elapsed().as_secs_f64().max(0.001);
        let seconds_left = if rate > 0.0 { (progress.open as f64 / rate).round() as u64 } else { 0 };
        tracing::info!(
            run_id = %self.run,
            done,
            selected = progress.selected,
            retrying = progress.retrying,
            dead = progress.dead,
            rows_per_second = rate.round() as u64,
            seconds_left,
            paused = gate.map(|gate| gate.reason.as_str()),
            "progress"
        );
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn line_every(elapsed: Duration) -> Duration {
    (elapsed / 50).clamp(LINE_EVERY, LINE_AFTER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_hours_are_told_of_in_fewer_than_400_lines() {
        let (mut at, mut lines) = (Duration::ZERO, 0);
        while at < Duration::from_secs(4 * 3_600) {
            (at, lines) = (at + line_every(at), lines + 1);
        }
        assert!((300..400).contains(&lines), "{lines}");
    }
}

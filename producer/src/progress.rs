//! How a run is shown while it goes on: a bar on a terminal, a line every few seconds elsewhere.

use std::io::IsTerminal as _;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use shared::ledger::{Gate, LimiterSample, Progress, RunId};
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

    /// Shows where it stands; `limiters`: what the workers that had a row a moment ago may ask, and ask, of the FHIR
    /// server.
    pub fn show(&mut self, progress: Progress, gate: Option<&Gate>, limiters: Option<LimiterSample>) {
        let done = progress.selected - progress.open.min(progress.selected);
        let first = *self.done_at_start.get_or_insert(done);
        if let Some(bar) = &self.bar {
            bar.set_length(progress.selected);
            bar.set_position(done);
            bar.set_message(message(progress, gate, limiters));
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
            fhir_in_flight = limiters.map(|limiters| limiters.in_flight),
            fhir_concurrency_limit = limiters.map(|limiters| limiters.limit.round() as u64),
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

/// What is beside the bar.
fn message(progress: Progress, gate: Option<&Gate>, limiters: Option<LimiterSample>) -> String {
    if let Some(gate) = gate {
        return format!("- paused: {}", gate.reason);
    }
    let mut message = String::new();
    if let Some(LimiterSample { limit, in_flight }) = limiters {
        message = format!("- {in_flight} of {limit:.0} requests in flight ");
    }
    if progress.retrying > 0 {
        message += &format!("- {} waiting to be tried again", progress.retrying);
    }
    message
}

fn line_every(elapsed: Duration) -> Duration {
    (elapsed / 50).clamp(LINE_EVERY, LINE_AFTER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_tells_of_the_limiters_unless_the_night_is_paused() {
        let progress = Progress { retrying: 3, ..Progress::default() };
        let limiters = Some(LimiterSample { limit: 40.6, in_flight: 38 });
        let told = message(progress, None, limiters);
        assert_eq!(told, "- 38 of 41 requests in flight - 3 waiting to be tried again");
        assert_eq!(message(Progress::default(), None, None), "");
        let gate = Gate { kind: shared::ledger::GateKind::Throttled, reason: "HTTP 429".into() };
        assert_eq!(message(progress, Some(&gate), limiters), "- paused: HTTP 429");
    }

    #[test]
    fn four_hours_are_told_of_in_fewer_than_400_lines() {
        let (mut at, mut lines) = (Duration::ZERO, 0);
        while at < Duration::from_secs(4 * 3_600) {
            (at, lines) = (at + line_every(at), lines + 1);
        }
        assert!((300..400).contains(&lines), "{lines}");
    }
}

//! `make chaos`: every fault of the table, again and again, and a table of how the nights ended.

use std::collections::VecDeque;
use std::io::Write as _;
use std::process::ExitCode;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use clap::Parser;
use tests::chaos::{Fault, Repeat, Repeats, table};

/// Plays small nights with faults, on real processes, a real RabbitMQ and a real Postgres. The exit status is 1 if a
/// row was lost, doubled or stuck.
#[derive(Parser)]
struct Cli {
    /// Decides rows, moments and victims. Processes take their own time: the same seed makes the same night harmed in
    /// the same way, not the same interleaving.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Nights with each fault.
    #[arg(long, default_value_t = 20)]
    repeats: u64,
    /// Only the faults whose names contain this; may be given again.
    #[arg(long)]
    fault: Vec<String>,
    /// Faults at a time. On a machine that has no time for them the broker itself gives up first: one for each core.
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    /// Begins no night after so many minutes; the table has what was played.
    #[arg(long)]
    minutes: Option<u64>,
    /// Prints the names of the faults.
    #[arg(long)]
    list: bool,
}

/// What the nights with one fault add up to.
#[derive(Default)]
struct Line {
    repeats: u64,
    rows: u64,
    lost: u64,
    doubled: u64,
    stuck: u64,
    wrong: u64,
    longest: Duration,
}

impl Line {
    fn add(&mut self, repeat: &Repeat) {
        let verdict = &repeat.verdict;
        self.repeats += 1;
        self.rows += verdict.rows;
        self.lost += verdict.lost;
        self.doubled += verdict.doubled;
        self.stuck += verdict.stuck;
        self.wrong += u64::from(!verdict.holds());
        self.longest = self.longest.max(repeat.recovery);
    }

    fn sum<'a>(lines: impl Iterator<Item = &'a Self>) -> Self {
        lines.fold(Self::default(), |sum, line| Self {
            repeats: sum.repeats + line.repeats,
            rows: sum.rows + line.rows,
            lost: sum.lost + line.lost,
            doubled: sum.doubled + line.doubled,
            stuck: sum.stuck + line.stuck,
            wrong: sum.wrong + line.wrong,
            longest: sum.longest.max(line.longest),
        })
    }

    fn print(&self, name: &str) {
        let Self { repeats, rows, lost, doubled, stuck, wrong, longest } = self;
        let longest = longest.as_secs_f64();
        say(&format!(
            "| {name} | {repeats} | {rows} | {lost} | {doubled} | {stuck} | {wrong} | {longest:.1} s |"
        ));
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let _ = rustls::crypto::ring::default_provider().install_default();
    let wanted =
        |fault: &Fault| cli.fault.is_empty() || cli.fault.iter().any(|part| fault.name.contains(part));
    let faults: Vec<Fault> = table().into_iter().filter(wanted).collect();
    if cli.list {
        faults.iter().for_each(|fault| say(&fault.name));
        return ExitCode::SUCCESS;
    }
    if faults.is_empty() {
        eprintln!("--fault: no fault has that in its name; --list prints them all");
        return ExitCode::from(2);
    }
    let began = Instant::now();
    let ends = cli.minutes.map(|minutes| began + Duration::from_secs(minutes * 60));
    let is_time = || ends.is_none_or(|ends| Instant::now() < ends);
    // Each fault in turn, so that a run that is cut short has played them all.
    let turns = faults.iter().enumerate().map(|(index, fault)| (index, fault.repeats(), Line::default()));
    let (waiting, done) = (Mutex::new(turns.collect::<VecDeque<_>>()), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..cli.jobs.max(1) {
            scope.spawn(|| {
                while let Some((index, mut repeats, mut line)) = next(&waiting) {
                    if line.repeats < cli.repeats && is_time() {
                        play(&faults[index].name, &mut repeats, cli.seed + line.repeats, &mut line);
                        held(&waiting).push_back((index, repeats, line));
                    } else {
                        held(&done).push((index, line));
                    }
                }
            });
        }
    });
    let mut lines = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    lines.sort_by_key(|(index, _)| *index);
    say("| fault | repeats | rows | lost | doubled | stuck | nights that went wrong | longest recovery |");
    say("| --- | --- | --- | --- | --- | --- | --- | --- |");
    for (index, line) in &lines {
        line.print(&faults[*index].name);
    }
    let sum = Line::sum(lines.iter().map(|(_, line)| line));
    sum.print("all");
    say(&format!("seed {}, {} jobs, {} s", cli.seed, cli.jobs, began.elapsed().as_secs()));
    if sum.wrong == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn held<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

fn next<T>(waiting: &Mutex<VecDeque<T>>) -> Option<T> {
    held(waiting).pop_front()
}

fn play(name: &str, repeats: &mut Repeats<'_>, seed: u64, line: &mut Line) {
    let began = Instant::now();
    let repeat = repeats.once(seed);
    line.add(&repeat);
    let how = if repeat.verdict.holds() { "well" } else { "WRONG" };
    let (took, recovery) = (began.elapsed().as_secs_f64(), repeat.recovery.as_secs_f64());
    eprintln!("{how}: {name}, seed {seed}, {took:.1} s, recovered after {recovery:.1} s");
    if !repeat.verdict.holds() {
        eprintln!("{}", repeat.verdict);
    }
}

fn say(line: &str) {
    // Nobody may be listening, and that is no reason to fail.
    let _ = writeln!(std::io::stdout(), "{line}");
}

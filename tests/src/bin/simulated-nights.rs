//! Plays simulated nights, as many as one likes: `make nights`.

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser;
use tests::simulated::{Plan, hunt, play};

/// Plays the nights of many seeds, and prints the plan of each that breaks a promise, made small.
#[derive(Debug, Parser)]
struct Cli {
    /// How many.
    #[arg(long, default_value_t = 100_000)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Stop after so many that break one.
    #[arg(long, default_value_t = 3)]
    most: usize,
    /// Play the plan in this file instead, and print everything that happens.
    #[arg(long)]
    plan: Option<std::path::PathBuf>,
    /// Play this seed instead, and print everything that happens.
    #[arg(long)]
    seed: Option<u64>,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let mut out = std::io::stdout().lock();
    let mut say = |text: String| writeln!(out, "{text}").expect("somebody listens");
    let kept = cli.plan.map(|path| {
        let text = std::fs::read_to_string(&path).expect("a file that can be read");
        serde_json::from_str(&text).expect("a plan")
    });
    if let Some(plan) = kept.or(cli.seed.map(Plan::of)) {
        let told = play(&plan, true);
        told.lines.into_iter().for_each(&mut say);
        say(format!("{plan:?}\n{} steps, digest {:016x}. {}", told.steps, told.digest, told.verdict));
        return if told.verdict.holds() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    let began = std::time::Instant::now();
    let found = hunt(cli.from..cli.from + cli.seeds, cli.most);
    found.iter().for_each(|found| say(format!("{found}\n")));
    let (seeds, seconds) = (cli.seeds, began.elapsed().as_secs_f64());
    say(format!(
        "{seeds} nights from seed {} on, {} that break a promise, {seconds:.0} s",
        cli.from,
        found.len()
    ));
    if found.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

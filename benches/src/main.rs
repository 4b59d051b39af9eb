//! `make bench`: what the programs make of a night, beside a bare HTTP client that makes the same requests.
//!
//! Everything runs in turns within each round, so that whatever else the machine does meets all alike. The simulated
//! server lives in this process, whose processor time counts for nobody.

mod page;
mod plan;
mod processes;
mod raw;
mod summary;
mod trial;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::rc::Rc;

use clap::{Parser, Subcommand};
use shared::clock::Clock;
use tokio::task::LocalSet;
use tokio::time::Instant;

use page::Frame;
use plan::{SCENARIOS, Scenario, System};
use processes::{Machine, cpu_of, machine_cpu, own_cpu};
use summary::Trial;
use trial::Services;

/// Runs every system on every server, in turns, and writes what it measured.
#[derive(Parser)]
struct Cli {
    /// Rows of the quick trials; those that take long have fewer.
    #[arg(long, default_value_t = 20_000)]
    rows: usize,
    /// Rounds, whose medians count.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Only the servers whose name in the table has this in it.
    #[arg(long, default_value = "")]
    only: String,
    /// The folder that page, picture and trials are written into [default: docs/benchmarks, or target/bench where
    /// anything else is not as by default].
    #[arg(long)]
    into: Option<PathBuf>,
    #[command(subcommand)]
    part: Option<Part>,
}

#[derive(Subcommand)]
enum Part {
    /// The bare loop; the bench starts it.
    #[command(hide = true)]
    Raw(raw::Raw),
}

impl Cli {
    fn is_whole(&self) -> bool {
        (self.rows, self.rounds, self.only.as_str()) == (20_000, 3, "")
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let cli = Cli::parse();
    let written = match cli.part {
        Some(Part::Raw(raw)) => {
            return match raw::run(raw).await {
                Ok(refused) => {
                    eprintln!("{refused} rows were refused");
                    ExitCode::SUCCESS
                }
                Err(problem) => {
                    eprintln!("the raw loop failed: {problem}");
                    ExitCode::FAILURE
                }
            };
        }
        None => bench(&cli).await,
    };
    match written {
        Ok(page) => {
            eprintln!("\n{page}");
            ExitCode::SUCCESS
        }
        Err(problem) => {
            eprintln!("the results cannot be written: {problem}");
            ExitCode::FAILURE
        }
    }
}

async fn bench(cli: &Cli) -> std::io::Result<String> {
    let chosen: Vec<_> =
        SCENARIOS.into_iter().filter(|scenario| scenario.name().contains(&cli.only)).collect();
    let services = Rc::new(Services::start().await);
    let (began, began_at) = (Instant::now(), Clock::system().now());
    let ours = || own_cpu() + cpu_of(&services.roots());
    let (machine_before, ours_before) = (machine_cpu(), ours());
    let default = if cli.is_whole() { "docs/benchmarks" } else { "target/bench" };
    let into = cli.into.clone().unwrap_or_else(|| repository().join(default));
    let (mut trials, mut page) = (Vec::new(), String::new());
    for round in 1..=cli.rounds {
        for scenario in &chosen {
            let systems = scenario.systems();
            for place in 0..systems.len() {
                // Each is first as often as the others.
                trials.extend(
                    tried(round, *scenario, systems[(place + round) % systems.len()], cli, &services).await,
                );
            }
        }
        let (machine, seconds) = (Machine::this(), began.elapsed().as_secs_f64());
        let others = (machine_cpu() - machine_before) - (ours() - ours_before);
        let frame = Frame {
            others: (others / (seconds * machine.cores as f64)).max(0.0),
            machine,
            began: began_at,
            minutes: seconds / 60.0,
            rounds: round,
            commit: commit(),
        };
        // After each round: what was measured stays, whatever becomes of the next.
        page = page::write(&into, &frame, &trials)?;
    }
    eprintln!("\nwritten into {}", into.display());
    Ok(page)
}

/// One trial, told as it ends. One that cannot be made is passed over: it said why.
async fn tried(
    round: usize,
    scenario: Scenario,
    system: System,
    cli: &Cli,
    services: &Rc<Services>,
) -> Option<Trial> {
    let (rows, services) = (scenario.rows(cli.rows), services.clone());
    let trial = async move { trial::run(system, &scenario, rows, &services).await };
    let measured = LocalSet::new().run_until(async { tokio::task::spawn_local(trial).await }).await.ok()?;
    eprintln!(
        "round {round}, {}, {}: {:.0} rows/s, {:.3} CPU s per 1,000 rows, {:.0} MB, lost {}",
        scenario.name(),
        system.name(),
        summary::rate(&measured),
        measured.cpu / measured.rows as f64 * 1e3,
        measured.peak as f64 / 1e6,
        measured.lost
    );
    Some(Trial { round, scenario, system, measured })
}

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a member of the workspace")
}

/// What was built, as git names it.
fn commit() -> String {
    let told =
        Command::new("git").args(["describe", "--always", "--dirty"]).current_dir(repository()).output();
    let name = told.ok().filter(|told| told.status.success());
    name.map_or_else(|| "not known".into(), |told| String::from_utf8_lossy(&told.stdout).trim().to_owned())
}

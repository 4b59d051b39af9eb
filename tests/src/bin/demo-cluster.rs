//! `make demo-cluster`: a private RabbitMQ and Postgres, the simulators, three workers and a producer, and the demo's
//! night of 20,000 rows. Everything it starts ends with it.

use std::process::{ExitCode, Stdio};
use std::time::Duration;

use clap::Parser;
use shared::clock::Clock;
use shared::domain::RunDate;
use simulators::{DemoNight, NightOptions, SimulatorsConfig};
use tests::process::{Cluster, RowCosts, Sign, Site};

/// A night of 20,000 rows on a cluster on this machine.
#[derive(Parser)]
struct Cli {
    /// Workers.
    #[arg(long, default_value_t = 3)]
    workers: usize,
    /// Rows of today.
    #[arg(long, default_value_t = 20_000)]
    rows: usize,
    /// Every row needs a write, instead of the demo's mix.
    #[arg(long)]
    all_need_write: bool,
    /// The producer reads a CSV file instead of the simulated Sheets API, which ends long before a million rows.
    #[arg(long)]
    file: bool,
    /// Prints what the rows cost, each time so many more are done.
    #[arg(long, default_value_t = 20_000)]
    costs_every: i64,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(run(cli))
}

async fn run(cli: Cli) -> ExitCode {
    let zone = shared::settings::Settings::read(&|_| None).expect("the defaults are usable").zone;
    let today = RunDate::today(Clock::system().now(), &zone).to_string();
    let options = match cli.all_need_write {
        true => NightOptions::all_need_write(cli.rows),
        false => NightOptions { rows_total: 3 * cli.rows, rows_today: cli.rows, ..NightOptions::default() },
    };
    let night = DemoNight::build(DemoNight::SEED, &today, &options).expect("the parts fit together");
    let mut cluster = Cluster::with(SimulatorsConfig::demo(&night)).await;
    cluster.set("FHIR_TIMEOUT", "30s");
    let workers = cluster.workers(cli.workers);
    eprintln!("{} workers are up; their logs are in {}", cli.workers, cluster.output().display());
    let mut arguments = vec!["--date", today.as_str()];
    let export = cluster.file("export.csv", "");
    if cli.file {
        night.write_csv(&export).expect("a file");
        arguments.extend(["--file", Site::argument(&export)]);
    }
    let mut producer = cluster.program("producer", &arguments);
    let mut producer =
        producer.stdout(Stdio::inherit()).stderr(Stdio::inherit()).spawn().expect("the producer starts");
    let processes = workers.iter().map(|worker| Some(worker.id())).chain([producer.id()]);
    let mut costs = RowCosts::new(processes.flatten());
    let ended = loop {
        tokio::select! {
            ended = producer.wait() => break ended,
            () = tokio::time::sleep(Duration::from_secs(1)) => {
                let done = cluster.count_rows("done").await;
                if let Some(line) = costs.line(done, cli.costs_every) {
                    eprintln!("{line}");
                }
            }
        }
    };
    let status = ended.expect("the producer can be waited for").code();
    for worker in workers {
        worker.signal(Sign::Terminate);
        worker.end().await;
    }
    let stats = cluster.simulators.snapshot();
    eprintln!(
        "The simulated FHIR server took {} writes and changed {} Patients; writes beyond a Patient's first: {}.",
        stats.writes, stats.distinct_patients_changed, stats.writes_beyond_first
    );
    eprintln!("Messages left in the queues: {:?}", cluster.depths().await);
    ExitCode::from(status.and_then(|status| u8::try_from(status).ok()).unwrap_or(1))
}

//! The simulators as a process: prints where they listen as one JSON line, then runs until it is told to stop.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use serde_json::json;
use simulators::{DemoNight, FaultPlan, FhirOptions, NightError, NightOptions, Simulators, SimulatorsConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// A Google Sheets + OAuth2 endpoint and a FHIR R4 server with injectable faults, filled with a synthetic night.
#[derive(Parser)]
#[command(
    version,
    after_help = "Example:\n  simulators --fhir-addr 127.0.0.1:8090 --sheets-addr 127.0.0.1:8091 \\\n      --api-key demo --write-service-account key.json"
)]
struct Arguments {
    /// Where the FHIR service listens, under /fhir; port 0 picks one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    fhir_addr: SocketAddr,
    /// Where the Sheets API and its token endpoint listen; port 0 picks one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    sheets_addr: SocketAddr,
    /// The FHIR base URL in links, where clients know the service by another one
    #[arg(long, value_name = "URL")]
    public_fhir_url: Option<String>,
    /// The Sheets base URL as clients know it; the token endpoint checks assertions against it
    #[arg(long, value_name = "URL")]
    public_sheets_url: Option<String>,
    /// Decides the rows, the Patients and the faults
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// The run date of the night's rows
    #[arg(long, value_name = "YYYY-MM-DD")]
    run_date: Option<String>,
    /// Rows below the header
    #[arg(long, value_name = "N", default_value_t = 60_000)]
    rows: usize,
    /// Rows of the run date [default: a third of the rows]
    #[arg(long, value_name = "N")]
    rows_today: Option<usize>,
    /// People in the FHIR server [default: as many as the rows need]
    #[arg(long, value_name = "N")]
    patients: Option<usize>,
    /// Every row is of the run date and has to be written; none is bad, unknown or unchanged
    #[arg(long, conflicts_with = "rows_today")]
    all_need_write: bool,
    /// A fault plan in JSON, as PUT /_faults takes it
    #[arg(long, value_name = "FILE")]
    faults: Option<PathBuf>,
    /// A key accepted in x-api-key; repeat it for more; with none, every request is accepted
    #[arg(long, value_name = "KEY")]
    api_key: Vec<String>,
    /// Sheet reads a minute before 429 (Google's quota is 60)
    #[arg(long, value_name = "N")]
    reads_per_minute: Option<u32>,
    /// Ask the simulators that listen on --fhir-addr whether they are up, and end: status 0, or 1
    #[arg(long)]
    health: bool,
    /// Write the service account's key file here
    #[arg(long, value_name = "FILE")]
    write_service_account: Option<PathBuf>,
    /// Write the night's rows here as CSV, too
    #[arg(long, value_name = "FILE")]
    write_csv: Option<PathBuf>,
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("--run-date, --rows and --rows-today make no night")]
    Night(#[from] NightError),
    #[error("the fault plan cannot be read from {0}")]
    Faults(PathBuf, #[source] std::io::Error),
    #[error("the fault plan in {0} is not one")]
    FaultPlan(PathBuf, #[source] serde_json::Error),
    #[error("{0} cannot be written")]
    Write(PathBuf, #[source] std::io::Error),
    #[error("the simulators cannot start")]
    Start(#[source] std::io::Error),
    #[error("no simulator answers on {0}")]
    Health(SocketAddr, #[source] std::io::Error),
}

#[tokio::main]
async fn main() -> ExitCode {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let mut causes = String::new();
            let mut cause = std::error::Error::source(&failure);
            while let Some(error) = cause {
                causes.push_str(&format!(": {error}"));
                cause = error.source();
            }
            eprintln!("simulators: {failure}{causes}");
            match failure {
                Failure::Start(_) | Failure::Write(..) | Failure::Health(..) => ExitCode::from(1),
                _ => ExitCode::from(2),
            }
        }
    }
}

/// Asks for what a client asks for first.
async fn ask(address: SocketAddr) -> std::io::Result<()> {
    let address = match address.ip().is_unspecified() {
        true => SocketAddr::from((Ipv4Addr::LOCALHOST, address.port())),
        false => address,
    };
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(b"GET /fhir/metadata HTTP/1.0\r\n\r\n").await?;
    let mut begin = [0; 5];
    stream.read_exact(&mut begin).await?;
    if &begin != b"HTTP/" {
        return Err(std::io::Error::other("something else answers there"));
    }
    Ok(())
}

async fn run(arguments: Arguments) -> Result<(), Failure> {
    if arguments.health {
        let answer = tokio::time::timeout(Duration::from_secs(3), ask(arguments.fhir_addr)).await;
        let answer = answer.unwrap_or_else(|_| Err(std::io::Error::other("no answer within 3 s")));
        return answer.map_err(|error| Failure::Health(arguments.fhir_addr, error));
    }
    let faults = match &arguments.faults {
        Some(path) => {
            let text = std::fs::read(path).map_err(|error| Failure::Faults(path.clone(), error))?;
            serde_json::from_slice(&text).map_err(|error| Failure::FaultPlan(path.clone(), error))?
        }
        None => FaultPlan::default(),
    };
    let mut options = if arguments.all_need_write {
        NightOptions::all_need_write(arguments.rows)
    } else {
        NightOptions::sized(arguments.rows, arguments.rows_today.unwrap_or(arguments.rows / 3))
    };
    options.patients = arguments.patients;
    let run_date = arguments.run_date.unwrap_or_else(|| simulators::WallClock::default().jakarta_date());
    let night = DemoNight::build(arguments.seed, &run_date, &options)?;
    if let Some(path) = &arguments.write_csv {
        night.write_csv(path).map_err(|error| Failure::Write(path.clone(), error))?;
    }
    // Before anything is printed: whoever reads the line may send the signal at once.
    let mut terminated = signal(SignalKind::terminate()).map_err(Failure::Start)?;
    let mut interrupted = signal(SignalKind::interrupt()).map_err(Failure::Start)?;
    let config = SimulatorsConfig {
        fhir_addr: arguments.fhir_addr,
        sheets_addr: arguments.sheets_addr,
        fhir: FhirOptions {
            public_url: arguments.public_fhir_url,
            seed: arguments.seed,
            ..FhirOptions::default()
        },
        api_keys: arguments.api_key,
        faults,
        population: Some(night.population().clone()),
        spreadsheet: night.spreadsheet(),
        reads_per_minute: arguments.reads_per_minute,
        public_sheets_url: arguments.public_sheets_url,
        ..SimulatorsConfig::default()
    };
    let simulators = Simulators::start(config).await.map_err(Failure::Start)?;
    if let Some(path) = &arguments.write_service_account {
        std::fs::write(path, simulators.service_account_json())
            .map_err(|error| Failure::Write(path.clone(), error))?;
    }
    let line = json!({
        "fhir_url": simulators.fhir_url(),
        "sheets_url": simulators.sheets_url(),
        "sheet_id": simulators.sheet_id(),
        "run_date": run_date,
        "patients": simulators.store().len(),
        "expected": night.expected(),
    });
    // The plan's eight bytes a row are not needed while serving.
    drop(night);
    writeln!(std::io::stdout(), "{line}").map_err(Failure::Start)?;
    tokio::select! {
        _ = terminated.recv() => {}
        _ = interrupted.recv() => {}
    }
    simulators.shutdown().await;
    Ok(())
}

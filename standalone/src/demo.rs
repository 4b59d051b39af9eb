//! `--demo`: a night against simulators, for somebody who has nothing but this program.

use std::path::Path;

use producer::flags::RunFlags;
use shared::clock::Clock;
use shared::domain::RunDate;
use shared::settings::Settings;
use shared::status::{Status, refuse};
use shared::telemetry;
use simulators::{DemoNight, NightOptions, Simulators, SimulatorsConfig};

/// Everything the demo makes.
const FOLDER: &str = "demo-night";
const API_KEY: &str = "demo-api-key";

/// Starts the simulators, runs today's night and says what reached the FHIR server.
pub async fn run(flags: &RunFlags, serve: bool) -> Status {
    let folder = Path::new(FOLDER);
    let simulators = match start(folder).await {
        Ok(simulators) => simulators,
        Err(error) => {
            eprintln!("error: the demo cannot start: {error}");
            return Status::Failed;
        }
    };
    let settings = {
        let value = |name: &str| match name {
            "SHEET_ID" => Some(simulators.sheet_id()),
            "SHEETS_URL" => Some(simulators.sheets_url().to_owned()),
            "GOOGLE_CREDENTIALS" => Some(format!("file:{FOLDER}/service-account.json")),
            "FHIR_URL" => Some(simulators.fhir_url().to_owned()),
            "FHIR_API_KEY" => Some(format!("file:{FOLDER}/api-key")),
            "DATABASE_URL" => Some(format!("sqlite:{FOLDER}/nightly-sync.db")),
            // Of the real environment only what does not lead elsewhere.
            "LOG_FORMAT"
            | "METRICS_ADDR"
            | "DASHBOARD_ADDR"
            | "DASHBOARD_TOKEN"
            | "FHIR_MAX_CONCURRENCY"
            | "FHIR_MAX_RPS" => std::env::var(name).ok(),
            _ => None,
        };
        match Settings::read(&value) {
            Ok(settings) => settings,
            Err(errors) => return refuse(errors),
        }
    };
    let _telemetry = match telemetry::start(&settings, "demo").await {
        Ok(telemetry) => telemetry,
        Err(problem) => return refuse([problem]),
    };
    tracing::info!(
        folder = FOLDER,
        fhir = simulators.fhir_url(),
        sheets = simulators.sheets_url(),
        "demo: simulators are up; 60,000 rows in the sheet, 20,000 of them of today"
    );
    let status = Box::pin(crate::act(&settings, flags, serve)).await;
    let stats = simulators.snapshot();
    eprintln!(
        "The simulated FHIR server took {} writes and changed {} Patients; writes beyond a Patient's first: {}.",
        stats.writes, stats.distinct_patients_changed, stats.writes_beyond_first
    );
    if status == Status::DeadLetters {
        eprintln!(
            "The demo's night holds a few dead letters by design (status 3): NIKs that two Patients share, and \
                   inactive Patients."
        );
    }
    status
}

async fn start(folder: &Path) -> std::io::Result<Simulators> {
    std::fs::create_dir_all(folder)?;
    let zone = jakarta();
    let today = RunDate::today(Clock::system().now(), &zone);
    let night = DemoNight::build(DemoNight::SEED, &today.to_string(), &NightOptions::default())
        .map_err(std::io::Error::other)?;
    let config = SimulatorsConfig { api_keys: vec![API_KEY.to_owned()], ..SimulatorsConfig::demo(&night) };
    let simulators = Simulators::start(config).await?;
    std::fs::write(folder.join("service-account.json"), simulators.service_account_json())?;
    std::fs::write(folder.join("api-key"), API_KEY)?;
    Ok(simulators)
}

fn jakarta() -> jiff::tz::TimeZone {
    Settings::read(&|_| None).map_or(jiff::tz::TimeZone::UTC, |settings| settings.zone)
}

//! `make pictures`: pictures of the pages for the documents, into `docs/pictures`: of a night under way, and after one
//! with failures. The people in them are the simulators', masked as everywhere.

use std::process::ExitCode;

use serde_json::json;
use shared::clock::Clock;
use shared::domain::RunDate;
use simulators::{DemoNight, FaultPlan, Latency, NightOptions, Operation, PatientFault};
use tests::browser::{Office, Seen, furnish};
use tests::process::{Sign, Site, in_repository};

/// Rows of the night: enough that it is under way for a while.
const ROWS: usize = 2_000;

/// A night in which the server fails for a few Patients and refuses some.
fn faults(night: &DemoNight) -> FaultPlan {
    let failing = |status| PatientFault {
        operation: Some(Operation::Write),
        status: Some(status),
        ..PatientFault::default()
    };
    let people = night.population();
    let refused = (0..ROWS).step_by(200).map(|person| (people.nik(person), failing(422)));
    let broken = (7..ROWS).step_by(150).map(|person| (people.nik(person), failing(500)));
    FaultPlan {
        latency: Latency::log_normal(200.0, 0.5),
        patients: refused.chain(broken).collect(),
        ..FaultPlan::default()
    }
}

fn told(seen: &Seen) -> bool {
    for check in &seen.checks {
        eprintln!("{} {} {}", if check.ok { "ok " } else { "NOT" }, check.name, check.detail);
    }
    seen.failed().next().is_none()
}

#[tokio::main]
async fn main() -> ExitCode {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let zone = shared::settings::Settings::read(&|_| None).expect("the defaults are usable").zone;
    let today = RunDate::today(Clock::system().now(), &zone).to_string();
    let night =
        DemoNight::build(71, &today, &NightOptions::sized(2 * ROWS, ROWS)).expect("the parts fit together");
    let mut site = Site::of(&night).await;
    furnish(&mut site);
    site.set("RETRY_MAX_ATTEMPTS", "2");
    site.set("FHIR_MAX_CONCURRENCY", "40");
    site.simulators.set_faults(faults(&night));
    let folder = in_repository("docs/pictures");
    std::fs::create_dir_all(&folder).expect("a folder for pictures");

    let mut office = Office::open(&site, &["--date", &today]).await;
    let mut is_well = told(&office.play("pictures", json!({ "folder": folder, "when": "under-way" })).await);
    office.running.until_logged("run closed").await;
    is_well &= told(&office.play("pictures", json!({ "folder": folder, "when": "after" })).await);
    office.running.signal(Sign::Terminate);
    office.running.end().await;
    ExitCode::from(u8::from(!is_well))
}

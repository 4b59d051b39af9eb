//! `doctor`: everything that this program needs.

use std::sync::Arc;

use producer::flags::DoctorOutput;
use shared::clock::Clock;
use shared::doctor::{self, Findings, Side, Subject, addresses, clock, settings, sqlite, webhook};
use shared::status::Status;
use standalone::composition::database_path;

/// Looks at all sides.
pub async fn run(output: DoctorOutput) -> Status {
    let (subject, now) = (Arc::new(Subject::from_env()), Clock::system());
    let sides = vec![
        Side::begin("settings", |findings| settings::examine(subject.clone(), findings)),
        Side::begin("clock", |findings| clock::examine(subject.clone(), now.clone(), findings)),
        Side::begin("sheet", |findings| producer::doctor::examine(subject.clone(), findings)),
        Side::begin("fhir", |findings| worker::doctor::examine(subject.clone(), now.clone(), findings)),
        Side::begin("database", |findings| database(subject.clone(), findings)),
        Side::begin("webhook", |findings| webhook::examine(subject.clone(), findings)),
        Side::begin("METRICS_ADDR", |findings| addresses::metrics(subject.clone(), findings)),
        Side::begin("DASHBOARD_ADDR", |findings| addresses::dashboard(subject.clone(), findings)),
    ];
    doctor::tell(sides, output == DoctorOutput::Json).await
}

async fn database(subject: Arc<Subject>, findings: Findings) {
    match database_path(&subject.settings).await {
        Ok(path) => {
            // A literal DATA_KEY has a line of its own already; the key beside the database is not meant then.
            let own_key = subject.settings.data_key.is_none()
                && !subject.errors.iter().any(|error| error.variable == "DATA_KEY");
            sqlite::examine(path, own_key, findings).await;
        }
        Err(problem) => findings.bad_setting("DATABASE_URL", &problem),
    }
}

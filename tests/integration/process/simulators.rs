//! The `simulators` program: what it prints is enough to run a night against it, and it stops when told.

use std::process::Stdio;

use serde_json::Value;
use simulators::SimulatorsConfig;
use tests::night::until;
use tests::process::{DATE, Sign, Site, binary, check_report, counts};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_night_against_the_simulators_program_and_its_export() {
    let mut site = Site::with(SimulatorsConfig::default()).await;
    let account = site.file("account.json", "");
    let export = site.file("export.csv", "");
    let key = site.file("key", "another-key\n");
    let mut command = tokio::process::Command::new(binary("simulators"));
    command
        .args([
            "--seed",
            "111",
            "--rows",
            "600",
            "--rows-today",
            "200",
            "--run-date",
            DATE,
            "--api-key",
            "another-key",
        ])
        .args(["--write-service-account", Site::argument(&account), "--write-csv", Site::argument(&export)])
        .env_clear()
        .stdin(Stdio::null());
    let simulators = site.spawn(command);
    let said = until("the line", async || simulators.stdout(), |said| said.ends_with('\n')).await;
    let said: Value = serde_json::from_str(&said).expect("one line of JSON");
    for (variable, field) in
        [("FHIR_URL", "fhir_url"), ("SHEETS_URL", "sheets_url"), ("SHEET_ID", "sheet_id")]
    {
        site.set(variable, said[field].as_str().expect("text"));
    }
    site.set("GOOGLE_CREDENTIALS", format!("file:{}", account.display()));
    site.set("FHIR_API_KEY", format!("file:{}", key.display()));

    let from_export = ["--file", Site::argument(&export), "--date", DATE, "--dry-run", "--output", "json"];
    let from_export = site.run(&from_export).await.expect(0).object();
    let from_sheet = site.night().await.expect(3).object();
    for report in [&from_export, &from_sheet] {
        check_report(report);
        let mut outcomes = counts(&report["outcomes"]);
        outcomes.retain(|_, rows| *rows > 0);
        assert_eq!(outcomes, counts(&said["expected"]["outcomes"]));
        assert_eq!(report["reasons"], said["expected"]["reasons"]);
    }
    simulators.signal(Sign::Terminate);
    simulators.end().await.expect(0);
}

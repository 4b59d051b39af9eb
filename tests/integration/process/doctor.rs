//! `doctor` of `standalone`: what is well is called well, each thing that can be set up wrongly is found by name and
//! nothing else is, and nothing is written anywhere.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use serde_json::{Value, json};
use simulators::{
    DemoNight, FaultPlan, FhirOptions, Latency, NightOptions, Operation, SheetCell, SheetsFailure,
    SimulatorsConfig, StatusFault, Webhook,
};
use tests::process::{API_KEY, DATE, Diagnosis, Sign, Site, run_id};

const LITERAL: &str = "hunter2-hunter2-hunter2";

fn small_night() -> DemoNight {
    DemoNight::build(7, DATE, &NightOptions::sized(60, 30)).expect("the parts fit together")
}

async fn diagnose(site: &Site) -> Diagnosis {
    let finished = site.run(&["doctor", "--output", "json"]).await;
    for secret in [LITERAL, API_KEY, "PRIVATE KEY"] {
        assert!(!(finished.stdout.clone() + &finished.stderr).contains(secret), "{}", finished.stdout);
    }
    Diagnosis::of(&finished)
}

/// A setting that is another than usual, an empty one taken away, and what must be found: a check, and what its line
/// says of how to mend it.
type Mistake = (&'static str, &'static str, &'static str, &'static [&'static str]);

const MISTAKES: &[Mistake] = &[
    ("SHEET_ID", "", "SHEET_ID", &["not set", "--file"]),
    ("SHEET_ID", "1AbCdEf", "sheet.id", &["1AbCdEf", "between /d/ and /edit"]),
    ("SHEET_ID", "https://docs.google.com/spreadsheets/d/x", "SHEET_ID", &["between /d/ and /edit"]),
    ("SHEET_RANGE", "Lembar9", "sheet.tab", &["Lembar9", "found: Sheet1"]),
    ("SHEET_RANGE", "Sheet1!Z9:A1:B", "SHEET_RANGE", &["Sheet1"]),
    ("SHEET_COLUMN_NIK", "No KTP", "sheet.header", &["No KTP", "SHEET_COLUMN_NIK", "found: "]),
    ("SHEET_COLUMN_UPDATED", "nama", "sheet.dates", &["SHEET_COLUMN_UPDATED"]),
    ("SHEET_DATE_ORDER", "ymd", "SHEET_DATE_ORDER", &["dmy, mdy"]),
    ("SHEETS_URL", "http://127.0.0.1:9", "sheet.reach", &["SHEETS_URL"]),
    ("GOOGLE_CREDENTIALS", "", "GOOGLE_CREDENTIALS", &["not set"]),
    ("GOOGLE_CREDENTIALS", LITERAL, "GOOGLE_CREDENTIALS", &["file:"]),
    ("GOOGLE_CREDENTIALS", "file:/nonexistent/account", "GOOGLE_CREDENTIALS", &["/nonexistent/account"]),
    ("FHIR_URL", "", "FHIR_URL", &["not set", "base URL"]),
    ("FHIR_URL", "http://127.0.0.1:9/fhir", "fhir.reach", &["FHIR_URL", "firewalls"]),
    ("FHIR_URL", "http://127.0.0.1:9/fhir?x=1", "FHIR_URL", &["query"]),
    ("FHIR_API_KEY", "", "FHIR_API_KEY", &["not set", "FHIR_AUTH"]),
    (
        "FHIR_API_KEY",
        "vault://kv/fhir#key",
        "FHIR_API_KEY",
        &["vault://", "VAULT_ADDR: not set", "https://vault.example:8200"],
    ),
    ("FHIR_AUTH", "basic", "FHIR_AUTH", &["api-key, bearer or oauth2"]),
    ("FHIR_AUTH", "oauth2", "FHIR_TOKEN_URL", &["not set", "oauth2"]),
    (
        "FHIR_IDENTIFIER_SYSTEM",
        "https://fhir.kemkes.go.id/id/nk",
        "fhir.identifier",
        &["no Patient", "FHIR_IDENTIFIER_SYSTEM"],
    ),
    ("FHIR_TIMEOUT", "30", "FHIR_TIMEOUT", &["'30'", "30s"]),
    ("HTTPS_PROXY", "ftp//proxy", "HTTPS_PROXY", &["proxy"]),
    ("CA_FILE", "/nonexistent/ca.pem", "CA_FILE", &["/nonexistent/ca.pem"]),
    ("DATABASE_URL", "postgres://there/db", "DATABASE_URL", &["sqlite:PATH"]),
    ("DATABASE_URL", "sqlite:nowhere/night.db", "database.folder", &["nowhere", "make it"]),
    ("AMQP_URL", "amqp://localhost", "AMQP_URL", &["unset it"]),
    ("DATA_KEY", "file:/nonexistent/key", "DATA_KEY", &["/nonexistent/key"]),
    ("RUN_TIMEZONE", "Asia/Djakarta", "RUN_TIMEZONE", &["Asia/Jakarta"]),
    ("RETENTION_DAYS", "7", "RETENTION_DAYS", &["30 or more"]),
    ("METRICS_ADDR", "9464", "METRICS_ADDR", &["127.0.0.1:9464"]),
    ("METRICS_ADDR", "192.0.2.1:9464", "METRICS_ADDR", &["no such address"]),
    ("DASHBOARD_ADDR", "0.0.0.0:0", "DASHBOARD_TOKEN", &["other machines", "127.0.0.1"]),
    ("DASHBOARD_TOKEN", "file:/nonexistent/token", "DASHBOARD_TOKEN", &["/nonexistent/token"]),
    ("ALERT_WEBHOOK_URL", "env:NOT_THERE", "ALERT_WEBHOOK_URL", &["NOT_THERE"]),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_setting_that_is_wrong_is_found_by_name_and_nothing_else_is() {
    let mut site = Site::of(&small_night()).await;
    let webhook = Webhook::start().await.expect("a webhook");
    site.set("ALERT_WEBHOOK_URL", format!("file:{}", site.file("webhook", webhook.url()).display()));
    diagnose(&site).await.expect_well();
    for (variable, value, check, says) in MISTAKES {
        let usual = site.setting(variable);
        site.assign(variable, Some((*value).to_owned()).filter(|value| !value.is_empty()));
        diagnose(&site).await.expect_wrong(&format!("{variable}={value}"), check, says);
        site.assign(variable, usual);
    }
    assert!(site.files().is_empty(), "nothing is made: {:?}", site.files());
    assert_eq!((site.simulators.snapshot().writes, webhook.taken().len()), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_that_are_wrong_are_all_found_and_the_other_sides_are_looked_at() {
    let mut site = Site::of(&small_night()).await;
    for (variable, value) in [("FHIR_TIMEOUT", "30"), ("RETENTION_DAYS", "7"), ("SHEET_RANGE", "Lembar9")] {
        site.set(variable, value);
    }
    let diagnosis = diagnose(&site).await;
    assert_eq!(diagnosis.those("wrong"), ["FHIR_TIMEOUT", "RETENTION_DAYS", "sheet.tab"]);
    assert_eq!(diagnosis.those("skipped"), ["fhir", "webhook"], "{diagnosis:?}");
    for well in ["sheet.credentials", "sheet.share", "database.folder", "disk", "clock"] {
        assert!(diagnosis.those("ok").contains(&well), "{well}: {diagnosis:?}");
    }
}

/// What is in a file that a setting names, and what must be found.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_secret_and_file_with_the_wrong_content_is_found_by_name() {
    let mut site = Site::of(&small_night()).await;
    let account: Value = serde_json::from_str(&site.simulators.service_account_json()).expect("JSON");
    let with = |change: &[(&str, Value)]| {
        let mut account = account.clone();
        for (key, value) in change {
            account[*key] = value.clone();
        }
        account.to_string()
    };
    for (variable, content, check, says) in [
        ("GOOGLE_CREDENTIALS", LITERAL.to_owned(), "sheet.credentials", &["not JSON"][..]),
        (
            "GOOGLE_CREDENTIALS",
            with(&[("type", json!("authorized_user"))]),
            "sheet.credentials",
            &["service_account"],
        ),
        (
            "GOOGLE_CREDENTIALS",
            with(&[("private_key", json!(LITERAL))]),
            "sheet.credentials",
            &["private_key", "PEM"],
        ),
        (
            "GOOGLE_CREDENTIALS",
            with(&[("client_email", json!("gone@project.iam.gserviceaccount.com"))]),
            "sheet.token",
            &["deleted"],
        ),
        ("GOOGLE_CREDENTIALS", String::new(), "GOOGLE_CREDENTIALS", &["empty"]),
        ("FHIR_API_KEY", LITERAL.to_owned(), "fhir.credentials", &["401", "FHIR_API_KEY"]),
        ("FHIR_API_KEY", format!("{LITERAL}\nnote"), "FHIR_API_KEY", &["header"]),
        ("DATA_KEY", LITERAL.to_owned(), "DATA_KEY", &["ID:BASE64"]),
        ("ALERT_WEBHOOK_URL", "hooks.example.org/x".to_owned(), "ALERT_WEBHOOK_URL", &["http or https"]),
    ] {
        let usual = site.setting(variable);
        let file = site.file("wrong", &content);
        site.set(variable, format!("file:{}", file.display()));
        diagnose(&site).await.expect_wrong(&format!("{variable} with {}", content.len()), check, says);
        site.assign(variable, usual);
    }
    let file = site.file("wrong", LITERAL);
    site.set("CA_FILE", file.display().to_string());
    diagnose(&site).await.expect_wrong("CA_FILE without a certificate", "CA_FILE", &["no certificate"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_with_the_sheet_itself_is_found_by_name() {
    let site = Site::of(&small_night()).await;
    let address =
        serde_json::from_str::<Value>(&site.simulators.service_account_json()).expect("JSON")["client_email"]
            .as_str()
            .expect("an address")
            .to_owned();
    for (failure, check, says) in [
        (SheetsFailure::NotShared, "sheet.share", &[address.as_str(), "Viewer"][..]),
        (SheetsFailure::ApiDisabled, "sheet.api", &["enable it at"]),
        (SheetsFailure::QuotaExceeded, "sheet.quota", &["quota"]),
        (SheetsFailure::Status(503), "sheet.reach", &["503"]),
    ] {
        site.simulators.sheets().fail_next([failure]);
        let diagnosis = diagnose(&site).await;
        diagnosis.expect_wrong(&format!("{failure:?}"), check, says);
        assert!(diagnosis.lines.iter().any(|line| line.2.contains(&address)), "whom to share it with");
    }
    site.simulators.sheets().edit(|spreadsheet| {
        let sheet = spreadsheet.sheet_mut("Sheet1").expect("a sheet");
        for row in 1..=60 {
            sheet.set(
                row,
                simulators::HEADER.len() - 1,
                SheetCell::text(format!("11/{}/2026", row % 20 + 5)),
            );
        }
    });
    diagnose(&site).await.expect_wrong("months first", "sheet.dates", &["SHEET_DATE_ORDER=mdy"]);
    site.simulators.sheets().edit(|spreadsheet| {
        spreadsheet.sheet_mut("Sheet1").expect("a sheet").set(0, 0, SheetCell::text("NIK lama"));
    });
    let renamed = diagnose(&site).await;
    renamed.expect_wrong("a header renamed", "sheet.header", &["SHEET_COLUMN_NIK"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_with_the_fhir_server_is_found_by_name() {
    let night = small_night();
    let mut site = Site::of(&night).await;
    let usual = site.setting("FHIR_URL").expect("a URL");
    let no_path = usual.trim_end_matches("/fhir").to_owned();
    for (url, check, says) in [
        (format!("{usual}/Patient"), "fhir.search", &["before /Patient"][..]),
        (no_path, "fhir.search", &["base URL"]),
        (usual.replace("http:", "https:"), "fhir.tls", &["http:// instead"]),
    ] {
        site.set("FHIR_URL", url.clone());
        diagnose(&site).await.expect_wrong(&url, check, says);
    }
    site.set("FHIR_URL", usual);
    site.set("FHIR_TIMEOUT", "1s");
    let forbidden = StatusFault {
        status: 403,
        rate: 1.0,
        operations: Some(vec![Operation::Search]),
        retry_after: None,
        body: None,
    };
    for (plan, check, says) in [
        (FaultPlan { ignore_search: true, ..FaultPlan::default() }, "fhir.search", &["ignores"][..]),
        (
            FaultPlan { statuses: vec![forbidden], ..FaultPlan::default() },
            "fhir.credentials",
            &["403", "allow"],
        ),
        (
            FaultPlan { latency: Latency::fixed(60_000.0), ..FaultPlan::default() },
            "fhir.reach",
            &["in time", "FHIR_URL"],
        ),
    ] {
        site.simulators.set_faults(plan);
        diagnose(&site).await.expect_wrong(check, check, says);
    }
    site.simulators.set_faults(FaultPlan::default());
    let secret = site.file("client-secret", LITERAL);
    site.set("FHIR_AUTH", "api-key,oauth2");
    site.set("FHIR_TOKEN_URL", site.simulators.fhir_token_url());
    site.set("FHIR_CLIENT_ID", "nobody");
    site.set("FHIR_CLIENT_SECRET", format!("file:{}", secret.display()));
    diagnose(&site).await.expect_wrong("a client that is not known", "fhir.token", &["FHIR_CLIENT_ID"]);

    let fhir = FhirOptions { supports_patch: false, supports_batch: false, ..FhirOptions::default() };
    let mut plain = Site::with(SimulatorsConfig { fhir, ..Site::world_of(&night) }).await;
    plain.set("FHIR_WRITE", "patch");
    diagnose(&plain).await.expect_wrong("no patches", "fhir.update", &["FHIR_WRITE=put"]);
    plain.set("FHIR_WRITE", "auto");
    plain.set("FHIR_BATCH", "on");
    diagnose(&plain).await.expect_wrong("no batches", "fhir.batch", &["FHIR_BATCH=off"]);
    plain.set("FHIR_BATCH", "auto");
    diagnose(&plain).await.expect_well();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_with_the_database_and_the_addresses_is_found_by_name_and_a_night_is_none_of_it() {
    let mut site = Site::of(&small_night()).await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    for variable in ["METRICS_ADDR", "DASHBOARD_ADDR"] {
        let usual = site.setting(variable);
        site.set(variable, address.clone());
        diagnose(&site).await.expect_wrong(variable, variable, &["another program", "another port"]);
        site.assign(variable, usual);
    }
    drop(taken);
    let usual = (site.setting("METRICS_ADDR"), site.setting("DASHBOARD_ADDR"));
    site.set("METRICS_ADDR", address.clone());
    site.set("DASHBOARD_ADDR", address);
    diagnose(&site).await.expect_wrong("one address for both", "DASHBOARD_ADDR", &["METRICS_ADDR too"]);
    site.assign("METRICS_ADDR", usual.0);
    site.assign("DASHBOARD_ADDR", usual.1);

    // Those of one that runs are its own.
    let (metrics, page) = (free_address(), free_address());
    site.set("METRICS_ADDR", metrics);
    site.set("DASHBOARD_ADDR", page);
    let mut serving = site.start(&["--serve"]);
    serving.until_logged("serving the page").await;
    let beside = diagnose(&site).await;
    beside.expect_well();
    assert_eq!(beside.lines.iter().filter(|line| line.2.contains("that runs now")).count(), 2, "{beside:?}");
    serving.signal(Sign::Terminate);
    serving.end().await.expect(143);

    let report = site.night().await.object();
    let before = std::fs::read(site.work().join("nightly-sync.db")).expect("a database");
    let names = site.files();
    let after_a_night = diagnose(&site).await;
    after_a_night.expect_well();
    assert!(after_a_night.those("ok").contains(&"database.key"), "{after_a_night:?}");
    assert_eq!(site.files(), names, "nothing is made beside it");
    assert_eq!(std::fs::read(site.work().join("nightly-sync.db")).expect("a database"), before);
    assert!(!format!("{after_a_night:?}").contains(&run_id(&report).to_string()), "it is about no run");

    let (database, key) = (site.work().join("nightly-sync.db"), site.work().join("nightly-sync.db.key"));
    let mode = |path: &std::path::Path, mode: u32| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("a file of ours");
    };
    mode(&database, 0o644);
    diagnose(&site).await.expect_wrong("readable by all", "database.file", &["chmod 600"]);
    mode(&database, 0o600);
    mode(&key, 0o640);
    diagnose(&site).await.expect_wrong("a key readable by the group", "database.key", &["chmod 600"]);
    mode(&key, 0o600);
    let kept = std::fs::read(&key).expect("a key");
    std::fs::remove_file(&key).expect("a file of ours");
    diagnose(&site).await.expect_wrong("a key that is gone", "database.key", &["put the copy back"]);
    std::fs::write(&key, kept).expect("a file of ours");
    mode(&key, 0o600);
    let newer = rusqlite::Connection::open(&database).expect("a database");
    newer
        .execute_batch(
            "INSERT INTO refinery_schema_history SELECT 999, 'later', applied_on, '1' FROM refinery_schema_history \
             LIMIT 1",
        )
        .expect("a note of another version");
    drop(newer);
    diagnose(&site).await.expect_wrong("tables of a newer program", "database.tables", &["newer program"]);
    std::fs::write(&database, "this is no database, and never was one").expect("a file of ours");
    diagnose(&site).await.expect_wrong("no database", "database.tables", &["restore"]);
}

fn free_address() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_side_that_never_answers_holds_up_nothing_but_itself() {
    let mut site = Site::of(&small_night()).await;
    // It takes connections and says nothing, as a firewall's trap does.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = silent.local_addr().expect("an address");
    let held = tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((stream, _)) = silent.accept().await {
            held.push(stream);
        }
    });
    site.set("SHEETS_URL", format!("http://{address}"));
    site.set("FHIR_URL", format!("http://{address}/fhir"));
    let account = site.simulators.service_account_json();
    let mut account: Value = serde_json::from_str(&account).expect("JSON");
    account["token_uri"] = json!(format!("http://{address}/token"));
    let file = site.file("account", account.to_string());
    site.set("GOOGLE_CREDENTIALS", format!("file:{}", file.display()));
    let begun = std::time::Instant::now();
    let diagnosis = diagnose(&site).await;
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    assert_eq!((diagnosis.status, diagnosis.those("wrong")), (Some(5), vec!["sheet.reach", "fhir.reach"]));
    assert!(diagnosis.those("ok").contains(&"database.folder"));

    // A file that never ends, too: it holds up a whole thread.
    let pipe = site.work().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.is_ok_and(|status| status.success()), "mkfifo works");
    site.set("CA_FILE", pipe.display().to_string());
    let begun = std::time::Instant::now();
    let diagnosis = diagnose(&site).await;
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    assert_eq!((diagnosis.status, diagnosis.those("wrong")), (Some(5), vec!["sheet", "fhir.reach"]));
    assert!(diagnosis.those("ok").contains(&"database.folder"));
    held.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_read_a_line_a_check() {
    let mut site = Site::of(&small_night()).await;
    site.set("RUN_TIMEZONE", "Asia/Djakarta");
    let finished = site.run(&["doctor"]).await.expect(5);
    let wrong: Vec<_> = finished.stdout.lines().filter(|line| line.starts_with("wrong ")).collect();
    assert_eq!(wrong.len(), 1, "{}", finished.stdout);
    assert!(wrong[0].starts_with("wrong    RUN_TIMEZONE           found 'Asia/Djakarta'"), "{wrong:?}");
    assert!(finished.stdout.lines().filter(|line| line.starts_with("ok       ")).count() > 10);
}

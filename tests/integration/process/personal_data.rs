//! No NIK and no number in clear: not in the database's files, not in a log at its most talkative, not in what is
//! printed, not in the process list.

use simulators::{FaultPlan, Latency, Rate};
use tests::process::{API_KEY, DATE, Secrets, Site, check_night, mixed};

use super::interrupted::written;

async fn stays_inside(seed: u64, log: &str) {
    let night = mixed(seed, 400);
    let secrets = Secrets::of_night(&night);
    let mut site = Site::of(&night).await;
    // The search itself works: the export holds them all.
    let export = site.file("export.csv", "");
    night.write_csv(&export).expect("an export");
    assert!(secrets.found_in(&std::fs::read(&export).expect("a file")).len() > 400);

    site.set("RUST_LOG", log);
    site.set("LOG_FORMAT", "json");
    // No row is to run out of them by chance.
    site.set("RETRY_MAX_ATTEMPTS", "20");
    site.simulators.set_faults(FaultPlan {
        latency: Latency::fixed(20.0),
        error_500: Rate::of(0.03),
        reset: Rate::of(0.03),
        ..FaultPlan::default()
    });
    // Killed in the middle, so that the write-ahead log is searched as well.
    let running = site.start_night();
    written(&site, 100).await;
    let arguments = std::fs::read(format!("/proc/{}/cmdline", running.id())).expect("a running process");
    let environment = match std::fs::read(format!("/proc/{}/environ", running.id())) {
        // Nobody but root may look: the process is not dumpable.
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => b"-".to_vec(),
        environment => environment.expect("a running process"),
    };
    assert!(running.kill().await);
    secrets.search(&site.work(), 100_000);
    for process_list in [arguments, environment] {
        assert!(!process_list.is_empty() && secrets.found_in(&process_list).is_empty());
    }

    check_night(&site.night().await.expect(3).object(), night.expected());
    for list in [&["rows", DATE][..], &["dead-letters"], &["runs"]] {
        for form in ["json", "csv", "text"] {
            site.run(&[list, &["--output", form]].concat()).await.expect(0);
        }
    }
    site.run(&["--replay-dlq", "--output", "json"]).await.expect(3);
    let nik = night.population().nik(0);
    site.run_with_input(&["--nik", "-", "--date", DATE], &format!("{nik}\n")).await.expect(3);
    site.run_with_input(&["--nik", "-", "--date", DATE], &format!("{nik}1\n")).await.expect(2);
    secrets.search(&site.work(), 100_000);
    secrets.search(&site.output(), 100_000);
    let key = std::fs::read_to_string(site.work().join("nightly-sync.db.key")).expect("the data key");
    for entry in std::fs::read_dir(site.output()).expect("a folder") {
        let log = std::fs::read_to_string(entry.expect("an entry").path()).expect("text");
        for secret in
            [API_KEY, "Bearer ", "eyJ", "assertion=", "PRIVATE KEY", key.trim().trim_start_matches("1:")]
        {
            let line = log.lines().find(|line| line.contains(secret));
            assert!(line.is_none(), "{secret} is in a log: {line:?}");
        }
    }
    let files = site.files();
    for file in ["nightly-sync.db", "nightly-sync.db.key"] {
        assert!(files.iter().any(|name| name == file), "{file} is not among {files:?}");
        let mode = std::os::unix::fs::PermissionsExt::mode(
            &std::fs::metadata(site.work().join(file)).expect("a file").permissions(),
        );
        assert_eq!(mode & 0o077, 0, "{file} can be read by others");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_personal_is_kept_or_logged_in_clear_at_debug() {
    stays_inside(91, "debug").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_personal_is_kept_or_logged_in_clear_at_trace() {
    // A directive for a part of a crate is stronger than one for the crate.
    let parts = [
        "hyper::proto",
        "hyper_util::client",
        "reqwest::connect",
        "reqwest::async_impl",
        "yup_oauth2::authenticator",
        "yup_oauth2::service_account",
        "yup_oauth2::types",
        "h2::codec",
        "google_sheets4::api",
        "rustls::client",
    ];
    let parts: String = parts.iter().map(|part| format!(",{part}=trace")).collect();
    stays_inside(92, &format!("trace{parts}")).await;
}

//! Exit status 2: bad flags and settings, all said at once, before anything is touched.

use shared::data_key::DataKeys;
use simulators::SimulatorsConfig;
use tests::process::{DATE, Finished, Site};

const NIK: &str = "3174012304560001";
const LITERAL: &str = "hunter2-hunter2-hunter2";

struct Refusal {
    arguments: &'static [&'static str],
    /// Settings that are another than usual; an empty one is taken away.
    settings: &'static [(&'static str, &'static str)],
    /// What standard error must name.
    named: &'static [&'static str],
    input: &'static str,
}

const PLAIN: Refusal = Refusal { arguments: &["--date", DATE], settings: &[], named: &[], input: "" };

const REFUSALS: &[Refusal] = &[
    Refusal { arguments: &["--dats", DATE], named: &["--dats"], ..PLAIN },
    Refusal { arguments: &["--date", "23/11/2026"], named: &["YYYY-MM-DD"], ..PLAIN },
    Refusal { arguments: &["--from", "2026-11-22", "--to", "2026-11-20"], named: &["before"], ..PLAIN },
    Refusal { arguments: &["--from", "2026-11-22"], named: &["--to"], ..PLAIN },
    Refusal { arguments: &["--resume", "--dry-run"], named: &["--resume", "--dry-run"], ..PLAIN },
    Refusal { arguments: &["--date", DATE, "--output", "csv"], named: &["csv"], ..PLAIN },
    Refusal { arguments: &["--limit", "0"], named: &["--limit"], ..PLAIN },
    Refusal { arguments: &["--nik", NIK], named: &["--nik", "process lists"], ..PLAIN },
    Refusal { arguments: &["--replay-dlq", "--nik", NIK], named: &["--nik", "process lists"], ..PLAIN },
    Refusal { arguments: &["--nik", "-"], named: &["--nik -"], ..PLAIN },
    Refusal {
        arguments: &["--nik", "-"],
        named: &["line 2"],
        input: "3174012304560001\n317401230456\n",
        ..PLAIN
    },
    Refusal { arguments: &["rows", DATE, "--nik", NIK], named: &["no database"], ..PLAIN },
    Refusal { arguments: &["runs"], named: &["DATABASE_URL", "nothing ran yet"], ..PLAIN },
    Refusal { arguments: &["--file", "absent.csv"], named: &["--file", "absent.csv"], ..PLAIN },
    Refusal { settings: &[("SHEET_ID", "")], named: &["SHEET_ID"], ..PLAIN },
    Refusal { settings: &[("FHIR_URL", "")], named: &["FHIR_URL"], ..PLAIN },
    Refusal { settings: &[("FHIR_API_KEY", "")], named: &["FHIR_API_KEY"], ..PLAIN },
    Refusal { settings: &[("GOOGLE_CREDENTIALS", "")], named: &["GOOGLE_CREDENTIALS"], ..PLAIN },
    Refusal {
        settings: &[("SHEET_ID", ""), ("GOOGLE_CREDENTIALS", ""), ("FHIR_API_KEY", "")],
        named: &["SHEET_ID", "GOOGLE_CREDENTIALS", "FHIR_API_KEY"],
        ..PLAIN
    },
    Refusal {
        settings: &[("DASHBOARD_ADDR", "0.0.0.0:0")],
        named: &["DASHBOARD_TOKEN", "file:/run/secrets/", "listen on 127.0.0.1"],
        ..PLAIN
    },
    Refusal {
        settings: &[("FHIR_AUTH", "oauth2")],
        named: &["FHIR_TOKEN_URL", "FHIR_AUTH asks for it (oauth2)"],
        ..PLAIN
    },
    Refusal {
        settings: &[("FHIR_AUTH", "oauth2"), ("FHIR_TOKEN_URL", "http://localhost/token")],
        named: &["FHIR_CLIENT_ID"],
        ..PLAIN
    },
    Refusal {
        settings: &[
            ("FHIR_AUTH", "api-key,oauth2"),
            ("FHIR_TOKEN_URL", "http://localhost/token"),
            ("FHIR_CLIENT_ID", "x"),
            ("FHIR_CLIENT_SECRET", LITERAL),
        ],
        named: &["FHIR_CLIENT_SECRET", "file:"],
        ..PLAIN
    },
    Refusal { settings: &[("FHIR_AUTH", "bearer,oauth2")], named: &["FHIR_AUTH", "api-key,oauth2"], ..PLAIN },
    Refusal { settings: &[("FHIR_WRITE", "post")], named: &["FHIR_WRITE", "put, patch, auto"], ..PLAIN },
    Refusal { settings: &[("FHIR_BATCH", "50")], named: &["FHIR_BATCH", "off, on, auto"], ..PLAIN },
    Refusal {
        settings: &[("FHIR_API_KEY", LITERAL)],
        named: &["FHIR_API_KEY", "file:", "vault://"],
        ..PLAIN
    },
    Refusal {
        settings: &[("GOOGLE_CREDENTIALS", LITERAL)],
        named: &["GOOGLE_CREDENTIALS", "gcp-sm://"],
        ..PLAIN
    },
    Refusal { settings: &[("DATA_KEY", LITERAL)], named: &["DATA_KEY", "aws-sm://"], ..PLAIN },
    Refusal { settings: &[("FHIR_API_KEY", "file:/nonexistent/key")], named: &["/nonexistent/key"], ..PLAIN },
    Refusal {
        settings: &[("GOOGLE_CREDENTIALS", "file:/nonexistent/account")],
        named: &["GOOGLE_CREDENTIALS", "/nonexistent/account"],
        ..PLAIN
    },
    Refusal {
        settings: &[("DATABASE_URL", "mysql://there")],
        named: &["DATABASE_URL", "sqlite:PATH"],
        ..PLAIN
    },
    Refusal {
        settings: &[
            ("FHIR_TIMEOUT", "30"),
            ("RETENTION_DAYS", "7"),
            ("RUN_TIMEZONE", "Asia/Djakarta"),
            ("FHIR_MAX_CONCURRENCY", "none"),
            ("FHIR_API_KEY", LITERAL),
        ],
        named: &[
            "FHIR_TIMEOUT",
            "'30'",
            "30s",
            "RETENTION_DAYS",
            "'7'",
            "30 or more",
            "RUN_TIMEZONE",
            "Asia/Djakarta",
            "Asia/Jakarta",
            "FHIR_MAX_CONCURRENCY",
            "'none'",
            "1 to 10000",
            "FHIR_API_KEY",
        ],
        ..PLAIN
    },
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_flags_and_settings_are_named_and_nothing_is_touched() {
    let mut site = Site::with(SimulatorsConfig::default()).await;
    for refusal in REFUSALS {
        let usual: Vec<_> = refusal.settings.iter().map(|(name, _)| (*name, site.setting(name))).collect();
        for (name, value) in refusal.settings {
            site.assign(name, Some(*value).filter(|value| !value.is_empty()).map(str::to_owned));
        }
        let finished = site.run_with_input(refusal.arguments, refusal.input).await;
        refused(&site, &finished, refusal);
        for (name, value) in usual {
            site.assign(name, value);
        }
    }
    let stats = site.simulators.snapshot();
    assert_eq!((stats.requests_total, stats.tokens_issued), (0, 0), "nobody was asked anything");
}

fn refused(site: &Site, finished: &Finished, Refusal { arguments, settings, named, .. }: &Refusal) {
    let Finished { status, stdout, stderr } = finished;
    let what = format!("{arguments:?} with {settings:?} said:\n{stderr}");
    assert_eq!(*status, Some(2), "{what}");
    assert_eq!(stdout, "", "{what}");
    for word in *named {
        assert!(stderr.contains(word), "{word} is not named: {what}");
    }
    assert!(!stderr.contains(NIK) && !stderr.contains(&NIK[..12]), "{what}");
    assert!(!stderr.contains(LITERAL), "{what}");
    assert_eq!(site.files(), Vec::<String>::new(), "{what}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_does_not_exist_is_a_bad_flag_and_a_nik_in_its_place_is_not_repeated() {
    let site = Site::with(SimulatorsConfig::default()).await;
    // The tables are there, and empty: nothing to resume and nothing to report.
    let nothing = site.run(&["--resume"]).await.expect(0);
    assert_eq!(nothing.stdout, "");
    assert!(nothing.stderr.contains("no run to report"), "{}", nothing.stderr);
    let missing = site.run(&["rows", "2026-11-22"]).await.expect(2);
    assert!(missing.stderr.contains("2026-11-22"), "{}", missing.stderr);
    let nik = site.run(&["rows", NIK]).await.expect(2);
    assert!(!nik.stderr.contains(NIK) && nik.stdout.is_empty(), "{}", nik.stderr);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_data_key_that_is_gone_or_another_is_not_replaced_by_a_new_one() {
    let night = tests::process::mixed(31, 60);
    let site = Site::of(&night).await;
    site.night().await.expect(3);
    let key = site.work().join("nightly-sync.db.key");
    let kept = std::fs::read(&key).expect("standalone made a key");
    std::fs::remove_file(&key).expect("it can be lost");
    let refused = site.night().await.expect(2);
    assert!(refused.stderr.contains("DATA_KEY") && refused.stdout.is_empty(), "{}", refused.stderr);
    assert!(!key.exists(), "no new key is made for a database that holds runs");
    std::fs::write(&key, kept).expect("it can be put back");
    let again = site.night().await.expect(3).object();
    let applied = tests::process::counts(&again["outcomes"])["skipped_already_applied"];
    let expected = night.expected();
    assert_eq!(applied, expected.outcome("updated") + expected.outcome("unchanged"));
}

#[test]
fn a_fresh_key_is_read_back() {
    assert!(DataKeys::parse(&DataKeys::generate()).is_ok());
}

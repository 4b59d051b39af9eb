//! Nights that end, well or not: exit statuses 0, 3 and 5, the report, and what another start makes of it.

use simulators::{DemoNight, NightOptions, SheetCell, SheetsFailure, SimulatorsConfig};
use tests::process::{DATE, Site, check_night, check_report, counts, mixed, run_id};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_night_with_dead_letters_ends_with_3_and_its_report_alone_on_standard_output() {
    let night = mixed(1, 300);
    let site = Site::of(&night).await;
    let finished = site.night().await.expect(3);
    let report = finished.object();
    check_night(&report, night.expected());
    assert_eq!(
        (report["job"].as_str(), report["run_date"].as_str()),
        (Some("nightly-whatsapp-sync"), Some(DATE))
    );
    let stats = site.simulators.snapshot();
    assert_eq!(
        report["fhir_requests"],
        stats.searches + stats.writes - 1,
        "all but the search of the impossible NIK"
    );
    assert_eq!((stats.writes, stats.writes_beyond_first), (night.expected().patients_changed, 0));
    assert!(finished.stderr.lines().all(|line| line.starts_with('{')), "logs are JSON off a terminal");

    // Dead letters of the same date are tried again, with the same end; what was applied is not.
    let again = site.night().await.expect(3).object();
    assert_ne!(run_id(&again), run_id(&report));
    let (first, second) = (counts(&report["outcomes"]), counts(&again["outcomes"]));
    assert_eq!(second["skipped_already_applied"], first["updated"] + first["unchanged"]);
    assert_eq!((second["updated"], second["unchanged"]), (0, 0));
    for same in ["dead_lettered", "rejected", "duplicate_row", "skipped_not_found"] {
        assert_eq!(second[same], first[same], "{same}");
    }
    assert_eq!(site.simulators.snapshot().writes, stats.writes);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_night_without_dead_letters_ends_with_0_and_a_table_by_default() {
    let night = DemoNight::build(2, DATE, &NightOptions::all_need_write(40)).expect("a night");
    let site = Site::of(&night).await;
    let finished = site.run(&["--date", DATE]).await.expect(0);
    for part in ["Rows selected", "40", DATE, "updated"] {
        assert!(finished.stdout.contains(part), "{part} in {}", finished.stdout);
    }
    assert!(!finished.stdout.contains('{'), "{}", finished.stdout);
    // No rows at all are a night too.
    let empty = site.run(&["--date", "2026-01-01", "--output", "json"]).await.expect(0).object();
    assert_eq!((&empty["rows_read"], &empty["rows_selected"]), (&40.into(), &0.into()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sheet_that_cannot_be_read_stops_the_night_with_5_and_words_and_the_next_start_carries_it_on() {
    let night = mixed(3, 100);
    let site = Site::of(&night).await;
    let header = |name: &'static str| {
        site.simulators.sheets().edit(move |sheet| {
            sheet.sheet_mut("Sheet1").expect("the sheet").set(0, 2, SheetCell::text(name));
        });
    };
    header("Nomor HP");
    let shape = site.night().await.expect(5);
    for word in ["whatsapp_number", "Nomor HP", "last_updated_date"] {
        assert!(shape.stderr.contains(word), "{word} in {}", shape.stderr);
    }
    header("whatsapp_number");
    site.simulators.sheets().fail_next([SheetsFailure::NotShared]);
    let not_shared = site.night().await.expect(5);
    for word in ["not shared", "gserviceaccount.com", "Viewer"] {
        assert!(not_shared.stderr.contains(word), "{word} in {}", not_shared.stderr);
    }
    let stats = site.simulators.snapshot();
    assert!(stats.requests_total <= 2, "of FHIR no more was asked than whether it minds what is searched");
    assert_eq!(stats.writes, 0);

    let finished = site.night().await.expect(3).object();
    check_night(&finished, night.expected());
    assert_eq!(run_id(&finished), run_id(&shape.object()), "one run all along");
    assert_eq!(run_id(&finished), run_id(&not_shared.object()), "one run all along");
    assert_eq!(shape.object()["state"], "seeding");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fhir_server_out_of_reach_past_the_deadline_stops_the_night_with_5() {
    let night = mixed(4, 100);
    let mut site = Site::of(&night).await;
    let there = site.simulators.fhir_url().to_owned();
    // Nobody listens on it: it was given back a moment ago.
    let port =
        std::net::TcpListener::bind(("127.0.0.1", 0)).and_then(|l| l.local_addr()).expect("a port").port();
    site.set("FHIR_URL", format!("http://127.0.0.1:{port}/fhir"));
    site.set("RUN_DEADLINE", "1s");
    let stopped = site.night().await.expect(5);
    assert!(stopped.stderr.contains("RUN_DEADLINE"), "{}", stopped.stderr);
    let report = stopped.object();
    assert_eq!(report["state"], "open");
    assert_eq!(counts(&report["outcomes"])["dead_lettered"], 0, "no row is blamed for it: {report}");
    site.set("FHIR_URL", there);
    let finished = site.run(&["--resume", "--output", "json"]).await.expect(3).object();
    check_night(&finished, night.expected());
    assert_eq!(run_id(&finished), run_id(&report));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_is_refused_stops_the_night_with_5() {
    let night = mixed(5, 60);
    let mut site = Site::of(&night).await;
    let right = site.setting("FHIR_API_KEY");
    let wrong = site.file("wrong-key", "not-the-key");
    site.set("FHIR_API_KEY", format!("file:{}", wrong.display()));
    site.set("RUN_DEADLINE", "1s");
    let stopped = site.night().await.expect(5);
    assert!(stopped.stderr.contains("401") || stopped.stderr.contains("credential"), "{}", stopped.stderr);
    assert!(!stopped.stderr.contains("not-the-key"), "{}", stopped.stderr);
    site.assign("FHIR_API_KEY", right);
    check_night(&site.night().await.expect(3).object(), night.expected());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_ignores_the_search_stops_the_night_with_5_before_any_write() {
    let night = mixed(6, 60);
    let site = Site::of(&night).await;
    site.simulators.set_faults(simulators::FaultPlan { ignore_search: true, ..Default::default() });
    let stopped = site.night().await.expect(5);
    assert_eq!(site.simulators.snapshot().writes, 0);
    site.simulators.set_faults(simulators::FaultPlan::default());
    let finished = site.night().await.expect(3).object();
    check_night(&finished, night.expected());
    assert_eq!(run_id(&finished), run_id(&stopped.object()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sheet_without_rows_is_a_night_without_rows_and_rows_without_a_header_are_not() {
    let site = Site::with(SimulatorsConfig::default()).await;
    let blank = site.night().await.expect(0);
    assert!(blank.stderr.contains("not even a header"), "{}", blank.stderr);
    assert_eq!((&blank.object()["rows_read"], &blank.object()["rows_selected"]), (&0.into(), &0.into()));
    let edit = |text: &'static str| {
        site.simulators.sheets().edit(|sheet| {
            sheet.sheet_mut("Sheet1").expect("the sheet").set(4, 0, SheetCell::text(text));
        });
    };
    edit("something");
    let headless = site.night().await.expect(5);
    assert!(headless.stderr.contains("the row is empty"), "{}", headless.stderr);
    edit("");
    site.simulators.sheets().edit(|sheet| {
        let sheet = sheet.sheet_mut("Sheet1").expect("the sheet");
        for (column, name) in ["nik", "whatsapp_number", "last_updated_date"].into_iter().enumerate() {
            sheet.set(0, column, SheetCell::text(name));
        }
    });
    let report = site.night().await.expect(0).object();
    check_report(&report);
    assert_eq!((&report["rows_read"], &report["rows_selected"]), (&0.into(), &0.into()));
}

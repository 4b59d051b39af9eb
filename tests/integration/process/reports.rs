//! The report as a file to be mailed, at the end of a night and long after it.

use simulators::{FaultPlan, Latency};
use tests::process::{DATE, Pages, Secrets, Site, mixed};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_report_can_be_mailed_after_the_night_and_at_any_time_later() {
    let night = mixed(121, 400);
    let mut site = Site::of(&night).await;
    // Slow enough for a series that can be drawn.
    site.set("FHIR_MAX_CONCURRENCY", "8");
    site.simulators.set_faults(FaultPlan { latency: Latency::fixed(60.0), ..FaultPlan::default() });
    let path = site.work().join("night.html");
    let named = path.to_str().expect("a path in UTF-8");
    let run = ["--date", DATE, "--output", "json", "--report", named];
    let report = site.run(&run).await.expect(3).object();
    let html = std::fs::read_to_string(&path).expect("the file of --report");

    for part in ["<svg", "Throughput over time", "First write", "Last write", "Every row published", "Closed"]
    {
        assert!(html.contains(part), "{part} in {html}");
    }
    for reason in report["reasons"].as_object().expect("reasons").keys() {
        assert!(html.contains(&format!("<th scope=\"row\">{reason}</th>")), "{reason}");
        let reason = reason.parse().expect("a reason");
        let means = shared::domain::meaning(reason, shared::domain::Language::En);
        assert!(html.contains(&means.replace('"', "&quot;")), "{means}");
    }
    for foreign in ["<script", "http:", "https:", "src=", "href=", "url(", "@import"] {
        assert!(!html.contains(foreign), "{foreign} in {html}");
    }
    assert_eq!(Secrets::of_night(&night).found_in(html.as_bytes()), Vec::<String>::new());
    let instants = ["started_at", "snapshot_at", "first_write_at", "last_write_at", "finished_at"];
    let instants = instants.map(|name| {
        let text = report[name].as_str().unwrap_or_else(|| panic!("{name} in {report}"));
        text.parse::<jiff::Timestamp>().expect("an instant")
    });
    assert!(instants.is_sorted(), "{instants:?}");
    assert!(report["published_at"].is_string(), "{report}");

    let id = report["run_id"].as_str().expect("an id");
    for named in [DATE, id] {
        assert_eq!(site.run(&["run", named, "--output", "html"]).await.expect(0).stdout, html, "{named}");
    }
    assert_eq!(site.run(&["run", id, "--output", "json"]).await.expect(0).object(), report);
    assert!(site.run(&["run", DATE]).await.expect(0).stdout.contains("Rows selected"));
    site.run(&["run", "2020-01-01"]).await.expect(2);

    // A page that was started long after the night draws it too.
    let mut serving = site.start(&["--serve"]);
    serving.until_logged("serving the page").await;
    let log = serving.stderr();
    let line = log.lines().find(|line| line.contains("serving the page")).expect("it was logged");
    let line: serde_json::Value = serde_json::from_str(line).expect("a log off a terminal is JSON");
    let address = line["address"].as_str().expect("an address").parse().expect("an address");
    let (status, page) = Pages::at(address).get(&format!("/runs/{id}")).await;
    assert_eq!(status, 200);
    for part in [
        "Throughput over time",
        "Requests at a time",
        "Messages that wait",
        "First write",
        "Last write",
        "Every row published",
    ] {
        assert!(page.contains(part), "{part} in {page}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_report_that_cannot_be_written_is_told_by_its_path() {
    let site = Site::of(&mixed(122, 60)).await;
    let failed = site.run(&["--date", DATE, "--report", "no-such-folder/night.html"]).await.expect(1);
    assert!(failed.stderr.contains("no-such-folder/night.html"), "{}", failed.stderr);
}

//! Traces by OTLP: what a collector gets to see of a night, of one process and of a cluster.

use std::collections::BTreeSet;

use serde_json::Value;
use simulators::{DemoNight, FaultPlan, Latency, Operation, PatientFault};
use tests::collector::{Collector, Span};
use tests::process::{Cluster, DATE, Secrets, Sign, Site, check_night, check_report, mixed, run_id};

/// Attempts of the row whose writes fail.
const ATTEMPTS: usize = 3;

/// Whose number the night changes and whose writes all fail: the row is tried again, and ends as a dead letter.
fn failing(site: &Site, night: &DemoNight) -> FaultPlan {
    let differs = |(nik, number): &(String, String)| {
        let now = site.simulators.store().current_mobile(nik).unwrap_or_default();
        let digits: String = now.chars().filter(char::is_ascii_digit).collect();
        !digits.ends_with(&number[3..])
    };
    let (nik, _) = night.expected_numbers().find(differs).expect("a number that changes");
    let fault =
        PatientFault { operation: Some(Operation::Write), status: Some(500), ..PatientFault::default() };
    FaultPlan { latency: Latency::fixed(5.0), patients: [(nik, fault)].into(), ..FaultPlan::default() }
}

fn traced(site: &mut Site, collector: &Collector, night: &DemoNight) {
    site.set("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint());
    site.set("OTEL_TRACES_SAMPLER", "always_on");
    site.set("RETRY_MAX_ATTEMPTS", ATTEMPTS.to_string());
    site.simulators.set_faults(failing(site, night));
}

fn below<'a>(spans: &'a [Span], parent: &Span, name: &str) -> Vec<&'a Span> {
    spans.iter().filter(|span| span.parent == parent.id && span.name.starts_with(name)).collect()
}

fn only<'a>(found: &[&'a Span]) -> &'a Span {
    assert_eq!(found.len(), 1, "{found:#?}");
    found[0]
}

/// What must hold of the trace of a night whose rows are all traced, and of the one that failed.
fn check(collector: &Collector, report: &Value, night: &DemoNight, failed_row: u32) {
    let spans = collector.spans();
    let trace = run_id(report).0.simple().to_string();
    assert!(spans.iter().all(|span| span.trace == trace), "one trace, named as the run");
    let root = only(&spans.iter().filter(|span| span.name == "run").collect::<Vec<_>>());
    assert_eq!(root.parent, "");
    assert!(root.nanos > 0);
    let _snapshot = only(&below(&spans, root, "snapshot"));

    // Who is rejected on paper is not published; everybody else is, once.
    let published = below(&spans, root, "publish row");
    let rows: BTreeSet<_> = published.iter().map(|span| span.row().expect("a row")).collect();
    assert_eq!(rows.len(), published.len(), "no row twice");
    let outcomes = &report["outcomes"];
    let sum =
        |names: &[&str]| names.iter().map(|name| outcomes[name].as_u64().expect("a count")).sum::<u64>();
    let written = sum(&["updated"]);
    let done = sum(&["updated", "unchanged", "skipped_not_found", "dead_lettered"]);
    assert_eq!(rows.len() as u64, done + sum(&["superseded", "skipped_already_applied"]));
    assert!(published.iter().all(|span| span.kind == "producer" && span.nanos > 0));

    // The row that failed: from the publishing over each attempt to its dead letter.
    let publishing =
        published.iter().find(|span| span.row() == Some(failed_row)).expect("the row's publishing");
    let attempts = below(&spans, publishing, "process row");
    assert_eq!(attempts.len(), ATTEMPTS, "{attempts:#?}");
    let mut settlements = Vec::new();
    for attempt in &attempts {
        assert!(attempt.failed && attempt.kind == "consumer");
        settlements.push((
            attempt.get("nightly_sync.turn").parse::<u32>().expect("a turn"),
            attempt.get("nightly_sync.settlement"),
        ));
        // By search, and after the first attempt by id; the last one asks too whether the server searches at all.
        assert!(!below(&spans, attempt, "GET ").is_empty());
        let write = only(&below(&spans, attempt, "PUT "));
        assert!(
            write.failed
                && write.get("error.type") == "500"
                && write.get("http.response.status_code") == "500"
        );
    }
    settlements.sort_unstable();
    let settlements: Vec<_> = settlements.into_iter().map(|(_, settlement)| settlement).collect();
    assert_eq!(settlements, ["retry", "retry", "retries_exhausted"]);
    only(&below(&spans, publishing, "bury row"));

    // The others that were written: found, then written, with addresses that name nobody.
    let updated: Vec<_> =
        spans.iter().filter(|span| span.get("nightly_sync.settlement") == "updated").collect();
    assert_eq!(updated.len() as u64, written);
    for attempt in updated {
        let search = only(&below(&spans, attempt, "GET "));
        assert_eq!((search.kind, search.get("http.request.method")), ("client", "GET"));
        assert!(search.name.ends_with("/Patient?identifier={identifier}"), "{search:?}");
        let write = only(&below(&spans, attempt, "PUT "));
        assert!(write.name.ends_with("/Patient/{id}"), "{write:?}");
        assert!(write.get("url.full").ends_with("/Patient/{id}"), "{write:?}");
        assert_eq!(
            (write.get("http.response.status_code"), write.get("server.address")),
            ("200", "127.0.0.1")
        );
        assert!(!write.get("server.port").is_empty() && !write.failed);
    }
    check_private(collector, night);
}

fn check_private(collector: &Collector, night: &DemoNight) {
    let (bytes, told) = (collector.bytes(), format!("{:?}", collector.spans()));
    assert!(bytes.len() > 1_000);
    let secrets = Secrets::of_night(night);
    let found = [secrets.found_in(&bytes), secrets.found_in(told.as_bytes())].concat();
    assert!(found.is_empty(), "{found:?}");
}

fn failed_row(rows: &[Value]) -> u32 {
    assert_eq!(rows.len(), 1, "{rows:?}");
    rows[0]["sheet_row"].as_u64().and_then(|row| row.try_into().ok()).expect("a row")
}

const FAILED: [&str; 6] = ["rows", DATE, "--reason", "retries_exhausted", "--output", "json"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_night_of_one_process_is_one_trace_that_names_nobody() {
    let night = mixed(101, 60);
    let (mut site, collector) = (Site::of(&night).await, Collector::start().await);
    traced(&mut site, &collector, &night);
    let report = site.night().await.expect(3).object();
    check_report(&report);
    let failed = failed_row(&site.run(&FAILED).await.expect(0).objects());
    check(&collector, &report, &night, failed);
    assert!(collector.spans().iter().all(|span| span.service == "nightly-sync-standalone"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_night_of_a_cluster_is_one_trace_across_the_broker() {
    let night = mixed(102, 60);
    let (mut cluster, collector) = (Cluster::of(&night).await, Collector::start().await);
    traced(cluster.site_mut(), &collector, &night);
    // Gone before a worker is there: what a trace holds together is the message alone.
    cluster.produce(&["--date", DATE, "--detach"]).await.expect(0);
    let workers = cluster.workers(2);
    let report = cluster.until_run_is("closed").await;
    let failed = failed_row(&cluster.produce(&FAILED).await.expect(0).objects());
    for worker in workers {
        worker.signal(Sign::Terminate);
        worker.end().await.expect(143);
    }
    check(&collector, &report, &night, failed);
    let from = |name: &str| -> BTreeSet<String> {
        let spans = collector.spans().into_iter();
        spans.filter(|span| span.name == name).map(|span| span.service).collect()
    };
    for (name, program) in [
        ("snapshot", "producer"),
        ("publish row", "producer"),
        ("process row", "worker"),
        ("bury row", "worker"),
        ("run", "worker"),
    ] {
        assert_eq!(from(name), [format!("nightly-sync-{program}")].into(), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_for_many_rows_is_in_the_trace_once_and_they_refer_to_it() {
    let night = mixed(103, 80);
    let (mut site, collector) = (Site::of(&night).await, Collector::start().await);
    site.set("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", format!("{}/v1/traces", collector.endpoint()));
    site.set("OTEL_TRACES_SAMPLER", "parentbased_traceidratio");
    site.set("FHIR_BATCH", "on");
    let report = site.night().await.expect(3).object();
    check_night(&report, night.expected());
    let spans = collector.spans();
    let bundles: Vec<_> = spans.iter().filter(|span| span.name.starts_with("POST ")).collect();
    assert!(!bundles.is_empty());
    for bundle in bundles {
        let first = spans.iter().find(|span| span.id == bundle.parent).expect("the row that it belongs to");
        assert_eq!(first.name, "process row");
        assert!(spans.iter().any(|span| span.links.contains(&first.id)), "the others of {bundle:?}");
    }
    check_private(&collector, &night);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_part_of_the_rows_is_traced_each_from_end_to_end() {
    let night = mixed(104, 400);
    let (mut site, collector) = (Site::of(&night).await, Collector::start().await);
    site.set("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint());
    site.set("OTEL_TRACES_SAMPLER_ARG", "0.1");
    site.set("OTEL_SERVICE_NAME", "the-night");
    let report = site.night().await.expect(3).object();
    check_night(&report, night.expected());
    let spans = collector.spans();
    let rows = |name: &str| -> BTreeSet<_> {
        spans.iter().filter(|span| span.name == name).map(|span| span.row().expect("a row")).collect()
    };
    let published = rows("publish row");
    // 36 are expected; either bound is five standard deviations away.
    assert!((8..70).contains(&published.len()), "{published:?}");
    assert_eq!(rows("process row"), published);
    assert!(spans.iter().any(|span| span.name == "run"), "the run itself is always told of");
    assert!(spans.iter().all(|span| span.service == "the-night"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_is_away_or_refuses_harms_nothing_and_is_told_of_once() {
    const TOLD: &str = "traces cannot be delivered";
    let night = mixed(105, 200);
    let (mut site, collector) = (Site::of(&night).await, Collector::start().await);
    site.set("OTEL_TRACES_SAMPLER", "always_on");
    // Many posts.
    site.set("OTEL_BSP_SCHEDULE_DELAY", "20");
    site.set("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "20");
    site.simulators.set_faults(FaultPlan { latency: Latency::fixed(20.0), ..FaultPlan::default() });
    collector.refuse(Some(503));
    site.set("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint());
    let finished = site.night().await.expect(3);
    check_night(&finished.object(), night.expected());
    assert_eq!(finished.stderr.matches(TOLD).count(), 1, "{}", finished.stderr);
    assert!(finished.stderr.contains("it answered 503"), "{}", finished.stderr);

    // Nobody listens there.
    let gone = collector.endpoint().to_owned();
    drop(collector);
    site.set("OTEL_EXPORTER_OTLP_ENDPOINT", &gone);
    let finished = site.run(&["--date", DATE, "--reapply", "--output", "json"]).await.expect(3);
    assert_eq!(finished.stderr.matches(TOLD).count(), 1, "{}", finished.stderr);
}

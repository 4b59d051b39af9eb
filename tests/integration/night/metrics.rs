//! What a scrape tells of a night, against its report.

use std::sync::Arc;
use std::time::Duration;

use shared::metrics::{Kind, Load, Page, Part, Served, Watched};
use shared::retention::Retention;
use simulators::{DemoNight, FaultPlan, NightOptions, Rate};
use tests::night::{DATE, Scene, whole};
use tests::process::{Pages, Secrets};

const DEADLINE: Duration = Duration::from_secs(1_800);

/// A FHIR server that is as it is told.
struct Told(Result<(), String>);

impl Part for Told {
    fn name(&self) -> &'static str {
        "FHIR server"
    }

    fn ready(&self) -> Result<(), String> {
        self.0.clone()
    }

    fn load(&self) -> Load {
        Load { limit: 16.0, in_flight: 3.0, pace: Some(120.0) }
    }
}

#[tokio::test]
async fn a_scrape_after_the_night_agrees_with_the_report_and_names_nobody() {
    let night = DemoNight::build(51, DATE, &NightOptions::sized(600, 200)).expect("the parts fit");
    let scene = Scene::of(&night).await;
    scene.simulators.set_faults(FaultPlan { error_500: Rate::of(0.05), ..FaultPlan::default() });
    let process = scene.open().await;
    let page = Arc::new(Page::default());
    let (backing, job) = (process.common.backing.clone(), process.settings.job.clone());
    page.watch(Watched { backing, job, deadline: DEADLINE, part: Some(Arc::new(Told(Ok(())))) });
    let served = Served::on(([127, 0, 0, 1], 0).into(), page).await;
    let pages = Pages::at(served.address().expect("loopback has ports"));

    let before = pages.scrape().await;
    assert_eq!(before.get("rows_total{outcome=\"updated\"}"), None, "there was no night yet");
    assert_eq!(before.get("dead_letters_open"), Some(0.0));

    let retention = Retention::new(process.common.backing.ledger.clone(), &process.settings, "here".into());
    retention.prune("a test").await.expect("a ledger").expect("nobody else prunes");
    let order = whole();
    let ended = Box::pin(process.night(DATE, &order)).await.expect("a night");
    let report = &ended.reports[0];
    let scrape = tests::night::until(
        "the closed night to be seen",
        || pages.scrape(),
        |scrape| scrape.get("run_state{state=\"closed\"}") == Some(1.0),
    )
    .await;
    let outcomes = scrape.by_label("rows_total");
    for (outcome, rows) in &report.outcomes {
        assert_eq!(outcomes[*outcome], *rows as f64, "{outcome}");
    }
    assert_eq!(outcomes.len(), report.outcomes.len());
    assert_eq!(scrape.get("rows_read_total"), Some(report.rows_read as f64));
    assert_eq!(scrape.get("dead_letters_open"), Some(report.outcomes["dead_lettered"] as f64));
    assert_eq!(scrape.sum("run_state"), 1.0);
    assert_eq!(scrape.get("run_progress_ratio"), Some(1.0));
    let second = |at: jiff::Timestamp| at.as_microsecond() as f64 / 1e6;
    assert_eq!(scrape.get("run_last_start_timestamp_seconds"), Some(second(report.started_at)));
    let deadline = second(report.started_at) + DEADLINE.as_secs_f64();
    assert_eq!(scrape.get("run_deadline_timestamp_seconds"), Some(deadline));
    let finished = report.finished_at.map(second);
    let last_row = scrape.get("run_last_row_timestamp_seconds");
    assert!(last_row > report.snapshot_at.map(second) && last_row <= finished, "{last_row:?}");
    // Those that the snapshot decided do not count: they say nothing of how rows fare.
    let recent = scrape.by_label("recent_rows");
    assert_eq!(recent["dead_lettered"], outcomes["dead_lettered"]);
    assert_eq!((recent["updated"], recent["rejected"]), (outcomes["updated"], 0.0));
    assert!(outcomes["rejected"] > 0.0);
    assert_eq!(scrape.get("run_last_success_timestamp_seconds"), finished);
    assert_eq!(scrape.get("run_projected_finish_timestamp_seconds"), finished);
    assert_eq!(
        scrape.by_label("queue_depth"),
        [("dead", 0.0), ("retry", 0.0), ("work", 0.0)].map(|(queue, depth)| (queue.to_owned(), depth)).into()
    );
    assert_eq!((scrape.get("fhir_concurrency_limit"), scrape.get("fhir_in_flight")), (Some(16.0), Some(3.0)));
    assert_eq!(scrape.get("fhir_pace_requests_per_second"), Some(120.0));
    // The report counts those for rows, the metric every one.
    let probes: f64 = scene
        .simulators
        .snapshot()
        .requests
        .values()
        .flat_map(|by_status| by_status.values())
        .map(|count| *count as f64)
        .sum();
    assert_eq!(scrape.sum("fhir_requests_total"), probes);
    assert_eq!(scrape.sum("fhir_request_duration_seconds_count"), probes);
    assert!(scrape.get("fhir_retries_total{reason=\"server_error\"}") > Some(0.0));
    assert!(scrape.get("ledger_write_duration_seconds_count") > Some(0.0));

    for (name, kind) in scrape.declared() {
        let metric = shared::metrics::ALL.iter().find(|metric| metric.name == name);
        let metric = metric.unwrap_or_else(|| panic!("{name} is not of the contract"));
        let known = match metric.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        assert_eq!(kind, known, "{name}");
        for labels in scrape.labels(&name) {
            assert_eq!(labels, metric.labels, "{name}");
        }
        assert!(scrape.text.contains(&format!("# HELP {name} {}", metric.help)), "{name}");
    }
    assert_eq!(scrape.declared().len(), shared::metrics::ALL.len(), "{}", scrape.text);
    let text = Secrets::of_night(&night).found_in(scrape.text.as_bytes());
    assert!(text.is_empty(), "{text:?}");
}

#[tokio::test]
async fn a_process_is_ready_when_every_other_side_is() {
    let scene = Scene::people(1).await;
    let process = scene.open().await;
    let page = Arc::new(Page::default());
    let served = Served::on(([127, 0, 0, 1], 0).into(), page.clone()).await;
    let pages = Pages::at(served.address().expect("loopback has ports"));
    assert_eq!(pages.get("/healthz").await.0, 200);
    let (status, text) = pages.get("/readyz").await;
    assert_eq!((status, text.as_str()), (503, "ledger: not connected yet\n"));
    assert_eq!(pages.get("/").await.0, 404);

    let (backing, job) = (process.common.backing.clone(), process.settings.job.clone());
    let part = Told(Err("it fails (status 500)".into()));
    page.watch(Watched { backing, job, deadline: DEADLINE, part: Some(Arc::new(part)) });
    let (status, text) = pages.get("/readyz").await;
    assert_eq!((status, text.as_str()), (503, "ledger: ok\nqueue: ok\nFHIR server: it fails (status 500)\n"));
    assert_eq!(pages.get("/healthz").await.0, 200, "the process itself is well");
}

#[tokio::test]
async fn an_address_in_use_is_no_reason_to_stop() {
    let first = Served::on(([127, 0, 0, 1], 0).into(), Arc::default()).await;
    let address = first.address().expect("loopback has ports");
    let second = Served::on(address, Arc::default()).await;
    assert_eq!(second.address(), None);
    assert_eq!(Pages::at(address).get("/healthz").await.0, 200, "the first goes on");
}

//! Signals in the middle of a night: drained, 130 or 143, and the next start carries the run on.

use std::time::Duration;

use serde_json::Value;
use simulators::{FaultPlan, Latency};
use tests::night::until;
use tests::process::{DATE, Running, Sign, Site, check_night, counts, mixed, run_id};

const SLOW: Duration = Duration::from_millis(150);

fn slow(site: &Site, by: Duration) {
    let latency = Latency::fixed(by.as_secs_f64() * 1_000.0);
    site.simulators.set_faults(FaultPlan { latency, ..FaultPlan::default() });
}

/// Waits until this many Patients were written.
pub(super) async fn written(site: &Site, writes: u64) {
    until("writes", async || site.simulators.snapshot().writes, |seen| *seen >= writes).await;
}

async fn interrupt(site: &Site, running: Running, sign: Sign, status: i32) -> Value {
    running.signal(sign);
    let report = running.end().await.expect(status).object();
    assert_eq!(report["state"], "open");
    assert!(report["rows_open"].as_u64() > Some(0), "{report}");
    // Drained: what FHIR was told is in the ledger.
    let rows =
        site.run(&["rows", DATE, "--outcome", "updated", "--output", "json"]).await.expect(0).objects();
    assert_eq!(rows.len() as u64, site.simulators.snapshot().writes);
    assert_eq!(
        counts(&report["outcomes"])["updated"],
        rows.len() as u64,
        "the report was written after the drain"
    );
    report
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ctrl_c_and_sigterm_drain_the_night_and_the_next_start_carries_it_on() {
    let night = mixed(11, 240);
    let mut site = Site::of(&night).await;
    site.set("FHIR_MAX_CONCURRENCY", "8");
    slow(&site, SLOW);
    let running = site.start_night();
    written(&site, 10).await;
    let first = interrupt(&site, running, Sign::Interrupt, 130).await;

    let running = site.start_night();
    written(&site, site.simulators.snapshot().writes + 10).await;
    let second = interrupt(&site, running, Sign::Terminate, 143).await;
    assert_eq!(run_id(&second), run_id(&first));

    slow(&site, Duration::ZERO);
    let last = site.night().await.expect(3).object();
    check_night(&last, night.expected());
    assert_eq!(run_id(&last), run_id(&first));
    let stats = site.simulators.snapshot();
    assert_eq!((stats.writes, stats.writes_beyond_first), (night.expected().patients_changed, 0));
}

/// A notice that cannot be posted is waited for, beside the drain and not before it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_that_does_not_answer_does_not_put_off_the_drain() {
    let night = mixed(14, 600);
    let mut site = Site::of(&night).await;
    site.set("FHIR_MAX_CONCURRENCY", "4");
    // Connections are made, and nobody is there to take them.
    let webhook = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}/", webhook.local_addr().expect("an address"));
    let url = site.file("webhook", url);
    site.set("ALERT_WEBHOOK_URL", format!("file:{}", url.display()));
    // Leaves a notice behind.
    site.run(&["--date", DATE, "--limit", "1"]).await;
    slow(&site, SLOW);
    let running = site.start_night();
    written(&site, 10).await;
    running.signal(Sign::Terminate);
    let asked = site.simulators.snapshot().writes;
    let asked_at = std::time::Instant::now();
    running.end().await.expect(143);
    let finished = site.simulators.snapshot().writes - asked;
    // What was in hand; in the ten seconds that a notice is waited for there would be more than a hundred.
    assert!(finished <= 40, "{finished} writes after the signal");
    assert!(asked_at.elapsed() < Duration::from_secs(25), "it took {:?}", asked_at.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_signal_does_not_wait_for_the_server() {
    let night = mixed(12, 60);
    let site = Site::of(&night).await;
    // Writes only: with a slow probe nothing would be in hand, and the first signal would end it at once.
    let latency_by_operation = [(simulators::Operation::Write, simulators::Latency::fixed(25_000.0))].into();
    site.simulators.set_faults(simulators::FaultPlan { latency_by_operation, ..Default::default() });
    let mut running = site.start_night();
    running.until_logged("snapshot complete").await;
    let searches = async || site.simulators.snapshot().searches;
    tests::night::until("rows wait for their writes", searches, |searches| *searches > 10).await;
    running.signal(Sign::Terminate);
    running.until_logged("stopping").await;
    let asked = std::time::Instant::now();
    running.signal(Sign::Interrupt);
    let report = running.end().await.expect(143).object();
    assert!(asked.elapsed() < Duration::from_secs(10), "it took {:?}", asked.elapsed());
    slow(&site, Duration::ZERO);
    let finished = site.night().await.expect(3).object();
    check_night(&finished, night.expected());
    assert_eq!(run_id(&finished), run_id(&report));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signal_while_the_sheet_is_read_leaves_a_run_that_reads_it_again() {
    let night = mixed(13, 3_000);
    let mut site = Site::of(&night).await;
    site.set("FHIR_MAX_RPS", "1000");
    let mut running = site.start_night();
    running.until_logged("run opened").await;
    running.signal(Sign::Terminate);
    let report = running.end().await.expect(143).object();
    assert_eq!(report["state"], "seeding", "interrupted too late to tell: {report}");
    assert_eq!(site.simulators.snapshot().writes, 0);
    // There is no snapshot to carry on from: --resume reads the sheet too.
    let finished = site.run(&["--resume", "--output", "json"]).await.expect(3).object();
    check_night(&finished, night.expected());
    assert_eq!(run_id(&finished), run_id(&report));
}

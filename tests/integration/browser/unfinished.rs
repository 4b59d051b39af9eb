//! Runs that do not simply finish: paused, interrupted, or only looking.

use serde_json::json;
use simulators::{FaultPlan, Latency, StatusFault};
use tests::browser::{Office, furnish};
use tests::night::until;
use tests::process::{DATE, Sign, Site, mixed};

fn slow() -> FaultPlan {
    FaultPlan { latency: Latency::fixed(100.0), ..FaultPlan::default() }
}

async fn written(site: &Site, writes: u64) {
    until("writes", async || site.simulators.snapshot().writes, |seen| *seen > writes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_runs_page_says_why_and_that_it_heals_by_itself() {
    let night = mixed(87, 120);
    let mut site = Site::of(&night).await;
    furnish(&mut site);
    site.set("FHIR_MAX_CONCURRENCY", "4");
    site.simulators.set_faults(slow());
    let mut office = Office::open(&site, &["--date", DATE]).await;
    for (status, retry_after, why) in
        [(401, None, "refuses our credentials (401)"), (503, Some(25), "asks to slow down")]
    {
        let all = StatusFault { status, rate: 1.0, operations: None, retry_after, body: None };
        written(&site, site.simulators.snapshot().writes + 5).await;
        site.simulators.set_faults(FaultPlan { statuses: vec![all], ..slow() });
        office.running.until_logged(why).await;
        office.play("paused", json!({ "why": why })).await.all_well();
        site.simulators.set_faults(slow());
    }
    office.running.until_logged("run closed").await;
    assert_eq!(site.simulators.snapshot().distinct_patients_changed, night.expected().patients_changed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interrupted_run_is_carried_on_from_the_page() {
    let night = mixed(88, 200);
    let mut site = Site::of(&night).await;
    furnish(&mut site);
    site.set("FHIR_MAX_CONCURRENCY", "8");
    site.simulators.set_faults(slow());
    let running = site.start(&["--date", DATE]);
    written(&site, 10).await;
    running.signal(Sign::Terminate);
    running.end().await.expect(143);
    let office = Office::open(&site, &[]).await;
    office.play("resume", json!({ "date": DATE })).await.all_well();
    let stats = site.simulators.snapshot();
    assert_eq!((stats.writes, stats.writes_beyond_first), (night.expected().patients_changed, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dry_run_from_the_page_says_on_each_of_its_pages_that_nothing_was_written() {
    let night = mixed(89, 60);
    let mut site = Site::of(&night).await;
    furnish(&mut site);
    let office = Office::open(&site, &[]).await;
    let updated = night.expected().outcome("updated");
    office.play("dry-run", json!({ "date": DATE, "updated": updated })).await.all_well();
    assert_eq!(site.simulators.snapshot().writes, 0);
}

//! A night that is watched.

use serde_json::json;
use simulators::{FaultPlan, Latency};
use tests::browser::{Office, furnish};
use tests::process::{DATE, Site, mixed};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_follows_a_night_by_itself() {
    let mut site = Site::of(&mixed(81, 2_000)).await;
    furnish(&mut site);
    site.set("FHIR_MAX_CONCURRENCY", "20");
    site.simulators.set_faults(FaultPlan { latency: Latency::fixed(150.0), ..FaultPlan::default() });
    let office = Office::open(&site, &["--date", DATE]).await;
    office.play("live", json!({})).await.all_well();
}

//! A night that is watched.

use serde_json::json;
use simulators::{DemoNight, FaultPlan, Latency, NightOptions, Operation, PatientFault};
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_follows_a_replay_by_itself() {
    let night =
        DemoNight::build(86, DATE, &NightOptions::all_need_write(80)).expect("the parts fit together");
    let mut site = Site::of(&night).await;
    furnish(&mut site);
    site.set("FHIR_MAX_CONCURRENCY", "2");
    let refused =
        PatientFault { operation: Some(Operation::Write), status: Some(422), ..PatientFault::default() };
    let patients = (0..50).map(|person| (night.population().nik(person), refused.clone())).collect();
    site.simulators.set_faults(FaultPlan { patients, ..FaultPlan::default() });
    let mut office = Office::open(&site, &["--date", DATE]).await;
    office.running.until_logged("run closed").await;
    site.simulators.set_faults(FaultPlan { latency: Latency::fixed(150.0), ..FaultPlan::default() });
    office.play("replaying", json!({ "reason": "rejected_by_server", "rows": 50 })).await.all_well();
    assert_eq!(site.simulators.snapshot().distinct_patients_changed, 80);
}

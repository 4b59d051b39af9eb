//! What is pressed.

use jiff::ToSpan as _;
use jiff::civil::Date;
use serde_json::json;
use shared::clock::Clock;
use shared::domain::RunDate;
use simulators::{DemoNight, FaultPlan, NightOptions, Operation, PatientFault};
use tests::browser::{Office, furnish};
use tests::process::{DATE, Site, counts};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_server_fault_broke_is_replayed_from_the_page_and_ends_as_updated() {
    let night =
        DemoNight::build(83, DATE, &NightOptions::all_need_write(60)).expect("the parts fit together");
    let mut site = Site::of(&night).await;
    furnish(&mut site);
    site.set("RETRY_MAX_ATTEMPTS", "2");
    let broken =
        PatientFault { operation: Some(Operation::Write), status: Some(500), ..PatientFault::default() };
    let patients = [5, 25].map(|person| (night.population().nik(person), broken.clone())).into();
    site.simulators.set_faults(FaultPlan { patients, ..FaultPlan::default() });
    let mut office = Office::open(&site, &["--date", DATE]).await;
    office.running.until_logged("run closed").await;
    site.simulators.set_faults(FaultPlan::default());
    let seen = office.play("replay", json!({ "reason": "retries_exhausted" })).await.all_well();
    assert_eq!(seen.told["rows"], 2);
    assert_eq!(site.simulators.snapshot().distinct_patients_changed, 60);
    let open = site.run(&["dead-letters", "--output", "json"]).await.expect(0).objects();
    assert!(open.is_empty(), "{open:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missed_night_is_shown_as_missed_and_run_from_the_page() {
    let zone = shared::settings::Settings::read(&|_| None).expect("the defaults are usable").zone;
    let today: Date = RunDate::today(Clock::system().now(), &zone).date();
    let (before, missed) = ((today - 2.days()).to_string(), (today - 1.day()).to_string());
    let night = DemoNight::build(84, &missed, &NightOptions::sized(80, 40)).expect("the parts fit together");
    let mut site = Site::of(&night).await;
    furnish(&mut site);
    // Late in the evening tonight would be missed as well.
    let nobody = site.work().join("nobody.csv");
    std::fs::write(&nobody, "nik,whatsapp_number,last_updated_date\n").expect("to write a file");
    for other in [before, today.to_string()] {
        site.run(&["--date", &other, "--file", nobody.to_str().expect("a path")]).await.expect(0);
    }
    let office = Office::open(&site, &[]).await;
    office.play("rerun", json!({ "date": missed })).await.all_well();
    let runs = site.run(&["runs", "--output", "json"]).await.expect(0).objects();
    let run = runs.iter().find(|run| run["run_date"] == missed.as_str()).expect("the date was run");
    assert_eq!(counts(&run["outcomes"])["updated"], night.expected().outcome("updated"));
}

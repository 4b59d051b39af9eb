//! Tasks of somebody new, done from the pages alone. The two others, a replay and a rerun, are in [`super::deeds`].

use serde_json::json;
use shared::clock::Clock;
use shared::domain::RunDate;
use simulators::{DemoNight, NightOptions};
use tests::browser::{Office, furnish};
use tests::process::Site;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn why_it_is_red_whose_row_it_is_and_what_to_correct() {
    // Tonight's: of an older one the first page would say that nights were missed since.
    let zone = shared::settings::Settings::read(&|_| None).expect("the defaults are usable").zone;
    let today = RunDate::today(Clock::system().now(), &zone).to_string();
    let night = DemoNight::build(85, &today, &NightOptions::sized(400, 200)).expect("the parts fit together");
    let mut site = Site::of(&night).await;
    furnish(&mut site);
    let mut office = Office::open(&site, &["--date", &today]).await;
    office.running.until_logged("run closed").await;
    let (nik, _) = night.expected_numbers().next().expect("somebody");
    let rejected = night.expected().outcome("rejected");
    office.play("tasks", json!({ "nik": nik, "rejected": rejected })).await.all_well();
    assert!(!office.running.stderr().contains(&nik), "a NIK is in the log");
}

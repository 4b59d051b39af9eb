//! Tasks of somebody new, done from the pages alone. The two others, a replay and a rerun, are in [`super::deeds`].

use jiff::ToSpan as _;
use jiff::civil::Date;
use serde_json::json;
use shared::clock::Clock;
use shared::domain::RunDate;
use simulators::{DemoNight, NightOptions};
use tests::browser::{Office, furnish};
use tests::process::Site;

fn today() -> Date {
    let zone = shared::settings::Settings::read(&|_| None).expect("the defaults are usable").zone;
    RunDate::today(Clock::system().now(), &zone).date()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn why_last_night_is_red() {
    let last = (today() - 1.day()).to_string();
    let night = DemoNight::build(84, &last, &NightOptions::sized(400, 200)).expect("the parts fit together");
    let mut site = Site::of(&night).await;
    furnish(&mut site);
    site.run(&["--date", &last]).await.expect(3);
    // Late in the evening tonight would be missed.
    let nobody = site.file("nobody.csv", "nik,whatsapp_number,last_updated_date\n");
    site.run(&["--date", &today().to_string(), "--file", Site::argument(&nobody)]).await.expect(0);
    let office = Office::open(&site, &[]).await;
    let dead = night.expected().outcome("dead_lettered");
    office.play("red", json!({ "date": last, "dead": dead })).await.all_well();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whose_row_it_is_and_what_the_field_office_corrects() {
    // Tonight's: of an older one the first page would say that nights were missed since.
    let today = today().to_string();
    let night = DemoNight::build(85, &today, &NightOptions::sized(400, 200)).expect("the parts fit together");
    let mut site = Site::of(&night).await;
    furnish(&mut site);
    let mut office = Office::open(&site, &["--date", &today]).await;
    office.running.until_logged("run closed").await;
    let (nik, _) = night.expected_numbers().next().expect("somebody");
    office.play("person", json!({ "nik": nik })).await.all_well();
    let rejected = night.expected().outcome("rejected");
    for lang in ["en", "id"] {
        office.play("field-office", json!({ "rejected": rejected, "lang": lang })).await.all_well();
    }
    assert!(!office.running.stderr().contains(&nik), "a NIK is in the log");
}

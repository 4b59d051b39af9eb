//! Who gets in.

use serde_json::json;
use simulators::SimulatorsConfig;
use tests::browser::{Office, furnish};
use tests::process::Site;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_done_without_a_log_in_and_the_pages_own_form() {
    let mut site = Site::with(SimulatorsConfig::default()).await;
    furnish(&mut site);
    let office = Office::open(&site, &[]).await;
    office.play("login", json!({})).await.all_well();
    let log = office.running.stderr();
    assert!(!log.contains(tests::browser::TOKEN), "the token is in the log");
}

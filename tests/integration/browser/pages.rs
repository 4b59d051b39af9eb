//! Every page.

use serde_json::json;
use tests::browser::{Office, furnish};
use tests::process::{DATE, Site, mixed};

/// Kinds of pages that links lead to, after a night with failures, for somebody who is logged in.
const KINDS: [&str; 9] = [
    "/",
    "/runs",
    "/runs/RUN",
    "/runs/RUN/rows",
    "/runs/RUN/rows/N",
    "/find",
    "/dead-letters",
    "/actions",
    "/acts",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_page_can_be_used_by_everybody_and_asks_nobody_else() {
    let mut site = Site::of(&mixed(82, 300)).await;
    furnish(&mut site);
    let mut office = Office::open(&site, &["--date", DATE]).await;
    office.running.until_logged("run closed").await;
    let seen = office.play("pages", json!({})).await.all_well();
    let kinds: Vec<&str> =
        seen.told["kinds"].as_array().expect("a list").iter().filter_map(|kind| kind.as_str()).collect();
    for kind in KINDS {
        assert!(
            kinds.iter().any(|found| found.split(' ').next() == Some(kind)),
            "{kind} is not among {kinds:?}"
        );
    }
    assert!(kinds.iter().any(|found| found.starts_with("/dead-letters/")), "{kinds:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_paper_a_page_is_black_on_white_and_whole() {
    let mut site = Site::of(&mixed(90, 300)).await;
    furnish(&mut site);
    let mut office = Office::open(&site, &["--date", DATE]).await;
    office.running.until_logged("run closed").await;
    office.play("print", json!({})).await.all_well();
}

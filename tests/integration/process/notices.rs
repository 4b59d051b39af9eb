//! What is posted of a night of `standalone` while it runs, and what a room that does not answer does to it.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use shared::clock::Clock;
use shared::ledger::LedgerView as _;
use shared::ledger::sqlite::SqliteLedger;
use simulators::{DemoNight, FaultPlan, Latency, NightOptions, StatusFault, Webhook};
use tests::night::{until, until_within};
use tests::process::{DATE, Pages, Secrets, Site, check_night};

/// What a night's end waits for its notices, and what an ending process takes otherwise.
const FAREWELL: Duration = producer::FAREWELL;
const SLACK: Duration = Duration::from_secs(10);

/// Longer than a pause has to last, and what follows it.
const SOON: Duration = Duration::from_secs(60);

/// A night in which nothing goes wrong.
fn plain(seed: u64, rows: usize) -> DemoNight {
    DemoNight::build(seed, DATE, &NightOptions::all_need_write(rows)).expect("a night")
}

fn post_to(site: &mut Site, room: &Webhook) {
    let url = site.file("webhook", room.url());
    site.set("ALERT_WEBHOOK_URL", format!("file:{}", url.display()));
}

fn kinds(room: &Webhook) -> Vec<String> {
    room.taken().iter().map(|notice| notice["kind"].as_str().expect("a kind").to_owned()).collect()
}

fn answering(status: u16) -> FaultPlan {
    let fault = StatusFault { status, rate: 1.0, operations: None, retry_after: None, body: None };
    FaultPlan { statuses: vec![fault], ..FaultPlan::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn starts_that_are_refused_are_told_once_while_the_first_goes_on_and_count() {
    let night = plain(91, 200);
    let room = Webhook::start().await.expect("loopback has ports");
    let mut site = Site::of(&night).await;
    post_to(&mut site, &room);
    site.simulators.set_faults(FaultPlan { latency: Latency::fixed(10.0), ..FaultPlan::default() });
    site.set("FHIR_MAX_RPS", "10");
    let mut first = site.start_night();
    first.until_logged("snapshot complete").await;
    let pages = Pages::of(&mut first).await;
    assert_eq!(pages.scrape().await.get("lock_refused_total"), Some(0.0));
    let (second, third) = tokio::join!(site.night(), site.night());
    second.expect(4);
    third.expect(4);
    until("the notice", async || room.taken(), |taken| !taken.is_empty()).await;
    assert_eq!(pages.scrape().await.get("lock_refused_total"), Some(1.0));
    let notice = room.taken().remove(0);
    let holder = notice["detail"]["holder"].as_str().expect("a holder");
    assert!(holder.contains(&format!(":{}:", first.id())), "{notice}");
    assert!(
        notice["text"].as_str().is_some_and(|text| text.contains(holder) && text.contains(DATE)),
        "{notice}"
    );
    check_night(&first.end().await.expect(0).object(), night.expected());
    assert_eq!(kinds(&room), ["overlap_refused", "closed"]);
    let found = Secrets::of_night(&night).found_in(Value::from(room.taken()).to_string().as_bytes());
    assert!(found.is_empty(), "{found:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_and_its_end_are_told_while_the_night_goes_on() {
    let night = plain(92, 200);
    let room = Webhook::start().await.expect("loopback has ports");
    let mut site = Site::of(&night).await;
    post_to(&mut site, &room);
    site.simulators.set_faults(answering(401));
    let running = site.start_night();
    until_within(SOON, "the news of the pause", async || kinds(&room), |kinds| *kinds == ["paused"]).await;
    site.simulators.set_faults(FaultPlan::default());
    // It is over before it could be known to stay so.
    check_night(&running.end().await.expect(0).object(), night.expected());
    assert_eq!(kinds(&room), ["paused", "closed", "resumed"]);
    let found = Secrets::of_night(&night).found_in(Value::from(room.taken()).to_string().as_bytes());
    assert!(found.is_empty(), "{found:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_night_that_is_stopped_is_told_once_however_often_it_is_started() {
    let night = plain(93, 60);
    let room = Webhook::start().await.expect("loopback has ports");
    let mut site = Site::of(&night).await;
    post_to(&mut site, &room);
    site.set("RUN_DEADLINE", "1s");
    site.simulators.set_faults(answering(401));
    for _ in 0..2 {
        site.night().await.expect(5);
        assert_eq!(kinds(&room), ["stopped"]);
    }
    let text = room.taken()[0]["text"].as_str().expect("a text").to_owned();
    assert!(text.contains(DATE) && text.contains("RUN_DEADLINE"), "{text}");
    site.simulators.set_faults(FaultPlan::default());
    check_night(&site.night().await.expect(0).object(), night.expected());
    assert_eq!(kinds(&room), ["stopped", "closed"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_room_that_never_answers_delays_the_end_by_the_stated_bound_and_is_told_by_the_next_start() {
    let night = plain(94, 60);
    let room = Webhook::start().await.expect("loopback has ports");
    room.hang();
    let mut site = Site::of(&night).await;
    post_to(&mut site, &room);
    let report = site.night().await.expect(0).object();
    let ended = Clock::system().now();
    check_night(&report, night.expected());
    let finished: Timestamp =
        report["finished_at"].as_str().expect("an instant").parse().expect("an instant");
    let waited = Duration::try_from(ended.duration_since(finished)).expect("it ends after it is finished");
    assert!(waited < FAREWELL + SLACK, "{waited:?}");
    assert!(waited > FAREWELL / 2, "it was waited for: {waited:?}");

    let room = Webhook::start().await.expect("loopback has ports");
    post_to(&mut site, &room);
    site.run(&["--resume"]).await.expect(0);
    assert_eq!(kinds(&room), ["closed"]);
    assert_eq!(room.taken()[0]["detail"]["run_id"], report["run_id"]);
    let ledger = SqliteLedger::look(&site.work().join("nightly-sync.db"), Clock::system()).expect("a ledger");
    assert!(ledger.open_notices(10).await.expect("notices").is_empty());
}

//! What is kept for people: reports, notices, messages that nobody could read.

use std::time::Duration;

use serde_json::json;
use shared::domain::Reason;
use shared::ledger::{Closing, Notice, Replay, StrayMessage};

use super::stage::{Stage, closing, key};

const ON: &str = "2026-11-23";

fn notice(key: &str) -> Notice {
    Notice {
        key: key.into(),
        kind: "closed".into(),
        text: format!("This is about {key}."),
        detail: json!({ "rows": 1.50, "about": key }),
    }
}

async fn open(stage: &Stage) -> Vec<(i64, String, u32)> {
    let open = stage.ledger().open_notices(100).await.expect("notices");
    open.into_iter().map(|open| (open.number, open.notice.key, open.attempts)).collect()
}

pub(super) async fn a_run_keeps_the_report_it_was_closed_with(stage: Stage) {
    let run = stage.night(ON, &[(2, 1, 1)]).await;
    assert_eq!(stage.ledger().report(run).await.expect("an answer"), None);
    stage.kill(key(run, 2), Reason::PatientGone).await;
    // Fields keep their order, and numbers their digits: what is stored is what is shown.
    let report: serde_json::Value =
        serde_json::from_str(r#"{"z":1.50,"a":[{"y":2,"x":null}]}"#).expect("JSON");
    let closed_at = stage.ledger().now().await.expect("a clock");
    let with = Closing { closed_at, report: report.clone(), notice: Some(notice("closed")), ..closing() };
    assert!(stage.ledger().close_run(run, &with).await.expect("an answer"));
    let kept = async || stage.ledger().report(run).await.expect("an answer").expect("a report").to_string();
    assert_eq!(kept().await, report.to_string());
    let stored = stage.ledger().run(run).await.expect("an answer").expect("the run");
    assert_eq!(stored.closed_at.map(|at| at.as_microsecond()), Some(closed_at.as_microsecond()));
    assert_eq!(open(&stage).await.len(), 1);
    let told = stage.ledger().open_notices(1).await.expect("notices").remove(0).notice;
    assert_eq!(told, notice("closed"));

    assert!(!stage.ledger().close_run(run, &closing()).await.expect("an answer"), "it is closed");
    assert_eq!(stage.ledger().replay(Replay::default()).await.expect("to replay").len(), 1);
    assert_eq!(kept().await, report.to_string(), "a replay does not change it");
}

pub(super) async fn a_run_that_is_not_closed_gives_no_notice(stage: Stage) {
    let run = stage.night(ON, &[(2, 1, 1)]).await;
    let with = Closing { notice: Some(notice("closed")), ..closing() };
    assert!(!stage.ledger().close_run(run, &with).await.expect("an answer"), "a row is open");
    assert!(open(&stage).await.is_empty());
    assert_eq!(stage.ledger().report(run).await.expect("an answer"), None);
}

pub(super) async fn a_change_of_state_is_told_once(stage: Stage) {
    let ledger = stage.ledger();
    for about in ["one", "other", "one"] {
        ledger.post_notice(&notice(about)).await.expect("to note a notice");
    }
    let waiting = open(&stage).await;
    assert_eq!(waiting.iter().map(|(_, key, _)| key.as_str()).collect::<Vec<_>>(), ["one", "other"]);
    ledger.note_notice(waiting[0].0, true).await.expect("to note it as posted");
    ledger.post_notice(&notice("one")).await.expect("to note a notice");
    assert_eq!(open(&stage).await, waiting[1..], "not even after it was posted");
}

pub(super) async fn notices_wait_in_their_order_until_they_are_posted(stage: Stage) {
    let ledger = stage.ledger();
    for about in ["first", "second", "third"] {
        ledger.post_notice(&notice(about)).await.expect("to note a notice");
    }
    let [first, second, _] = open(&stage).await.try_into().expect("three");
    ledger.note_notice(first.0, false).await.expect("to note a failure");
    ledger.note_notice(first.0, false).await.expect("to note a failure");
    ledger.note_notice(second.0, true).await.expect("to note it as posted");
    let left: Vec<_> = open(&stage).await.into_iter().map(|(_, key, attempts)| (key, attempts)).collect();
    assert_eq!(left, [("first".to_owned(), 2), ("third".to_owned(), 0)]);
    assert_eq!(ledger.open_notices(1).await.expect("notices").len(), 1, "as many as are asked for");
}

pub(super) async fn a_stray_is_kept_once_and_sealed(stage: Stage) {
    let stray = |id: Option<&str>| StrayMessage {
        queue: "work".into(),
        message_id: id.map(str::to_owned),
        content_type: Some("text/plain".into()),
        fault: "its body is not a row's message".into(),
        sealed: stage.keys().seal(&StrayMessage::place("work", id), b"what came"),
    };
    for id in [Some("a"), Some("a"), None, None] {
        stage.ledger().keep_stray(&stray(id)).await.expect("to keep it");
    }
    let kept = stage.ledger().strays(0, 10).await.expect("strays");
    let ids: Vec<_> = kept.iter().map(|stray| stray.message.message_id.as_deref()).collect();
    assert_eq!(ids, [Some("a"), None, None], "those without an id are all kept");
    for stray in &kept {
        assert_eq!(stray.message.open(stage.keys()).expect("our own seal"), b"what came");
    }
    assert_eq!(stage.ledger().strays(kept[1].number, 10).await.expect("strays"), kept[2..]);
}

pub(super) async fn the_ledgers_clock_goes_on(stage: Stage) {
    let hour = Duration::from_secs(3_600);
    let before = stage.ledger().now().await.expect("a clock");
    stage.advance(hour).await;
    let passed = stage.ledger().now().await.expect("a clock").duration_since(before).unsigned_abs();
    assert!(passed >= hour && passed < hour * 2, "{passed:?}");
}

pub(super) async fn the_latest_notice_is_found_by_how_its_key_begins(stage: Stage) {
    let latest = async |begins: &str| {
        let latest = stage.ledger().latest_notice(begins).await.expect("an answer");
        latest.map(|latest| latest.notice.key)
    };
    assert_eq!(latest("paused:").await, None);
    for key in ["paused:a:0", "paused:a%b:0", "paused:a:1", "stalled:a:0"] {
        stage.ledger().post_notice(&notice(key)).await.expect("to note");
    }
    assert_eq!(latest("paused:a:").await.as_deref(), Some("paused:a:1"));
    assert_eq!(latest("paused:a%").await.as_deref(), Some("paused:a%b:0"), "no pattern");
    assert_eq!(latest("").await.as_deref(), Some("stalled:a:0"));
    let open = stage.ledger().open_notices(10).await.expect("notices");
    stage.ledger().note_notice(open[2].number, true).await.expect("to note");
    let kept = stage.ledger().latest_notice("paused:a:").await.expect("an answer").expect("a posted one");
    assert_eq!((kept.number, kept.notice), (open[2].number, notice("paused:a:1")));
    assert_eq!(kept.noted_at, open[2].noted_at);
}

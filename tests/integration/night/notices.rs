//! Notices that cannot be posted.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use shared::clock::Clock;
use shared::ledger::sqlite::SqliteLedger;
use shared::ledger::{Ledger, Notice};
use shared::settings::Settings;
use shared::webhook::{Notifier, Webhook};

/// A room that takes a message in no form must not keep all later news from people.
#[tokio::test]
async fn a_notice_that_is_refused_twenty_times_is_given_up_and_the_next_is_posted() {
    // An error means that a provider is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let room = simulators::Webhook::start().await.expect("loopback has ports");
    let secret = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(secret.path(), room.url()).expect("to write");
    let reference = format!("file:{}", secret.path().display());
    let read = |variable: &str| (variable == "ALERT_WEBHOOK_URL").then(|| reference.clone());
    let settings = Settings::read(&read).expect("settings");
    let webhook = Webhook::prepare(&settings).await.expect("a webhook");
    let ledger: Arc<dyn Ledger> = Arc::new(SqliteLedger::in_memory(Clock::system()).expect("a ledger"));
    let notify = async |text: &str| {
        let notice = Notice { key: text.into(), kind: "closed".into(), text: text.into(), detail: json!({}) };
        ledger.post_notice(&notice).await.expect("to note");
    };
    let notifier = Notifier::new(ledger.clone(), webhook, "the-job".into(), "a-process".into());
    let round = async || notifier.flush(Duration::from_secs(30)).await;
    notify("refused").await;
    room.refuse(20);
    for attempt in 1..=19 {
        round().await;
        let open = ledger.open_notices(10).await.expect("notices");
        assert_eq!(open.iter().map(|open| open.attempts).collect::<Vec<_>>(), [attempt]);
    }
    round().await;
    assert!(ledger.open_notices(10).await.expect("notices").is_empty(), "it is given up");
    notify("welcome").await;
    round().await;
    let taken = room.taken();
    assert_eq!(taken.iter().map(|taken| &taken["text"]).collect::<Vec<_>>(), ["welcome"]);
}

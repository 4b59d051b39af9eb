//! Messages that cannot be decoded.

use jiff::Timestamp;
use shared::clock::Clock;
use shared::data_key::DataKeys;
use shared::ledger::Ledger;
use shared::ledger::sqlite::SqliteLedger;
use shared::queue::rabbitmq::{self, DecodeError, Stray, Strays as _};
use shared::queue::{Channel, Depth, Settle};
use tests::conformance::queue::{KeptStrays, message, test_config};
use tests::services::Vhost;
use tokio::time::Instant;

use super::*;

#[tokio::test]
async fn a_stray_is_kept_and_stops_nobody() {
    let vhost = Vhost::new().await;
    // The first keeping fails.
    let strays = Arc::new(KeptStrays::refusing(1));
    let queue = RabbitMqQueue::new(test_config(vhost.url()), strays.clone());
    queue.depth().await.expect("a depth");
    for queue in [WORK, DEAD] {
        vhost.management().publish(vhost.name(), queue, ("from-outside", "text/plain"), queue);
    }
    publish(&queue, 0..3).await;
    let (mut work, mut dead) =
        (subscribe(&queue, Channel::Work).await, subscribe(&queue, Channel::DeadLetters).await);
    for expected in 0..3 {
        let delivery = next(&mut work).await;
        assert_eq!(delivery.message, message(expected));
        delivery.settle(Settle::Done).await.expect("to settle");
    }
    let gives_up = Instant::now() + PATIENCE;
    while strays.kept().len() < 2 {
        assert!(timeout(Duration::from_millis(10), dead.next()).await.is_err(), "it is no dead letter");
        assert!(Instant::now() < gives_up, "{:?} were kept", strays.kept());
    }
    let mut kept = strays.kept();
    kept.sort();
    let from_outside = Some("from-outside".to_owned());
    assert_eq!(kept, [(from_outside.clone(), DEAD.into()), (from_outside, WORK.into())]);
    // Both are acknowledged: nothing comes back when the channels close.
    queue.close().await;
    until_depth(&queue, Depth::default()).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_kept_of_a_stray_tells_nobodys_number() {
    const NIK: &str = "3171010101900001";
    let ledger: Arc<dyn Ledger> =
        Arc::new(SqliteLedger::in_memory(Clock::following_tokio(Timestamp::UNIX_EPOCH)).expect("memory"));
    let keys = Arc::new(DataKeys::parse(&DataKeys::generate()).expect("a key"));
    let strays = rabbitmq::KeptStrays::new(ledger.clone(), keys.clone());
    let stray = |id: Option<&str>| Stray {
        queue: WORK.into(),
        message_id: id.map(str::to_owned),
        content_type: Some(format!("text/{NIK}")),
        body: NIK.into(),
        fault: DecodeError::ContentType(Some(format!("text/{NIK}"))),
    };
    let ours = "0192f0c1-2345-7000-8000-123456789012";
    for id in [Some(NIK), Some(ours), Some(NIK), None] {
        strays.keep(&stray(id)).await.expect("to keep");
    }
    let kept = ledger.strays(0, 10).await.expect("a list");
    let [foreign, own, without] = &kept[..] else { panic!("one is kept once: {kept:?}") };
    assert_eq!(own.message.message_id.as_deref(), Some(ours));
    assert_eq!(foreign.message.message_id.as_deref(), Some(keys.text_hash(NIK).as_str()));
    assert_eq!(without.message.message_id, None);
    for kept in &kept {
        assert_eq!(kept.message.open(&keys).expect("our seal"), NIK.as_bytes());
    }
    let notices = ledger.open_notices(10).await.expect("a list");
    assert_eq!(notices.len(), 1, "one a day and queue: {notices:?}");
    assert!(!format!("{kept:?}{notices:?}").contains(NIK));
    tokio::time::advance(Duration::from_secs(86_400)).await;
    strays.keep(&stray(Some("another"))).await.expect("to keep");
    assert_eq!(ledger.open_notices(10).await.expect("a list").len(), 2);
}

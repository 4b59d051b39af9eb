//! Messages that cannot be decoded.

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
        vhost.management().publish(vhost.name(), queue, "text/plain", queue);
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

//! Deaths that nobody asked for.

use shared::queue::{Channel, Depth, Settle};
use tests::conformance::queue::{message, test_config};
use tests::services::{Broker, Vhost};

use super::*;

#[tokio::test]
async fn a_message_redelivered_too_often_comes_out_as_a_dead_letter() {
    let vhost = Vhost::new().await;
    let mut config = test_config(vhost.url());
    config.queues.delivery_limit = 2;
    let queue = queue_with(config);
    publish(&queue, 0..1).await;
    for _ in 0..3 {
        let mut work = subscribe(&queue, Channel::Work).await;
        let delivery = next(&mut work).await;
        drop((work, delivery));
    }
    let mut dead = subscribe(&queue, Channel::DeadLetters).await;
    let buried = next(&mut dead).await;
    assert_eq!(buried.message, message(0));
    let deaths = buried.deaths.clone().expect("what became of it");
    assert!(deaths.contains("delivery_limit"), "{deaths}");
    buried.settle(Settle::Done).await.expect("to settle");
    until_depth(&queue, Depth::default()).await;
}

/// A queue that is gone without its consumers being told, as when the broker could not finish making it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_that_the_broker_forgot_is_made_again() {
    let broker = Broker::start().await;
    broker.management().make_vhost("forgetful");
    let mut config = test_config(&broker.url("forgetful"));
    config.waits.forgotten = Duration::from_millis(200);
    let queue = queue_with(config);
    let mut work = subscribe(&queue, Channel::Work).await;
    publish(&queue, 0..1).await;
    next(&mut work).await.settle(Settle::Done).await.expect("to settle");
    let forget = format!(
        "Q = rabbit_misc:r(<<\"forgetful\">>, queue, <<\"{WORK}\">>), {{ok, A}} = rabbit_amqqueue:lookup(Q), \
         {{Name, Node}} = amqqueue:get_pid(A), rabbit_amqqueue:internal_delete(Q, <<\"nobody\">>), \
         ra:force_delete_server(quorum_queues, {{Name, Node}})."
    );
    broker.control(&["eval", &forget]).await;
    // The first comes back, and has the queue made again.
    let kept = async { while publish(&queue, 1..2).await.is_empty() {} };
    timeout(PATIENCE, kept).await.expect("the queue is there again");
    ends(&mut work).await;
    let mut work = subscribe(&queue, Channel::Work).await;
    assert_eq!(next(&mut work).await.message, message(1));
}

#[tokio::test]
async fn a_dead_letter_stays_one_until_it_is_done() {
    let vhost = Vhost::new().await;
    let queue = queue_at(vhost.url());
    publish(&queue, 0..1).await;
    let mut work = subscribe(&queue, Channel::Work).await;
    let reason = shared::domain::Reason::PatientGone;
    next(&mut work).await.settle(Settle::DeadLetter(reason)).await.expect("to settle");
    // More often than RabbitMQ 4's limit for a queue that names none.
    for _ in 0..25 {
        let mut dead = subscribe(&queue, Channel::DeadLetters).await;
        let buried = next(&mut dead).await;
        drop((dead, buried));
    }
    let mut dead = subscribe(&queue, Channel::DeadLetters).await;
    next(&mut dead).await.settle(Settle::DeadLetter(reason)).await.expect("to settle");
    let buried = next(&mut dead).await;
    assert_eq!(buried.message, message(0));
    buried.settle(Settle::Done).await.expect("to settle");
    until_depth(&queue, Depth::default()).await;
}

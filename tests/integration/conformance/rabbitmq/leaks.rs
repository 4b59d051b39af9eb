//! Threads and connections that stay behind. Counted in a process of its own: the threads of other tests look
//! the same.

use std::net::Ipv4Addr;
use std::time::Duration;

use shared::queue::{Channel, Queue, Settle};
use tests::conformance::queue::{message, test_config};
use tests::services::{Broker, Flow, Relay};
use tokio::time::{Instant, sleep};

use super::*;

const RECONNECTS: u32 = 20;

/// Names the broker's port to the process that does the reconnecting.
const PORT: &str = "LEAK_TEST_PORT";

fn lapin_threads() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").expect("threads are listed in /proc");
    let names = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names.filter(|name| name.starts_with("lapin")).count()
}

async fn until_threads(expected: usize) {
    let gives_up = Instant::now() + PATIENCE;
    while lapin_threads() != expected {
        assert!(Instant::now() < gives_up, "{} threads, not {expected}", lapin_threads());
        sleep(Duration::from_millis(50)).await;
    }
}

async fn reconnect(port: u16) {
    let relay = Relay::to((Ipv4Addr::LOCALHOST, port).into()).await;
    let url = format!("amqp://guest:guest@127.0.0.1:{}/leaks", relay.port());
    let mut config = test_config(&url);
    config.waits.connect = Duration::from_secs(1);
    let queue = queue_with(config);
    for round in 0..RECONNECTS {
        let mut work = subscribe(&queue, Channel::Work).await;
        let gives_up = Instant::now() + PATIENCE;
        while queue.publish(vec![message(round)]).await.is_err() {
            assert!(Instant::now() < gives_up, "round {round}");
        }
        next(&mut work).await.settle(Settle::Done).await.expect("to settle");
        if round % 4 == 3 {
            // Handshakes that nobody answers.
            relay.flow(Flow::Swallowed);
            relay.cut().await;
            queue.publish(vec![message(round)]).await.expect_err("silence");
            assert!(queue.subscribe(Channel::Work, 1).await.is_err(), "silence");
            relay.flow(Flow::Passes);
        } else {
            relay.cut().await;
        }
        ends(&mut work).await;
    }
    let _work = subscribe(&queue, Channel::Work).await;
    publish(&queue, 0..1).await;
    until_threads(2).await;
    eprintln!("reconnected");
    // What the other process counts now is of two connections.
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).expect("a line");
    queue.close().await;
    until_threads(0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reconnecting_leaves_no_thread_and_no_connection_behind() {
    if let Ok(port) = std::env::var(PORT) {
        return reconnect(port.parse().expect("a port")).await;
    }
    use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _};
    let broker = Broker::start().await;
    broker.management().make_vhost("leaks");
    let name = "conformance::rabbitmq::leaks::reconnecting_leaves_no_thread_and_no_connection_behind";
    let mut child = tokio::process::Command::new(std::env::current_exe().expect("a running test has a path"))
        .args(["--exact", name, "--nocapture"])
        .env(PORT, broker.port().to_string())
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("a test can be started");
    let mut lines = tokio::io::BufReader::new(child.stderr.take().expect("piped")).lines();
    let reconnected = async {
        let mut said = Vec::new();
        while let Some(line) = lines.next_line().await.expect("lines") {
            if line.contains("reconnected") {
                return;
            }
            said.push(line);
        }
        panic!("it ended too soon: {said:#?}");
    };
    timeout(PATIENCE * 2, reconnected).await.expect("it should be done by now");
    assert_eq!(broker.connections().await, 2, "one to publish, one to consume");
    child.stdin.take().expect("piped").write_all(b"\n").await.expect("it reads");
    let status = timeout(PATIENCE, child.wait()).await.expect("it ends").expect("a child can be waited for");
    assert!(status.success());
    let gives_up = Instant::now() + PATIENCE;
    while broker.connections().await > 0 {
        assert!(Instant::now() < gives_up, "connections are left");
    }
}

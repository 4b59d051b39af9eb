//! Measures confirmed publishes a second against a real broker:
//! `cargo run --release -p shared --features rabbitmq --example confirmed_publishes -- amqp://… 20000 [CALLERS] [CALL]`.
//!
//! Each of CALLERS (1) publishes its share in calls of CALL (1,000) messages, as the steward does. The queues are
//! named `bench-…` and stay; use a vhost that can be thrown away.

use std::error::Error;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use shared::ledger::{RowKey, RowMessage, RunId};
use shared::queue::Queue as _;
use shared::queue::rabbitmq::{RabbitMqConfig, RabbitMqQueue, Stray, Strays};
use tokio::task::JoinSet;
use uuid::Uuid;

/// As long as a sealed NIK and number.
const SEALED: usize = 96;

struct Nothing;

#[async_trait]
impl Strays for Nothing {
    async fn keep(&self, _: &Stray) -> Result<(), Box<dyn Error + Send + Sync>> {
        Ok(())
    }
}

fn message(run: RunId, sheet_row: u32) -> RowMessage {
    RowMessage { key: RowKey { run, sheet_row, generation: 1 }, turn: 0, sealed: vec![7; SEALED] }
}

#[tokio::main]
#[allow(clippy::print_stdout)]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().ok_or("an address is missing")?;
    let mut number = |default: u32| arguments.next().map_or(Ok(default), |text| text.parse());
    let (messages, callers, call) = (number(20_000)?, number(1)?, number(1_000)?);
    let mut config = RabbitMqConfig::new(&address)?;
    config.queues.prefix = format!("bench-{}", Uuid::new_v4().simple());
    let queue = Arc::new(RabbitMqQueue::new(config, Arc::new(Nothing)));
    queue.depth().await?;
    let run = RunId(Uuid::new_v4());
    let share = messages / callers;
    let began = Instant::now();
    let mut publishing = JoinSet::new();
    for caller in 0..callers {
        let queue = queue.clone();
        publishing.spawn(async move {
            let mut confirmed = 0;
            let rows: Vec<u32> = (caller * share..(caller + 1) * share).collect();
            for rows in rows.chunks(call as usize) {
                confirmed += queue.publish(rows.iter().map(|row| message(run, *row)).collect()).await?.len();
            }
            Ok::<_, shared::queue::QueueError>(confirmed)
        });
    }
    let mut confirmed = 0;
    while let Some(published) = publishing.join_next().await {
        confirmed += published??;
    }
    let took = began.elapsed();
    let rate = confirmed as f64 / took.as_secs_f64();
    let ready = queue.depth().await?.ready;
    println!(
        "{confirmed} confirmed in {took:.2?}: {rate:.0}/s ({callers} callers, calls of {call}); {ready} ready"
    );
    queue.close().await;
    Ok(())
}

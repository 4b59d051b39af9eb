//! The queues: their names, their arguments, and how much is in them.
//!
//! All are quorum queues. A version ends each name, since a queue keeps the arguments it was made with and a
//! declaration with others is refused: whoever changes an argument here changes the version.

use std::time::Duration;

use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, ExchangeKind};
use rand::Rng;
use tokio::task::JoinSet;

use super::config::QueueTerms;
use super::fault::{RabbitMqError, within};

const VERSION: &str = "v1";

/// Where a dead letter must stay until it is completed: RabbitMQ 4 gives quorum queues a delivery limit of 20
/// unless they have one, and 3.10 refuses the -1 that lifts it.
const NO_LIMIT: i64 = 1_000_000_000;

/// The names of everything, and the ladder.
#[derive(Debug)]
pub(super) struct Topology {
    pub work: String,
    pub dead: String,
    exchange: String,
    /// Shortest first.
    rungs: Vec<(Duration, String)>,
    delivery_limit: u32,
}

/// Messages ready in the broker.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub work: u64,
    pub retrying: u64,
    pub dead: u64,
    /// Of work.
    pub consumers: u64,
}

impl Topology {
    pub(super) fn new(terms: &QueueTerms) -> Self {
        let named = |what: &str| format!("{}.{what}.{VERSION}", terms.prefix);
        let mut ladder = terms.ladder.clone();
        ladder.sort_unstable();
        Self {
            work: named("work"),
            dead: named("dead"),
            exchange: named("dead-letter"),
            rungs: ladder
                .into_iter()
                .map(|rung| (rung, named(&format!("retry-{}ms", rung.as_millis()))))
                .collect(),
            delivery_limit: terms.delivery_limit,
        }
    }

    /// The retry queue for a wait of `after`: one at random of those that wait as long or up to twice as long,
    /// so that rows that failed together do not come back together; the next longer one where there is none.
    /// Never an earlier one: what waits for a lease to end must not come before its end.
    pub(super) fn rung(&self, after: Duration, rng: &mut impl Rng) -> &str {
        let first = self.rungs.partition_point(|(wait, _)| *wait < after).min(self.rungs.len() - 1);
        let near = self.rungs[first..].partition_point(|(wait, _)| *wait <= after * 2).max(1);
        &self.rungs[first + rng.random_range(0..near)].1
    }

    /// Makes sure that everything is there. Declared from the back: what refers to a queue comes after it.
    pub(super) async fn declare(&self, channel: &Channel, answer: Duration) -> Result<(), RabbitMqError> {
        let exchange = channel.exchange_declare(
            self.exchange.as_str().into(),
            ExchangeKind::Direct,
            ExchangeDeclareOptions { durable: true, ..Default::default() },
            FieldTable::default(),
        );
        within(answer, "declare the dead-letter exchange", exchange).await?;
        for (queue, arguments) in self.queues() {
            self.declare_queue(channel, answer, &queue, arguments).await?;
            // At once: what is dead-lettered before its way leads somewhere waits for three minutes in the broker.
            if queue == self.dead || queue == self.work {
                let bound = channel.queue_bind(
                    queue.as_str().into(),
                    self.exchange.as_str().into(),
                    queue.as_str().into(),
                    QueueBindOptions::default(),
                    FieldTable::default(),
                );
                within(answer, "bind a queue", bound).await?;
            }
        }
        Ok(())
    }

    /// The queues and their arguments, from the back.
    pub(super) fn queues(&self) -> Vec<(String, FieldTable)> {
        let limit = |limit: i64| ("x-delivery-limit", AMQPValue::LongLongInt(limit));
        let mut queues = vec![(self.dead.clone(), quorum(vec![limit(NO_LIMIT)]))];
        let mut work = self.dead_lettering(&self.dead);
        work.push(limit(self.delivery_limit.into()));
        queues.push((self.work.clone(), quorum(work)));
        for (wait, rung) in &self.rungs {
            let mut arguments = self.dead_lettering(&self.work);
            arguments.push(("x-message-ttl", AMQPValue::LongLongInt(wait.as_millis() as i64)));
            queues.push((rung.clone(), quorum(arguments)));
        }
        queues
    }

    /// At-least-once dead lettering needs all four: without `reject-publish` the broker silently falls back to
    /// at-most-once.
    fn dead_lettering(&self, to: &str) -> Vec<(&'static str, AMQPValue)> {
        let text = |text: &str| AMQPValue::LongString(text.into());
        vec![
            ("x-overflow", text("reject-publish")),
            ("x-dead-letter-exchange", text(&self.exchange)),
            ("x-dead-letter-routing-key", text(to)),
            ("x-dead-letter-strategy", text("at-least-once")),
        ]
    }

    async fn declare_queue(
        &self,
        channel: &Channel,
        answer: Duration,
        name: &str,
        table: FieldTable,
    ) -> Result<(), RabbitMqError> {
        let options = QueueDeclareOptions { durable: true, ..Default::default() };
        let declared = channel.queue_declare(name.into(), options, table);
        within(answer, "declare a queue", declared).await.map(drop).map_err(|fault| match fault {
            RabbitMqError::Broken(source) => RabbitMqError::Undeclared { queue: name.into(), source },
            fault => fault,
        })
    }

    /// Asks the broker what is ready, all queues at once.
    pub(super) async fn count(&self, channel: &Channel, answer: Duration) -> Result<Counts, RabbitMqError> {
        let mut asked = JoinSet::new();
        let names = self.rungs.iter().map(|(_, name)| name).chain([&self.work, &self.dead]);
        for name in names {
            let (channel, name) = (channel.clone(), name.clone());
            asked.spawn(async move {
                let options = QueueDeclareOptions { passive: true, ..Default::default() };
                let queue = channel.queue_declare(name.as_str().into(), options, FieldTable::default());
                let queue = within(answer, "count a queue", queue).await?;
                Ok::<_, RabbitMqError>((name, u64::from(queue.message_count()), queue.consumer_count()))
            });
        }
        let mut counts = Counts::default();
        while let Some(counted) = asked.join_next().await {
            let (name, count, consumers) = counted.expect("counting neither panics nor is aborted")?;
            if name == self.work {
                counts.work = count;
                counts.consumers = u64::from(consumers);
            } else if name == self.dead {
                counts.dead = count;
            } else {
                counts.retrying += count;
            }
        }
        Ok(counts)
    }
}

fn quorum(arguments: Vec<(&'static str, AMQPValue)>) -> FieldTable {
    let mut table = FieldTable::default();
    table.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    for (key, value) in arguments {
        table.insert(key.into(), value);
    }
    table
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    use super::*;

    fn rungs(after: Duration) -> BTreeSet<u64> {
        let topology = Topology::new(&QueueTerms::default());
        let mut rng = StdRng::seed_from_u64(7);
        let chosen = |_| {
            let name = topology.rung(after, &mut rng);
            let rung = topology.rungs.iter().find(|(_, rung)| rung == name).expect("a rung of the ladder");
            rung.0.as_secs()
        };
        (0..200).map(chosen).collect()
    }

    #[test]
    fn a_rung_is_never_too_early_and_seldom_alone() {
        for (after, expected) in [
            (0, vec![1]),
            (1, vec![1, 2]),
            (3, vec![3, 5]),
            (4, vec![5]),
            (60, vec![80]),
            (80, vec![80, 150]),
        ] {
            assert_eq!(rungs(Duration::from_secs(after)), expected.into_iter().collect(), "after {after} s");
        }
        assert_eq!(rungs(Duration::from_millis(1_100)), [2].into());
        assert_eq!(rungs(Duration::from_secs(3_600)), [300].into(), "the longest there is");
    }

    #[test]
    fn names_carry_the_prefix_the_wait_and_the_version() {
        let topology = Topology::new(&QueueTerms { prefix: "night".into(), ..QueueTerms::default() });
        assert_eq!((topology.work.as_str(), topology.dead.as_str()), ("night.work.v1", "night.dead.v1"));
        assert_eq!(topology.rungs[0].1, "night.retry-1000ms.v1");
    }
}

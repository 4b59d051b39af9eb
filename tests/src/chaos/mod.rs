//! Faults on the real thing: the programs as processes, a real RabbitMQ, a real Postgres, a network in between.
//!
//! The faults are a table, [`table`]; a file for each group says what each does. [`Repeats::once`] plays a small night
//! with one of them and a seed, and asks the [oracle](crate::oracle) what became of it. The tests play each fault once,
//! `make chaos` the whole table many times.

mod broker;
mod database;
mod fhir;
mod fleet;
mod looks;
mod points;
mod producers;
mod queues;
mod servers;
mod stage;
mod workers;

use std::any::Any;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::time::Duration;

use shared::testing::Failpoint;

use crate::oracle::Verdict;
use servers::{Needs, Servers};
use stage::Stage;

/// What a fault does to a night: it starts it, does its harm, and comes back when the harm is over.
type Harm = Box<dyn for<'a> Fn(&'a mut Stage) -> Pin<Box<dyn Future<Output = ()> + 'a>> + Send + Sync>;

/// A line of the table.
pub struct Fault {
    /// As `--fault` names it.
    pub name: String,
    needs: Needs,
    harm: Harm,
}

/// How one night with a fault ended.
#[derive(Debug)]
pub struct Repeat {
    /// What the oracle says.
    pub verdict: Verdict,
    /// From the end of the harm until the night was closed.
    pub recovery: Duration,
}

/// Nights with one fault, one after another, on servers that they share.
pub struct Repeats<'a> {
    fault: &'a Fault,
    servers: Option<Servers>,
}

/// Every fault there is.
pub fn table() -> Vec<Fault> {
    let others: [(&str, Needs, Harm); 23] = [
        (
            "fleet-killed-past-the-delivery-limit",
            Needs::Shared,
            Box::new(|it| Box::pin(workers::fleet_killed(it))),
        ),
        ("worker-stopped-past-its-lease", Needs::Shared, Box::new(|it| Box::pin(workers::stopped(it)))),
        ("scale-down-storm", Needs::Shared, Box::new(|it| Box::pin(workers::scaled_down(it)))),
        ("broker-killed-while-publishing", Needs::Broker, Box::new(|it| Box::pin(broker::killed(it)))),
        ("broker-away-for-long", Needs::Shared, Box::new(|it| Box::pin(broker::away(it)))),
        ("broker-connections-reset", Needs::Shared, Box::new(|it| Box::pin(broker::reset(it)))),
        ("broker-black-hole", Needs::Shared, Box::new(|it| Box::pin(broker::black_hole(it)))),
        ("broker-disk-alarm", Needs::Broker, Box::new(|it| Box::pin(broker::disk_alarm(it)))),
        ("postgres-killed-around-commit", Needs::Postgres, Box::new(|it| Box::pin(database::killed(it)))),
        ("postgres-black-hole", Needs::Shared, Box::new(|it| Box::pin(database::black_hole(it)))),
        ("postgres-restored-to-earlier", Needs::Database, Box::new(|it| Box::pin(database::restored(it)))),
        ("fhir-applies-and-drops-the-reply", Needs::Shared, Box::new(|it| Box::pin(fhir::replies_lost(it)))),
        ("fhir-storm-with-retry-after", Needs::Shared, Box::new(|it| Box::pin(fhir::storm(it)))),
        ("fhir-black-hole", Needs::Shared, Box::new(|it| Box::pin(fhir::black_hole(it)))),
        ("dead-letter-queue-deleted", Needs::Shared, Box::new(|it| Box::pin(queues::dead_deleted(it)))),
        ("retry-queues-deleted", Needs::Shared, Box::new(|it| Box::pin(queues::retry_deleted(it)))),
        ("work-queue-deleted", Needs::Shared, Box::new(|it| Box::pin(queues::work_deleted(it)))),
        ("undecodable-messages", Needs::Shared, Box::new(|it| Box::pin(queues::undecodable(it)))),
        ("messages-published-twice", Needs::Shared, Box::new(|it| Box::pin(queues::copied(it)))),
        ("two-producers", Needs::Shared, Box::new(|it| Box::pin(producers::two(it)))),
        ("producer-killed-again-and-again", Needs::Shared, Box::new(|it| Box::pin(producers::killed(it)))),
        ("producer-stopped-past-its-lock", Needs::Shared, Box::new(|it| Box::pin(producers::stopped(it)))),
        ("replay-during-a-run", Needs::Shared, Box::new(|it| Box::pin(producers::replay(it)))),
    ];
    let points = Failpoint::ALL.into_iter().map(|point| Fault {
        name: format!("killed-{}", point.as_str()),
        needs: Needs::Shared,
        harm: Box::new(move |it| Box::pin(points::killed_at(it, point))),
    });
    points.chain(others.map(|(name, needs, harm)| Fault { name: name.into(), needs, harm })).collect()
}

impl Fault {
    /// Nights with it.
    pub fn repeats(&self) -> Repeats<'_> {
        Repeats { fault: self, servers: None }
    }
}

impl Repeats<'_> {
    /// Plays one night, on a thread and a runtime of its own: a test that fails in the middle is a night that is
    /// stuck, and says where.
    ///
    /// # Panics
    /// There is no thread to be had.
    pub fn once(&mut self, seed: u64) -> Repeat {
        let night = async {
            let servers = match self.servers.take() {
                Some(servers) => servers,
                None => Servers::start(self.fault.needs).await,
            };
            let mut stage = Stage::set(&self.fault.name, servers, seed).await;
            (self.fault.harm)(&mut stage).await;
            stage.finish().await
        };
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.expect("a runtime");
        // What the night held is dropped, whatever it was in the middle of; servers are started anew.
        let ended = std::panic::catch_unwind(AssertUnwindSafe(|| runtime.block_on(night)));
        runtime.shutdown_background();
        match ended {
            Ok((repeat, servers)) => {
                self.servers = Some(servers);
                repeat
            }
            Err(panic) => {
                let verdict =
                    Verdict { stuck: 1, violations: vec![told(panic.as_ref())], ..Verdict::default() };
                Repeat { verdict, recovery: Duration::ZERO }
            }
        }
    }
}

fn told(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("the night panicked").to_owned()
}

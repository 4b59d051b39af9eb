//! A night whose workers are started and stopped as KEDA would have it: by what RabbitMQ's management API and the ledger
//! tell its scalers while the night runs.

use std::time::Duration;

use shared::ledger::{LedgerView as _, RunState};
use shared::queue::Depth;
use simulators::{FaultPlan, Latency, Operation, Rate};
use tests::keda::{Reading, ScaledObject, Stabilised};
use tests::night::until;
use tests::process::{Cluster, DATE, Running, Sign, Site, check_night, mixed};
use tests::services::{PostgresServer, Vhost};

use crate::cluster::ordinary::check_writes;

/// Every 10 seconds in the manifest. The API's counts are renewed every five.
const POLLING: Duration = Duration::from_millis(500);

/// As many readings as it takes for the API to say something new.
const WINDOW: usize = 11;

/// A night and a few windows, on a machine with much else to do.
const PATIENCE: Duration = Duration::from_secs(180);

/// The workers there are, and what there was of them.
struct Fleet<'a> {
    cluster: &'a Cluster,
    working: Vec<Running>,
    leaving: Vec<Running>,
    /// How many there were, each time it changed.
    sizes: Vec<usize>,
}

impl Fleet<'_> {
    fn scale(&mut self, wanted: usize) {
        if wanted == self.working.len() {
            return;
        }
        while self.working.len() < wanted {
            self.working.push(self.cluster.worker());
        }
        for worker in self.working.drain(wanted..) {
            worker.signal(Sign::Terminate);
            self.leaving.push(worker);
        }
        self.sizes.push(wanted);
    }
}

async fn read(scaled: &ScaledObject, cluster: &Cluster, vhost: &Vhost) -> Reading {
    let open_runs = cluster.count(&scaled.query).await.try_into().expect("a count");
    Reading { messages: vhost.management().count_messages(vhost.name(), &scaled.queues), open_runs }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_follow_a_night_from_none_to_many_to_none_and_nothing_is_lost() {
    let scaled = ScaledObject::deployed();
    // Three workers' messages at first.
    let rows = usize::try_from(scaled.messages).expect("a small number") * 5 / 2;
    let night = mixed(51, rows);
    let (place, vhost) = (PostgresServer::get().await.place().await, Vhost::new().await);
    let mut cluster = Cluster::on(Site::world_of(&night), place.uri, vhost.url().to_owned()).await;
    // Slow enough that the API sees the queue become shorter, and with rows that wait in retry queues.
    cluster.set("FHIR_MAX_RPS", "120");
    let errors = Rate { rate: 0.03, operations: Some(vec![Operation::Search]) };
    cluster.simulators.set_faults(FaultPlan {
        latency: Latency::fixed(20.0),
        error_500: errors,
        ..FaultPlan::default()
    });

    assert_eq!(scaled.workers(read(&scaled, &cluster, &vhost).await), 0, "before the first night");
    cluster.produce(&["--date", DATE, "--detach"]).await.expect(0);
    // The API's counts are old by up to five seconds, in which the workers of too small a number would be fast enough.
    let look = async || read(&scaled, &cluster, &vhost).await;
    until("the API to know what was published", look, |reading| scaled.workers(*reading) == 3).await;

    let mut fleet = Fleet { cluster: &cluster, working: Vec::new(), leaving: Vec::new(), sizes: Vec::new() };
    let mut stabilised = Stabilised::over(WINDOW);
    let mut polling = tokio::time::interval(POLLING);
    let followed = async {
        loop {
            polling.tick().await;
            let reading = read(&scaled, &cluster, &vhost).await;
            let wanted = stabilised.take(scaled.workers(reading));
            fleet.scale(wanted);
            let runs = cluster.ledger().runs("nightly-whatsapp-sync", None, 1).await.expect("runs");
            // A run never opens again: one that is open now was so at the reading.
            let is_open = runs[0].run.state == RunState::Open;
            assert!(wanted > 0 || !is_open, "no worker while the run is open: {reading:?}");
            if wanted == 0 {
                break;
            }
        }
    };
    tokio::time::timeout(PATIENCE, followed).await.expect("the night ends and its workers go");

    let sizes = fleet.sizes.clone();
    assert_eq!((sizes.iter().max(), sizes.last()), (Some(&3), Some(&0)), "{sizes:?}");
    for worker in fleet.leaving {
        worker.end().await.expect(143);
    }
    let closed = cluster.until_run_is("closed").await;
    check_night(&closed, night.expected());
    check_writes(&cluster, night.expected().patients_changed);
    let dead = i64::try_from(night.expected().outcome("dead_lettered")).expect("a small number");
    assert_eq!(cluster.count_dead_letters().await, dead);
    assert_eq!(cluster.depths().await, [Depth::default(); 2]);
}

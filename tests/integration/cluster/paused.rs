//! A fleet that pauses: everybody hears of it, nobody asks, one probes, and then all go on.

use std::time::Duration;

use shared::ledger::{GateKind, LedgerView as _, ShutGate};
use simulators::{DemoNight, FaultPlan, Latency, Operation, StatusFault};
use tests::night::until;
use tests::process::{Cluster, Running, check_night, mixed};

use super::ordinary::check_writes;

/// What a worker searches to see whether the server is well.
const CANARY: &str = "0000000000000000";

fn slow() -> FaultPlan {
    FaultPlan { latency: Latency::fixed(100.0), ..FaultPlan::default() }
}

/// Workers and a producer in the middle of a night.
struct Middle {
    night: DemoNight,
    cluster: Cluster,
    workers: Vec<Running>,
    producer: Running,
}

impl Middle {
    async fn of(seed: u64, workers: usize) -> Self {
        let night = mixed(seed, 200);
        let mut cluster = Cluster::of(&night).await;
        cluster.set("FHIR_MAX_CONCURRENCY", "8");
        cluster.simulators.set_faults(slow());
        cluster.simulators.stats().watch([CANARY]);
        let workers = cluster.workers(workers);
        let all = workers.len() as u64;
        until("everybody to receive", || cluster.consumers(), |consumers| *consumers == all).await;
        let producer = cluster.start_produced_night();
        let writes = async || cluster.simulators.snapshot().writes;
        until("writes", writes, |writes| *writes > 10).await;
        Self { night, cluster, workers, producer }
    }

    fn answer(&self, status: u16, operations: Option<Vec<Operation>>, retry_after: Option<u64>) {
        let fault = StatusFault { status, rate: 1.0, operations, retry_after, body: None };
        self.cluster.simulators.set_faults(FaultPlan { statuses: vec![fault], ..slow() });
    }

    async fn gate(&self) -> Option<ShutGate> {
        self.cluster.ledger().gate().await.expect("an answer")
    }

    async fn until_shut(&self, kind: GateKind) -> ShutGate {
        let is = |shut: &Option<ShutGate>| shut.as_ref().is_some_and(|shut| shut.gate.kind == kind);
        until("the gate to be shut", || self.gate(), is).await.expect("it is shut")
    }

    /// Everybody has heard: nobody receives, and no row is in anybody's hand.
    async fn until_still(&self) {
        until("nobody to receive", || self.cluster.consumers(), |consumers| *consumers == 0).await;
        let claimed = async || self.cluster.count_rows("claimed").await;
        until("nothing to be in hand", claimed, |claimed| *claimed == 0).await;
        let pending = self.cluster.count_rows("pending").await;
        assert!(pending > 0, "the unwritten rows are the ledger's again");
    }

    /// When each probe came in, in milliseconds.
    fn probes(&self) -> Vec<u64> {
        self.cluster.simulators.snapshot().watched[CANARY].iter().map(|request| request.at_ms).collect()
    }

    /// The night goes on by itself and ends as if nothing had happened.
    async fn ends(self) {
        check_night(&self.producer.end().await.expect(3).object(), self.night.expected());
        check_writes(&self.cluster, self.night.expected().patients_changed);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wait_that_the_server_asks_for_reaches_workers_that_it_did_not_ask() {
    let middle = Middle::of(53, 3).await;
    middle.answer(429, Some(vec![Operation::Write]), Some(8));
    middle.until_shut(GateKind::Throttled).await;
    middle.cluster.simulators.set_faults(slow());
    middle.until_still().await;
    // Still long before the end: this took a look of everybody, and what they had in hand.
    let shut = middle.gate().await.expect("for eight seconds");
    assert!(shut.left > Duration::from_secs(2), "{shut:?}");
    let asked = async || middle.cluster.simulators.snapshot().requests_total;
    let requests = asked().await;
    let nearly_over =
        |shut: &Option<ShutGate>| shut.as_ref().is_none_or(|shut| shut.left < Duration::from_millis(300));
    until("the wait to be nearly over", || middle.gate(), nearly_over).await;
    assert_eq!(asked().await, requests, "nobody asks while it is shut");
    // Nobody opens it: it lapses, and the night goes on.
    middle.ends().await;
}

/// The shortest that a server asks for, but for 0: the gate stands for the second, and who looks meanwhile waits.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wait_of_one_second_is_told_too() {
    let middle = Middle::of(55, 2).await;
    middle.answer(503, Some(vec![Operation::Write]), Some(1));
    let shut = middle.until_shut(GateKind::Throttled).await;
    assert!(shut.left <= Duration::from_secs(1), "{shut:?}");
    middle.cluster.simulators.set_faults(slow());
    middle.ends().await;
}

/// Everybody was told the same time; what comes then must not be a question from each.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_a_wait_is_over_one_worker_asks_first() {
    let middle = Middle::of(57, 4).await;
    middle.answer(429, Some(vec![Operation::Write]), Some(4));
    middle.until_shut(GateKind::Throttled).await;
    middle.until_still().await;
    let before = middle.probes().len();
    middle.answer(500, None, None);
    let probes = async || middle.probes()[before..].to_vec();
    let seen = until("another probe", probes, |probes| probes.len() > 1).await;
    assert!(seen[1] - seen[0] > 500, "probes at {seen:?} ms");
    middle.cluster.simulators.set_faults(slow());
    middle.ends().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_is_refused_pauses_the_fleet_and_one_worker_probes() {
    let middle = Middle::of(54, 4).await;
    middle.answer(401, None, None);
    middle.until_shut(GateKind::Systemic).await;
    middle.until_still().await;
    let before = middle.probes().len();
    let probes = async || middle.probes()[before..].to_vec();
    let long = |probes: &Vec<u64>| probes.len() > 1 && probes[probes.len() - 1] - probes[0] > 9_000;
    let seen = until("ten seconds of probes", probes, long).await;
    // One worker alone waits 1, 2, 4 and 8 seconds. Another may come first, by a look of one second.
    assert!(seen.len() <= 6, "probes at {seen:?} ms: more than one worker's");
    assert!(middle.gate().await.is_some(), "and the gate was shut all the while");
    middle.cluster.simulators.set_faults(slow());
    // Told at once, not by the gate lapsing, which would take minutes.
    until("the gate to be opened", || middle.gate(), Option::is_none).await;
    middle.ends().await;
}

/// Whoever had the turn to probe takes it along; the gate it shut does not hold the others for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_dies_while_the_fleet_is_paused_leaves_the_probing_to_another() {
    let mut middle = Middle::of(56, 2).await;
    middle.answer(401, None, None);
    middle.until_shut(GateKind::Systemic).await;
    middle.until_still().await;
    for worker in middle.workers.drain(..) {
        assert!(worker.kill().await, "a worker does not end by itself");
    }
    assert!(middle.gate().await.is_some(), "they left it shut");
    middle.cluster.simulators.set_faults(slow());
    middle.workers.push(middle.cluster.worker());
    middle.ends().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_rotated_behind_its_reference_costs_a_fleet_nothing() {
    let middle = Middle::of(58, 3).await;
    middle.cluster.simulators.fhir().set_api_keys(["rotated".to_owned()]);
    let refused = async || {
        let requests = middle.cluster.simulators.snapshot().requests;
        requests.values().filter_map(|answers| answers.get("401")).sum::<u64>()
    };
    until("the old key to be refused", refused, |refusals| *refusals > 0).await;
    middle.cluster.file("secrets/api-key", "rotated");
    let (cluster, expected) = (&middle.cluster, middle.night.expected().clone());
    check_night(&middle.producer.end().await.expect(3).object(), &expected);
    check_writes(cluster, expected.patients_changed);
}

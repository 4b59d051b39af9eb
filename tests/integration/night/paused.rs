//! Pauses, and the gate that tells the fleet of them: processes side by side on one ledger.

use std::time::Duration;

use producer::Halt;
use shared::domain::{Outcome, Reason};
use shared::ledger::{Gate, GateKind, ShutGate};
use shared::status::Status;
use simulators::{FaultPlan, Latency, Operation, PatientFault, StatusFault};
use tests::night::{DATE, EARLIER, LATER, Point, Process, Scene, until, whole};

/// What a worker searches to see whether the server is well.
const CANARY: &str = "0000000000000000";

fn everything(status: u16, retry_after: Option<u64>) -> FaultPlan {
    let fault = StatusFault { status, rate: 1.0, operations: None, retry_after, body: None };
    FaultPlan { statuses: vec![fault], ..FaultPlan::default() }
}

fn slow() -> FaultPlan {
    FaultPlan { latency: Latency::fixed(5.0), ..FaultPlan::default() }
}

async fn gate(process: &Process) -> Option<ShutGate> {
    process.ledger().gate().await.expect("an answer")
}

async fn until_shut(process: &Process, kind: GateKind) -> ShutGate {
    let is = |shut: &Option<ShutGate>| shut.as_ref().is_some_and(|shut| shut.gate.kind == kind);
    until("the gate to be shut", || gate(process), is).await.expect("it is shut")
}

async fn shut(process: &Process, kind: GateKind, reason: &str, lasts: Duration) {
    let gate = Gate { kind, reason: reason.into() };
    process.ledger().shut_gate(&gate, lasts).await.expect("to shut the gate");
}

#[tokio::test]
async fn a_probe_that_is_told_to_wait_waits_and_the_gate_stands_as_long() {
    let scene = Scene::people(5).await;
    scene.type_everybody(0..5, 0);
    scene.simulators.set_faults(everything(429, Some(3)));
    let process = scene.open().await;
    let order = whole();
    let wait = async {
        let shut = until_shut(&process, GateKind::Throttled).await;
        assert!(shut.left > Duration::from_secs(2), "{shut:?}");
        scene.simulators.set_faults(FaultPlan::default());
        let requests = async || scene.simulators.snapshot().requests_total;
        let asked = requests().await;
        let nearly_over =
            |shut: &Option<ShutGate>| shut.as_ref().is_none_or(|shut| shut.left < Duration::from_millis(200));
        until("the wait to be nearly over", || gate(&process), nearly_over).await;
        assert_eq!(requests().await, asked, "nobody asks while it is shut");
    };
    let (ended, ()) = Box::pin(async { tokio::join!(process.night(DATE, &order), wait) }).await;
    assert_eq!(ended.expect("a night").status(), Status::Done);
    drop(process);
    scene.check().await;
}

/// Rows found it, not a probe: no probe would find it again.
#[tokio::test]
async fn a_guard_that_the_ledger_did_not_take_is_told_until_it_does() {
    let scene = Scene::people(120).await;
    scene.type_everybody(0..120, 0);
    scene.simulators.set_faults(slow());
    let mut process = scene.open().await;
    let looking = process.companion();
    let hold = process.hold(Point::Shutting);
    let order = whole();
    let story = async {
        looking.until_done(20).await;
        scene.simulators.set_faults(FaultPlan { ignore_search: true, ..slow() });
        hold.reached().await;
        // From now on searches are good, and with them every probe.
        scene.simulators.set_faults(slow());
        hold.kill();
        until("the telling to fail", async || hold.refusals(), |refusals| *refusals > 0).await;
        hold.revive();
        until_shut(&looking, GateKind::Guard).await;
    };
    let (ended, ()) = Box::pin(async { tokio::join!(process.night(DATE, &order), story) }).await;
    let ended = ended.expect("a night");
    assert!(matches!(&ended.halt, Some(Halt::Stopped(_))), "{:?}", ended.halt);
    drop((process, looking));
    scene.night().await;
    assert_eq!(scene.outcomes().await, [Outcome::Updated; 120]);
    scene.check().await;
}

#[tokio::test]
async fn a_gate_that_is_shut_while_a_probe_goes_well_is_not_opened_by_it() {
    let scene = Scene::people(1).await;
    scene.simulators.stats().watch([CANARY]);
    let mut process = scene.open().await;
    let other = process.companion();
    shut(&other, GateKind::Systemic, "found by somebody", Duration::from_secs(200)).await;
    let hold = process.hold(Point::Opening);
    let story = async {
        hold.reached().await;
        shut(&other, GateKind::Systemic, "found by somebody else meanwhile", Duration::from_secs(100)).await;
        hold.release();
        until("the gate to be opened", || gate(&other), Option::is_none).await;
        let probes = scene.simulators.snapshot().watched[CANARY].len();
        assert!(probes > 1, "what was found meanwhile takes a probe of its own");
    };
    process.beside_workers(story).await;
}

/// A pause is told when it begins. Told when the rows in hand were done, it was news of the past: others, whose rows
/// were done sooner, had found the server well again, and were stopped a second time.
#[tokio::test]
async fn a_worker_that_drains_for_long_does_not_shut_the_gate_that_others_opened() {
    let scene = Scene::people(400).await;
    let rows: Vec<_> = (0..400).map(|person| (person, 0, if person < 20 { DATE } else { LATER })).collect();
    scene.type_rows(&rows);
    scene.simulators.set_faults(FaultPlan { latency: Latency::fixed(40.0), ..FaultPlan::default() });
    let mut tardy = scene.open().await;
    let other = tardy.companion();
    let hold = tardy.hold(Point::Written);
    let log = rusqlite::Connection::open(scene.database()).expect("a database");
    log.execute_batch(
        "CREATE TABLE shutting (kind TEXT);
         CREATE TRIGGER shut AFTER INSERT ON gate BEGIN INSERT INTO shutting VALUES (new.kind); END",
    )
    .expect("a log");
    let shuttings = || scene.ask("SELECT COUNT(*) FROM shutting")[0];
    let order = whole();
    let story = async {
        hold.reached().await;
        scene.simulators.set_faults(everything(401, None));
        until_shut(&other, GateKind::Systemic).await;
        scene.simulators.set_faults(FaultPlan::default());
        until("the other to open the gate", || gate(&other), Option::is_none).await;
        let before = shuttings();
        hold.release();
        before
    };
    let nights = async { tokio::join!(tardy.night(DATE, &order), other.night(LATER, &order), story) };
    let (tardy_ended, other_ended, before) = Box::pin(nights).await;
    assert_eq!(tardy_ended.expect("a night").status(), Status::Done);
    assert_eq!(other_ended.expect("a night").status(), Status::Done);
    assert_eq!(shuttings(), before, "the gate was shut again");
    drop((tardy, other));
    scene.assert_numbers(0..400, 0);
    scene.check().await;
}

#[tokio::test]
async fn a_gate_that_nobody_opens_lapses_and_the_workers_go_on() {
    for kind in [GateKind::Throttled, GateKind::Guard] {
        let scene = Scene::people(1).await;
        let process = scene.open().await;
        shut(&process, kind, "nobody will open it", Duration::from_millis(600)).await;
        let until_asked = async {
            let look = async || (scene.simulators.snapshot().requests_total, gate(&process).await);
            until("the first request", look, |(requests, shut)| {
                assert!(*requests == 0 || shut.is_none(), "{kind}: asked while the gate was shut");
                *requests > 0
            })
            .await;
        };
        process.beside_workers(until_asked).await;
    }
}

/// With `--from`, `--to` and `--detach` a guard is found while the next dates are still to come.
#[tokio::test]
async fn a_command_opens_the_guard_that_stood_before_it_and_none_that_is_found_while_it_works() {
    let scene = Scene::people(3).await;
    scene.type_everybody(0..3, 0);
    let process = scene.open().await;
    let producer = process.producer();
    let (order, lasts) = (whole(), Duration::from_secs(200));
    let night = |date: &'static str| {
        let night = producer.night(date.parse().expect("a date"), &order, &process.stop);
        process.beside_workers(night)
    };
    shut(&process, GateKind::Guard, "before it", lasts).await;
    assert_eq!(night(EARLIER).await.expect("a night without rows").status(), Status::Done);
    shut(&process, GateKind::Guard, "while it works", lasts).await;
    let ended = night(DATE).await.expect("a night");
    assert!(
        matches!(&ended.halt, Some(Halt::Stopped(reason)) if reason == "while it works"),
        "{:?}",
        ended.halt
    );
    assert!(gate(&process).await.is_some(), "it stands");
    drop((producer, process));
    // The next command is another start.
    assert_eq!(scene.night().await.status(), Status::Done);
    scene.check().await;
}

#[tokio::test]
async fn a_patient_that_always_asks_everybody_to_wait_does_not_keep_the_night_open() {
    let mut scene = Scene::people(6).await;
    scene.set("RETRY_MAX_ATTEMPTS", "2");
    scene.type_everybody(0..6, 0);
    let busy = PatientFault {
        operation: Some(Operation::Write),
        status: Some(429),
        retry_after: Some(1),
        ..PatientFault::default()
    };
    let patients = [(scene.population.nik(2), busy)].into();
    scene.simulators.set_faults(FaultPlan { patients, ..FaultPlan::default() });
    scene.night().await;
    for (person, ending) in scene.endings().await.into_iter().enumerate() {
        let expected = match person {
            2 => (Outcome::DeadLettered, Some(Reason::RetriesExhausted)),
            _ => (Outcome::Updated, None),
        };
        assert_eq!((ending.outcome, ending.reason), expected, "person {person}");
    }
    scene.check().await;
}

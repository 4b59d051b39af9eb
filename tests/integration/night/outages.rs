//! A FHIR server that fails for everybody.

use std::time::Duration;

use producer::Halt;
use shared::domain::Outcome;
use shared::ledger::{GateKind, Tally};
use shared::status::Status;
use simulators::{FaultPlan, Latency, Operation, PatientFault, Rate, StatusFault};
use tests::night::{DATE, Process, Scene, until, whole};

/// Nothing listens on it.
const NOBODY_THERE: &str = "http://127.0.0.1:1/fhir";

async fn until_shut(process: &Process) -> String {
    let look = || async { process.ledger().gate().await.expect("an answer") };
    let gate = until("the gate to be shut", look, Option::is_some).await.expect("it is shut").gate;
    assert_eq!(gate.kind, GateKind::Systemic);
    gate.reason
}

async fn tally(process: &Process) -> Tally {
    process.newest().await.expect("a run").tally
}

#[tokio::test]
async fn an_outage_in_the_middle_costs_no_row_its_life_and_the_night_goes_on_by_itself() {
    let scene = Scene::people(200).await;
    scene.type_everybody(0..200, 0);
    let slow = FaultPlan { latency: Latency::fixed(5.0), ..FaultPlan::default() };
    scene.simulators.set_faults(slow.clone());
    let process = scene.open().await;
    let order = whole();
    let night = process.night(DATE, &order);
    let outage = async {
        process.until_done(40).await;
        scene.simulators.set_faults(FaultPlan { error_500: Rate::of(1.0), ..slow.clone() });
        let reason = until_shut(&process).await;
        assert!(reason.contains("500"), "{reason}");
        let in_hand = async || scene.ask("SELECT COUNT(*) FROM row WHERE state = 'claimed'");
        until("nothing to be in hand", in_hand, |rows| *rows == [0]).await;
        let during = tally(&process).await;
        assert!(during.open > 0, "the outage came in the middle");
        let asked = scene.simulators.snapshot().searches;
        // Several probes later still nothing else was asked.
        let probed =
            || async { scene.simulators.snapshot().requests["search"].get("500").copied().unwrap_or(0) };
        let before = probed().await;
        until("more probes", probed, |probes| *probes >= before + 3).await;
        assert_eq!(scene.simulators.snapshot().searches, asked);
        assert_eq!(tally(&process).await.outcomes, during.outcomes, "nothing moves");
        scene.simulators.set_faults(FaultPlan::default());
    };
    let (ended, ()) = Box::pin(async { tokio::join!(night, outage) }).await;
    assert_eq!(ended.expect("a night").status(), Status::Done);
    drop(process);
    let endings = scene.endings().await;
    assert!(endings.iter().all(|ending| ending.outcome == Outcome::Updated));
    // What failed while the last answers of before still came in cannot be told from a row's own trouble.
    assert!(endings.iter().all(|ending| ending.attempts <= 2), "{endings:?}");
    scene.check().await;
}

#[tokio::test]
async fn an_outage_from_the_start_uses_no_attempt() {
    let scene = Scene::people(60).await;
    scene.type_everybody(0..60, 0);
    scene.simulators.set_faults(FaultPlan { error_500: Rate::of(1.0), ..FaultPlan::default() });
    let process = scene.open().await;
    let order = whole();
    let recovery = async {
        until_shut(&process).await;
        scene.simulators.set_faults(FaultPlan::default());
    };
    let (ended, ()) = Box::pin(async { tokio::join!(process.night(DATE, &order), recovery) }).await;
    assert_eq!(ended.expect("a night").status(), Status::Done);
    drop(process);
    assert!(scene.endings().await.iter().all(|ending| ending.attempts == 1));
    scene.check().await;
}

#[tokio::test]
async fn a_server_that_is_down_past_the_deadline_stops_the_night_and_the_next_start_carries_it_on() {
    let mut scene = Scene::people(40).await;
    scene.type_everybody(0..40, 0);
    scene.set("FHIR_URL", NOBODY_THERE);
    scene.set("RUN_DEADLINE", "300ms");
    let stopped = scene.night().await;
    let Some(Halt::Stopped(reason)) = &stopped.halt else { panic!("stopped, not {:?}", stopped.halt) };
    assert!(reason.contains("RUN_DEADLINE") && reason.contains("cannot be reached"), "{reason}");
    assert_eq!((stopped.reports[0].rows_open, stopped.reports[0].outcomes["dead_lettered"]), (40, 0));
    assert_eq!(stopped.status(), Status::Stopped);
    let read = scene.simulators.snapshot().batch_gets;
    assert!(read > 0);

    scene.set("FHIR_URL", scene.simulators.fhir_url().to_owned());
    let ended = scene.night().await;
    assert_eq!(ended.reports.len(), 1);
    assert_eq!(ended.reports[0].run_id, stopped.reports[0].run_id, "the same run");
    assert_eq!(scene.simulators.snapshot().batch_gets, read, "the sheet is not read again");
    assert_eq!(scene.outcomes().await, [Outcome::Updated; 40]);
    scene.check().await;
}

#[tokio::test]
async fn a_server_whose_tls_fails_stops_the_night_past_the_deadline() {
    let mut scene = Scene::people(20).await;
    scene.type_everybody(0..20, 0);
    // It speaks HTTP where TLS is expected.
    let plain = scene.simulators.fhir_url().to_owned();
    scene.set("FHIR_URL", plain.replace("http:", "https:"));
    scene.set("RUN_DEADLINE", "300ms");
    let stopped = scene.night().await;
    let Some(Halt::Stopped(reason)) = &stopped.halt else { panic!("stopped, not {:?}", stopped.halt) };
    assert!(reason.contains("RUN_DEADLINE"), "{reason}");
    assert_eq!((stopped.reports[0].rows_open, stopped.reports[0].outcomes["dead_lettered"]), (20, 0));
    scene.set("FHIR_URL", plain);
    scene.set("RUN_DEADLINE", "30m");
    scene.night().await;
    assert_eq!(scene.outcomes().await, [Outcome::Updated; 20]);
    scene.check().await;
}

#[tokio::test]
async fn a_deadline_does_not_stop_a_night_that_makes_progress() {
    let mut scene = Scene::people(60).await;
    scene.type_everybody(0..60, 0);
    scene.set("RUN_DEADLINE", "1ms");
    scene.simulators.set_faults(FaultPlan { latency: Latency::fixed(20.0), ..FaultPlan::default() });
    assert_eq!(scene.night().await.status(), Status::Done);
    scene.check().await;
}

/// Found by reading: where some still succeeded, each failure was its row's own, and rows were out of attempts before
/// the server was well again.
#[tokio::test]
async fn a_server_that_fails_more_than_half_of_the_time_pauses_the_night_and_no_row_dies_of_it() {
    let scene = Scene::people(200).await;
    scene.type_everybody(0..200, 0);
    let latency = Latency::fixed(5.0);
    let sick = FaultPlan { error_500: Rate::of(0.55), latency: latency.clone(), ..FaultPlan::default() };
    scene.simulators.set_faults(sick);
    let process = scene.open().await;
    let order = whole();
    let recovery = async {
        let reason = until_shut(&process).await;
        assert!(reason.contains("500"), "{reason}");
        // Long enough for a row to use six attempts up, one after the other, were they its own.
        let failed = async || {
            let requests = scene.simulators.snapshot().requests;
            requests.values().filter_map(|answers| answers.get("500")).sum::<u64>()
        };
        until("many failures", failed, |failures| *failures >= 120).await;
        let during = tally(&process).await;
        assert!(during.open > 0, "it is sick for longer than the night has rows");
        scene.simulators.set_faults(FaultPlan { latency, ..FaultPlan::default() });
    };
    let (ended, ()) = Box::pin(async { tokio::join!(process.night(DATE, &order), recovery) }).await;
    assert_eq!(ended.expect("a night").status(), Status::Done);
    drop(process);
    let endings = scene.endings().await;
    assert!(endings.iter().all(|ending| ending.outcome == Outcome::Updated));
    assert!(endings.iter().all(|ending| ending.attempts <= 3), "{endings:?}");
    scene.check().await;
}

/// Found by reading: the last rows of a night looked like a server that is down, paused it, and had not failed when
/// it went on, for ever.
#[tokio::test]
async fn rows_that_always_fail_and_are_the_last_ones_do_not_keep_the_night_open() {
    for status in [500, 403] {
        let mut scene = Scene::people(40).await;
        scene.tuning.worker.breaker.victims = Duration::from_millis(500);
        scene.type_everybody(0..40, 0);
        let failing = PatientFault {
            operation: Some(Operation::Write),
            status: Some(status),
            latency_ms: 100,
            ..PatientFault::default()
        };
        let patients = (28..40).map(|person| (scene.population.nik(person), failing.clone())).collect();
        scene.simulators.set_faults(FaultPlan { patients, ..FaultPlan::default() });
        assert_eq!(scene.night().await.status(), Status::DeadLetters, "{status}");
        let outcomes = scene.outcomes().await;
        assert_eq!(outcomes[..28], [Outcome::Updated; 28]);
        assert_eq!(outcomes[28..], [Outcome::DeadLettered; 12]);
        scene.check().await;
    }
}

#[tokio::test]
async fn writes_that_are_forbidden_for_everybody_pause_the_night() {
    let mut scene = Scene::people(40).await;
    scene.type_everybody(0..40, 0);
    scene.set("RUN_DEADLINE", "500ms");
    let operations = Some(vec![Operation::Write]);
    let forbidden = StatusFault { status: 403, rate: 1.0, operations, retry_after: None, body: None };
    scene.simulators.set_faults(FaultPlan { statuses: vec![forbidden], ..FaultPlan::default() });
    let stopped = scene.night().await;
    let Some(Halt::Stopped(reason)) = &stopped.halt else { panic!("stopped, not {:?}", stopped.halt) };
    assert!(reason.contains("403"), "{reason}");
    assert_eq!((stopped.reports[0].rows_open, stopped.reports[0].outcomes["dead_lettered"]), (40, 0));
    scene.simulators.set_faults(FaultPlan::default());
    scene.set("RUN_DEADLINE", "30m");
    scene.night().await;
    assert_eq!(scene.outcomes().await, [Outcome::Updated; 40]);
    scene.check().await;
}

#[tokio::test]
async fn a_server_that_hangs_is_taken_for_down_and_the_night_goes_on_after_it() {
    let mut scene = Scene::people(40).await;
    scene.set("FHIR_TIMEOUT", "300ms");
    scene.tuning.worker.lease_margin = Duration::from_secs(10);
    scene.type_everybody(0..40, 0);
    scene.simulators.set_faults(FaultPlan { latency: Latency::fixed(60_000.0), ..FaultPlan::default() });
    let process = scene.open().await;
    let order = whole();
    let recovery = async {
        let reason = until_shut(&process).await;
        assert!(reason.contains("in time"), "{reason}");
        scene.simulators.set_faults(FaultPlan::default());
    };
    let (ended, ()) = Box::pin(async { tokio::join!(process.night(DATE, &order), recovery) }).await;
    assert_eq!(ended.expect("a night").status(), Status::Done);
    drop(process);
    scene.check().await;
}

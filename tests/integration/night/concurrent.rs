//! Several workers, and several nights, at the same time.

use std::time::Duration;

use shared::ledger::{Gate, GateKind};
use simulators::{DemoNight, FaultPlan, Latency, NightOptions, Rate};
use tests::night::{DATE, LATER, Scene, until, whole};

#[tokio::test]
async fn two_workers_end_a_night_as_one_does() {
    let night = DemoNight::build(3, DATE, &NightOptions::sized(500, 300)).expect("the parts fit");
    let mut scene = Scene::of(&night).await;
    scene.workers = 2;
    let ended = scene.night().await;
    let expected = night.expected();
    for (outcome, rows) in &ended.reports[0].outcomes {
        assert_eq!(*rows, expected.outcome(outcome), "{outcome}");
    }
    assert_eq!(scene.simulators.snapshot().writes_beyond_first, 0);
    scene.check().await;
}

#[tokio::test]
async fn two_workers_write_nothing_twice_where_replies_are_lost() {
    let mut scene = Scene::people(120).await;
    scene.workers = 2;
    scene.type_everybody(0..120, 0);
    scene.simulators.set_faults(FaultPlan { applied_reply_lost: Rate::of(0.2), ..FaultPlan::default() });
    scene.night().await;
    assert_eq!(scene.simulators.snapshot().writes_beyond_first, 0);
    assert!(scene.endings().await.iter().all(|ending| ending.outcome.as_str() == "updated"));
    scene.check().await;
}

#[tokio::test]
async fn nights_of_two_dates_side_by_side_end_with_the_newer_numbers() {
    let mut scene = Scene::people(40).await;
    scene.set("FHIR_TIMEOUT", "1s");
    // A row whose NIK is taken waits for the end of that lease.
    scene.tuning.worker.lease_margin = Duration::from_millis(300);
    let rows: Vec<_> = (0..40).flat_map(|person| [(person, 0, DATE), (person, 1, LATER)]).collect();
    scene.type_rows(&rows);
    scene.simulators.set_faults(FaultPlan { latency: Latency::fixed(2.0), ..FaultPlan::default() });
    let older = scene.open().await;
    let newer = older.companion();
    let order = whole();
    let both = async { tokio::join!(older.night(DATE, &order), newer.night(LATER, &order)) };
    let (older_ended, newer_ended) = Box::pin(both).await;
    let (older_ended, newer_ended) = (older_ended.expect("a night"), newer_ended.expect("a night"));
    drop((older, newer));
    assert_eq!(newer_ended.reports[0].outcomes["updated"], 40);
    let outcomes = &older_ended.reports[0].outcomes;
    assert_eq!(outcomes["updated"] + outcomes["superseded"], 40, "{outcomes:?}");
    scene.assert_numbers(0..40, 1);
    scene.check().await;
}

/// A worker that starts while a guard stands, which somebody else shut, must not open it with its first good probe.
#[tokio::test]
async fn a_guard_of_another_process_stands_until_it_lapses_or_an_operator_starts_again() {
    let scene = Scene::people(3).await;
    let process = scene.open().await;
    let guard =
        Gate { kind: GateKind::Guard, reason: "searches return other Patients than asked for".into() };
    process.ledger().shut_gate(&guard, Duration::from_secs(200)).await.expect("to shut the gate");
    let gate = async || process.ledger().gate().await.expect("an answer").expect("it stands");
    // As long as many looks at it take.
    let many_looks = async {
        until("time to pass", gate, |shut| shut.left < Duration::from_millis(199_500)).await;
    };
    process.beside_workers(many_looks).await;
    assert_eq!(gate().await.gate, guard);
    assert_eq!(scene.simulators.snapshot().requests_total, 0, "nothing was asked");
}

/// Found by a review: a worker with a stale key shut the gate for all, and kept the turn to probe for itself.
#[tokio::test]
async fn one_worker_with_a_stale_key_does_not_stop_the_others() {
    let mut scene = Scene::people(300).await;
    scene.type_everybody(0..300, 0);
    scene.simulators.set_faults(FaultPlan { latency: Latency::fixed(20.0), ..FaultPlan::default() });
    let process = scene.open().await;
    let mut sick = process.companion();
    let stale = scene.write_secret("stale-key", "no longer a key");
    scene.set("FHIR_API_KEY", format!("file:{}", stale.display()));
    sick.settings = scene.settings();
    let order = whole();
    let company = async {
        process.until_done(20).await;
        let refused = async || scene.simulators.snapshot().requests["search"].contains_key("401");
        tokio::select! {
            () = sick.beside_workers(std::future::pending()) => unreachable!("it works for ever"),
            () = process.until_done(300) => assert!(refused().await, "it was there"),
        }
    };
    let (ended, ()) = Box::pin(async { tokio::join!(process.night(DATE, &order), company) }).await;
    let ended = ended.expect("a night");
    assert!(ended.halt.is_none(), "{:?}", ended.halt);
    assert_eq!(ended.reports[0].outcomes["updated"], 300);
    scene.assert_numbers(0..300, 0);
}

//! `--dry-run`: everything is looked up, nothing is written, and no record changes.

use producer::Halt;
use shared::domain::Outcome;
use shared::ledger::{LedgerView as _, Replay, RowFilter, RunKind};
use shared::status::Status;
use simulators::{DemoNight, NightOptions};
use tests::night::{DATE, Scene, dry};

#[tokio::test]
async fn a_dry_run_tells_what_a_night_then_does() {
    let night = DemoNight::build(5, DATE, &NightOptions::sized(300, 200)).expect("the parts fit");
    let scene = Scene::of(&night).await;
    let told = scene.order(DATE, &dry()).await;
    assert_eq!(scene.simulators.snapshot().requests.get("write"), None, "no write reached the server");
    let letters = scene.look().dead_letters(&Replay::default(), 0, 100).await.expect("a list");
    assert!(letters.is_empty(), "a dry run leaves no dead letters");
    let id = told.reports[0].run_id.parse().expect("an id");
    let rows = scene.look().rows(id, &RowFilter::default(), 0, 1_000).await.expect("rows");
    let would_be = rows.iter().filter(|row| row.outcome == Some(Outcome::Updated));
    let previous: Vec<_> = would_be.filter_map(|row| row.found.as_deref()).collect();
    assert!(!previous.is_empty(), "somebody has a number that would be replaced");
    assert!(previous.iter().all(|number| number.contains('*')), "masked: {previous:?}");
    let done = scene.night().await;
    let id = done.reports[0].run_id.parse().expect("an id");
    let written = RowFilter { outcome: Some(Outcome::Updated), ..RowFilter::default() };
    let rows = scene.look().rows(id, &written, 0, 1_000).await.expect("rows");
    assert!(rows.iter().all(|row| row.found.is_none()), "a night keeps no number there");
    assert_eq!(told.reports[0].outcomes, done.reports[0].outcomes);
    assert_eq!(told.reports[0].reasons, done.reports[0].reasons);
    for (outcome, rows) in &done.reports[0].outcomes {
        assert_eq!(*rows, night.expected().outcome(outcome), "{outcome}");
    }
    scene.check().await;
}

#[tokio::test]
async fn a_dry_run_does_not_touch_an_unfinished_night() {
    let mut scene = Scene::people(30).await;
    scene.type_everybody(0..30, 0);
    scene.set("FHIR_URL", "http://127.0.0.1:1/fhir");
    scene.set("RUN_DEADLINE", "100ms");
    let stopped = scene.night().await;
    assert!(matches!(stopped.halt, Some(Halt::Stopped(_))));

    scene.set("FHIR_URL", scene.simulators.fhir_url().to_owned());
    let told = scene.order(DATE, &dry()).await;
    assert_eq!((told.reports.len(), told.reports[0].kind, told.status()), (1, "dry_run", Status::Done));
    assert_eq!(told.reports[0].outcomes["updated"], 30);
    assert_eq!(scene.simulators.snapshot().writes, 0);
    let unfinished = scene.look().unfinished_runs(&scene.settings().job, None).await.expect("a list");
    assert_eq!(unfinished.iter().map(|run| run.kind).collect::<Vec<_>>(), [RunKind::Night]);

    let ended = scene.night().await;
    assert_eq!(ended.reports[0].run_id, stopped.reports[0].run_id);
    assert_eq!(ended.reports[0].outcomes["updated"], 30);
    scene.check().await;
}

#[tokio::test]
async fn an_unfinished_dry_run_is_given_up_by_the_next_start() {
    let mut scene = Scene::people(10).await;
    scene.type_everybody(0..10, 0);
    scene.set("FHIR_URL", "http://127.0.0.1:1/fhir");
    scene.set("RUN_DEADLINE", "100ms");
    assert!(matches!(scene.order(DATE, &dry()).await.halt, Some(Halt::Stopped(_))));
    scene.set("FHIR_URL", scene.simulators.fhir_url().to_owned());
    let ended = scene.night().await;
    assert_eq!((ended.reports.len(), ended.reports[0].kind), (1, "night"));
    assert_eq!(scene.outcomes().await, [Outcome::Updated; 10]);
    scene.check().await;
}

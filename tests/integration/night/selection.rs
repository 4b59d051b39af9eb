//! `--limit`, `--nik` and `--reapply`.

use producer::Halt;
use reqwest::Method;
use shared::domain::Outcome;
use tests::night::{DATE, Scene, first, of_niks, reapplied, whole};
use tests::oracle::Writes;

#[tokio::test]
async fn the_first_rows_only_then_the_whole_date_applies_the_rest() {
    let scene = Scene::people(30).await;
    scene.type_everybody(0..30, 0);
    let limited = scene.order(DATE, &first(10)).await;
    assert_eq!((limited.reports[0].rows_read, limited.reports[0].rows_selected), (30, 10));
    assert_eq!(scene.outcomes().await, [Outcome::Updated; 10]);
    scene.assert_numbers(0..10, 0);
    let ended = scene.night().await;
    assert_eq!(ended.reports.len(), 1);
    assert_ne!(ended.reports[0].run_id, limited.reports[0].run_id);
    let outcomes = scene.outcomes().await;
    assert!(outcomes[..10].iter().all(|outcome| *outcome == Outcome::SkippedAlreadyApplied));
    assert!(outcomes[10..].iter().all(|outcome| *outcome == Outcome::Updated));
    scene.check().await;
}

#[tokio::test]
async fn an_unfinished_limited_run_is_carried_on_before_the_whole_date_is_run() {
    let mut scene = Scene::people(20).await;
    scene.type_everybody(0..20, 0);
    scene.set("FHIR_URL", "http://127.0.0.1:1/fhir");
    scene.set("RUN_DEADLINE", "100ms");
    let stopped = scene.order(DATE, &first(5)).await;
    assert!(matches!(stopped.halt, Some(Halt::Stopped(_))));
    scene.set("FHIR_URL", scene.simulators.fhir_url().to_owned());
    let ended = scene.night().await;
    let selected: Vec<_> = ended.reports.iter().map(|report| report.rows_selected).collect();
    assert_eq!(selected, [5, 20]);
    assert_eq!(ended.reports[0].run_id, stopped.reports[0].run_id);
    assert_eq!(ended.reports[1].outcomes["updated"], 15);
    scene.check().await;
}

#[tokio::test]
async fn a_run_narrowed_to_people_leaves_all_others_alone() {
    let scene = Scene::people(20).await;
    scene.type_everybody(0..20, 0);
    drop(scene.open().await);
    let niks = [scene.nik_hash(4).await, scene.nik_hash(9).await];
    let narrowed = scene.order(DATE, &of_niks(&niks)).await;
    assert_eq!(narrowed.reports[0].rows_selected, 2);
    scene.assert_numbers([4, 9], 0);
    assert_eq!(scene.simulators.snapshot().writes, 2);
    assert_eq!(scene.night().await.reports[0].outcomes["updated"], 18);
    scene.check().await;
}

#[tokio::test]
async fn reapplying_writes_what_the_restored_server_lost_and_nothing_else() {
    let mut scene = Scene::people(20).await;
    let before: Vec<_> = (0..6).map(|person| scene.patient(person)).collect();
    scene.type_everybody(0..20, 0);
    scene.night().await;
    for (person, mut patient) in before.into_iter().enumerate() {
        patient["meta"] = scene.patient(person)["meta"].clone();
        let path = format!("Patient/{}", patient["id"].as_str().expect("an id"));
        assert_eq!(scene.as_somebody_else(Method::PUT, &path, Some(&patient)).await, 200);
        scene.other_writes += 1;
    }
    assert_eq!(
        scene.night().await.reports[0].outcomes["skipped_already_applied"],
        20,
        "the ledger says it is done"
    );
    let ended = scene.order(DATE, &reapplied()).await;
    let outcomes = &ended.reports[0].outcomes;
    assert_eq!((outcomes["updated"], outcomes["unchanged"]), (6, 14));
    scene.assert_numbers(0..20, 0);
    scene.writes = Writes::Others;
    scene.check().await;
    let again = scene.order(DATE, &whole()).await;
    assert_eq!(again.reports[0].outcomes["skipped_already_applied"], 20);
    scene.check().await;
}

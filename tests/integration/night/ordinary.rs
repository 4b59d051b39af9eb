//! Nights on which nothing is wrong but the rows.

use shared::domain::Outcome;
use shared::status::Status;
use simulators::{DemoNight, NightOptions};
use tests::night::{DATE, Scene};

#[tokio::test]
async fn a_night_ends_in_exactly_the_expected_outcomes() {
    let night = DemoNight::build(1, DATE, &NightOptions::sized(1_200, 400)).expect("the parts fit");
    let scene = Scene::of(&night).await;
    let ended = scene.night().await;
    let [report] = ended.reports.as_slice() else { panic!("one report, not {}", ended.reports.len()) };
    let expected = night.expected();
    for (outcome, rows) in &report.outcomes {
        assert_eq!(*rows, expected.outcome(outcome), "{outcome}");
    }
    let reasons: Vec<_> = report.reasons.iter().map(|(reason, rows)| ((*reason).to_owned(), *rows)).collect();
    assert_eq!(reasons, expected.reasons.clone().into_iter().collect::<Vec<_>>());
    assert_eq!((report.rows_read, report.rows_selected), (expected.rows_read, expected.rows_selected));
    assert_eq!(scene.simulators.snapshot().distinct_patients_changed, expected.patients_changed);
    assert_eq!((report.status(), ended.status()), (Status::DeadLetters, Status::DeadLetters));
    assert_eq!(ended.status().code(), 3);
    for (nik, number) in night.expected_numbers() {
        let stands = scene.simulators.store().current_mobile(&nik).expect("a number");
        let stands = shared::domain::PhoneNumber::from_telecom(&stands).expect("one that can be read");
        assert_eq!(stands.expose(), number);
    }
    scene.check().await;
}

#[tokio::test]
async fn a_second_night_on_the_same_day_writes_nothing() {
    let night = DemoNight::build(2, DATE, &NightOptions::sized(300, 200)).expect("the parts fit");
    let scene = Scene::of(&night).await;
    let first = scene.night().await;
    let writes = scene.simulators.snapshot().writes;
    let second = scene.night().await;
    assert_ne!(first.reports[0].run_id, second.reports[0].run_id);
    assert_eq!(scene.simulators.snapshot().writes, writes, "nothing is written twice");
    let (before, after) = (&first.reports[0].outcomes, &second.reports[0].outcomes);
    assert_eq!(after["skipped_already_applied"], before["updated"] + before["unchanged"]);
    assert_eq!((after["updated"], after["unchanged"]), (0, 0));
    for same in ["skipped_not_found", "rejected", "duplicate_row", "dead_lettered"] {
        assert_eq!(after[same], before[same], "{same}");
    }
    scene.check().await;
}

#[tokio::test]
async fn a_night_without_dead_letters_is_done() {
    let scene = Scene::people(30).await;
    scene.type_everybody(0..30, 0);
    let ended = scene.night().await;
    assert_eq!((ended.status(), ended.halt.is_none()), (Status::Done, true));
    assert_eq!(scene.outcomes().await, [Outcome::Updated; 30]);
    scene.assert_numbers(0..30, 0);
    scene.check().await;
}

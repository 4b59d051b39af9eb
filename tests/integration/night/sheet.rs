//! Sheets that change, lose their header, or have nothing in them.

use producer::Halt;
use shared::domain::Outcome;
use shared::status::Status;
use simulators::{Sheet, SheetCell, SheetsFailure, Spreadsheet};
use tests::night::Scene;

fn set(spreadsheet: &mut Spreadsheet, row: usize, column: usize, text: String) {
    spreadsheet.sheet_mut("Sheet1").expect("the sheet").set(row, column, SheetCell::text(text));
}

#[tokio::test]
async fn a_sheet_that_changes_while_it_is_read_is_taken_as_last_seen() {
    let scene = Scene::people(20).await;
    scene.type_everybody(0..20, 0);
    for (answered, person) in [(1, 3), (2, 8), (3, 12)] {
        let number = scene.population.new_mobile(person, 1);
        scene
            .simulators
            .sheets()
            .edit_after_batch_get(answered, move |sheet| set(sheet, person + 1, 2, number));
    }
    let ended = scene.night().await;
    assert_eq!((ended.reports[0].rows_selected, ended.reports[0].sheet_changed_while_read), (20, false));
    assert_eq!(scene.outcomes().await, [Outcome::Updated; 20]);
    scene.assert_numbers([3, 8, 12], 1);
    scene.assert_numbers([0, 1, 2, 4, 19], 0);
    scene.check().await;
}

#[tokio::test]
async fn a_sheet_that_keeps_changing_is_said_to() {
    let scene = Scene::people(10).await;
    scene.type_everybody(0..10, 0);
    for answered in 1..40 {
        let number = scene.population.new_mobile(4, answered);
        scene.simulators.sheets().edit_after_batch_get(answered, move |sheet| set(sheet, 5, 2, number));
    }
    let ended = scene.night().await;
    assert!(ended.reports[0].sheet_changed_while_read);
    assert_eq!(scene.outcomes().await, [Outcome::Updated; 10]);
    scene.check().await;
}

#[tokio::test]
async fn a_missing_header_stops_the_night_before_anything_is_written() {
    for (column, name, says) in [
        (2, "nomor hp", vec!["whatsapp_number", "SHEET_COLUMN_PHONE", "nomor hp"]),
        (0, "", vec!["nik", "SHEET_COLUMN_NIK"]),
        (1, "NIK", vec!["nik", "columns"]),
    ] {
        let scene = Scene::people(10).await;
        scene.type_everybody(0..10, 0);
        scene.simulators.sheets().edit(|sheet| set(sheet, 0, column, name.into()));
        let stopped = scene.night().await;
        let Some(Halt::Stopped(reason)) = &stopped.halt else { panic!("stopped, not {:?}", stopped.halt) };
        assert!(says.iter().all(|word| reason.contains(word)), "{reason}");
        assert_eq!((stopped.reports[0].rows_selected, stopped.status()), (0, Status::Stopped));
        assert_eq!(scene.simulators.snapshot().requests.get("write"), None);
        scene.type_everybody(0..10, 0);
        let ended = scene.night().await;
        assert_eq!(ended.reports[0].run_id, stopped.reports[0].run_id);
        assert_eq!(scene.outcomes().await, [Outcome::Updated; 10]);
        scene.check().await;
    }
}

#[tokio::test]
async fn a_sheet_without_rows_of_the_date_is_a_run_of_zero_rows() {
    let header =
        Spreadsheet::of(Sheet::new("Sheet1", vec![simulators::HEADER.map(SheetCell::text).to_vec()]));
    for (spreadsheet, read) in [(Some(header), 0), (None, 5)] {
        let scene = Scene::people(5).await;
        scene.type_rows(&(0..5).map(|person| (person, 0, "2026-01-01")).collect::<Vec<_>>());
        if let Some(spreadsheet) = spreadsheet {
            scene.simulators.sheets().edit(|sheet| *sheet = spreadsheet);
        }
        let ended = scene.night().await;
        assert_eq!((ended.status(), ended.halt.is_none()), (Status::Done, true));
        assert_eq!((ended.reports[0].rows_read, ended.reports[0].rows_selected), (read, 0));
        assert_eq!(ended.reports[0].state, "closed");
        scene.check().await;
    }
}

/// What goes wrong on Google's side, and what the operator must read.
type Trouble = (fn(&mut Scene), &'static str);

#[tokio::test]
async fn what_google_refuses_stops_the_night_with_what_to_do() {
    let troubles: [Trouble; 6] = [
        (|scene| scene.simulators.sheets().fail_next([SheetsFailure::NotShared]), simulators::CLIENT_EMAIL),
        (|scene| scene.simulators.sheets().fail_next([SheetsFailure::ApiDisabled]), "https://console."),
        (|scene| scene.simulators.clock().set_skew_ms(-3_600_000), "set this machine's clock (NTP)"),
        (|scene| scene.set("SHEET_ID", "no-such-sheet"), "compare SHEET_ID with the sheet's address"),
        (
            |scene| scene.simulators.sheets().edit(|sheets| sheets.sheets[0].title = "Lembar1".into()),
            "found: Lembar1",
        ),
        (|scene| scene.set("SHEET_RANGE", "Sheet1!A99:F"), "the row is empty"),
    ];
    for (make, expected) in troubles {
        let mut scene = Scene::people(5).await;
        scene.type_everybody(0..5, 0);
        make(&mut scene);
        let stopped = scene.night().await;
        let Some(Halt::Stopped(reason)) = &stopped.halt else { panic!("stopped, not {:?}", stopped.halt) };
        assert!(reason.contains(expected), "{reason}");
        assert_eq!(scene.simulators.snapshot().writes, 0);
        // Put right, the next start carries the run on.
        scene.simulators.clock().set_skew_ms(0);
        scene.set("SHEET_ID", scene.simulators.sheet_id());
        scene.set("SHEET_RANGE", "Sheet1");
        scene.simulators.sheets().edit(|sheets| sheets.sheets[0].title = "Sheet1".into());
        scene.night().await;
        assert_eq!(scene.outcomes().await, [Outcome::Updated; 5]);
        scene.check().await;
    }
}

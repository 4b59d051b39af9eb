//! The source against the simulated Sheets API, which shares no code with it.

use simulators::{Sheet, SheetCell, SheetsFailure, Simulators, SimulatorsConfig, Spreadsheet};

use super::*;

fn simulated_row(number: u32) -> Vec<SheetCell> {
    vec![
        SheetCell::text(format!("{number:016}")),
        SheetCell::Empty,
        SheetCell::number(81_234_500_000_u64 + u64::from(number)),
        SheetCell::Date(46349.0),
    ]
}

async fn start(title: &str, rows: u32) -> Simulators {
    let header = ["NIK", "catatan", "whatsapp_number", "last_updated_date"].map(SheetCell::text).to_vec();
    let cells = std::iter::once(header).chain((2..rows + 2).map(simulated_row)).collect();
    let spreadsheet = Spreadsheet::of(Sheet::new(title, cells));
    Simulators::start(SimulatorsConfig { spreadsheet, ..SimulatorsConfig::default() }).await.unwrap()
}

fn settings(simulators: &Simulators, range: &str) -> GoogleConfig {
    let credentials = SecretString::from(simulators.service_account_json());
    GoogleConfig {
        base_url: Some(simulators.sheets_url().to_owned()),
        retry: RetryPolicy {
            first: Duration::from_millis(1),
            max: Duration::from_millis(4),
            max_attempts: 6,
        },
        ..GoogleConfig::new(simulators.sheet_id(), range.parse().unwrap(), credentials)
    }
}

#[tokio::test]
async fn a_sheet_of_several_chunks_is_read_whole() {
    let simulators = start("It's Data/1?", 12_000).await;
    let (kept, summary) = read(settings(&simulators, "'It''s Data/1?'!A:D")).await.unwrap();
    assert_eq!(summary, ReadSummary { rows_read: 12_000, changed_while_read: false, rereads: 0 });
    assert_eq!(kept.ranges, [2..=5_001, 5_002..=10_001, 10_002..=13_001, 13_002..=LAST_ROW]);
    assert_eq!(kept.texts(12_001), ["text 0000000000012001", "number 81234512001", "number 46349"]);
}

#[tokio::test]
async fn an_edit_between_the_calls_is_read_again() {
    let simulators = start("Sheet1", 12_000).await;
    simulators.sheets().edit_after_batch_get(3, |spreadsheet| {
        let sheet = spreadsheet.sheet_mut("Sheet1").unwrap();
        sheet.rows.remove(1);
        sheet.set(7, 0, SheetCell::text("edited"));
    });
    let (kept, summary) = read(settings(&simulators, "Sheet1")).await.unwrap();
    assert_eq!(summary, ReadSummary { rows_read: 11_999, changed_while_read: false, rereads: 1 });
    assert_eq!(kept.texts(8)[0], "text edited");
    assert_eq!(kept.texts(12_000)[0], "text 0000000000012001");
}

#[tokio::test]
async fn failures_that_pass_leave_no_trace() {
    let simulators = start("Sheet1", 50).await;
    simulators.sheets().fail_next([
        SheetsFailure::Status(503),
        SheetsFailure::TruncatedBody,
        SheetsFailure::Reset,
        SheetsFailure::QuotaExceeded,
        SheetsFailure::AutomatedQueries,
        SheetsFailure::Unauthenticated,
    ]);
    let mut source = GoogleSource::new(settings(&simulators, "Sheet1"));
    for _ in 0..2 {
        let mut kept = Kept::default();
        assert_eq!(source.read(&mut kept).await.unwrap().rows_read, 50);
        simulators.sheets().revoke_tokens();
    }
}

#[tokio::test]
async fn a_tab_renamed_while_it_is_read_is_explained() {
    let simulators = start("Sheet1", 12_000).await;
    simulators.sheets().edit_after_batch_get(2, |spreadsheet| spreadsheet.sheets[0].title = "Lembar1".into());
    let error = read(settings(&simulators, "Sheet1")).await.err().unwrap();
    assert!(error.is_systemic(), "{error}");
    assert!(error.to_string().contains("Unable to parse range: 'Sheet1'!A"), "{error}");
}

#[tokio::test]
async fn what_does_not_pass_names_the_remedy() {
    let simulators = start("Sheet1", 5).await;
    for (failure, expected) in [
        (SheetsFailure::NotShared, simulators::CLIENT_EMAIL),
        (SheetsFailure::ApiDisabled, "enable it at https://console."),
    ] {
        simulators.sheets().fail_next([failure]);
        let error = read(settings(&simulators, "Sheet1")).await.err().unwrap();
        assert!(error.to_string().contains(expected), "{error}");
    }
    for skew in [-3_600_000, 3_700_000] {
        simulators.clock().set_skew_ms(skew);
        let error = read(settings(&simulators, "Sheet1")).await.err().unwrap();
        assert!(error.to_string().contains("set this machine's clock (NTP)"), "{error}");
    }
    simulators.clock().set_skew_ms(0);
    let error = read(settings(&simulators, "Lembar1")).await.err().unwrap();
    assert!(matches!(&error, SourceError::TabMissing { found, .. } if found == &["Sheet1"]), "{error}");
}

mod failures;
mod simulated;
mod stub;

use secrecy::SecretString;
use serde_json::json;

use self::stub::Stub;
use super::super::kept::Kept;
use super::client::SheetsClient;
use super::metered::ANSWER_BYTES;
use super::*;

fn config(stub: &Stub) -> GoogleConfig {
    GoogleConfig {
        base_url: Some(stub.url.clone()),
        rows_per_request: 4,
        request_timeout: Duration::from_secs(20),
        retry: RetryPolicy {
            first: Duration::from_millis(1),
            max: Duration::from_millis(4),
            max_attempts: 3,
        },
        quota_patience: Duration::from_secs(3),
        jitter_seed: Some(1),
        ..GoogleConfig::new("sheet-id_1", SheetRange::default(), SecretString::from(stub.key()))
    }
}

/// A header and `count` rows; row 4 is blank, row 5 has a remark only.
fn cells(count: u32) -> Vec<Vec<Value>> {
    let mut cells = vec![vec![
        json!("No"),
        json!("Last_Updated_Date"),
        json!("NIK"),
        json!(""),
        json!("whatsapp_number"),
    ]];
    cells.extend((2..count + 2).map(row));
    if count >= 4 {
        cells[3] = vec![];
        cells[4] = vec![json!(""), json!(""), json!(""), json!("catatan")];
    }
    cells
}

fn row(number: u32) -> Vec<Value> {
    vec![
        json!(number),
        json!(46349.5),
        json!(format!("n{number}")),
        json!(""),
        json!(81_234_567_000_u64 + u64::from(number)),
    ]
}

async fn read(config: GoogleConfig) -> Result<(Kept, ReadSummary), SourceError> {
    let mut kept = Kept::default();
    let summary = GoogleSource::new(config).read(&mut kept).await?;
    assert_eq!(summary.rows_read, kept.rows.len() as u64);
    Ok((kept, summary))
}

#[tokio::test]
async fn rows_come_in_order_with_their_own_numbers() {
    let stub = Stub::start(cells(12)).await;
    stub.sheet().grid.0 = 1000;
    let mut settings = config(&stub);
    settings.rows_per_request = 100;
    let (kept, summary) = read(settings).await.unwrap();
    assert_eq!(summary, ReadSummary { rows_read: 11, changed_while_read: false, rereads: 0 });
    assert_eq!(kept.numbers(), [2, 3, 5, 6, 7, 8, 9, 10, 11, 12, 13]);
    assert_eq!(kept.texts(7), ["text n7", "number 81234567007", "number 46349.5"]);
    assert_eq!(kept.texts(5), ["", "", ""]);
    assert!(kept.rows[&5].other_content);
    assert_eq!(kept.ranges.last(), Some(&(1001..=LAST_ROW)));
    assert_eq!(stub.sheet().tokens, 1);
}

#[tokio::test]
async fn a_part_of_a_sheet_with_an_odd_name_is_read_by_its_range() {
    let mut all = vec![vec![json!("judul")], vec![]];
    all.extend(cells(6).into_iter().map(|cells| [vec![json!("x")], cells].concat()));
    let stub = Stub::start(all).await;
    stub.sheet().title = "It's a/b#c?&d".to_owned();
    let mut settings = config(&stub);
    settings.range = "'It''s a/b#c?&d'!B3:F7".parse().unwrap();
    let (kept, _) = read(settings).await.unwrap();
    assert_eq!(kept.numbers(), [4, 5, 7]);
    assert_eq!(kept.texts(4), ["text n2", "number 81234567002", "number 46349.5"]);
    assert_eq!(kept.ranges.last(), Some(&(8..=LAST_ROW)));
}

#[tokio::test]
async fn a_sheet_without_rows_is_a_read_of_zero_rows() {
    for grid in [1, 50] {
        let stub = Stub::start(cells(0)).await;
        stub.sheet().grid.0 = grid;
        let (_, summary) = read(config(&stub)).await.unwrap();
        assert_eq!(summary, ReadSummary::default());
    }
}

#[tokio::test]
async fn an_edit_during_the_read_is_read_again() {
    let stub = Stub::start(cells(12)).await;
    // Call 0 reads the header, calls 1 to 3 the rows, 4 the header again, 5 has the second look.
    stub.sheet().edit = Some(Box::new(|call, cells, _| {
        if call == 3 {
            cells[5][2] = json!("changed");
        }
    }));
    let (kept, summary) = read(config(&stub)).await.unwrap();
    assert_eq!(summary, ReadSummary { rows_read: 11, changed_while_read: false, rereads: 1 });
    assert_eq!(kept.texts(6)[0], "text changed");
    assert_eq!(kept.ranges, [2..=5, 6..=9, 10..=13, 6..=9, 14..=LAST_ROW]);
}

#[tokio::test]
async fn a_row_inserted_above_loses_and_doubles_nothing() {
    let stub = Stub::start(cells(12)).await;
    stub.sheet().edit = Some(Box::new(|call, cells, grid| {
        if call == 2 {
            cells.insert(1, row(100));
            grid.0 += 1;
        }
    }));
    let (kept, summary) = read(config(&stub)).await.unwrap();
    assert_eq!(summary, ReadSummary { rows_read: 12, changed_while_read: false, rereads: 1 });
    let niks: Vec<_> = kept.rows.keys().map(|row| kept.texts(*row)[0].clone()).collect();
    let expected = [100, 2, 3, 0, 6, 7, 8, 9, 10, 11, 12, 13]
        .map(|n| if n == 0 { String::new() } else { format!("text n{n}") });
    assert_eq!(niks, expected);
}

#[tokio::test]
async fn rows_removed_or_added_at_the_end_are_noticed() {
    for (removed, rows_read) in [(true, 5), (false, 15)] {
        let stub = Stub::start(cells(12)).await;
        stub.sheet().edit = Some(Box::new(move |call, cells, grid| match (call, removed) {
            // Before the last chunk is asked for, which then begins outside the grid.
            (3, true) => {
                cells.truncate(7);
                grid.0 = 7;
            }
            (3, false) => {
                cells.extend((14..18).map(row));
                grid.0 += 1000;
            }
            _ => {}
        }));
        let (kept, summary) = read(config(&stub)).await.unwrap();
        assert_eq!(summary, ReadSummary { rows_read, changed_while_read: false, rereads: 1 }, "{removed}");
        assert_eq!(kept.rows.keys().last(), Some(if removed { &7 } else { &17 }));
    }
}

#[tokio::test]
async fn columns_that_move_are_found_anew() {
    let stub = Stub::start(cells(6)).await;
    stub.sheet().edit = Some(Box::new(|call, cells, _| {
        if call == 2 {
            cells.iter_mut().for_each(|row| row.insert(0, json!("new")));
        }
    }));
    let (kept, summary) = read(config(&stub)).await.unwrap();
    assert_eq!((summary.rereads, summary.changed_while_read), (1, false));
    assert_eq!(kept.texts(7), ["text n7", "number 81234567007", "number 46349.5"]);
    assert_eq!(kept.texts(2), ["text n2", "number 81234567002", "number 46349.5"]);
}

#[tokio::test]
async fn a_sheet_that_keeps_changing_is_taken_as_last_seen() {
    let stub = Stub::start(cells(3)).await;
    stub.sheet().edit = Some(Box::new(|call, cells, _| cells[1][2] = json!(format!("edit {call}"))));
    let (kept, summary) = read(config(&stub)).await.unwrap();
    assert_eq!(summary, ReadSummary { rows_read: 3, changed_while_read: true, rereads: REREADS_LIMIT });
    assert_eq!(kept.numbers(), [2, 3, 4]);
    assert!(kept.texts(2)[0].starts_with("text edit "));
}

#[tokio::test]
async fn a_source_reads_anew_each_time_and_a_failing_sink_ends_it() {
    let stub = Stub::start(cells(2)).await;
    let mut source = GoogleSource::new(config(&stub));
    let mut failing =
        Kept::after(|batches| if batches == 0 { Err("the ledger is gone".into()) } else { Ok(()) });
    let error = source.read(&mut failing).await.unwrap_err();
    assert!(matches!(&error, SourceError::Sink(_)) && !error.is_systemic(), "{error}");
    for _ in 0..2 {
        let mut kept = Kept::default();
        assert_eq!(source.read(&mut kept).await.unwrap().rows_read, 2);
        assert_eq!(kept.numbers(), [2, 3]);
    }
    assert_eq!(stub.sheet().tokens, 1);
}

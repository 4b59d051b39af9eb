//! Answers of the Sheets API, and `SHEET_RANGE`.

use std::time::Duration;

use http::{HeaderMap, HeaderValue, header};
use producer::fuzzing::{refusal as read_refusal, sheets, values as read_values};
use producer::source::{SheetRange, SourceError};
use shared::domain::{CELL_CHARS, Cell};

use crate::input::{Input, longest_run_of_digits};

/// Answers with the values of ranges, and with the sheets there are.
pub fn values(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let ranges = usize::from(input.byte() % 4);
    let body = input.rest();
    if let Some(read) = read_values(body, ranges) {
        assert_eq!(read.len(), ranges, "one part for each range");
        for cell in read.iter().flatten().flatten() {
            match cell {
                Cell::Text(text) => assert!(!text.is_empty() && text.chars().count() <= CELL_CHARS),
                Cell::Number(number) => assert!(number.is_finite()),
                _ => {}
            }
        }
    }
    let _ = sheets(body);
}

/// A refusal: what an operator reads of it shows nobody's number.
pub fn refusal(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let status = input.one_of(&[400, 401, 403, 404, 408, 429, 500, 503, 200]);
    let mut headers = HeaderMap::new();
    for name in [header::RETRY_AFTER, header::DATE] {
        if let Ok(value) = HeaderValue::from_bytes(input.part()) {
            headers.insert(name, value);
        }
    }
    let (error, wait) = read_refusal(status, input.rest(), &headers);
    assert!(wait.is_none_or(|wait| wait <= Duration::from_secs(3_600)), "{wait:?}");
    if let Some(error) = error {
        let told = error.to_string();
        assert!(told.chars().count() < 1_000 && !told.chars().any(char::is_control), "{told:?}");
        // A link names the project by its number.
        let has_link = matches!(error, SourceError::ApiDisabled { .. });
        assert!(has_link || longest_run_of_digits(&told) <= 8, "{told}");
    }
}

/// A range, read and read again as it would be written.
pub fn range(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    match text.parse::<SheetRange>() {
        Ok(range) => {
            let area = range.area;
            assert!(area.first_row >= 1 && area.first_column < 18_278);
            assert!(area.last_row.is_none_or(|last| last >= area.first_row));
            assert!(area.last_column.is_none_or(|last| last >= area.first_column && last < 18_278));
            let row = |row: Option<u32>| row.map(|row| row.to_string()).unwrap_or_default();
            let first = format!("{}{}", letters(area.first_column), area.first_row);
            let last = format!("{}{}", area.last_column.map(letters).unwrap_or_default(), row(area.last_row));
            let part = if last.is_empty() { String::new() } else { format!("{first}:{last}") };
            let written = match (&range.tab, part.as_str()) {
                (Some(tab), "") => format!("'{}'", tab.replace('\'', "''")),
                (Some(tab), part) => format!("'{}'!{part}", tab.replace('\'', "''")),
                (None, part) => part.to_owned(),
            };
            assert_eq!(written.parse::<SheetRange>().as_ref(), Ok(&range), "{written}");
        }
        Err(error) => assert!(error.to_string().contains("A1:F"), "an error says what is accepted"),
    }
}

fn letters(column: u32) -> String {
    let mut letters = String::new();
    let mut rest = column + 1;
    while rest > 0 {
        let digit = u8::try_from((rest - 1) % 26).expect("a remainder of 26 fits a byte");
        letters.insert(0, char::from(b'A' + digit));
        rest = (rest - 1) / 26;
    }
    letters
}

//! What reads hostile input and is private, opened to its tests (`tests/hostile`): nothing else may use it.

use std::io::Cursor;
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use google_sheets4::Error;
use google_sheets4::api::{BatchGetValuesResponse, Spreadsheet};
use http::HeaderMap;
use shared::domain::{Cell, SourceRow};

use crate::source::file::{Batches, Format, Halt};
use crate::source::google::client::{tabs, values_of};
use crate::source::google::fault::{Fault, Identity, Witness, retry_after};
use crate::source::{FileConfig, SourceError, csv, google, xlsx};

/// Batches of rows as they were handed over.
pub type Read = Vec<(RangeInclusive<u32>, Vec<SourceRow>)>;

/// The rows of a CSV.
///
/// # Errors
/// As [`FileSource`](crate::source::FileSource).
pub fn csv(config: &FileConfig, bytes: Vec<u8>) -> Result<Read, SourceError> {
    collected(|batches| csv::parse(config, Cursor::new(bytes), batches))
}

/// The rows of a workbook.
///
/// # Errors
/// As [`FileSource`](crate::source::FileSource).
pub fn xlsx(config: &FileConfig, bytes: &[u8]) -> Result<Read, SourceError> {
    collected(|batches| xlsx::parse(config, Cursor::new(bytes), batches))
}

/// Whether a file with this beginning is read at all, by its name.
///
/// # Errors
/// Why not.
pub fn format(name: &str, head: &[u8]) -> Result<(), &'static str> {
    Format::of(Path::new(name), head).map(drop)
}

fn collected(parse: impl FnOnce(Batches) -> Result<u64, Halt>) -> Result<Read, SourceError> {
    let (sender, batches) = mpsc::channel();
    let taken = Batches::new(move |range, rows| sender.send((range, rows)).map_err(|_| Halt::Unwanted));
    match parse(taken) {
        Ok(rows_read) => {
            let read: Read = batches.into_iter().collect();
            assert_eq!(read.iter().map(|(_, rows)| rows.len() as u64).sum::<u64>(), rows_read);
            Ok(read)
        }
        Err(Halt::Failed(error)) => Err(error),
        Err(Halt::Unwanted) => unreachable!("the receiver is here"),
    }
}

/// The cells in an answer to `spreadsheets.values.batchGet`, of so many ranges.
pub fn values(body: &[u8], ranges: usize) -> Option<Vec<Vec<Vec<Cell>>>> {
    let answer: BatchGetValuesResponse = serde_json::from_slice(body).ok()?;
    let row = |row: Vec<_>| row.into_iter().map(google::cell_of).collect();
    let values = values_of(answer, ranges)?;
    Some(values.into_iter().map(|rows| rows.into_iter().map(row).collect()).collect())
}

/// The sheets in an answer to `spreadsheets.get`: name, rows, columns.
pub fn sheets(body: &[u8]) -> Option<Vec<(String, u32, u32)>> {
    let answer: Spreadsheet = serde_json::from_slice(body).ok()?;
    Some(tabs(answer)?.into_iter().map(|tab| (tab.title, tab.rows, tab.columns)).collect())
}

/// What a refusal of Google's means, as far as an operator reads it.
pub fn refusal(status: u16, body: &[u8], headers: &HeaderMap) -> (Option<SourceError>, Option<Duration>) {
    let witness = Witness { status: Some(status), retry_after: retry_after(headers) };
    let identity = Identity { client_email: "us@example.test".into(), spreadsheet_id: "id".into() };
    let asked = witness.retry_after;
    let Ok(body) = serde_json::from_slice(body) else { return (None, asked) };
    match Fault::of(Error::BadRequest(body), &witness, &identity) {
        Fault::Final(error) | Fault::Unauthorized(error) => (Some(error), asked),
        Fault::BeyondGrid | Fault::Quota { .. } | Fault::Transient { .. } => (None, asked),
    }
}

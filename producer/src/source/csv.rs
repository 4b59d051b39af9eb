//! Rows from a CSV: separated by comma, semicolon, tab or bar, in UTF-8, UTF-16 or Windows-1252.
//!
//! Every cell is text or empty. A row has the number a spreadsheet program would show it under: blank lines
//! count, lines within quotation marks do not, and neither does a leading `sep=;` line, which Excel writes
//! and hides.

mod encoding;
mod visible_rows;

use std::borrow::Cow;
use std::io::{self, Cursor, Read};

use ::csv::{ByteRecord, Reader, ReaderBuilder};
use shared::domain::Cell;

use self::visible_rows::VisibleRows;
use super::error::{SourceError, shown};
use super::file::{Batches, FileConfig, Halt};
use super::header::Columns;
use super::range::Area;
use super::{LAST_ROW, ROW_CELLS};

/// How much is looked at to find the separator.
const HEAD_BYTES: u64 = 64 * 1024;

const SEPARATORS: [u8; 4] = [b',', b';', b'\t', b'|'];

/// Reads the file and hands its rows to `batches`.
pub(crate) fn parse(
    config: &FileConfig,
    file: impl Read + 'static,
    mut batches: Batches,
) -> Result<u64, Halt> {
    let area = config.range.area;
    let mut text = encoding::decoded(file).map_err(|error| config.problem(error))?;
    let mut head = Vec::new();
    (&mut text).take(HEAD_BYTES).read_to_end(&mut head).map_err(|error| config.problem(error))?;
    let declared = declared_separator(&head);
    let head = head.split_off(declared.map_or(0, |(_, length)| length));
    let separator = declared.map_or_else(|| likely_separator(&head, config), |(separator, _)| separator);

    let mut records = records(Cursor::new(head).chain(text), separator);
    let mut record = ByteRecord::new();
    let mut columns: Option<Columns> = None;
    let mut sheet_row = 0_u32;
    while records.read_byte_record(&mut record).map_err(|error| config.problem(explain(error)))? {
        if sheet_row == LAST_ROW {
            return Err(config.too_long().into());
        }
        sheet_row += 1;
        if area.last_row.is_some_and(|last| sheet_row > last) {
            break;
        }
        if sheet_row < area.first_row {
            continue;
        }
        if record.len() > ROW_CELLS {
            return Err(config.too_wide(sheet_row).into());
        }
        match &columns {
            None => {
                columns = Some(header(&record, config, sheet_row)?);
                batches.begin(sheet_row + 1);
            }
            Some(columns) => batches.push(columns.row(sheet_row, cells(&record, area).enumerate()))?,
        }
    }
    if columns.is_none() {
        header(&ByteRecord::new(), config, area.first_row)?;
    }
    batches.finish()
}

fn records<R: Read>(text: R, separator: u8) -> Reader<VisibleRows<R>> {
    ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(separator)
        .from_reader(VisibleRows::new(text, separator))
}

fn header(record: &ByteRecord, config: &FileConfig, sheet_row: u32) -> Result<Columns, SourceError> {
    let area = config.range.area;
    let header: Vec<Cell> = cells(record, area).collect();
    Columns::locate(&header, &config.columns, sheet_row, area.first_column).map_err(SourceError::SheetShape)
}

/// The cells of the range's columns.
fn cells(record: &ByteRecord, area: Area) -> impl Iterator<Item = Cell> {
    let last = area.last_column.map_or(usize::MAX, |last| last as usize);
    record
        .iter()
        .take(last.saturating_add(1))
        .skip(area.first_column as usize)
        .map(|field| Cell::of_text(encoding::field(field).into_owned()))
}

/// The separator a first line `sep=;` names, and that line's length.
fn declared_separator(head: &[u8]) -> Option<(u8, usize)> {
    let end = head.iter().position(|byte| matches!(byte, b'\r' | b'\n'))?;
    let line =
        head[..end].strip_prefix(b"\"").and_then(|line| line.strip_suffix(b"\"")).unwrap_or(&head[..end]);
    let (name, separator) = line.split_at_checked(4)?;
    let [separator] = *separator else { return None };
    let length = end + if head[end..].starts_with(b"\r\n") { 2 } else { 1 };
    let usable = separator.is_ascii() && !separator.is_ascii_alphanumeric() && separator != b'"';
    (name.eq_ignore_ascii_case(b"sep=") && usable).then_some((separator, length))
}

/// The separator with which the header has what is needed, or else the one that makes most columns of it.
fn likely_separator(head: &[u8], config: &FileConfig) -> u8 {
    let header_of = |separator| {
        let mut records = records(head, separator);
        let mut record = ByteRecord::new();
        for _ in 0..config.range.area.first_row {
            // The head may end within quotation marks; what was read before stands.
            if !records.read_byte_record(&mut record).unwrap_or(false) {
                break;
            }
        }
        record
    };
    let fits = |separator: &u8| {
        let header_row = header_of(*separator);
        header_row.len() <= ROW_CELLS && header(&header_row, config, config.range.area.first_row).is_ok()
    };
    SEPARATORS.into_iter().find(fits).unwrap_or_else(|| {
        // Of equals the last wins, so the list is turned around: comma before the others.
        SEPARATORS.into_iter().rev().max_by_key(|separator| header_of(*separator).len()).unwrap_or(b',')
    })
}

fn explain(error: ::csv::Error) -> Cow<'static, str> {
    match error.into_kind() {
        ::csv::ErrorKind::Io(error) if error.kind() == io::ErrorKind::InvalidData => {
            shown(&error.to_string(), 300, 9).into()
        }
        ::csv::ErrorKind::Io(error) => error.to_string().into(),
        _ => "it is not a CSV".into(),
    }
}

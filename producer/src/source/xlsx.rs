//! Rows from an XLSX workbook: values as saved, formulas by their cached value.
//!
//! Cells are streamed. Dates come out as serial numbers of the 1900 system whichever system the workbook
//! has; only the date column is converted, because a telephone number that was formatted as a date by
//! mistake is still a number. A merged cell's value is in its first row only.

mod unpacked;

use std::io::{BufReader, Read, Seek};
use std::panic::{AssertUnwindSafe, catch_unwind};

use calamine::{DataRef, Reader, SheetType, SheetVisible, Xlsx, XlsxError};
use shared::domain::Cell;

use super::error::{SourceError, shown};
use super::file::{Batches, FileConfig, Halt};
use super::header::Columns;
use super::range::SheetRange;
use super::{LAST_ROW, ROW_CELLS};

/// Days between the two date systems: 1904-01-01 is 0 in one and 1462 in the other
/// (ECMA-376 part 1, 18.17.4.1).
const DAYS_1900_TO_1904: f64 = 1462.0;

/// Day 0 of the 1900 system, counted back from any day after its invented 1900-02-29.
const DAY_ZERO: jiff::civil::Date = jiff::civil::date(1899, 12, 30);

/// Reads the workbook and hands its rows to `batches`. The library panics at some that are damaged.
pub(crate) fn parse(config: &FileConfig, file: impl Read + Seek, batches: Batches) -> Result<u64, Halt> {
    let damaged = || config.problem("it is damaged; open it in a spreadsheet program and save it again");
    let read = catch_unwind(AssertUnwindSafe(|| read(config, file, batches)));
    read.unwrap_or_else(|_| Err(damaged().into()))
}

fn read(config: &FileConfig, mut file: impl Read + Seek, mut batches: Batches) -> Result<u64, Halt> {
    let explain = |error| config.problem(explain(error));
    unpacked::check(BufReader::new(&mut file), &unpacked::LIMITS).map_err(|error| config.problem(error))?;
    file.rewind().map_err(|error| config.problem(error))?;
    let mut workbook = Xlsx::new(BufReader::new(file)).map_err(explain)?;
    let name = sheet_name(&workbook, &config.range)?;
    let shift = if workbook.has_1904_epoch() { DAYS_1900_TO_1904 } else { 0.0 };
    let mut cells = workbook.worksheet_cells_reader(&name).map_err(explain)?;

    let mut rows = Rows { config, shift, columns: None, sheet_row: 0, cells: Vec::new() };
    while let Some(cell) = cells.next_cell().map_err(explain)? {
        let (row, column) = cell.get_position();
        if row >= LAST_ROW {
            return Err(config.too_long().into());
        }
        let sheet_row = row + 1;
        if config.range.area.last_row.is_some_and(|last| sheet_row > last) {
            break;
        }
        if config.range.area.contains(column, sheet_row) {
            rows.take(sheet_row, column - config.range.area.first_column, cell.get_value(), &mut batches)?;
        }
    }
    rows.end(&mut batches)?;
    batches.finish()
}

/// The sheet that is meant: the named one, or the first where none is named or the name is the default.
fn sheet_name<R: Read + Seek>(workbook: &Xlsx<R>, range: &SheetRange) -> Result<String, SourceError> {
    let sheets: Vec<_> =
        workbook.sheets_metadata().iter().filter(|sheet| sheet.typ == SheetType::WorkSheet).collect();
    let first = || sheets.iter().find(|sheet| sheet.visible == SheetVisible::Visible).or(sheets.first());
    let found = match &range.tab {
        None => first(),
        Some(tab) => {
            let named = sheets.iter().find(|sheet| sheet.name == *tab);
            let like = || sheets.iter().find(|sheet| sheet.name.to_lowercase() == tab.to_lowercase());
            let default = SheetRange::default();
            named.or_else(like).or_else(|| if *range == default { first() } else { None })
        }
    };
    match found {
        Some(sheet) => Ok(sheet.name.clone()),
        None => {
            let wanted = range.tab.as_deref().unwrap_or_default();
            Err(SourceError::tab_missing(wanted, sheets.iter().map(|sheet| sheet.name.as_str())))
        }
    }
}

/// Puts the stream of cells together into rows.
struct Rows<'a> {
    config: &'a FileConfig,
    /// Added to a serial number in the date column.
    shift: f64,
    columns: Option<Columns>,
    sheet_row: u32,
    cells: Vec<(usize, Cell)>,
}

impl Rows<'_> {
    fn take(
        &mut self,
        sheet_row: u32,
        column: u32,
        value: &DataRef<'_>,
        batches: &mut Batches,
    ) -> Result<(), Halt> {
        if sheet_row < self.sheet_row {
            return Err(self.config.problem("its rows are not in order; open it and save it again").into());
        }
        if sheet_row > self.sheet_row {
            self.end_row(batches)?;
            // The header is the range's first row, even where that has no cell at all.
            if self.columns.is_none() && sheet_row > self.config.range.area.first_row {
                self.read_header(batches)?;
            }
            self.sheet_row = sheet_row;
        }
        let column = column as usize;
        if column >= ROW_CELLS || self.cells.len() >= ROW_CELLS {
            return Err(self.config.too_wide(sheet_row).into());
        }
        let shift =
            if self.columns.is_some_and(|columns| columns.updated == column) { self.shift } else { 0.0 };
        self.cells.push((column, cell_of(value, shift)));
        Ok(())
    }

    fn end(&mut self, batches: &mut Batches) -> Result<(), Halt> {
        self.end_row(batches)?;
        if self.columns.is_none() { self.read_header(batches) } else { Ok(()) }
    }

    fn end_row(&mut self, batches: &mut Batches) -> Result<(), Halt> {
        match self.columns {
            Some(columns) => batches.push(columns.row(self.sheet_row, self.cells.drain(..))),
            None if self.sheet_row == 0 => Ok(()),
            None => self.read_header(batches),
        }
    }

    fn read_header(&mut self, batches: &mut Batches) -> Result<(), Halt> {
        let area = self.config.range.area;
        let mut header =
            vec![Cell::Empty; self.cells.iter().map(|(column, _)| column + 1).max().unwrap_or(0)];
        for (column, cell) in self.cells.drain(..) {
            header[column] = cell;
        }
        let columns = Columns::locate(&header, &self.config.columns, area.first_row, area.first_column)
            .map_err(SourceError::SheetShape)?;
        self.columns = Some(columns);
        batches.begin(area.first_row + 1);
        Ok(())
    }
}

fn cell_of(value: &DataRef<'_>, shift: f64) -> Cell {
    match value {
        DataRef::Empty => Cell::Empty,
        DataRef::String(text) => Cell::of_text(text.clone()),
        DataRef::SharedString(text) => Cell::of_text((*text).to_owned()),
        DataRef::Int(number) => Cell::Number(*number as f64 + shift),
        DataRef::Float(number) => Cell::Number(number + shift),
        DataRef::DateTime(date) if date.is_duration() => Cell::Number(date.as_f64()),
        DataRef::DateTime(date) => Cell::Number(date.as_f64() + shift),
        DataRef::DateTimeIso(text) => {
            serial_of(text).map_or_else(|| Cell::of_text(text.clone()), Cell::Number)
        }
        DataRef::DurationIso(text) => Cell::of_text(text.clone()),
        DataRef::Bool(boolean) => Cell::Boolean(*boolean),
        DataRef::Error(error) => Cell::Error(error.to_string()),
    }
}

/// The serial number of an ISO 8601 date, as workbooks of the strict form have them.
fn serial_of(text: &str) -> Option<f64> {
    let moment: jiff::civil::DateTime = text.parse().ok()?;
    let days = (moment.date() - DAY_ZERO).get_days();
    let seconds = moment.time().duration_since(jiff::civil::Time::midnight()).as_secs_f64();
    Some(f64::from(days) + seconds / 86_400.0)
}

fn explain(error: XlsxError) -> String {
    match error {
        XlsxError::Password => "it has a password; save it without one".to_owned(),
        XlsxError::Io(error) => error.to_string(),
        XlsxError::CellError(text) => {
            format!("a cell holds the error {}, which is not known here; replace it", shown(&text, 20, 4))
        }
        // The rest are about the file's structure; a value that slipped in is masked.
        other => format!(
            "it is damaged ({}); open it in a spreadsheet program and save it again",
            shown(&other.to_string(), 200, 4)
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn iso_dates_become_serial_numbers() {
        assert_eq!(serial_of("2020-01-01"), Some(43831.0));
        assert_eq!(serial_of("2026-11-23T12:00:00"), Some(46349.5));
        assert_eq!(serial_of("besok"), None);
    }
}

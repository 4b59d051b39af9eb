//! Tables and properties of reading rows, a file per column and one for what holds for any text.

use jiff::tz::TimeZone;

use super::{CELL_CHARS, Cell, DateOrder, Reading, Reason, RowRules, SourceRow, Warning};

mod dates;
mod explanations;
mod niks;
mod phones;
mod properties;
mod rows;
mod unlisted;

const NIK: &str = "3171234567890001";
const PHONE: &str = "081234567890";
const DATE: &str = "2026-11-23";

fn jakarta() -> TimeZone {
    TimeZone::get("Asia/Jakarta").unwrap()
}

fn rules() -> RowRules {
    RowRules { run_date: DATE.parse().unwrap(), zone: jakarta(), date_order: DateOrder::Dmy }
}

fn text(text: &str) -> Cell {
    Cell::Text(text.to_owned())
}

fn row(nik: Cell, phone: Cell, updated: Cell) -> SourceRow {
    SourceRow { sheet_row: 7, nik, phone, updated, other_content: false }
}

/// The NIK and number a row of the run date is read as, and its warnings; or the reason.
fn read(nik: Cell, phone: Cell) -> Result<(String, String, Vec<Warning>), Reason> {
    match rules().read(&row(nik, phone, text(DATE))) {
        Reading::Valid(row) => Ok((row.nik.expose().to_owned(), row.phone.expose().to_owned(), row.warnings)),
        Reading::Rejected(rejection) => Err(rejection.reason),
        Reading::Blank | Reading::OtherDate => panic!("neither blank nor of another date"),
    }
}

fn read_nik(cell: Cell) -> Result<String, Reason> {
    read(cell, text(PHONE)).map(|(nik, _, _)| nik)
}

fn read_phone(cell: Cell) -> Result<String, Reason> {
    read(text(NIK), cell).map(|(_, phone, _)| phone)
}

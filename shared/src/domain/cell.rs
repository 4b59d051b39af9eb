//! A cell as its source gave it, before anyone decided what it means.

use std::fmt;

/// The most characters that are read of one cell: what a spreadsheet program allows
/// (<https://support.microsoft.com/office/1672b34d-7043-467e-8e27-269d656771c3>). Google allows 50,000.
pub const CELL_CHARS: usize = 32_767;

/// One cell of a sheet, unformatted.
///
/// A number is kept apart from text on purpose: a spreadsheet's number carries about 15 significant digits
/// (IEEE 754 binary64), so a NIK that was ever a number may not be the one that was typed.
#[derive(Clone, PartialEq, Default)]
pub enum Cell {
    /// Nothing was there, trailing cells that the source left out included.
    #[default]
    Empty,
    /// Text as typed; a CSV has nothing else.
    Text(String),
    /// A number. Dates are serial numbers of the 1900 system (1 January 1900 is 1; 43831 is 2020-01-01),
    /// with the time of day as fraction; a source with another epoch converts before it builds the cell.
    Number(f64),
    /// `TRUE` or `FALSE`.
    Boolean(bool),
    /// A formula's error as the spreadsheet shows it, for example `#REF!`.
    Error(String),
    /// A text of more than [`CELL_CHARS`] characters, none of which are kept.
    TooLong,
}

impl Cell {
    /// A text as a cell; none is cut.
    pub fn of_text(text: String) -> Self {
        if text.is_empty() {
            Self::Empty
        } else if text.len() > CELL_CHARS && text.chars().count() > CELL_CHARS {
            Self::TooLong
        } else {
            Self::Text(text)
        }
    }
}

impl fmt::Debug for Cell {
    /// Names the kind only: any cell may hold a NIK or a phone number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "Empty",
            Self::Text(_) => "Text(…)",
            Self::Number(_) => "Number(…)",
            Self::Boolean(_) => "Boolean(…)",
            Self::Error(_) => "Error(…)",
            Self::TooLong => "TooLong",
        })
    }
}

/// The three cells of one row that matter, found by header name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SourceRow {
    /// The row's number in the sheet as its user sees it; the header is row 1.
    pub sheet_row: u32,
    /// The cell under `SHEET_COLUMN_NIK`.
    pub nik: Cell,
    /// The cell under `SHEET_COLUMN_PHONE`.
    pub phone: Cell,
    /// The cell under `SHEET_COLUMN_UPDATED`.
    pub updated: Cell,
    /// Whether some other column of this row holds anything: a row that is blank in our three columns and
    /// everywhere else is blank, and does not count.
    pub other_content: bool,
}

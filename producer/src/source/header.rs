//! The header row: where the three columns are, and what to say when they are not there.

use std::fmt;

use shared::domain::Cell;

use super::error::shown;
use super::range::column_letters;

/// Header names shown in an explanation.
const SHOWN_NAMES: usize = 30;
/// Characters shown of each.
const SHOWN_CHARS: usize = 40;

/// The header names of the columns, compared without case, invisible characters and surrounding space.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnNames {
    /// `SHEET_COLUMN_NIK`.
    pub nik: String,
    /// `SHEET_COLUMN_PHONE`.
    pub phone: String,
    /// `SHEET_COLUMN_UPDATED`.
    pub updated: String,
}

impl Default for ColumnNames {
    fn default() -> Self {
        Self {
            nik: "nik".to_owned(),
            phone: "whatsapp_number".to_owned(),
            updated: "last_updated_date".to_owned(),
        }
    }
}

/// Where the columns are, counted from the first column read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Columns {
    pub nik: usize,
    pub phone: usize,
    pub updated: usize,
}

/// A header that does not have what is needed. Header names are no personal data; what might be (a header
/// row that is a data row) is masked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShapeFault {
    /// The row that was taken for the header.
    pub sheet_row: u32,
    /// What is missing or there more than once.
    pub problems: Vec<ColumnProblem>,
    /// The names found, at most 30, long ones cut, with digits masked.
    pub found: Vec<String>,
}

/// One column that is missing, or there more than once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnProblem {
    /// The setting that names it.
    pub setting: &'static str,
    /// The name looked for.
    pub wanted: String,
    /// The letters of the columns that have this name: none, or several.
    pub columns: Vec<String>,
}

impl Columns {
    /// Finds the columns in a header row that starts at column `first_column` (A is 0).
    pub fn locate(
        header: &[Cell],
        names: &ColumnNames,
        sheet_row: u32,
        first_column: u32,
    ) -> Result<Self, ShapeFault> {
        let found: Vec<String> = header.iter().map(name_of).collect();
        let mut problems = Vec::new();
        let mut find = |setting, wanted: &str| {
            let key = comparable(wanted);
            let places: Vec<usize> =
                (0..found.len()).filter(|&i| !key.is_empty() && comparable(&found[i]) == key).collect();
            if let [place] = places[..] {
                return place;
            }
            let letters = (first_column..).take(found.len()).map(column_letters).collect::<Vec<_>>();
            let columns = places.iter().map(|&place| letters[place].clone()).collect();
            problems.push(ColumnProblem { setting, wanted: wanted.to_owned(), columns });
            0
        };
        let columns = Self {
            nik: find("SHEET_COLUMN_NIK", &names.nik),
            phone: find("SHEET_COLUMN_PHONE", &names.phone),
            updated: find("SHEET_COLUMN_UPDATED", &names.updated),
        };
        if problems.is_empty() {
            return Ok(columns);
        }
        let found = found.iter().filter(|name| !comparable(name).is_empty());
        let found =
            found.map(|name| shown(&comparable_case(name), SHOWN_CHARS, 4)).take(SHOWN_NAMES).collect();
        Err(ShapeFault { sheet_row, problems, found })
    }
}

impl fmt::Display for ShapeFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "row {} is not the header that is needed: ", self.sheet_row)?;
        for (i, problem) in self.problems.iter().enumerate() {
            let ColumnProblem { setting, wanted, columns } = problem;
            f.write_str(if i == 0 { "" } else { ", " })?;
            match columns.as_slice() {
                [] => write!(f, "no column {wanted:?} ({setting})")?,
                several => write!(f, "{wanted:?} ({setting}) in columns {}", several.join(" and "))?,
            }
        }
        if self.found.is_empty() {
            f.write_str("; the row is empty")
        } else {
            write!(f, "; found: {}", self.found.join(", "))
        }
    }
}

fn name_of(cell: &Cell) -> String {
    match cell {
        Cell::Empty | Cell::TooLong => String::new(),
        Cell::Text(text) | Cell::Error(text) => text.clone(),
        Cell::Number(number) => number.to_string(),
        Cell::Boolean(boolean) => boolean.to_string(),
    }
}

fn comparable(name: &str) -> String {
    comparable_case(name).to_lowercase()
}

/// Without invisible characters, with white space (line breaks included) made single spaces.
fn comparable_case(name: &str) -> String {
    let visible: String = name.chars().filter(|&c| c.is_whitespace() || !is_invisible(c)).collect();
    visible.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Characters that show nothing: controls, joiners, direction marks, the byte order mark, soft hyphens and
/// variation selectors, as they come along when text is pasted from chats.
pub(super) fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180e}'
            | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(names: &[&str]) -> Vec<Cell> {
        names.iter().map(|name| Cell::Text((*name).to_owned())).collect()
    }

    fn locate(names: &[&str]) -> Result<Columns, ShapeFault> {
        Columns::locate(&header(names), &ColumnNames::default(), 1, 0)
    }

    #[test]
    fn finds_columns_in_any_order_and_dress() {
        let found = locate(&["No", " Last_Updated_DATE ", "x", "\u{feff}NIK", "whatsapp\u{200b}_number\n"]);
        assert_eq!(found, Ok(Columns { nik: 3, phone: 4, updated: 1 }));
    }

    #[test]
    fn names_what_is_missing_or_double_and_what_was_found() {
        let fault = locate(&["nik", "No HP", "", "NIK ", "last_updated_date"]).unwrap_err();
        assert_eq!(
            fault.to_string(),
            "row 1 is not the header that is needed: \"nik\" (SHEET_COLUMN_NIK) in columns A and D, \
             no column \"whatsapp_number\" (SHEET_COLUMN_PHONE); found: nik, No HP, NIK, last_updated_date"
        );
    }

    #[test]
    fn says_that_the_row_is_empty() {
        let fault = Columns::locate(&[], &ColumnNames::default(), 3, 1).unwrap_err();
        assert!(fault.to_string().ends_with("; the row is empty"), "{fault}");
        assert!(fault.to_string().starts_with("row 3 "), "{fault}");
    }

    #[test]
    fn shows_no_personal_data_of_a_row_that_is_no_header() {
        let long = "x".repeat(60);
        let mut names = vec!["3174012304560001", "+62 812-3456-7001", "2026", long.as_str()];
        names.extend(std::iter::repeat_n("more", 40));
        let fault = locate(&names).unwrap_err();
        assert_eq!(fault.found.len(), 30);
        assert_eq!(fault.found[..3], ["****", "+****", "2026"]);
        assert_eq!(fault.found[3].chars().count(), 41, "40 and an ellipsis");
    }

    #[test]
    fn a_name_set_to_nothing_is_found_nowhere() {
        let names = ColumnNames { nik: " ".to_owned(), ..ColumnNames::default() };
        let cells = header(&["", "whatsapp_number", "last_updated_date"]);
        assert!(Columns::locate(&cells, &names, 1, 0).is_err());
    }
}

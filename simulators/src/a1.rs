//! A1 notation (Sheets API, "A1 notation"): parsing a range, fitting it to a grid, writing it back.

use std::fmt;

use crate::sheet::Sheet;

/// Why a range cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum RangeError {
    /// Not A1 notation, or no such sheet.
    Unparsable,
    /// It starts beyond the grid: what it is, and the grid's rows and columns.
    BeyondGrid { range: String, rows: u32, columns: u32 },
}

/// A rectangle of a sheet; indexes count from 0, ends are exclusive.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct GridRange {
    pub(crate) sheet: usize,
    pub(crate) rows: std::ops::Range<u32>,
    pub(crate) columns: std::ops::Range<u32>,
    text: String,
}

impl GridRange {
    /// Reads a range of these sheets: `Sheet1`, `'My ''Sheet'''!A1:C9`, `Sheet1!A2:C`, `Sheet1!A:C`, `A1`.
    pub(crate) fn parse(text: &str, sheets: &[Sheet]) -> Result<Self, RangeError> {
        let titled = |name: &str| sheets.iter().position(|sheet| sheet.title == name);
        let (sheet, cells) = match split_title(text) {
            Some((title, cells)) => (titled(&unquoted(title)), Some(cells)),
            None => match titled(&unquoted(text)) {
                Some(sheet) => (Some(sheet), None),
                None => (Some(0), Some(text)),
            },
        };
        let at = sheet.ok_or(RangeError::Unparsable)?;
        let sheet = sheets.get(at).ok_or(RangeError::Unparsable)?;
        let (from, to) = match cells {
            Some(cells) => corners(cells).ok_or(RangeError::Unparsable)?,
            None => (Corner::default(), Corner::default()),
        };
        let span = |from: Option<u32>, to: Option<u32>, size: u32| {
            let (low, high) = match (from, to) {
                (Some(from), Some(to)) => (from.min(to), from.max(to) + 1),
                (from, to) => (from.unwrap_or(0), to.map_or(size, |to| to + 1)),
            };
            (low, high, low..high.min(size))
        };
        let (first_row, last_row, rows) = span(from.row, to.row, sheet.grid_rows);
        let (first_column, last_column, columns) = span(from.column, to.column, sheet.grid_columns);
        let written = |first_row, last_row, first_column, last_column| {
            let quoted = Quoted(&sheet.title);
            let start = format!("{}{}", Column(first_column), first_row + 1);
            let end = format!("{}{last_row}", Column(last_column - 1));
            if start == end { format!("{quoted}!{start}") } else { format!("{quoted}!{start}:{end}") }
        };
        if first_row >= sheet.grid_rows || first_column >= sheet.grid_columns {
            let range = written(first_row, last_row.max(first_row + 1), first_column, last_column.max(1));
            return Err(RangeError::BeyondGrid { range, rows: sheet.grid_rows, columns: sheet.grid_columns });
        }
        let text = written(rows.start, rows.end, columns.start, columns.end);
        Ok(Self { sheet: at, rows, columns, text })
    }
}

impl fmt::Display for GridRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[derive(Clone, Copy, Default)]
struct Corner {
    column: Option<u32>,
    row: Option<u32>,
}

/// Splits at the `!` that ends the sheet's title.
fn split_title(text: &str) -> Option<(&str, &str)> {
    if !text.starts_with('\'') {
        return text.rsplit_once('!');
    }
    let end = text.rfind("'!")?;
    Some((&text[..=end], &text[end + 2..]))
}

fn unquoted(title: &str) -> String {
    match title.strip_prefix('\'').and_then(|title| title.strip_suffix('\'')) {
        Some(inner) => inner.replace("''", "'"),
        None => title.to_owned(),
    }
}

fn corners(cells: &str) -> Option<(Corner, Corner)> {
    match cells.split_once(':') {
        Some((from, to)) => Some((corner(from)?, corner(to)?)),
        None => corner(cells).filter(|one| one.column.is_some() && one.row.is_some()).map(|one| (one, one)),
    }
}

fn corner(text: &str) -> Option<Corner> {
    let text = text.strip_prefix('$').unwrap_or(text);
    let letters = text.bytes().take_while(u8::is_ascii_alphabetic).count();
    let (column, row) = text.split_at(letters);
    let row = row.strip_prefix('$').unwrap_or(row);
    if letters > 3 || (column.is_empty() && row.is_empty()) {
        return None;
    }
    let column = column
        .bytes()
        .fold(None, |number, letter| {
            Some(number.unwrap_or(0) * 26 + u32::from(letter.to_ascii_uppercase() - b'A') + 1)
        })
        .map(|number| number - 1);
    let row = match row {
        "" => None,
        digits if digits.bytes().all(|byte| byte.is_ascii_digit()) && digits.len() <= 8 => {
            Some(digits.parse::<u32>().ok()?.checked_sub(1)?)
        }
        _ => return None,
    };
    Some(Corner { column, row })
}

struct Column(u32);

impl fmt::Display for Column {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 >= 26 {
            Column(self.0 / 26 - 1).fmt(f)?;
        }
        let letter = b'A' + u8::try_from(self.0 % 26).unwrap_or(0);
        write!(f, "{}", char::from(letter))
    }
}

struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = self.0.starts_with(|first: char| first.is_ascii_alphabetic())
            && self.0.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_');
        if plain { f.write_str(self.0) } else { write!(f, "'{}'", self.0.replace('\'', "''")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<String, RangeError> {
        let mut odd = Sheet::new("My 'Sheet'", Vec::new());
        (odd.grid_rows, odd.grid_columns) = (50, 28);
        GridRange::parse(text, &[Sheet::new("Sheet1", Vec::new()), odd]).map(|range| range.to_string())
    }

    #[test]
    fn ranges_are_fitted_to_the_grid() {
        let cases = [
            ("Sheet1", "Sheet1!A1:Z1000"),
            ("Sheet1!A2:C", "Sheet1!A2:C1000"),
            ("Sheet1!A:C", "Sheet1!A1:C1000"),
            ("Sheet1!5:6", "Sheet1!A5:Z6"),
            ("Sheet1!$B$2", "Sheet1!B2"),
            ("Sheet1!C5:A1", "Sheet1!A1:C5"),
            ("A1:B2", "Sheet1!A1:B2"),
            ("Sheet1!A990:C5000", "Sheet1!A990:C1000"),
            ("'My ''Sheet'''!A1:C100", "'My ''Sheet'''!A1:C50"),
            ("'My ''Sheet'''", "'My ''Sheet'''!A1:AB50"),
            ("'Sheet1'!A1", "Sheet1!A1"),
        ];
        for (asked, given) in cases {
            assert_eq!(read(asked).as_deref(), Ok(given), "{asked}");
        }
        for asked in ["NOPE!A5:F15", "Sheet1!", "Sheet1!A", "Sheet1!A0", "Sheet1!A1:", "Sheet1!ABCD1", "nope"]
        {
            assert_eq!(read(asked), Err(RangeError::Unparsable), "{asked}");
        }
        let beyond =
            RangeError::BeyondGrid { range: "Sheet1!A1001:C1200".to_owned(), rows: 1000, columns: 26 };
        assert_eq!(read("Sheet1!A1001:C1200"), Err(beyond));
    }
}

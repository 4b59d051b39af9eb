//! `SHEET_RANGE`: a sheet name or an A1 range, read and written.
//!
//! The notation is Google's (<https://developers.google.com/workspace/sheets/api/guides/concepts#cell>),
//! without R1C1 and without named ranges.

use std::fmt::Write as _;
use std::str::FromStr;

/// Google's limit is 18,278 columns: three letters.
const COLUMN_LETTERS_LIMIT: usize = 3;

/// Which part of which sheet to read; its first row is the header.
///
/// Written `Sheet1`, `'My Sheet'`, `Sheet1!A1:F`, `Sheet1!B3:F500` or `A1:F` (on the first sheet).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SheetRange {
    /// The sheet's (tab's) name; `None` is the first sheet.
    pub tab: Option<String>,
    /// The part of it.
    pub area: Area,
}

/// A rectangle of cells, open to the right and below where it does not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Area {
    /// First column, A is 0.
    pub first_column: u32,
    /// Last column, included.
    pub last_column: Option<u32>,
    /// First row, which is the header; the sheet's first is 1.
    pub first_row: u32,
    /// Last row, included.
    pub last_row: Option<u32>,
}

/// A `SHEET_RANGE` that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{found:?} is not a sheet name or an A1 range, such as Sheet1, 'My Sheet'!A1:F or Sheet1!B3:F500: {problem}"
)]
pub struct RangeError {
    /// The value as it was given.
    pub found: String,
    /// What is wrong with it.
    pub problem: &'static str,
}

impl Default for SheetRange {
    fn default() -> Self {
        Self { tab: Some("Sheet1".to_owned()), area: Area::default() }
    }
}

impl Default for Area {
    fn default() -> Self {
        Self { first_column: 0, last_column: None, first_row: 1, last_row: None }
    }
}

impl Area {
    /// Whether the cell lies within; `column` counts from 0, `row` from 1.
    pub fn contains(&self, column: u32, row: u32) -> bool {
        column >= self.first_column
            && self.last_column.is_none_or(|last| column <= last)
            && row >= self.first_row
            && self.last_row.is_none_or(|last| row <= last)
    }
}

impl FromStr for SheetRange {
    type Err = RangeError;

    fn from_str(text: &str) -> Result<Self, RangeError> {
        let fail = |problem| RangeError { found: text.to_owned(), problem };
        let trimmed = text.trim();
        if let Some(rest) = trimmed.strip_prefix('\'') {
            let (tab, rest) = unquote(rest).ok_or_else(|| fail("the quotation mark is not closed"))?;
            return match rest.strip_prefix('!') {
                Some(area) => Self::on(tab, area).map_err(fail),
                None if rest.is_empty() => Self::on(tab, "").map_err(fail),
                None => Err(fail("after the quoted name comes ! and a range, or nothing")),
            };
        }
        match trimmed.rsplit_once('!') {
            Some((_, "")) => Err(fail("after ! comes a range")),
            Some((tab, area)) => Self::on(tab.to_owned(), area).map_err(fail),
            None => match parse_area(trimmed) {
                Ok(area) if trimmed.contains(':') => Ok(Self { tab: None, area }),
                _ => Self::on(trimmed.to_owned(), "").map_err(fail),
            },
        }
    }
}

impl SheetRange {
    fn on(tab: String, area: &str) -> Result<Self, &'static str> {
        if tab.is_empty() {
            return Err("the sheet's name is empty");
        }
        let area = if area.is_empty() { Area::default() } else { parse_area(area)? };
        Ok(Self { tab: Some(tab), area })
    }
}

/// The text up to the closing quotation mark, with doubled ones made single, and what follows.
fn unquote(text: &str) -> Option<(String, &str)> {
    let mut name = String::new();
    let mut rest = text;
    loop {
        let (part, after) = rest.split_once('\'')?;
        name.push_str(part);
        match after.strip_prefix('\'') {
            Some(after) => {
                name.push('\'');
                rest = after;
            }
            None => return Some((name, after)),
        }
    }
}

fn parse_area(text: &str) -> Result<Area, &'static str> {
    let (from, to) = text.split_once(':').ok_or("a range has two corners, as in A1:F")?;
    let (first_column, first_row) = parse_corner(from)?;
    let (last_column, last_row) = parse_corner(to)?;
    let area = Area {
        first_column: first_column.unwrap_or(0),
        last_column,
        first_row: first_row.unwrap_or(1),
        last_row,
    };
    if last_column.is_some_and(|last| last < area.first_column) {
        return Err("the last column comes before the first");
    }
    if last_row.is_some_and(|last| last < area.first_row) {
        return Err("the last row comes before the first");
    }
    Ok(area)
}

/// `B3`, `$B$3`, `B` or `3`.
fn parse_corner(text: &str) -> Result<(Option<u32>, Option<u32>), &'static str> {
    const PROBLEM: &str = "a corner is written like B3, B or 3";
    let text = text.trim();
    let text = text.strip_prefix('$').unwrap_or(text);
    let digits_at = text.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (letters, row) = text.split_at(digits_at);
    let row = row.strip_prefix('$').unwrap_or(row);
    let column = match letters.len() {
        0 => None,
        1..=COLUMN_LETTERS_LIMIT => {
            Some(letters.bytes().fold(0, |n, b| n * 26 + u32::from(b.to_ascii_uppercase() - b'A') + 1) - 1)
        }
        _ => return Err(PROBLEM),
    };
    let row = match row {
        "" => None,
        digits if digits.bytes().all(|b| b.is_ascii_digit()) => {
            Some(digits.parse().ok().filter(|row| (1..=super::LAST_ROW).contains(row)).ok_or(PROBLEM)?)
        }
        _ => return Err(PROBLEM),
    };
    if column.is_none() && row.is_none() { Err(PROBLEM) } else { Ok((column, row)) }
}

/// The letters of a column, A for 0.
pub(super) fn column_letters(column: u32) -> String {
    let mut letters = Vec::new();
    let mut rest = column + 1;
    while rest > 0 {
        rest -= 1;
        letters.push(char::from(b'A' + u8::try_from(rest % 26).expect("a remainder of 26 fits a byte")));
        rest /= 26;
    }
    letters.iter().rev().collect()
}

/// The A1 notation of a rectangle, all bounds included, with the sheet's name quoted.
pub(super) fn a1(tab: &str, columns: (u32, u32), rows: (u32, u32)) -> String {
    let mut text = format!("'{}'!", tab.replace('\'', "''"));
    write!(text, "{}{}:{}{}", column_letters(columns.0), rows.0, column_letters(columns.1), rows.1)
        .expect("writing to a String does not fail");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(text: &str) -> SheetRange {
        text.parse().unwrap()
    }

    fn area(columns: (u32, Option<u32>), rows: (u32, Option<u32>)) -> Area {
        Area { first_column: columns.0, last_column: columns.1, first_row: rows.0, last_row: rows.1 }
    }

    #[test]
    fn reads_a_name_alone() {
        assert_eq!(range("Sheet1"), SheetRange::default());
        for (text, tab) in [
            (" Data 2026 ", "Data 2026"),
            ("'My Sheet'", "My Sheet"),
            ("'It''s A1:F!'", "It's A1:F!"),
            ("A1", "A1"),
            ("Nomor: baru", "Nomor: baru"),
        ] {
            assert_eq!(
                range(text),
                SheetRange { tab: Some(tab.to_owned()), area: Area::default() },
                "{text}"
            );
        }
    }

    #[test]
    fn reads_a_range() {
        for (text, tab, expected) in [
            ("Sheet1!A1:F", Some("Sheet1"), area((0, Some(5)), (1, None))),
            ("Sheet1!B3:F500", Some("Sheet1"), area((1, Some(5)), (3, Some(500)))),
            ("'a!b'!$C$2:$AA", Some("a!b"), area((2, Some(26)), (2, None))),
            ("a!b!c:e", Some("a!b"), area((2, Some(4)), (1, None))),
            ("Sheet1!3:9", Some("Sheet1"), area((0, None), (3, Some(9)))),
            ("A2:F", None, area((0, Some(5)), (2, None))),
        ] {
            assert_eq!(range(text), SheetRange { tab: tab.map(str::to_owned), area: expected }, "{text}");
        }
    }

    #[test]
    fn refuses_what_it_would_have_to_guess() {
        for text in
            ["", "'open", "'a'b", "Sheet1!", "Sheet1!A1", "S!F1:A9", "S!A9:F3", "S!A0:F", "S!ABCD:F", "!A:B"]
        {
            assert!(text.parse::<SheetRange>().is_err(), "{text}");
        }
    }

    #[test]
    fn writes_what_google_reads() {
        assert_eq!(a1("It's", (0, 27), (2, 5001)), "'It''s'!A2:AB5001");
        assert_eq!(column_letters(701), "ZZ");
        assert_eq!(column_letters(702), "AAA");
    }

    #[test]
    fn an_area_knows_its_cells() {
        let area = area((1, Some(5)), (3, Some(500)));
        assert!(area.contains(1, 3) && area.contains(5, 500));
        assert!(
            !area.contains(0, 3) && !area.contains(1, 2) && !area.contains(6, 3) && !area.contains(1, 501)
        );
    }
}

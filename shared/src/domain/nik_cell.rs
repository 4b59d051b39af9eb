//! A cell read as a NIK.

use super::clean::plain;
use super::pieces::{Group, Labels, Pieces};
use super::vocabulary::{is_spreadsheet_error, says_nothing};
use super::{Cell, Nik, Reason, Warning};

/// What stands in front of a NIK without being part of it. Not `KK`: a family card's number has 16 digits too,
/// and is another one.
const LABELS: Labels =
    &["nik", "ktp", "ktpel", "ektp", "e", "el", "no", "nomor", "nomer", "num", "number", "id"];

/// A NIK that was read, and whether the cell held it more than once.
pub(super) struct NikFound {
    pub nik: Nik,
    pub repeated: bool,
}

impl NikFound {
    /// What is odd about it.
    pub fn warnings(&self) -> impl Iterator<Item = Warning> {
        self.nik.oddities().chain(self.repeated.then_some(Warning::NikRepeated))
    }
}

/// Reads the cell under `SHEET_COLUMN_NIK`.
///
/// A number is never a NIK, however many digits it shows: a cell's number carries about 15, and the result
/// can be another person's.
pub(super) fn read(cell: &Cell) -> Result<NikFound, Reason> {
    match cell {
        Cell::Empty => Err(Reason::NikMissing),
        Cell::Number(_) => Err(Reason::NikLostPrecision),
        Cell::Boolean(_) => Err(Reason::NikNot16Digits),
        Cell::Error(_) => Err(Reason::CellError),
        Cell::TooLong => Err(Reason::CellTooLong),
        Cell::Text(text) => match text.parse() {
            Ok(nik) => accept(nik, false),
            Err(_) => read_text(&plain(text)),
        },
    }
}

fn accept(nik: Nik, repeated: bool) -> Result<NikFound, Reason> {
    if nik.serial_is_zero() { Err(Reason::NikLostPrecision) } else { Ok(NikFound { nik, repeated }) }
}

fn read_text(text: &str) -> Result<NikFound, Reason> {
    if is_spreadsheet_error(text) {
        return Err(Reason::CellError);
    }
    if says_nothing(text, LABELS) {
        return Err(Reason::NikMissing);
    }
    // A line break inside a NIK is a space; two NIKs on two lines still come apart in sixteens.
    let text = text.replace('\n', " ");
    let pieces = Pieces::of(&text, LABELS);
    if pieces.scientific || went_through_a_number(&text) {
        return Err(Reason::NikLostPrecision);
    }
    let mut niks: Vec<Nik> = Vec::new();
    let mut count = 0;
    let mut understood = !pieces.damaged && !pieces.remark;
    for group in &pieces.groups {
        let found = sixteens(group);
        understood &= !found.is_empty() && !group.plus;
        count += found.len();
        for nik in found {
            if !niks.contains(&nik) {
                niks.push(nik);
            }
        }
    }
    match (niks.len(), niks.pop()) {
        (1, Some(nik)) if understood => accept(nik, count > 1),
        (0 | 1, _) => Err(Reason::NikNot16Digits),
        _ => Err(Reason::NikSeveral),
    }
}

/// The NIKs of a group, if its runs make up sixteens without a rest. A bracket that opens inside of one is a
/// remark, and the digits in it are not the NIK's.
fn sixteens(group: &Group<'_>) -> Vec<Nik> {
    let mut niks = Vec::new();
    let mut digits = String::with_capacity(16);
    for run in &group.runs {
        if run.is_bracketed() && !digits.is_empty() {
            return Vec::new();
        }
        digits.push_str(run.digits);
        if let Ok(nik) = digits.parse() {
            niks.push(nik);
            digits.clear();
        }
    }
    if digits.is_empty() { niks } else { Vec::new() }
}

/// Whether the digits are written as a spreadsheet shows a number: with a decimal part, or divided into
/// thousands. Nobody divides a NIK into thousands by hand.
fn went_through_a_number(text: &str) -> bool {
    let is_digit = |c: char| c.is_ascii_digit();
    let (Some(first), Some(last)) = (text.find(is_digit), text.rfind(is_digit)) else { return false };
    let number = &text[first..=last];
    let all_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, decimals) = match number.rfind(['.', ',']) {
        Some(at) => (&number[..at], Some(&number[at + 1..])),
        None => (number, None),
    };
    let decimal_part = decimals
        .is_some_and(|part| all_digits(part) && (part.len() <= 2 || part.bytes().all(|byte| byte == b'0')));
    let thousands = |number: &str, mark: char| {
        let mut groups = number.split(mark);
        let first = groups.next().is_some_and(|group| all_digits(group) && group.len() <= 3);
        let (groups, three) = groups.fold((0, true), |(count, three), group| {
            (count + 1, three && all_digits(group) && group.len() == 3)
        });
        first && three && groups >= 4
    };
    let divided = |number: &str| thousands(number, '.') || thousands(number, ',');
    divided(number) || (decimal_part && ((all_digits(whole) && whole.len() > 4) || divided(whole)))
}

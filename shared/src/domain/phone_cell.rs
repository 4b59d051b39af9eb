//! A cell read as a WhatsApp number.

use super::clean::plain;
use super::links::unwrapped;
use super::numbering::{Numbered, number};
use super::pieces::{Group, Labels, Pieces, Run};
use super::vocabulary::{is_spreadsheet_error, says_nothing};
use super::{Cell, PhoneNumber, Reason, Warning};

/// What stands around a number without saying whose it is.
const LABELS: Labels = &[
    "wa",
    "w.a",
    "whatsapp",
    "whatsap",
    "hp",
    "h.p",
    "handphone",
    "no",
    "nomor",
    "nomer",
    "num",
    "number",
    "telp",
    "telepon",
    "telpon",
    "telephone",
    "tel",
    "tlp",
    "tlpn",
    "telf",
    "phone",
    "mobile",
    "cell",
    "cellphone",
    "ponsel",
    "seluler",
    "selular",
    "kontak",
    "contact",
    "call",
    "callto",
    "sms",
    "smsto",
    "chat",
];

/// Text longer than this is no number with its dress; two numbers with long links fit well.
const LONGEST: usize = 1000;

/// Fewer digits than this beside a number are part of a remark, such as a house number; more are another one.
const SECOND_NUMBER: usize = 7;

/// A number that was read, and what is odd about it.
pub(super) struct PhoneFound {
    pub number: PhoneNumber,
    pub unlikely: bool,
    pub repeated: bool,
}

impl PhoneFound {
    /// What is odd about it.
    pub fn warnings(&self) -> impl Iterator<Item = Warning> {
        let unlikely = self.unlikely.then_some(Warning::PhoneUnlikelyPrefix);
        unlikely.into_iter().chain(self.repeated.then_some(Warning::PhoneRepeated))
    }
}

/// Reads the cell under `SHEET_COLUMN_PHONE`.
///
/// A whole number is accepted, unlike in the NIK column: a cell's number is exact up to 15 digits, and eats
/// nothing of a phone number but the leading `0` or `+`.
pub(super) fn read(cell: &Cell) -> Result<PhoneFound, Reason> {
    match cell {
        Cell::Empty => Err(Reason::PhoneMissing),
        Cell::Number(value) => match whole_digits(*value) {
            Some(digits) => read_plain(&digits),
            None => Err(Reason::PhoneInvalid),
        },
        Cell::Boolean(_) => Err(Reason::PhoneInvalid),
        Cell::Error(_) => Err(Reason::CellError),
        Cell::TooLong => Err(Reason::CellTooLong),
        Cell::Text(text) => match at_a_glance(text) {
            Some(found) => Ok(found),
            None => read_plain(&plain(text)),
        },
    }
}

/// The digits of a whole number below 10^16, where binary64 still holds every whole number.
fn whole_digits(value: f64) -> Option<String> {
    ((0.0..1e16).contains(&value) && value.fract() == 0.0).then(|| format!("{value:.0}"))
}

/// The spelling of nearly every row, without taking the text apart: an Indonesian mobile number in digits,
/// with at most one space or dash between two of them. Whatever this accepts, `read_plain` accepts as the
/// same number (a property test holds them together).
pub(super) fn at_a_glance(text: &str) -> Option<PhoneFound> {
    let text = text.trim_matches(' ');
    let (plus, body) = match text.strip_prefix('+') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let mut digits = [0_u8; 14];
    let mut len = 0;
    let mut between = true;
    for byte in body.bytes() {
        match byte {
            b'0'..=b'9' => {
                *digits.get_mut(len)? = byte;
                len += 1;
                between = false;
            }
            b' ' | b'-' if !between => between = true,
            _ => return None,
        }
    }
    let digits = std::str::from_utf8(&digits[..len]).ok()?;
    let starts_like_mobile = if plus {
        digits.starts_with("628")
    } else {
        digits.starts_with("08") || digits.starts_with("628") || digits.starts_with('8')
    };
    if between || !starts_like_mobile {
        return None;
    }
    match number(digits, plus) {
        Numbered::Mobile { number, unlikely } => Some(PhoneFound { number, unlikely, repeated: false }),
        Numbered::Other(_) | Numbered::Nothing => None,
    }
}

/// Reads a text that `plain` has cleaned.
pub(super) fn read_plain(text: &str) -> Result<PhoneFound, Reason> {
    if is_spreadsheet_error(text) {
        return Err(Reason::CellError);
    }
    // `0` alone is what an empty cell becomes when something computes with it.
    if text == "0" || says_nothing(text, LABELS) {
        return Err(Reason::PhoneMissing);
    }
    let content = Content::of(text).ok_or(Reason::PhoneInvalid)?;
    let mut mobiles = content.mobiles;
    let other_number = content.others > 0 || content.long_rest;
    match (mobiles.len(), mobiles.pop()) {
        (0, _) if content.others > 0 => Err(Reason::PhoneNotMobile),
        (1, Some(_)) if other_number => Err(Reason::PhoneSeveral),
        (1, Some(_)) if content.remark => Err(Reason::PhoneNote),
        (1, Some((number, unlikely))) if !content.short_rest => {
            Ok(PhoneFound { number, unlikely, repeated: content.repeated })
        }
        (0 | 1, _) => Err(Reason::PhoneInvalid),
        _ => Err(Reason::PhoneSeveral),
    }
}

/// The one number, mobile or not, that a text is a spelling of.
pub(super) fn any_number(text: &str) -> Option<PhoneNumber> {
    if let Some(found) = at_a_glance(text) {
        return Some(found.number);
    }
    let content = Content::of(&plain(text))?;
    if content.remark || content.long_rest || content.short_rest {
        return None;
    }
    match (content.mobiles.as_slice(), content.other.as_ref(), content.others) {
        ([(number, _)], None, 0) => Some(number.clone()),
        ([], Some(number), 1) => Some(number.clone()),
        _ => None,
    }
}

/// The different numbers of a text, and what is left over.
#[derive(Default)]
struct Content {
    mobiles: Vec<(PhoneNumber, bool)>,
    repeated: bool,
    /// Numbers that are not mobile, and the last of them that has an E.164.
    others: usize,
    other: Option<PhoneNumber>,
    long_rest: bool,
    short_rest: bool,
    remark: bool,
}

impl Content {
    /// Takes a cleaned text apart; nothing where something that is not dress stands among its digits.
    fn of(text: &str) -> Option<Self> {
        if text.len() > LONGEST {
            return None;
        }
        let text = unwrapped(text)?;
        let pieces = Pieces::of(&text, LABELS);
        let broken = |group: &Group<'_>| group.is_decimal() || group.is_masked();
        if pieces.damaged || pieces.scientific || pieces.groups.iter().any(broken) {
            return None;
        }
        let mut content = Self { remark: pieces.remark, ..Self::default() };
        for group in &pieces.groups {
            let mut runs = group.runs.as_slice();
            let mut plus = group.plus;
            while let Some(at) = bracketed(runs) {
                content.add(&runs[..at], plus);
                (runs, plus) = (&runs[at..], false);
            }
            content.add(runs, plus);
        }
        Some(content)
    }

    fn add(&mut self, runs: &[Run<'_>], plus: bool) {
        let digits: String = runs.iter().map(|run| run.digits).collect();
        match number(&digits, plus) {
            Numbered::Mobile { number, unlikely } => self.add_mobile(number, unlikely),
            Numbered::Other(number) => {
                self.others += 1;
                self.other = number.or(self.other.take());
            }
            Numbered::Nothing => match side_by_side(runs, plus) {
                Some(numbers) => numbers.into_iter().for_each(|(number, odd)| self.add_mobile(number, odd)),
                None if digits.len() < SECOND_NUMBER => self.short_rest = true,
                None => self.long_rest = true,
            },
        }
    }

    fn add_mobile(&mut self, number: PhoneNumber, unlikely: bool) {
        if self.mobiles.iter().any(|(known, _)| *known == number) {
            self.repeated = true;
        } else {
            self.mobiles.push((number, unlikely));
        }
    }
}

/// Where a bracket opens behind more digits than an area or country code has: `(0812) 3456` and `+62 (812) 3456` are
/// one number, `081234567890 (1)` is a number and a remark.
fn bracketed(runs: &[Run<'_>]) -> Option<usize> {
    const LONGEST_CODE: usize = 4;
    let mut before = 0;
    runs.iter().position(|run| {
        let remark = run.is_bracketed() && before > LONGEST_CODE;
        before += run.digits.len();
        remark
    })
}

/// Two mobile numbers or more with only a space between them, where the group falls apart into whole numbers
/// in exactly one way.
fn side_by_side(runs: &[Run<'_>], plus: bool) -> Option<Vec<(PhoneNumber, bool)>> {
    /// Nobody types three numbers in more pieces; the ways to divide them grow with each.
    const MOST_RUNS: usize = 15;
    if runs.len() > MOST_RUNS {
        return None;
    }
    let mut ways = divisions(runs, plus);
    match (ways.len(), ways.pop()) {
        (1, Some(numbers)) => Some(numbers),
        _ => None,
    }
}

fn divisions(runs: &[Run<'_>], plus: bool) -> Vec<Vec<(PhoneNumber, bool)>> {
    let mut ways = Vec::new();
    let mut digits = String::new();
    for (index, run) in runs.iter().enumerate() {
        digits.push_str(run.digits);
        if digits.len() > 16 {
            break;
        }
        let Numbered::Mobile { number, unlikely } = number(&digits, plus) else { continue };
        let rest = &runs[index + 1..];
        if rest.is_empty() {
            ways.push(vec![(number, unlikely)]);
        } else if rest[0].gap.contains(' ') {
            for mut way in divisions(rest, false) {
                way.insert(0, (number.clone(), unlikely));
                ways.push(way);
            }
        }
    }
    ways
}

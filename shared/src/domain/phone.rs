//! The phone number in its one stored form, E.164. What makes digits a number is in `numbering`, how a cell
//! is read as one in `phone_cell`.

use std::fmt;
use std::str::FromStr;

use super::phone_cell;

/// `+` and at most 15 digits (ITU-T E.164, 6.2.1).
const LONGEST: usize = 16;

/// A phone number in E.164: `+`, country code, national number, nothing else. `Debug` and `Display` mask.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PhoneNumber {
    /// Padded with zero bytes, so that the derived comparisons are those of the text.
    text: [u8; LONGEST],
    len: u8,
}

/// The text was not in E.164. The text itself is left out: it may be most of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a phone number is written in E.164: + and 7 to 15 digits, the first not 0")]
pub struct NotE164;

impl PhoneNumber {
    /// The number in clear, `+6281234567890`, for the FHIR write and for sealing.
    pub fn expose(&self) -> &str {
        std::str::from_utf8(&self.text[..usize::from(self.len)]).expect("only ASCII is ever stored")
    }

    /// Country code, the start of the national number and the last two digits: `+62812******90`. What
    /// reports show as `phone_masked`. At least five digits are hidden, of short numbers too.
    pub fn masked(&self) -> String {
        let text = self.expose();
        let hidden = (text.len() - 8).max(5);
        let shown = text.len() - 2 - hidden;
        format!("{}{}{}", &text[..shown], "*".repeat(hidden), &text[text.len() - 2..])
    }

    /// Normalises the value of a FHIR ContactPoint with the cleaning that cells get, to compare it with a
    /// number. Landlines count here too; the default region is Indonesia. `None` where the value is not
    /// exactly one number that is understood without guessing.
    pub fn from_telecom(value: &str) -> Option<Self> {
        phone_cell::any_number(value)
    }

    /// The number of a country code and a national number, both digits only.
    pub(super) fn from_digits(country: &str, national: &str) -> Option<Self> {
        let len = 1 + country.len() + national.len();
        let digits = || country.bytes().chain(national.bytes());
        let starts_well = digits().next().is_some_and(|first| first != b'0');
        if !(8..=LONGEST).contains(&len) || !starts_well || !digits().all(|digit| digit.is_ascii_digit()) {
            return None;
        }
        let mut text = [0; LONGEST];
        text[0] = b'+';
        for (place, digit) in text[1..].iter_mut().zip(digits()) {
            *place = digit;
        }
        Some(Self { text, len: u8::try_from(len).expect("at most 16") })
    }
}

impl FromStr for PhoneNumber {
    type Err = NotE164;

    fn from_str(text: &str) -> Result<Self, NotE164> {
        let digits = text.strip_prefix('+').ok_or(NotE164)?;
        Self::from_digits("", digits).ok_or(NotE164)
    }
}

impl fmt::Debug for PhoneNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PhoneNumber({})", self.masked())
    }
}

impl fmt::Display for PhoneNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.masked())
    }
}

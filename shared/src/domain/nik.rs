//! The NIK, Indonesia's 16-digit population number. How a cell is read as one is in `nik_cell`.

use std::fmt;
use std::str::FromStr;

use super::Warning;

/// Sixteen zeros. No NIK can be this one (its province, birth date and serial are all impossible), so a
/// search for it must come back empty; `rows.md` asks every process to check that before its first write.
pub const IMPOSSIBLE_NIK: &str = "0000000000000000";

const DIGITS: usize = 16;

/// A NIK: 16 ASCII digits, laid out as province, regency and district (2 digits each), birth date `DDMMYY`
/// with 40 added to the day for women, and a serial of 4 (Dukcapil).
///
/// Any 16 digits are accepted here: NIKs stay as issued even when issued oddly. `Debug` and `Display` mask.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Nik([u8; DIGITS]);

/// The text was not exactly 16 ASCII digits. The text itself is left out: it may be most of a NIK.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a NIK is exactly 16 digits, without spaces or punctuation")]
pub struct NotANik;

impl Nik {
    /// The digits in clear, for the FHIR search and for sealing.
    pub fn expose(&self) -> &str {
        std::str::from_utf8(&self.0).expect("only ASCII digits are ever stored")
    }

    /// The NIK of sixteen zeros that nobody has.
    pub fn impossible() -> Self {
        Self([b'0'; DIGITS])
    }

    /// Province, regency and the last two digits; ten asterisks between. What reports show as `nik_masked`.
    ///
    /// The first four digits are shared by a whole regency, so together with two of the serial they tell an
    /// officer which row is meant and nobody else whose it is.
    pub fn masked(&self) -> String {
        let digits = self.expose();
        format!("{}**********{}", &digits[..4], &digits[14..])
    }

    /// Whether the serial is 0000. Serials start at 0001 (Dukcapil), and a number cell that lost its last
    /// digits ends in zeros, so this is a lost precision rather than a NIK.
    pub(super) fn serial_is_zero(&self) -> bool {
        self.0[12..] == *b"0000"
    }

    /// What is unlikely about it, though it may have been issued so.
    pub(super) fn oddities(&self) -> impl Iterator<Item = Warning> {
        let province = (!is_province(self.pair(0))).then_some(Warning::NikUnlikelyProvince);
        let birth_date = (!self.has_likely_birth_date()).then_some(Warning::NikUnlikelyBirthDate);
        province.into_iter().chain(birth_date)
    }

    fn pair(&self, at: usize) -> u8 {
        (self.0[at] - b'0') * 10 + (self.0[at + 1] - b'0')
    }

    fn has_likely_birth_date(&self) -> bool {
        let (day, month, year) = (self.pair(6), self.pair(8), self.pair(10));
        let day = if day > 40 { day - 40 } else { day };
        let longest = match month {
            1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
            4 | 6 | 9 | 11 => 30,
            // The century is not in the NIK: 00 may be 2000, a leap year, or 1900, which was none.
            2 if year.is_multiple_of(4) => 29,
            2 => 28,
            _ => return false,
        };
        (1..=longest).contains(&day)
    }
}

/// Whether a code is that of a province in the region codes of the Ministry of Home Affairs, or was one while
/// NIKs were issued with it (54, Timor Timur).
fn is_province(code: u8) -> bool {
    matches!(code, 11..=19 | 21 | 31..=36 | 51..=54 | 61..=65 | 71..=76 | 81..=82 | 91..=96)
}

impl FromStr for Nik {
    type Err = NotANik;

    fn from_str(text: &str) -> Result<Self, NotANik> {
        let digits: [u8; DIGITS] = text.as_bytes().try_into().map_err(|_| NotANik)?;
        if digits.iter().all(u8::is_ascii_digit) { Ok(Self(digits)) } else { Err(NotANik) }
    }
}

impl fmt::Debug for Nik {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Nik({})", self.masked())
    }
}

impl fmt::Display for Nik {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.masked())
    }
}

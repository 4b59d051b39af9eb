//! Which digits are a phone number: Indonesia's plan as far as we know it by heart, the metadata of
//! libphonenumber for everything else.

use phonenumber::Type;
use phonenumber::metadata::DATABASE;

use super::PhoneNumber;

/// What digits turn out to be.
#[derive(Debug, PartialEq)]
pub(super) enum Numbered {
    /// A mobile number, or one of a plan that does not tell mobile from fixed (North America).
    Mobile {
        /// The number.
        number: PhoneNumber,
        /// It is of a range that the plan leaves unassigned.
        unlikely: bool,
    },
    /// A landline, toll-free, premium or short number; the last have no E.164.
    Other(Option<PhoneNumber>),
    /// No number, or one that cannot be told without guessing.
    Nothing,
}

impl Numbered {
    fn is_mobile(&self) -> bool {
        matches!(self, Self::Mobile { .. })
    }
}

/// Decides about digits as they were typed or dialled from Indonesia; `plus` says that a `+` stood in front.
///
/// `0812…`, `62812…` and `812…` are Indonesian; a `0` kept behind `62` is the trunk prefix, as in
/// `+62 (0)812…`. Any other country needs its `+`, or the international prefix `00`. Where `00` is followed
/// by 1, 7, 8 or 9 it could as well be one of Indonesia's own carrier prefixes (001, 007, 008, 009): that
/// would be guessing.
pub(super) fn number(digits: &str, plus: bool) -> Numbered {
    if plus {
        return match digits.strip_prefix("62") {
            Some(national) => with_country_code(national),
            None => foreign(digits),
        };
    }
    if let Some(rest) = digits.strip_prefix("00") {
        return if rest.starts_with(['0', '1', '7', '8', '9']) {
            Numbered::Nothing
        } else {
            number(rest, true)
        };
    }
    if let Some(national) = digits.strip_prefix('0') {
        return indonesian(national);
    }
    if let Some(national) = digits.strip_prefix("62") {
        let with_code = with_country_code(national);
        if with_code != Numbered::Nothing {
            return with_code;
        }
    }
    if is_short(digits) {
        return Numbered::Other(None);
    }
    match indonesian(digits) {
        // Six leading digits may be Singapore's without its `+` as well as an area code without its `0`.
        Numbered::Other(None) => Numbered::Nothing,
        decided => decided,
    }
}

fn with_country_code(national: &str) -> Numbered {
    let bare = national.strip_prefix('0').unwrap_or(national);
    // `+62 62 812…`: the code twice is a mobile number with a mistake, whatever area 0628 says.
    if bare.strip_prefix("62").is_some_and(|rest| indonesian_mobile(rest).is_mobile()) {
        return Numbered::Nothing;
    }
    indonesian(bare)
}

/// Decides about an Indonesian number without country code and trunk prefix.
fn indonesian(national: &str) -> Numbered {
    match national.as_bytes() {
        [b'8', b'1'..=b'9', ..] => indonesian_mobile(national),
        [b'8', b'0', b'0' | b'4' | b'7' | b'9', ..] if (8..=12).contains(&national.len()) => {
            Numbered::Other(PhoneNumber::from_digits("62", national).filter(is_known))
        }
        // Area codes begin with 2 to 7 and 9, 15 and 177 are call centres. The metadata's list of areas and
        // lengths is old; to call it a landline the shape is enough, to have an E.164 it is not.
        [b'1'..=b'7' | b'9', ..] if (7..=11).contains(&national.len()) => {
            Numbered::Other(PhoneNumber::from_digits("62", national).filter(is_known))
        }
        _ => Numbered::Nothing,
    }
}

/// The Indonesian mobile plan: 8, a digit but 0, and 9 to 12 digits in all (libphonenumber's
/// `8[1-35-9]\d{7,10}`). Known by heart because nearly every row is one and the library needs 8 to 20 µs.
///
/// The library's lists lag behind new ranges, so 84, the last one unassigned, is accepted with a warning: a
/// number refused for being too new would be lost, a wrong one in 84 is as wrong as in any other range.
pub(super) fn indonesian_mobile(national: &str) -> Numbered {
    let shaped = matches!(national.as_bytes(), [b'8', b'1'..=b'9', ..]) && (9..=12).contains(&national.len());
    match PhoneNumber::from_digits("62", national) {
        Some(number) if shaped => Numbered::Mobile { number, unlikely: national.as_bytes()[1] == b'4' },
        _ => Numbered::Nothing,
    }
}

/// Three digits, or a service or call centre number beginning with 1: 112, 119, 14045, 1500123.
fn is_short(digits: &str) -> bool {
    digits.len() == 3 || (digits.starts_with('1') && (3..=7).contains(&digits.len()))
}

fn is_known(number: &PhoneNumber) -> bool {
    by_library(number.expose()).is_some_and(|(known, _)| known == *number)
}

/// Decides about the digits behind a `+`.
pub(super) fn foreign(digits: &str) -> Numbered {
    let Some((number, kind)) = by_library(&format!("+{digits}")) else { return Numbered::Nothing };
    match kind {
        Type::Mobile | Type::FixedLineOrMobile => Numbered::Mobile { number, unlikely: false },
        _ => Numbered::Other(Some(number)),
    }
}

/// What the library makes of `+` and digits; nothing where it finds the number invalid or would change it.
///
/// It strips what it takes for a national prefix. That is only dress where it is the one `0` that
/// `+44 (0)7911 123456` has; anything else would drop content.
fn by_library(text: &str) -> Option<(PhoneNumber, Type)> {
    let digits = text.strip_prefix('+')?;
    if !(7..=16).contains(&digits.len()) || digits.starts_with('0') {
        return None;
    }
    let parsed = phonenumber::parse(None, text).ok()?;
    if !parsed.is_valid() {
        return None;
    }
    let country = parsed.country().code().to_string();
    let national = parsed.national().to_string();
    let rest = digits.strip_prefix(country.as_str())?;
    if rest != national && rest.strip_prefix('0') != Some(national.as_str()) {
        return None;
    }
    let number = PhoneNumber::from_digits(&country, &national)?;
    Some((number, parsed.number_type(&DATABASE)))
}

//! Takes the dress off a text: invisible characters, other scripts' digits, typographic punctuation.
//!
//! Only what cannot carry meaning in a NIK, a phone number or a date is touched. Letters, symbols and the
//! digits themselves stay in their order; what they mean is decided by those who read the result.

use std::borrow::Cow;

/// The code points of the zeros whose nine successors are the digits 1 to 9: every decimal digit (general
/// category Nd) of Unicode 16 but ASCII's, sorted.
const ZEROS: [u32; 75] = [
    0x660, 0x6F0, 0x7C0, 0x966, 0x9E6, 0xA66, 0xAE6, 0xB66, 0xBE6, 0xC66, 0xCE6, 0xD66, 0xDE6, 0xE50, 0xED0,
    0xF20, 0x1040, 0x1090, 0x17E0, 0x1810, 0x1946, 0x19D0, 0x1A80, 0x1A90, 0x1B50, 0x1BB0, 0x1C40, 0x1C50,
    0xA620, 0xA8D0, 0xA900, 0xA9D0, 0xA9F0, 0xAA50, 0xABF0, 0xFF10, 0x104A0, 0x10D30, 0x10D40, 0x11066,
    0x110F0, 0x11136, 0x111D0, 0x112F0, 0x11450, 0x114D0, 0x11650, 0x116C0, 0x116D0, 0x116DA, 0x11730,
    0x118E0, 0x11950, 0x11BF0, 0x11C50, 0x11D50, 0x11DA0, 0x11F50, 0x16130, 0x16A60, 0x16AC0, 0x16B50,
    0x16D70, 0x1CCF0, 0x1D7CE, 0x1D7D8, 0x1D7E2, 0x1D7EC, 0x1D7F6, 0x1E140, 0x1E2F0, 0x1E4F0, 0x1E5F1,
    0x1E950, 0x1FBF0,
];

/// What a character is once its dress is off.
enum Plain {
    As(char),
    Nothing,
}

/// The text without its dress, and without space around it. Every kind of space is `' '`, every kind of line
/// break `'\n'`, every decimal digit ASCII. Applying it again changes nothing.
pub(super) fn plain(text: &str) -> Cow<'_, str> {
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'`') {
        return Cow::Borrowed(text.trim_matches(' '));
    }
    let mut plain = String::with_capacity(text.len());
    plain.extend(text.chars().filter_map(|c| match undress(c) {
        Plain::As(c) => Some(c),
        Plain::Nothing => None,
    }));
    match plain.trim_matches([' ', '\n']) {
        trimmed if trimmed.len() == plain.len() => Cow::Owned(plain),
        trimmed => Cow::Owned(trimmed.to_owned()),
    }
}

fn undress(c: char) -> Plain {
    let plain = match c {
        '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}' => '\n',
        '`' => '\'',
        ' '..='~' => c,
        // Braille blank and the Hangul fillers show as a space, though Unicode does not call them one; an
        // emoji of a telephone is a label.
        '\u{2800}' | '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{ffa0}' => ' ',
        '☎' | '☏' | '✆' | '🕻' | '🕼' | '🕽' | '🕾' | '🕿' | '📞' | '📟' | '📱' | '📲' => {
            ' '
        }
        _ if c.is_whitespace() => ' ',
        _ if c.is_control() || is_invisible(c) => return Plain::Nothing,
        // Fullwidth forms of ASCII.
        '！'..='～' => return undress(char::from_u32(u32::from(c) - 0xFEE0).unwrap_or(c)),
        '\u{2010}'..='\u{2015}'
        | '\u{2043}'
        | '\u{2212}'
        | '\u{2d7}'
        | '\u{58a}'
        | '\u{5be}'
        | '\u{1806}' => '-',
        '\u{2e3a}' | '\u{2e3b}' | '\u{30fc}' | '\u{30a0}' | '\u{fe58}' | '\u{fe63}' | '\u{2796}' => '-',
        '\u{207a}' | '\u{fe62}' | '\u{2795}' | '\u{fb29}' => '+',
        '‘' | '’' | '‚' | '‛' | '′' | '‵' | '´' | 'ʹ' | 'ʼ' | 'ˈ' | '‹' | '›' => '\'',
        '“' | '”' | '„' | '‟' | '″' | '‶' | '«' | '»' | '〝' | '〞' => '"',
        '·' | '∙' | '‧' | '․' | '⋅' | '。' | '\u{fe52}' | '\u{ff61}' | '\u{ff65}' => '.',
        '⁄' | '∕' | '⧸' => '/',
        '、' | '،' | '\u{ff64}' | '\u{fe50}' => ',',
        '؛' | '\u{fe54}' => ';',
        '˸' | '∶' | '\u{fe55}' => ':',
        '〔' | '【' | '〈' | '《' | '⦅' | '❨' | '\u{fe59}' => '(',
        '〕' | '】' | '〉' | '》' | '⦆' | '❩' | '\u{fe5a}' => ')',
        '∼' | '〜' | '˜' => '~',
        _ => decimal_digit(c).unwrap_or(c),
    };
    Plain::As(plain)
}

fn decimal_digit(c: char) -> Option<char> {
    let code = u32::from(c);
    let at = ZEROS.partition_point(|zero| *zero <= code).checked_sub(1)?;
    char::from_digit(code - ZEROS[at], 10)
}

/// Whether a character has no shape of its own: the format characters (general category Cf) but Arabic's and
/// Syriac's visible ones, variation selectors, joiners, and the enclosing keycap of an emoji digit. Not the
/// right-to-left override: behind it people see the digits in another order than they are stored.
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{17b4}' | '\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}'
        | '\u{202a}'..='\u{202d}' | '\u{2060}'..='\u{206f}' | '\u{20e3}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
        | '\u{fff9}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}')
}

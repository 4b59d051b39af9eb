//! The words people write in cells, apart from the values: nothing-marks, spreadsheet errors.

use super::pieces::{Labels, words};

/// Words that say by themselves that there is nothing.
const NOTHING: &[&str] = &[
    "tidak",
    "tdk",
    "tak",
    "gak",
    "ga",
    "gk",
    "nggak",
    "ngga",
    "enggak",
    "belum",
    "blm",
    "tanpa",
    "kosong",
    "nihil",
    "none",
    "null",
    "nil",
    "na",
    "nan",
    "undefined",
    "unknown",
    "empty",
    "blank",
    "tba",
    "tbd",
    "not",
    "x",
    "xx",
    "xxx",
];

/// Words that add nothing to those.
const FILLERS: &[&str] = &[
    "ada",
    "punya",
    "mempunyai",
    "memiliki",
    "tersedia",
    "diketahui",
    "tahu",
    "tau",
    "diisi",
    "terisi",
    "isi",
    "data",
    "datanya",
    "ber",
    "available",
    "applicable",
    "known",
    "sama",
    "sekali",
    "dan",
];

/// Whether a text without digits only says that there is no value: `-`, `tidak ada`, `n/a`, `WA: belum ada`,
/// or nothing but punctuation and labels.
pub(super) fn says_nothing(text: &str, labels: Labels) -> bool {
    let (words, other) = words(text);
    if other {
        return false;
    }
    let is = |list: &[&str], word: &String| list.contains(&word.as_str());
    if words == ["n", "a"] {
        return true;
    }
    let filled = |word: &String| is(NOTHING, word) || is(FILLERS, word) || labels.contains(&word.as_str());
    let only_labels = words.iter().all(|word| labels.contains(&word.as_str()));
    only_labels || (words.iter().all(filled) && words.iter().any(|word| is(NOTHING, word)))
}

/// The names of errors in Google Sheets, Excel and LibreOffice, without `#` and the closing mark.
const ERRORS: &[&str] = &[
    "REF",
    "N/A",
    "VALUE",
    "NAME",
    "DIV/0",
    "NULL",
    "NUM",
    "ERROR",
    "SPILL",
    "CALC",
    "FIELD",
    "BLOCKED",
    "CONNECT",
    "UNKNOWN",
    "BUSY",
    "GETTING_DATA",
    "PYTHON",
    "EXTERNAL",
    "TIMEOUT",
    "NV",
    "BEZUG",
    "WERT",
    "ZAHL",
];

/// Whether a text is a spreadsheet's error: one we know by name, or any `#CAPITALS!` or `#CAPITALS?`, as
/// spreadsheets set to other languages write them.
pub(super) fn is_spreadsheet_error(text: &str) -> bool {
    let Some(name) = text.strip_prefix('#') else { return text.starts_with("Loading...") };
    let name = name.strip_prefix('¡').unwrap_or(name);
    let bare = name.trim_end_matches(['!', '?']);
    let known = ERRORS.contains(&bare.to_uppercase().as_str());
    let shaped = bare.len() < name.len()
        && (2..=20).contains(&bare.chars().count())
        && bare.chars().all(|c| c.is_uppercase() || matches!(c, '/' | '_' | '.' | '0'))
        && bare.starts_with(char::is_uppercase);
    known || shaped
}

//! What was found in a cell, told to a person without telling whose number it was.

use super::clean::plain;
use super::date_words;
use super::{Cell, Column};

/// The most characters of an excerpt.
const LONGEST: usize = 80;

/// Up to this many digits say nothing about anybody: a short code, a year.
const HARMLESS: usize = 4;

/// Words that are shown. Any other of more than three letters may be a name and keeps its first letter only.
const SHOWN: &[&str] = &[
    "ada",
    "adik",
    "anak",
    "anaknya",
    "atau",
    "ayah",
    "bapak",
    "belum",
    "dan",
    "date",
    "false",
    "hari",
    "hilang",
    "http",
    "https",
    "ibu",
    "istri",
    "istrinya",
    "kakak",
    "keluarga",
    "kemarin",
    "kepala",
    "kosong",
    "ktp",
    "lagi",
    "lama",
    "loading",
    "mati",
    "milik",
    "minggu",
    "nenek",
    "nihil",
    "nomor",
    "none",
    "null",
    "orang",
    "paspor",
    "passport",
    "ponsel",
    "punya",
    "rumah",
    "sama",
    "saudara",
    "suami",
    "suaminya",
    "tanggal",
    "telepon",
    "telp",
    "telpon",
    "tetangga",
    "tidak",
    "today",
    "true",
    "update",
    "whatsapp",
    "yesterday",
];

/// A cell's content on one line, at most 80 characters, safe to print and to store.
///
/// Of more than four digits in all, however they are grouped, the first few and the last two are shown (as
/// in a masked NIK), at least three and at least a third hidden. A date is shown whole in the date column,
/// unless it holds more digits than a date has.
pub(super) fn found(cell: &Cell, column: Column) -> String {
    let text = match cell {
        Cell::Empty | Cell::TooLong => return String::new(),
        Cell::Boolean(true) => return "TRUE".to_owned(),
        Cell::Boolean(false) => return "FALSE".to_owned(),
        Cell::Number(value) if value.abs() < 1e21 => format!("{value}"),
        Cell::Number(value) => format!("{value:e}"),
        Cell::Text(text) | Cell::Error(text) => text.clone(),
    };
    // An excerpt of an excerpt: a cell may hold a novel.
    let text: String = text.chars().take(4 * LONGEST).collect();
    let text = mask_words(&plain(&text));
    let text = if column == Column::Updated && is_harmless_date(&text) { text } else { mask_digits(&text) };
    shortened(&text)
}

/// At most eight digits, none of them in a run of more than four.
fn is_harmless_date(text: &str) -> bool {
    let runs = || text.split(|c: char| !c.is_numeric()).map(|run| run.chars().count());
    runs().sum::<usize>() <= 8 && runs().all(|run| run <= HARMLESS)
}

fn mask_digits(text: &str) -> String {
    // Not only ASCII's: superscripts and the like are numbers to a reader too.
    let all = text.chars().filter(|c| c.is_numeric()).count();
    let (front, back) = match all {
        0..=HARMLESS => return text.to_owned(),
        5..=9 => (2, 0),
        10..=11 => (3, 2),
        _ => (4, 2),
    };
    let mut seen = 0;
    let mask = |c: char| {
        if !c.is_numeric() {
            return c;
        }
        seen += 1;
        if seen <= front || seen > all - back { c } else { '*' }
    };
    text.chars().map(mask).collect()
}

fn mask_words(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let is_word = first.is_alphabetic();
        let end = rest.find(|c: char| c.is_alphabetic() != is_word).unwrap_or(rest.len());
        let (part, after) = rest.split_at(end);
        rest = after;
        if !is_word {
            masked.extend(part.chars().map(|c| if c == '\n' { ' ' } else { c }));
        } else if is_shown(part) {
            masked.push_str(part);
        } else {
            masked.push(first);
            masked.extend(part.chars().skip(1).map(|_| '*'));
        }
    }
    masked
}

fn is_shown(word: &str) -> bool {
    let lower = word.to_lowercase();
    let of_a_date = || date_words::month(&lower).is_some() || date_words::weekday(&lower).is_some();
    word.chars().count() <= 3 || SHOWN.contains(&lower.as_str()) || of_a_date() || is_error_name(word)
}

/// `REF`, `VALUE`, `DIV`: the capitals that spreadsheet errors are made of.
fn is_error_name(word: &str) -> bool {
    matches!(word, "VALUE" | "NAME" | "NULL" | "ERROR" | "SPILL" | "CALC" | "FIELD" | "BLOCKED" | "CONNECT")
}

fn shortened(text: &str) -> String {
    if text.chars().count() <= LONGEST {
        return text.to_owned();
    }
    text.chars().take(LONGEST - 1).chain(['…']).collect()
}

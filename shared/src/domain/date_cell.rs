//! A cell read as a date.
//!
//! A year of two digits is not read: `23/11/26` is 2026 or 2023 depending on who wrote it. Neither is a date
//! whose weekday is another day's.

use jiff::civil::{Date, DateTime, Weekday};
use jiff::tz::{Offset, TimeZone};
use jiff::{Span, civil};

use super::clean::plain;
use super::date_words::{is_label, month, weekday};
use super::{Cell, DateOrder};

/// Serial numbers that are taken for dates: 2000-01-01 to 9999-12-31. Below is what people type into a date
/// column by mistake: a day, a year, a time of day, all of which would silently be some other date.
const SERIALS: std::ops::RangeInclusive<f64> = 36_526.0..=2_958_465.999_999;

/// Day 0 of the 1900 system from March 1900 on; before, spreadsheets count a 29 February that never was.
const EPOCH: Date = civil::date(1899, 12, 30);

/// Reads the cell under `SHEET_COLUMN_UPDATED`; nothing where it cannot be read without guessing. `zone` is
/// the one to which a time with an offset is converted.
pub(super) fn read(cell: &Cell, order: DateOrder, zone: &TimeZone) -> Option<Date> {
    match cell {
        Cell::Number(serial) => from_serial(*serial),
        Cell::Text(text) => read_text(&plain(text), order, zone),
        Cell::Empty | Cell::Boolean(_) | Cell::Error(_) | Cell::TooLong => None,
    }
}

fn from_serial(serial: f64) -> Option<Date> {
    if !SERIALS.contains(&serial) {
        return None;
    }
    // In range, so the cast only cuts off the time of day.
    EPOCH.checked_add(Span::new().days(serial as i64)).ok()
}

/// Reads a text that `plain` has cleaned.
pub(super) fn read_text(text: &str, order: DateOrder, zone: &TimeZone) -> Option<Date> {
    /// The longest we read is a weekday, a date and a time with its zone.
    const LONGEST: usize = 80;
    if text.len() > LONGEST {
        return None;
    }
    let lower = text.to_lowercase();
    let mut cursor = Cursor { rest: lower.trim_matches([' ', '\n', '\'', '"', '.', ',', '=']) };
    while cursor.word_if(is_label) {
        cursor.skip(&['.', ':', ',']);
    }
    let named = cursor.weekday();
    let date = cursor.date(order)?;
    if named.is_some_and(|day| day != date.weekday()) {
        return None;
    }
    cursor.skip(&[',']);
    if cursor.is_done() {
        return Some(date);
    }
    let (time, offset) = cursor.time_of_day()?;
    match offset {
        None => Some(date),
        Some(offset) => {
            let instant = offset.to_timestamp(DateTime::from_parts(date, time)).ok()?;
            Some(zone.to_datetime(instant).date())
        }
    }
}

/// What is left of the text. Each step takes what it understands from its front, and the space behind.
#[derive(Clone, Copy)]
struct Cursor<'a> {
    rest: &'a str,
}

impl<'a> Cursor<'a> {
    fn is_done(&self) -> bool {
        self.rest.is_empty()
    }

    fn take(&mut self, len: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(len);
        self.rest = rest.trim_start_matches([' ', '\n']);
        taken
    }

    fn number(&mut self) -> Option<&'a str> {
        let len = self.rest.bytes().take_while(u8::is_ascii_digit).count();
        (len > 0).then(|| self.take(len))
    }

    fn word(&mut self) -> Option<&'a str> {
        let len = self.rest.find(|c: char| !c.is_alphabetic()).unwrap_or(self.rest.len());
        (len > 0).then(|| self.take(len))
    }

    /// Takes a word that `wanted` is true of; leaves any other.
    fn word_if(&mut self, wanted: impl Fn(&str) -> bool) -> bool {
        let mut ahead = *self;
        let found = ahead.word().is_some_and(wanted);
        if found {
            *self = ahead;
        }
        found
    }

    /// Takes one of these characters, if it is next.
    fn sign(&mut self, accepted: &[char]) -> Option<char> {
        let next = self.rest.chars().next().filter(|c| accepted.contains(c))?;
        self.take(next.len_utf8());
        Some(next)
    }

    fn skip(&mut self, signs: &[char]) {
        while self.sign(signs).is_some() {}
    }

    fn weekday(&mut self) -> Option<Weekday> {
        let mut ahead = *self;
        let mut named = weekday(ahead.word()?);
        // "Jum'at" is one word with an apostrophe inside.
        if named.is_none() && self.rest.starts_with("jum'at") {
            ahead = *self;
            ahead.take("jum'at".len());
            named = Some(Weekday::Friday);
        }
        if named.is_some() {
            ahead.skip(&['.', ',', '-']);
            ahead.word_if(is_label);
            *self = ahead;
        }
        named
    }

    fn date(&mut self, order: DateOrder) -> Option<Date> {
        if let Some(month) = self.month() {
            self.skip(&['.', '-', '/', ',']);
            let day = self.day()?;
            self.skip(&['-', '/', ',']);
            return date(self.year()?, month, day);
        }
        let first = self.number()?;
        match first.len() {
            8 => return date(&first[..4], parse(&first[4..6])?, parse(&first[6..])?),
            5 => return self.serial(first),
            1 | 2 | 4 => {}
            _ => return None,
        }
        self.word_if(|word| first.len() <= 2 && is_ordinal(word));
        let sign = self.sign(&['-', '/', '.']);
        if let Some(month) = self.month() {
            self.skip(&['.', '-', '/', ',']);
            return if first.len() == 4 {
                date(first, month, self.day()?)
            } else {
                date(self.year()?, month, parse(first)?)
            };
        }
        let second = self.number().filter(|part| part.len() <= 2)?;
        if self.sign(&['-', '/', '.']) != sign {
            return None;
        }
        if first.len() == 4 {
            return date(first, parse(second)?, self.day()?);
        }
        let (first, second) = (parse(first)?, parse(second)?);
        let year = self.year()?;
        // Where only one order makes a date, nothing is left open and `SHEET_DATE_ORDER` is not asked.
        let (day_first, month_first) = (date(year, second, first), date(year, first, second));
        match order {
            DateOrder::Dmy => day_first.or(month_first),
            DateOrder::Mdy => month_first.or(day_first),
        }
    }

    /// A serial number as text, as a CSV export of an unformatted column has it.
    fn serial(&mut self, whole: &str) -> Option<Date> {
        if self.sign(&['.', ',']).is_some() {
            self.number()?;
        }
        if self.is_done() { from_serial(whole.parse().ok()?) } else { None }
    }

    fn month(&mut self) -> Option<i8> {
        let mut ahead = *self;
        let month = month(ahead.word()?)?;
        *self = ahead;
        Some(month)
    }

    fn day(&mut self) -> Option<i8> {
        let day = parse(self.number()?)?;
        self.word_if(is_ordinal);
        Some(day)
    }

    fn year(&mut self) -> Option<&'a str> {
        self.number().filter(|year| year.len() == 4)
    }

    /// A time of day to the end of the text: `14:05`, `14.05.30`, `2:05 pm`, with a zone or without.
    fn time_of_day(&mut self) -> Option<(civil::Time, Option<Offset>)> {
        self.word_if(|word| matches!(word, "t" | "pukul" | "pkl" | "jam" | "at"));
        self.skip(&['.', ':', '-']);
        let hour = self.number()?;
        let sign = self.sign(&[':', '.'])?;
        let minute = self.number().filter(|minute| minute.len() == 2)?;
        let mut second = "0";
        if self.sign(&[sign]).is_some() {
            second = self.number().filter(|second| second.len() == 2)?;
            if self.sign(&['.', ',']).is_some() {
                self.number()?;
            }
        }
        let mut hour: i8 = parse(hour)?;
        let noon = if self.word_if(|word| word == "am") {
            Some(false)
        } else {
            self.word_if(|word| word == "pm").then_some(true)
        };
        if let Some(afternoon) = noon {
            if !(1..=12).contains(&hour) {
                return None;
            }
            hour = hour % 12 + if afternoon { 12 } else { 0 };
        }
        // A leap second is within its minute.
        let second = parse(second)?.min(59);
        let time = civil::Time::new(hour, parse(minute)?, second, 0).ok()?;
        let offset = self.offset()?;
        self.is_done().then_some((time, offset))
    }

    /// An offset from UTC or one of Indonesia's three zones: `Some(None)` where there is none.
    fn offset(&mut self) -> Option<Option<Offset>> {
        if self.is_done() {
            return Some(None);
        }
        let hours = match self.word() {
            None => None,
            Some("wib") => Some(7),
            Some("wita") => Some(8),
            Some("wit") => Some(9),
            Some("z" | "utc" | "gmt") => Some(0),
            Some(_) => return None,
        };
        if let (Some(hours), true) = (hours, self.is_done()) {
            return Offset::from_hours(hours).ok().map(Some);
        }
        if hours.is_some_and(|hours| hours != 0) {
            return None;
        }
        let sign = if self.sign(&['+', '-'])? == '-' { -1 } else { 1 };
        let digits = self.number()?;
        let (hours, minutes) = match (digits.len(), self.sign(&[':'])) {
            (1 | 2, Some(_)) => (digits, self.number().filter(|minutes| minutes.len() == 2)?),
            (1 | 2, None) => (digits, "0"),
            (4, None) => digits.split_at(2),
            _ => return None,
        };
        let (hours, minutes) = (i32::from(parse(hours)?), i32::from(parse(minutes)?));
        if hours > 23 || minutes > 59 {
            return None;
        }
        Offset::from_seconds(sign * (hours * 60 + minutes) * 60).ok().map(Some)
    }
}

fn is_ordinal(word: &str) -> bool {
    matches!(word, "st" | "nd" | "rd" | "th")
}

fn parse(digits: &str) -> Option<i8> {
    if digits.len() > 2 { None } else { digits.parse().ok() }
}

fn date(year: &str, month: i8, day: i8) -> Option<Date> {
    let year: i16 = year.parse().ok().filter(|year| (1900..=9999).contains(year))?;
    Date::new(year, month, day).ok()
}

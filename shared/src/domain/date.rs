//! The run date, and the order in which a date's digits are read. How a cell is read as one is in
//! `date_cell`.

use std::fmt;
use std::str::FromStr;

use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::spelled;

/// How much before its time a scheduler may start a night and still mean that night (`--due`).
const GRACE: SignedDuration = SignedDuration::from_mins(5);

/// The date a run is about: rows whose `last_updated_date` is this one belong to it. Written `YYYY-MM-DD`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct RunDate(Date);

/// The text was not a date written `YYYY-MM-DD`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{found}' is not a date; write it as YYYY-MM-DD, for example 2026-11-23")]
pub struct NotARunDate {
    found: String,
}

impl RunDate {
    /// The date it is now in `zone`.
    pub fn today(now: Timestamp, zone: &TimeZone) -> Self {
        Self(zone.to_datetime(now).date())
    }

    /// The date of the latest `time` in `zone` that has passed, with five minutes' grace: a start up to five
    /// minutes before `time`, that moment included, already counts as that day's night, and a start past
    /// midnight still takes the night it is late for.
    ///
    /// A `time` that a zone skips counts as passed at the moment the clock is put forward past it; one that
    /// it repeats, at its first occurrence.
    pub fn due(now: Timestamp, zone: &TimeZone, time: Time) -> Self {
        let reached = now.saturating_add(GRACE).unwrap_or(now);
        let mut night = Self::today(reached, zone);
        while zone.to_timestamp(night.0.to_datetime(time)).is_ok_and(|start| start > reached) {
            night = night.yesterday();
        }
        night
    }

    /// The date in jiff's own type.
    pub fn date(self) -> Date {
        self.0
    }

    /// The day after; the last day there is stays itself.
    pub fn tomorrow(self) -> Self {
        Self(self.0.tomorrow().unwrap_or(self.0))
    }

    /// The day before; the first day there is stays itself.
    pub fn yesterday(self) -> Self {
        Self(self.0.yesterday().unwrap_or(self.0))
    }

    /// Every date from this one to `to`, both included; none where `to` is earlier.
    pub fn through(self, to: Self) -> impl Iterator<Item = Self> {
        std::iter::successors(Some(self), move |date| (*date < to).then(|| date.tomorrow()))
            .take_while(move |date| *date <= to)
    }
}

impl From<Date> for RunDate {
    fn from(date: Date) -> Self {
        Self(date)
    }
}

impl FromStr for RunDate {
    type Err = NotARunDate;

    fn from_str(text: &str) -> Result<Self, NotARunDate> {
        let error = || NotARunDate { found: text.chars().take(40).collect() };
        let bytes = text.as_bytes();
        if bytes.len() != 10 || bytes[4] != b'-' || bytes[7] != b'-' {
            return Err(error());
        }
        let part = |range: std::ops::Range<usize>| {
            let digits = bytes.get(range)?;
            digits
                .iter()
                .try_fold(0_i16, |sum, byte| byte.is_ascii_digit().then(|| sum * 10 + i16::from(byte - b'0')))
        };
        let (Some(year), Some(month), Some(day)) = (part(0..4), part(5..7), part(8..10)) else {
            return Err(error());
        };
        let small = |part: i16| i8::try_from(part).map_err(|_| error());
        Date::new(year, small(month)?, small(day)?).map(Self).map_err(|_| error())
    }
}

impl TryFrom<String> for RunDate {
    type Error = NotARunDate;

    fn try_from(text: String) -> Result<Self, NotARunDate> {
        text.parse()
    }
}

impl From<RunDate> for String {
    fn from(date: RunDate) -> Self {
        date.to_string()
    }
}

impl fmt::Display for RunDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

spelled! {
    /// Which of day and month comes first where a date written with digits leaves it open
    /// (`SHEET_DATE_ORDER`).
    DateOrder {
        /// Day before month, as in Indonesia.
        Dmy = "dmy",
        /// Month before day.
        Mdy = "mdy",
    }
}

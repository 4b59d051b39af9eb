//! When a `Period.end` has passed (FHIR R4, data types, Period and dateTime).

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

/// Whether the period that ends with `end` is over at `now`.
///
/// The end is inclusive and may be partial (`2020`, `2020-05`, `2020-05-01`): it has passed when the whole of
/// that year, month or day has. `zone` is where dates without an offset are counted. What cannot be read has
/// not passed: an entry is given up as over only when it surely is.
pub(super) fn has_passed(end: &str, now: Timestamp, zone: &TimeZone) -> bool {
    let first_after = match end.len() {
        4 => first_day(end, "-01-01").and_then(|date| Date::new(date.year() + 1, 1, 1).ok()),
        7 => first_day(end, "-01").and_then(|date| date.last_of_month().tomorrow().ok()),
        10 => first_day(end, "").and_then(|date| date.tomorrow().ok()),
        _ => return instant(end, zone).is_some_and(|instant| instant < now),
    };
    first_after
        .and_then(|date| zone.to_timestamp(DateTime::from(date)).ok())
        .is_some_and(|midnight| midnight <= now)
}

fn first_day(partial: &str, rest: &str) -> Option<Date> {
    format!("{partial}{rest}").parse().ok()
}

fn instant(text: &str, zone: &TimeZone) -> Option<Timestamp> {
    text.parse::<Timestamp>().ok().or_else(|| zone.to_timestamp(text.parse::<DateTime>().ok()?).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partial_date_has_passed_when_all_of_it_has() {
        let zone = TimeZone::fixed(jiff::tz::offset(7));
        let passed = |end: &str, now: &str| has_passed(end, now.parse().unwrap(), &zone);
        for (end, last_moment, after) in [
            ("2020", "2020-12-31T16:59:59Z", "2020-12-31T17:00:00Z"),
            ("2020-02", "2020-02-29T16:59:59Z", "2020-02-29T17:00:00Z"),
            ("2020-12", "2020-12-31T16:59:59Z", "2020-12-31T17:00:00Z"),
            ("2020-05-01", "2020-05-01T16:59:59Z", "2020-05-01T17:00:00Z"),
            ("2020-05-01T10:00:00Z", "2020-05-01T10:00:00Z", "2020-05-01T10:00:01Z"),
            ("2020-05-01T10:00:00+07:00", "2020-05-01T03:00:00Z", "2020-05-01T03:00:01Z"),
            ("2020-05-01T10:00:00", "2020-05-01T03:00:00Z", "2020-05-01T03:00:01Z"),
        ] {
            assert!(!passed(end, last_moment), "{end} at {last_moment}");
            assert!(passed(end, after), "{end} at {after}");
        }
    }

    #[test]
    fn what_cannot_be_read_has_not_passed() {
        for end in ["", "yesterday", "2020-13", "20", "9999", "01/02/2020", "2020-5-1"] {
            assert!(!has_passed(end, "2026-11-23T17:00:00Z".parse().unwrap(), &TimeZone::UTC), "{end}");
        }
    }
}

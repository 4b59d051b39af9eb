//! `Retry-After` (RFC 9110, section 10.2.3): seconds or an HTTP date.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, header};
use jiff::Timestamp;

/// The longest wait that is honoured; a gate lapses by itself after it.
const MAX: Duration = Duration::from_secs(300);

/// What the answer asks for, at most five minutes; `None` where it asks for nothing that can be understood.
///
/// A date is counted from the answer's own `Date`, so that neither clock needs to be right, and only without
/// one from `now`. A date that has passed means no wait.
pub(super) fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let asked = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if !asked.is_empty() && asked.bytes().all(|b| b.is_ascii_digit()) {
        // More digits than a u64 holds is still a number of seconds: a very long one.
        return Some(asked.parse().map_or(MAX, Duration::from_secs).min(MAX));
    }
    let until = httpdate::parse_http_date(asked).ok()?;
    let sent = headers
        .get(header::DATE)
        .and_then(|date| httpdate::parse_http_date(date.to_str().ok()?).ok())
        .or_else(|| SystemTime::try_from(now).ok())?;
    Some(until.duration_since(sent).unwrap_or_default().min(MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(pairs: &[(header::HeaderName, &str)]) -> Option<Duration> {
        let headers = pairs.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect();
        retry_after(&headers, "2026-11-23T17:00:00Z".parse().unwrap())
    }

    #[test]
    fn seconds_are_capped_and_rubbish_is_ignored() {
        let seconds = |text| asked(&[(header::RETRY_AFTER, text)]);
        assert_eq!(seconds("7"), Some(Duration::from_secs(7)));
        assert_eq!(seconds("0"), Some(Duration::ZERO));
        assert_eq!(seconds("86400"), Some(MAX));
        assert_eq!(seconds("99999999999999999999999"), Some(MAX));
        assert_eq!(seconds("-5"), None);
        assert_eq!(seconds("soon"), None);
        assert_eq!(seconds(""), None);
        assert_eq!(asked(&[]), None);
    }

    #[test]
    fn a_date_counts_from_the_servers_own_clock() {
        let date = "Mon, 23 Nov 2026 17:00:20 GMT";
        assert_eq!(asked(&[(header::RETRY_AFTER, date)]), Some(Duration::from_secs(20)));
        let skewed = [(header::RETRY_AFTER, date), (header::DATE, "Mon, 23 Nov 2026 17:00:15 GMT")];
        assert_eq!(asked(&skewed), Some(Duration::from_secs(5)));
        let passed = [(header::RETRY_AFTER, date), (header::DATE, "Mon, 23 Nov 2026 18:00:15 GMT")];
        assert_eq!(asked(&passed), Some(Duration::ZERO));
    }
}

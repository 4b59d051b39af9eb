//! This machine's clock and the time zone of the nights.

use std::sync::Arc;

use jiff::Timestamp;
use jiff::civil::date;
use jiff::tz::TimeZone;

use super::{Findings, Subject};
use crate::clock::Clock;

/// The clock cannot be before this program was written.
const WRITTEN: jiff::civil::Date = date(2026, 11, 1);

/// `clock`, and the run date that a start would take now.
pub async fn examine(subject: Arc<Subject>, clock: Clock, findings: Findings) {
    of_clock(clock.now(), &subject.settings.zone, &findings);
}

fn of_clock(now: Timestamp, zone: &TimeZone, findings: &Findings) {
    let here = zone.to_datetime(now);
    let shown = here.strftime("%Y-%m-%d %H:%M");
    let name = zone.iana_name().unwrap_or("UTC");
    if here.date() < WRITTEN {
        let problem = format!(
            "this machine's clock says {shown}, which is past already; set it (NTP): run dates, leases and Google's \
             tokens go by it"
        );
        findings.wrong("clock", problem);
        return;
    }
    findings
        .ok("clock", format!("it is {shown} in {name} (RUN_TIMEZONE); a start now takes {}", here.date()));
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn a_clock_that_was_never_set_is_found() {
        let zone = TimeZone::get("Asia/Jakarta").unwrap();
        for (now, verdict) in
            [("1970-01-01T00:00:40Z", Verdict::Wrong), ("2026-11-25T17:30:00Z", Verdict::Ok)]
        {
            let findings = Findings::default();
            of_clock(now.parse().unwrap(), &zone, &findings);
            let found = findings.take().remove(0);
            assert_eq!((found.check.as_str(), found.verdict), ("clock", verdict), "{found}");
            if verdict == Verdict::Ok {
                assert!(found.text.contains("takes 2026-11-26"), "past midnight in Jakarta: {found}");
            }
        }
    }
}

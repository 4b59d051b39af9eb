//! `doctor`: the sheet. The key, the share, the tab, its header and how its dates are written, each by itself.

use std::sync::Arc;
use std::time::Duration;

use shared::doctor::{ANSWER, Findings, Subject};
use shared::domain::{Cell, DateOrder, Reading, Reason, RowRules, RunDate, SourceRow};
use shared::retry::RetryPolicy;
use shared::settings::Settings;

use crate::composition::ConfiguredSources;
use crate::source::{SourceError, look};

/// Rows whose dates are looked at.
const ROWS: u32 = 500;

/// Rows that are named where dates cannot be read.
const NAMED: usize = 5;

/// `sheet.…`.
pub async fn examine(subject: Arc<Subject>, findings: Findings) {
    let needed = ["SHEET_", "SHEETS_URL", "GOOGLE_CREDENTIALS"];
    if subject.holds_up(&findings, "sheet", &needed) {
        return;
    }
    let settings = &subject.settings;
    let sources = match ConfiguredSources::prepare(settings, None, true).await {
        Ok(sources) => sources,
        Err(problem) => return findings.bad_setting("sheet", &problem),
    };
    let mut config = match sources.google().await {
        Ok(config) => config,
        Err(error) => return findings.wrong("GOOGLE_CREDENTIALS", said(&error)),
    };
    // Once: somebody waits for the answer.
    config.request_timeout = ANSWER;
    let wait = Duration::from_secs(1);
    config.retry = RetryPolicy { first: wait, max: wait, max_attempts: 1 };
    config.quota_patience = Duration::ZERO;
    config.rows_per_request = ROWS;
    let mut seen = look::Seen::default();
    let looked = look::look(&config, &mut seen).await;
    if let Some(address) = &seen.client_email {
        findings.ok("sheet.credentials", format!("share the sheet, as Viewer, with {address}"));
    }
    if let Some(tabs) = seen.tabs {
        findings.ok("sheet.share", format!("the spreadsheet can be read (tabs in it: {tabs})"));
    }
    if let Some(tab) = &seen.tab {
        findings.ok("sheet.header", format!("the three columns are found on the tab {tab:?}"));
    }
    match looked {
        Ok(()) if seen.tab.is_none() => {
            findings.ok("sheet.header", "there is nothing in the sheet yet, not even a header");
        }
        Ok(()) => of_dates(&seen.rows, settings, &findings),
        Err((step, error)) => wrong(step, &error, &findings),
    }
}

fn said(error: &SourceError) -> String {
    shared::error_chain(error)
}

fn wrong(step: look::Step, error: &SourceError, findings: &Findings) {
    let check = match error {
        SourceError::Setting { variable, problem } => return findings.wrong(*variable, problem),
        SourceError::NotShared { .. } => "sheet.share",
        SourceError::NotFound { .. } | SourceError::OfficeFile => "sheet.id",
        SourceError::ApiDisabled { .. } => "sheet.api",
        SourceError::TabMissing { .. }
        | SourceError::RangeRefused { .. }
        | SourceError::AnswerTooLarge { .. } => "sheet.tab",
        SourceError::SheetShape(_) => "sheet.header",
        SourceError::Credentials { .. } if step == look::Step::Credentials => "sheet.credentials",
        SourceError::Credentials { .. } => "sheet.token",
        SourceError::Quota { .. } => "sheet.quota",
        SourceError::Unreachable { .. } => "sheet.reach",
        SourceError::Refused { .. } | SourceError::File { .. } | SourceError::Sink(_) => match step {
            look::Step::Credentials => "sheet.credentials",
            look::Step::Share => "sheet.share",
            look::Step::Header => "sheet.header",
            look::Step::Rows => "sheet.dates",
        },
    };
    let hint = match error {
        SourceError::Unreachable { .. } => {
            "; check SHEETS_URL, HTTPS_PROXY, CA_FILE and firewalls in between"
        }
        _ => "",
    };
    findings.wrong(check, format!("{}{hint}", said(error)));
}

/// How the dates are written. A few that cannot be read are business as usual: their rows are rejected. Most of them
/// is a setting, or a column that is not the date's.
fn of_dates(rows: &[SourceRow], settings: &Settings, findings: &Findings) {
    const CHECK: &str = "sheet.dates";
    let (order, column) = (settings.sheet.date_order, &settings.sheet.column_updated);
    let filled: Vec<_> = rows.iter().filter(|row| row.updated != Cell::Empty).collect();
    if filled.is_empty() && !rows.is_empty() {
        let problem = format!(
            "there are rows, and none has anything in {column:?}; name the column of the dates (SHEET_COLUMN_UPDATED)"
        );
        return findings.wrong(CHECK, problem);
    }
    let otherwise: Vec<u32> =
        ordered(&filled).filter(|(_, told)| *told != order).map(|(row, _)| row).collect();
    if !otherwise.is_empty() && ordered(&filled).all(|(_, told)| told != order) {
        let (other, first) = match order {
            DateOrder::Dmy => (DateOrder::Mdy, "month"),
            DateOrder::Mdy => (DateOrder::Dmy, "day"),
        };
        let problem = format!(
            "the {first} comes first (rows {}), so that 03/04 would be read the wrong way round; set \
             SHEET_DATE_ORDER={other}",
            named(&otherwise)
        );
        return findings.wrong(CHECK, problem);
    }
    let bad = unreadable(&filled, settings);
    let (count, all) = (bad.len(), filled.len());
    if count == 0 {
        findings.ok(CHECK, format!("{all} dates in the first {ROWS} rows can be read"));
    } else if count * 2 > all {
        let problem = format!(
            "{count} of {all} dates cannot be read (rows {}); format {column:?} as dates, or name the right column \
             (SHEET_COLUMN_UPDATED)",
            named(&bad)
        );
        findings.wrong(CHECK, problem);
    } else {
        let text = format!(
            "{count} of {all} dates cannot be read (rows {}); those rows will be rejected",
            named(&bad)
        );
        findings.ok(CHECK, text);
    }
}

fn named(rows: &[u32]) -> String {
    let first = rows.iter().take(NAMED).map(u32::to_string).collect::<Vec<_>>().join(", ");
    if rows.len() > NAMED { format!("{first}, …") } else { first }
}

fn unreadable(rows: &[&SourceRow], settings: &Settings) -> Vec<u32> {
    // Any date will do: a row of another is read, too.
    let Ok(run_date) = "2000-01-01".parse::<RunDate>() else { return Vec::new() };
    let rules = RowRules { run_date, zone: settings.zone.clone(), date_order: settings.sheet.date_order };
    let is_unreadable = |row: &&&SourceRow| matches!(rules.read(row), Reading::Rejected(rejection) if rejection.reason == Reason::DateUnreadable);
    rows.iter().filter(is_unreadable).map(|row| row.sheet_row).collect()
}

/// The rows whose date tells by itself in which order it was typed: one of its first two numbers is no month.
fn ordered<'a>(rows: &'a [&SourceRow]) -> impl Iterator<Item = (u32, DateOrder)> + 'a {
    rows.iter().filter_map(|row| {
        let Cell::Text(text) = &row.updated else { return None };
        let mut numbers = text.trim().split(['/', '-', '.']).map(|part| part.trim().parse::<u32>().ok());
        match (numbers.next()??, numbers.next()??, numbers.next()??) {
            (13..=31, 1..=12, _) => Some((row.sheet_row, DateOrder::Dmy)),
            (1..=12, 13..=31, _) => Some((row.sheet_row, DateOrder::Mdy)),
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use shared::doctor::Verdict;

    use super::*;

    fn found(dates: &[&str]) -> (Verdict, String) {
        let settings = Settings::read(&|_| None).expect("defaults are sound");
        let row = |(at, date): (usize, &&str)| SourceRow {
            sheet_row: at as u32 + 2,
            updated: Cell::Text((*date).to_owned()),
            ..SourceRow::default()
        };
        let rows: Vec<_> = dates.iter().enumerate().map(row).collect();
        let findings = Findings::default();
        of_dates(&rows, &settings, &findings);
        let finding = findings.take().remove(0);
        assert_eq!(finding.check, "sheet.dates");
        (finding.verdict, finding.text)
    }

    #[test]
    fn dates_of_the_other_order_and_a_column_of_no_dates_are_found() {
        assert_eq!(found(&["23/11/2026", "2026-11-24"]).0, Verdict::Ok);
        let (verdict, text) = found(&["11/23/2026", "11/02/2026", "11/24/2026"]);
        assert_eq!(verdict, Verdict::Wrong, "{text}");
        assert!(text.contains("SHEET_DATE_ORDER=mdy") && text.contains("rows 2, 4"), "{text}");
        let (verdict, text) = found(&["Budi", "Siti", "23/11/2026"]);
        assert!(verdict == Verdict::Wrong && text.contains("SHEET_COLUMN_UPDATED"), "{text}");
        let (verdict, text) = found(&["kemarin", "23/11/2026", "24/11/2026"]);
        assert!(verdict == Verdict::Ok && text.contains("1 of 3"), "a slip is no setting: {text}");
    }
}

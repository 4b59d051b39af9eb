//! Which dates had their night: a missed one is shown as missed.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::civil::Time;
use jiff::tz::TimeZone;
use shared::domain::{Outcome, RunDate};
use shared::ledger::{RunKind, RunState, RunSummary};

use crate::language::Lang;
use crate::marks::Tone;

/// A date without a run is missed from then on.
const DUE: Time = Time::constant(23, 15, 0, 0);

/// How a date stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Night {
    Finished,
    WithDeadLetters,
    Unfinished,
    Missed,
    /// Its time has not come.
    Ahead,
    /// Before the first run there ever was.
    Before,
}

/// A date of the calendar.
#[derive(Clone, Debug)]
pub(crate) struct Day {
    pub(crate) date: RunDate,
    pub(crate) night: Night,
    /// The run to look at.
    pub(crate) run: Option<String>,
}

impl Day {
    pub(crate) fn is_missed(&self) -> bool {
        self.night == Night::Missed
    }

    pub(crate) fn class(&self) -> &'static str {
        match self.night {
            Night::Finished => Tone::Good.class(),
            Night::WithDeadLetters => Tone::Warn.class(),
            Night::Unfinished => Tone::Busy.class(),
            Night::Missed => Tone::Bad.class(),
            Night::Ahead | Night::Before => Tone::Quiet.class(),
        }
    }

    pub(crate) fn words(&self, lang: &Lang) -> &'static str {
        match self.night {
            Night::Finished => lang.t("finished", "selesai"),
            Night::WithDeadLetters => lang.t("dead letters", "ada gagal"),
            Night::Unfinished => lang.t("unfinished", "belum selesai"),
            Night::Missed => lang.t("missed", "terlewat"),
            Night::Ahead => lang.t("not yet", "belum"),
            Night::Before => lang.t("no data", "tanpa data"),
        }
    }
}

/// The days from `from` to today. `begins`: the first date a run was for; none where there was none.
pub(crate) fn days(
    runs: &[RunSummary],
    from: RunDate,
    begins: Option<RunDate>,
    now: Timestamp,
    zone: &TimeZone,
) -> Vec<Day> {
    let mut nights: BTreeMap<RunDate, Vec<&RunSummary>> = BTreeMap::new();
    for run in runs.iter().filter(|run| run.run.kind == RunKind::Night) {
        nights.entry(run.run.date).or_default().push(run);
    }
    let today = RunDate::today(now, zone);
    let local = zone.to_datetime(now);
    let of = |date: RunDate| {
        let Some(runs) = nights.get(&date) else {
            let night = match begins {
                Some(first) if date < first => Night::Before,
                None => Night::Before,
                Some(_) if date == today && local.time() < DUE => Night::Ahead,
                Some(_) => Night::Missed,
            };
            return Day { date, night, run: None };
        };
        let open = runs.iter().rev().find(|run| matches!(run.run.state, RunState::Seeding | RunState::Open));
        let dead = runs.iter().rev().find(|run| run.tally.count(Outcome::DeadLettered) > 0);
        let (night, run) = match (open, dead) {
            (Some(run), _) => (Night::Unfinished, Some(run)),
            (None, Some(run)) => (Night::WithDeadLetters, Some(run)),
            (None, None) => (Night::Finished, runs.last()),
        };
        Day { date, night, run: run.map(|run| run.run.id.to_string()) }
    };
    from.through(today).map(of).collect()
}

#[cfg(test)]
mod tests {
    use shared::ledger::{Run, RunId, Selection, Tally};

    use super::*;

    fn run(date: &str, kind: RunKind, state: RunState) -> RunSummary {
        let at: Timestamp = format!("{date}T16:00:00Z").parse().unwrap();
        let run = Run {
            id: RunId::new(at),
            job: "job".into(),
            date: date.parse().unwrap(),
            kind,
            selection: Selection::default(),
            order: 1,
            state,
            source: "file".into(),
            started_at: at,
            snapshot_at: None,
            published_at: None,
            first_write_at: None,
            last_write_at: None,
            closed_at: None,
            rows_read: 0,
            changed_while_read: false,
        };
        RunSummary { run, tally: Tally::default() }
    }

    #[test]
    fn a_date_without_a_night_is_missed_from_a_quarter_past_eleven_and_never_before_the_first_run() {
        let zone = TimeZone::get("Asia/Jakarta").unwrap();
        let runs = [
            run("2026-11-21", RunKind::Night, RunState::Closed),
            run("2026-11-22", RunKind::DryRun, RunState::Closed),
            run("2026-11-23", RunKind::Night, RunState::Open),
        ];
        let at = |now: &str| {
            let (from, begins) = ("2026-11-20".parse().unwrap(), "2026-11-21".parse().ok());
            let days = days(&runs, from, begins, now.parse().unwrap(), &zone);
            days.into_iter().map(|day| day.night).collect::<Vec<_>>()
        };
        let before = [Night::Before, Night::Finished, Night::Missed, Night::Unfinished];
        assert_eq!(at("2026-11-24T16:14:59Z"), [before.as_slice(), &[Night::Ahead]].concat());
        assert_eq!(at("2026-11-24T16:15:00Z"), [before.as_slice(), &[Night::Missed]].concat());
    }
}

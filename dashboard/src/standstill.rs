//! Whether anybody works on a run that is not over: who does leaves a point in its series.

use jiff::{SignedDuration, Timestamp};
use shared::ledger::{Run, RunState, SamplePoint};

/// A restart, or a database that is away for a moment, is none.
const PATIENCE: SignedDuration = SignedDuration::from_secs(60);

/// Since when nobody works on it. Points move apart as a series grows, so the last distance is allowed for, a few times.
pub(crate) fn since(run: &Run, series: &[SamplePoint], now: Timestamp) -> Option<Timestamp> {
    if run.state != RunState::Open {
        return None;
    }
    let last = series.last()?;
    let before = series.iter().rev().nth(1).map_or(last.at, |point| point.at);
    let allowed = PATIENCE + last.at.duration_since(before) * 3;
    (now.duration_since(last.at) > allowed).then_some(last.at)
}

#[cfg(test)]
mod tests {
    use shared::ledger::{LimiterSample, RunId, RunKind, Sample, Selection};

    use super::*;

    fn run(state: RunState) -> Run {
        let started_at: Timestamp = "2026-11-23T16:00:00Z".parse().unwrap();
        Run {
            id: RunId::new(started_at),
            job: "job".into(),
            date: "2026-11-23".parse().unwrap(),
            kind: RunKind::Night,
            selection: Selection::default(),
            order: 1,
            state,
            source: "file".into(),
            started_at,
            snapshot_at: None,
            published_at: None,
            first_write_at: None,
            last_write_at: None,
            closed_at: None,
            rows_read: 0,
            changed_while_read: false,
        }
    }

    /// Seconds after the start: the points, and now.
    fn stands(state: RunState, points: &[i64], now: i64) -> Option<i64> {
        let run = run(state);
        let at = |seconds: i64| run.started_at + SignedDuration::from_secs(seconds);
        let point = |(number, seconds): (usize, &i64)| SamplePoint {
            number: number as u32 + 1,
            at: at(*seconds),
            sample: Sample::default(),
            workers: 0,
            limiter: LimiterSample::default(),
        };
        let series: Vec<_> = points.iter().enumerate().map(point).collect();
        since(&run, &series, at(now)).map(|since| since.duration_since(run.started_at).as_secs())
    }

    #[test]
    fn a_run_stands_still_when_its_next_point_is_long_overdue() {
        assert_eq!(stands(RunState::Open, &[1, 2], 65), None, "a restart is none");
        assert_eq!(stands(RunState::Open, &[1, 2], 66), Some(2));
        assert_eq!(stands(RunState::Open, &[7_200, 7_800], 9_000), None, "its points are ten minutes apart");
        assert_eq!(stands(RunState::Open, &[7_200, 7_800], 10_000), Some(7_800));
        assert_eq!(stands(RunState::Open, &[], 10_000), None, "nothing is known");
        assert_eq!(stands(RunState::Closed, &[1, 2], 10_000), None);
    }
}

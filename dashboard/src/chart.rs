//! How a run went over time, drawn by the server as SVG from the series in the ledger; each picture with a sentence, and
//! a table that says the same.

use std::fmt::Write as _;

use shared::ledger::{Run, RunState, SamplePoint};

use crate::language::Lang;
use crate::marks::span;

/// Points of a line, and rows of the table.
const POINTS: usize = 60;

/// An end so soon after the last point takes its place: a rate over less says nothing.
const MOMENT: f64 = 0.5;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 180.0;
/// Room for the scale.
const MARGIN: f64 = 28.0;

/// The pictures of a run.
pub(crate) struct Chart {
    pub(crate) pictures: Vec<Picture>,
    pub(crate) lasted: String,
    pub(crate) points: Vec<Point>,
}

/// One picture: lines over time on one scale.
pub(crate) struct Picture {
    pub(crate) id: &'static str,
    pub(crate) title: &'static str,
    pub(crate) text: String,
    pub(crate) top: String,
    pub(crate) lines: Vec<Line>,
}

/// A line, and what it stands for where there is more than one.
pub(crate) struct Line {
    pub(crate) class: &'static str,
    pub(crate) name: &'static str,
    pub(crate) path: String,
}

/// A stretch of time.
pub(crate) struct Point {
    pub(crate) at: String,
    pub(crate) rate: String,
    pub(crate) left: String,
    pub(crate) limit: String,
    pub(crate) in_flight: String,
    pub(crate) ready: String,
    pub(crate) waiting: String,
}

/// A point in seconds since the run was opened.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    at: f64,
    done: u64,
    open: u64,
    /// Limit and requests in flight, of the workers together.
    limiter: Option<(f64, f64)>,
    ready: Option<u64>,
    waiting: Option<u64>,
}

/// The series with the end of a run that has one, thinned to what can be looked at.
fn seen(run: &Run, series: &[SamplePoint]) -> Vec<Seen> {
    let at = |at: jiff::Timestamp| at.duration_since(run.started_at).as_secs_f64();
    let mut all: Vec<Seen> = series
        .iter()
        .map(|point| Seen {
            at: at(point.at),
            done: point.sample.done(),
            open: point.sample.open,
            limiter: (point.workers > 0).then_some((point.limiter.limit, point.limiter.in_flight as f64)),
            ready: point.sample.ready,
            waiting: point.sample.waiting,
        })
        .collect();
    let end = run.closed_at.filter(|_| run.state == RunState::Closed).map(at);
    if let (Some(end), Some(last)) = (end, all.last().copied()) {
        if all.len() > 1 && end - last.at < MOMENT {
            all.pop();
        }
        all.push(Seen { at: end, done: last.done + last.open, ..Seen::default() });
    }
    let step = all.len().div_ceil(POINTS).max(1);
    // From the end backwards: the end is always among them.
    let mut kept: Vec<Seen> = all.iter().rev().step_by(step).copied().collect();
    if let Some(first) = all.first()
        && kept.last().is_none_or(|last| last.at > first.at)
    {
        kept.push(*first);
    }
    kept.reverse();
    kept
}

/// Where a line goes; it is broken where nothing is known.
fn path(values: &[(f64, Option<f64>)], (from, width): (f64, f64), most: f64) -> String {
    let (mut path, mut pen_is_down) = (String::new(), false);
    for (at, value) in values {
        let Some(value) = value else {
            pen_is_down = false;
            continue;
        };
        let x = MARGIN + (at - from) / width * (WIDTH - 2.0 * MARGIN);
        let y = HEIGHT - MARGIN - value / most * (HEIGHT - 2.0 * MARGIN);
        let _ = write!(path, "{}{x:.1} {y:.1} ", if pen_is_down { 'L' } else { 'M' });
        pen_is_down = true;
    }
    path.truncate(path.trim_end().len());
    path
}

fn most(lines: &[&[(f64, Option<f64>)]]) -> f64 {
    lines.iter().flat_map(|line| line.iter()).filter_map(|(_, value)| *value).fold(1.0, f64::max)
}

impl Chart {
    /// None where too little was seen to draw.
    pub(crate) fn of(run: &Run, series: &[SamplePoint], lang: Lang) -> Option<Self> {
        let seen = seen(run, series);
        let rates: Vec<(f64, Option<f64>)> = seen
            .windows(2)
            .filter(|pair| pair[1].at > pair[0].at)
            .map(|pair| {
                (
                    pair[1].at,
                    Some(pair[1].done.saturating_sub(pair[0].done) as f64 / (pair[1].at - pair[0].at)),
                )
            })
            .collect();
        let (first, last) = (seen.first()?, seen.last()?);
        if rates.len() < 2 {
            return None;
        }
        let frame = (first.at, last.at - first.at);
        let n = |number: f64| lang.number(&(number.round() as u64));
        let lasted = span(frame.1.round() as u64, lang);
        let top = most(&[&rates]);
        let mean = n(last.done.saturating_sub(first.done) as f64 / frame.1);
        let mut pictures = vec![Picture {
            id: "throughput",
            title: lang.t("Throughput over time", "Kecepatan dari waktu ke waktu"),
            text: format!(
                "{} {}, {} {mean}, {} {lasted}.",
                lang.t("Rows a second: at most", "Baris per detik: paling banyak"),
                n(top),
                lang.t("on average", "rata-rata"),
                lang.t("over", "selama")
            ),
            top: n(top),
            lines: vec![Line { class: "first", name: "", path: path(&rates, frame, top) }],
        }];
        let of = |value: fn(&Seen) -> Option<f64>| -> Vec<(f64, Option<f64>)> {
            seen.iter().map(|seen| (seen.at, value(seen))).collect()
        };
        let pair = |id, title, words: [&'static str; 2], values: [Vec<(f64, Option<f64>)>; 2]| {
            let [one, other] = &values;
            if values.iter().flatten().filter(|(_, value)| value.is_some()).count() < 2 {
                return None;
            }
            let top = most(&[one, other]);
            let at_most = lang.t("at most", "paling banyak");
            let text = [(words[0], one), (words[1], other)]
                .map(|(name, values)| format!("{name}: {at_most} {}.", n(highest(values))));
            Some(Picture {
                id,
                title,
                text: text.join(" "),
                top: n(top),
                lines: vec![
                    Line { class: "first", name: words[0], path: path(one, frame, top) },
                    Line { class: "second", name: words[1], path: path(other, frame, top) },
                ],
            })
        };
        pictures.extend(pair(
            "limiter",
            lang.t("Requests at a time", "Permintaan sekaligus"),
            [
                lang.t("Limit that the workers found", "Batas yang ditemukan pekerja"),
                lang.t("In flight", "Sedang berjalan"),
            ],
            [
                of(|seen| seen.limiter.map(|(limit, _)| limit)),
                of(|seen| seen.limiter.map(|(_, flight)| flight)),
            ],
        ));
        pictures.extend(pair(
            "queue",
            lang.t("Messages that wait", "Pesan yang menunggu"),
            [lang.t("To be worked on", "Untuk dikerjakan"), lang.t("To be tried again", "Untuk dicoba lagi")],
            [of(|seen| seen.ready.map(|n| n as f64)), of(|seen| seen.waiting.map(|n| n as f64))],
        ));
        let maybe = |number: Option<f64>| number.map_or_else(|| "–".to_owned(), n);
        let points =
            seen.windows(2).filter(|pair| pair[1].at > pair[0].at).zip(&rates).map(|(pair, (_, rate))| {
                let point = &pair[1];
                Point {
                    at: format!("+{}", span(point.at.round() as u64, lang)),
                    rate: maybe(*rate),
                    left: lang.number(&point.open),
                    limit: maybe(point.limiter.map(|(limit, _)| limit)),
                    in_flight: maybe(point.limiter.map(|(_, flight)| flight)),
                    ready: maybe(point.ready.map(|n| n as f64)),
                    waiting: maybe(point.waiting.map(|n| n as f64)),
                }
            });
        Some(Self { pictures, lasted, points: points.collect() })
    }
}

fn highest(values: &[(f64, Option<f64>)]) -> f64 {
    values.iter().filter_map(|(_, value)| *value).fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use jiff::{SignedDuration, Timestamp};
    use shared::domain::Language;
    use shared::ledger::{LimiterSample, RunId, RunKind, Sample, Selection};

    use super::*;

    fn run(closed_after: Option<i64>) -> Run {
        let started_at: Timestamp = "2026-11-23T16:00:00Z".parse().unwrap();
        Run {
            id: RunId::new(started_at),
            job: "job".into(),
            date: "2026-11-23".parse().unwrap(),
            kind: RunKind::Night,
            selection: Selection::default(),
            order: 1,
            state: if closed_after.is_some() { RunState::Closed } else { RunState::Open },
            source: "file".into(),
            started_at,
            snapshot_at: None,
            published_at: None,
            first_write_at: None,
            last_write_at: None,
            closed_at: closed_after.map(|ms| started_at + SignedDuration::from_millis(ms)),
            rows_read: 0,
            changed_while_read: false,
        }
    }

    /// Of a run with 1,200 rows: when, and how many were done.
    fn chart(closed_after: Option<i64>, seen: &[(i64, u64)]) -> Option<Chart> {
        let run = run(closed_after);
        let point = |(index, (at, done)): (usize, &(i64, u64))| SamplePoint {
            number: index as u32 + 1,
            at: run.started_at + SignedDuration::from_secs(*at),
            sample: Sample {
                updated: *done,
                open: 1_200 - done,
                ready: Some(40),
                waiting: Some(2),
                ..Sample::default()
            },
            workers: u32::from(index > 0),
            limiter: LimiterSample { limit: 64.0, in_flight: 60 },
        };
        let series: Vec<_> = seen.iter().enumerate().map(point).collect();
        Chart::of(&run, &series, Lang(Language::En))
    }

    #[test]
    fn the_pictures_and_their_words_agree() {
        let chart = chart(None, &[(0, 0), (2, 200), (4, 1_200), (6, 1_200)]).unwrap();
        let [throughput, limiter, queue] = &chart.pictures[..] else { panic!("three pictures") };
        assert_eq!(throughput.text, "Rows a second: at most 500, on average 200, over 6 s.");
        assert_eq!(throughput.top, "500");
        assert!(throughput.lines[0].path.ends_with("L692.0 152.0"), "nothing done is on the base line");
        assert_eq!(limiter.text, "Limit that the workers found: at most 64. In flight: at most 60.");
        assert!(limiter.lines[0].path.starts_with("M249.3 "), "no worker was there at first");
        assert_eq!(queue.text, "To be worked on: at most 40. To be tried again: at most 2.");
        let rates: Vec<_> = chart.points.iter().map(|point| point.rate.as_str()).collect();
        assert_eq!(rates, ["100", "500", "0"]);
    }

    #[test]
    fn a_run_that_closed_is_drawn_to_its_end() {
        let chart = chart(Some(4_000), &[(0, 0), (1, 300), (2, 600)]).unwrap();
        let last = chart.points.last().unwrap();
        assert_eq!((last.at.as_str(), last.rate.as_str(), last.left.as_str()), ("+4 s", "300", "0"));
        assert_eq!(last.ready, "–", "nobody looked at the queue then");
    }

    #[test]
    fn an_end_right_after_the_last_point_is_no_burst() {
        let chart = chart(Some(2_010), &[(0, 0), (1, 600), (2, 1_190)]).unwrap();
        assert_eq!(chart.pictures[0].top, "600");
    }

    #[test]
    fn a_long_series_is_thinned_and_keeps_its_ends() {
        let seen: Vec<_> = (0..=375).map(|at| (at, at as u64 * 3)).collect();
        let chart = chart(None, &seen).unwrap();
        assert!(chart.points.len() <= POINTS, "{}", chart.points.len());
        assert_eq!(chart.points.last().unwrap().at, "+6 min 15 s");
        assert_eq!(chart.pictures[0].top, "3");
    }

    #[test]
    fn too_little_to_draw_is_no_picture() {
        assert!(chart(None, &[]).is_none());
        assert!(chart(None, &[(0, 0), (2, 10)]).is_none());
        assert!(chart(None, &[(2, 0), (2, 10), (2, 20)]).is_none());
    }
}

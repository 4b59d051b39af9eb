//! Throughput over time, drawn by the server as SVG; with a sentence and a table that say the same.

use std::fmt::Write as _;

use crate::language::Lang;
use crate::marks::span;
use crate::samples::Sample;

/// Points of the line, and rows of the table.
const POINTS: usize = 60;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 180.0;
/// Room for the scale.
const MARGIN: f64 = 28.0;

/// A picture.
pub(crate) struct Chart {
    pub(crate) path: String,
    pub(crate) most: String,
    pub(crate) mean: String,
    pub(crate) lasted: String,
    pub(crate) points: Vec<Point>,
}

/// A stretch of time.
pub(crate) struct Point {
    pub(crate) at: String,
    pub(crate) rate: String,
    pub(crate) left: String,
}

impl Chart {
    /// None where too little was seen to draw.
    pub(crate) fn of(samples: &[Sample], lang: Lang) -> Option<Self> {
        let step = samples.len().div_ceil(POINTS).max(1);
        let mut kept: Vec<Sample> = samples.iter().step_by(step).copied().collect();
        if kept.last() != samples.last() {
            kept.extend(samples.last());
        }
        let rates: Vec<(Sample, f64)> = kept
            .windows(2)
            .filter(|pair| pair[1].at > pair[0].at)
            .map(|pair| {
                let rows = pair[1].done.saturating_sub(pair[0].done) as f64;
                (pair[1], rows / (pair[1].at - pair[0].at) as f64)
            })
            .collect();
        let (first, last) = (kept.first()?, rates.last()?.0);
        if rates.len() < 2 {
            return None;
        }
        let most = rates.iter().map(|(_, rate)| *rate).fold(1.0, f64::max);
        let width = (last.at - first.at) as f64;
        let mut path = String::new();
        for (index, (sample, rate)) in rates.iter().enumerate() {
            let x = MARGIN + (sample.at - first.at) as f64 / width * (WIDTH - 2.0 * MARGIN);
            let y = HEIGHT - MARGIN - rate / most * (HEIGHT - 2.0 * MARGIN);
            let _ = write!(path, "{}{x:.1} {y:.1}", if index == 0 { "M" } else { " L" });
        }
        let n = |number: f64| lang.number(&(number.round() as u64));
        let points = rates.iter().map(|(sample, rate)| Point {
            at: format!("+{}", span(sample.at, lang)),
            rate: n(*rate),
            left: lang.number(&sample.open),
        });
        Some(Self {
            path,
            most: n(most),
            mean: n(last.done.saturating_sub(first.done) as f64 / width),
            lasted: span(last.at - first.at, lang),
            points: points.collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use shared::domain::Language;

    use super::*;

    fn chart(seen: &[(u64, u64)]) -> Option<Chart> {
        let samples: Vec<_> =
            seen.iter().map(|(at, done)| Sample { at: *at, done: *done, open: 0 }).collect();
        Chart::of(&samples, Lang(Language::En))
    }

    #[test]
    fn the_picture_and_its_words_agree() {
        let chart = chart(&[(0, 0), (2, 200), (4, 1_200), (6, 1_200)]).unwrap();
        assert_eq!((chart.most.as_str(), chart.mean.as_str(), chart.lasted.as_str()), ("500", "200", "6 s"));
        assert_eq!(
            chart.points.iter().map(|point| point.rate.as_str()).collect::<Vec<_>>(),
            ["100", "500", "0"]
        );
        assert!(chart.path.ends_with("L692.0 152.0"), "nothing done is on the base line: {}", chart.path);
    }

    #[test]
    fn too_little_to_draw_is_no_picture() {
        assert!(chart(&[]).is_none());
        assert!(chart(&[(0, 0), (2, 10)]).is_none());
        assert!(chart(&[(2, 0), (2, 10), (2, 20)]).is_none());
    }
}

//! How a run went while it went: a series of points that a picture is drawn from, long after the night.
//!
//! A series is bounded because its points move apart as it grows: about a second for the first [`EVEN`], and twice as
//! far after each [`DOUBLED`] more. Ten minutes are 150 points, a day 375. The distance follows the points there are and
//! not the time that passed, so a night that is carried on in the morning is drawn as finely as it began.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;

use super::LedgerError;
use super::run::RunId;
use super::view::Tally;
use crate::domain::Outcome;

/// Points that are a second apart.
const EVEN: u32 = 60;

/// Points until the distance doubles.
const DOUBLED: u32 = 30;

/// Less than a second: who looks every second must not miss a point by a hair.
const APART: Duration = Duration::from_millis(900);

/// How long after the point with this number the next is taken at the earliest.
pub(super) fn apart(number: u32) -> Duration {
    let doublings = number.checked_sub(EVEN).map_or(0, |beyond| 1 + beyond / DOUBLED);
    APART * 2u32.pow(doublings.min(20))
}

/// How far a run is at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sample {
    /// Rows that were written.
    pub updated: u64,
    /// Rows that ended well without a write, or were rejected.
    pub unwritten: u64,
    /// Rows that became dead letters.
    pub dead_lettered: u64,
    /// Rows without an outcome yet.
    pub open: u64,
    /// Messages in the run's queue that wait to be received; none where it could not be asked.
    pub ready: Option<u64>,
    /// Messages there that wait for their time.
    pub waiting: Option<u64>,
}

impl Sample {
    /// From a run's counts; what is in its queue is not known yet.
    pub fn new(tally: &Tally) -> Self {
        let (updated, dead) = (tally.count(Outcome::Updated), tally.count(Outcome::DeadLettered));
        Self {
            updated,
            unwritten: tally.selected() - tally.open - updated - dead,
            dead_lettered: dead,
            open: tally.open,
            ready: None,
            waiting: None,
        }
    }

    /// Rows with an outcome.
    pub fn done(&self) -> u64 {
        self.updated + self.unwritten + self.dead_lettered
    }
}

/// One worker's limiter at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LimiterSample {
    /// Requests it may have in flight.
    pub limit: f64,
    /// Requests it has in flight.
    pub in_flight: u64,
}

/// A point of a series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SamplePoint {
    /// Counts up from 1.
    pub number: u32,
    /// When, by the ledger's clock.
    pub at: Timestamp,
    /// How far the run was.
    pub sample: Sample,
    /// Workers that added their limiter: those that had a row of the run in the second before.
    pub workers: u32,
    /// Their limiters together.
    pub limiter: LimiterSample,
}

/// The series of runs: written by whoever works, looked at by whoever asks later.
#[async_trait]
pub trait LedgerSamples: Send + Sync {
    /// Adds a point to an open run's series. False: the last one is too recent, or the run is not open.
    async fn add_sample(&self, run: RunId, sample: &Sample) -> Result<bool, LedgerError>;

    /// Adds a worker's limiter to the newest point, if its number is beyond `after`, and names it. A worker that
    /// remembers what it is told adds itself once to a point.
    async fn add_limiter(
        &self,
        run: RunId,
        after: u32,
        limiter: LimiterSample,
    ) -> Result<Option<u32>, LedgerError>;

    /// Notes that every row of an open run is with the queue, or was, if that is so now and was not noted before.
    async fn note_all_published(&self, run: RunId) -> Result<bool, LedgerError>;

    /// When the first and the last `updated` row of a run were recorded. Looks at all its rows.
    async fn writes(&self, run: RunId) -> Result<Option<(Timestamp, Timestamp)>, LedgerError>;

    /// A run's series, oldest first.
    async fn samples(&self, run: RunId) -> Result<Vec<SamplePoint>, LedgerError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_of_a_day_has_a_few_hundred_points() {
        let (mut number, mut passed) = (0, Duration::ZERO);
        while passed < Duration::from_secs(86_400) {
            number += 1;
            passed += apart(number);
        }
        assert!((300..500).contains(&number), "{number}");
        assert_eq!(apart(1), APART);
        assert_eq!(apart(59), APART);
        assert_eq!(apart(60), APART * 2);
        assert_eq!(apart(89), APART * 2);
        assert_eq!(apart(90), APART * 4);
        assert!(apart(u32::MAX) < Duration::from_secs(86_400 * 30));
    }
}

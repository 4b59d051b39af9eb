//! What the oracle found.

use std::fmt::{self, Display};

/// What the oracle found, in numbers and in words. It holds where there are no words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Rows of nights that were looked at.
    pub rows: u64,
    /// Rows without a trace, successes that FHIR does not hold, telecoms that are gone, dead rows without a dead letter.
    pub lost: u64,
    /// Versions, dead letters and endings beyond what the outcomes explain.
    pub doubled: u64,
    /// Rows without an outcome; runs, messages, locks and leases left behind.
    pub stuck: u64,
    /// Everything that does not hold.
    pub violations: Vec<String>,
}

impl Verdict {
    /// Whether everything holds.
    pub fn holds(&self) -> bool {
        self.violations.is_empty()
    }

    /// Says what does not hold, if anything does not.
    ///
    /// # Panics
    /// Something does not.
    #[track_caller]
    pub fn assert(&self) {
        assert!(self.holds(), "{self}");
    }

    pub(super) fn lost(&mut self, count: u64, what: impl FnOnce() -> String) {
        self.lost += count;
        self.wrong(count > 0, what);
    }

    pub(super) fn doubled(&mut self, count: u64, what: impl FnOnce() -> String) {
        self.doubled += count;
        self.wrong(count > 0, what);
    }

    pub(super) fn stuck(&mut self, count: u64, what: impl FnOnce() -> String) {
        self.stuck += count;
        self.wrong(count > 0, what);
    }

    pub(super) fn wrong(&mut self, is_wrong: bool, what: impl FnOnce() -> String) {
        if is_wrong {
            self.violations.push(what());
        }
    }
}

impl Display for Verdict {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rows, lost, doubled, stuck, violations } = self;
        write!(to, "{rows} rows: {lost} lost, {doubled} doubled, {stuck} stuck")?;
        violations.iter().try_for_each(|violation| write!(to, "\n- {violation}"))
    }
}

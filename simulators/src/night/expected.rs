//! What a correct run makes of a night: how many rows end in which outcome, for which reason.

use std::collections::BTreeMap;

use serde::Serialize;

use super::plan::{Bad, RowKind};

/// The outcome of a night's rows, in the words of the reports.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Expected {
    /// Rows below the header.
    pub rows_read: u64,
    /// Rows of the run date, and those whose date cannot be read: the sum of `outcomes`.
    pub rows_selected: u64,
    /// Rows by outcome; outcomes without rows are absent.
    pub outcomes: BTreeMap<String, u64>,
    /// Rejected and dead-lettered rows by reason.
    pub reasons: BTreeMap<String, u64>,
    /// Patients that get a new version, each exactly one.
    pub patients_changed: u64,
}

impl Expected {
    /// Rows with this outcome.
    pub fn outcome(&self, name: &str) -> u64 {
        self.outcomes.get(name).copied().unwrap_or(0)
    }

    pub(super) fn count(&mut self, kind: RowKind) {
        self.rows_read += 1;
        let Some((outcome, reason)) = kind.outcome() else { return };
        self.rows_selected += 1;
        *self.outcomes.entry(outcome.to_owned()).or_default() += 1;
        if let Some(reason) = reason {
            *self.reasons.entry(reason.to_owned()).or_default() += 1;
        }
        self.patients_changed += u64::from(kind == RowKind::Updated);
    }
}

impl RowKind {
    /// The outcome and its reason; none for rows of other dates.
    fn outcome(self) -> Option<(&'static str, Option<&'static str>)> {
        Some(match self {
            Self::Earlier => return None,
            Self::Updated => ("updated", None),
            Self::Unchanged => ("unchanged", None),
            Self::Unknown => ("skipped_not_found", None),
            Self::Duplicate => ("duplicate_row", None),
            Self::Conflicting(_) => ("rejected", Some("conflicting_rows")),
            Self::Ambiguous => ("dead_lettered", Some("ambiguous_patient")),
            Self::Inactive => ("dead_lettered", Some("patient_inactive")),
            Self::Bad(bad) => ("rejected", Some(bad.reason())),
        })
    }
}

impl Bad {
    fn reason(self) -> &'static str {
        match self {
            Self::NikMissing => "nik_missing",
            Self::NikNot16Digits => "nik_not_16_digits",
            Self::NikLostPrecision => "nik_lost_precision",
            Self::NikSeveral => "nik_several",
            Self::PhoneMissing => "phone_missing",
            Self::PhoneInvalid => "phone_invalid",
            Self::PhoneNotMobile => "phone_not_mobile",
            Self::PhoneSeveral => "phone_several",
            Self::PhoneNote => "phone_note",
            Self::CellError => "cell_error",
            Self::DateUnreadable => "date_unreadable",
        }
    }
}

//! What became of a row, in the words of the outside contract.

/// Declares an enum whose variants have one stable snake_case spelling each, used alike in the ledger, the
/// report and the command line.
macro_rules! spelled {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name { $($(#[$doc])* $variant,)+ }

        impl $name {
            /// Every value, in the order of the contract.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The stable spelling.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl ::std::str::FromStr for $name {
            type Err = $crate::domain::UnknownWord;

            fn from_str(text: &str) -> Result<Self, $crate::domain::UnknownWord> {
                let known = Self::ALL.iter().copied();
                known.clone().find(|word| word.as_str() == text).ok_or_else(|| {
                    $crate::domain::UnknownWord::new(text, known.map(Self::as_str))
                })
            }
        }
    };
}

pub(crate) use spelled;

/// A word that is not one of those an enum accepts.
#[derive(Debug, thiserror::Error)]
#[error("'{found}' is not known; accepted: {accepted}")]
pub struct UnknownWord {
    found: String,
    accepted: String,
}

impl UnknownWord {
    pub(crate) fn new(found: &str, accepted: impl Iterator<Item = &'static str>) -> Self {
        Self { found: found.to_owned(), accepted: accepted.collect::<Vec<_>>().join(", ") }
    }
}

spelled! {
    /// The terminal outcome of a row; each snapshotted row ends in exactly one.
    Outcome {
        /// The telecom was written.
        Updated = "updated",
        /// The Patient already had this number; nothing was written.
        Unchanged = "unchanged",
        /// No Patient has this NIK.
        SkippedNotFound = "skipped_not_found",
        /// This date and number are already this NIK's newest success.
        SkippedAlreadyApplied = "skipped_already_applied",
        /// A newer number was already applied to this NIK.
        Superseded = "superseded",
        /// Another row of the same date, NIK and number stands for it.
        DuplicateRow = "duplicate_row",
        /// The row itself is bad.
        Rejected = "rejected",
        /// It could not be done; the payload is kept.
        DeadLettered = "dead_lettered",
    }
}

spelled! {
    /// Why a row was rejected or dead-lettered.
    Reason {
        /// The NIK cell is empty, or holds only invisible characters or a mark for nothing such as `-`.
        NikMissing = "nik_missing",
        /// Not 16 digits, or something other than digits among them.
        NikNot16Digits = "nik_not_16_digits",
        /// The NIK went through a number (cell, scientific notation, serial 0000): digits may be invented.
        NikLostPrecision = "nik_lost_precision",
        /// Two different NIKs in one cell.
        NikSeveral = "nik_several",
        /// No number given.
        PhoneMissing = "phone_missing",
        /// Not a phone number, or not one that can be understood without guessing.
        PhoneInvalid = "phone_invalid",
        /// A number, but not a mobile one.
        PhoneNotMobile = "phone_not_mobile",
        /// Two different numbers in one cell.
        PhoneSeveral = "phone_several",
        /// A number with a remark about whose it is.
        PhoneNote = "phone_note",
        /// A spreadsheet error such as `#REF!`.
        CellError = "cell_error",
        /// More characters than a cell may have.
        CellTooLong = "cell_too_long",
        /// `last_updated_date` cannot be read, or is empty while the row has content.
        DateUnreadable = "date_unreadable",
        /// One NIK with different numbers on the same date.
        ConflictingRows = "conflicting_rows",
        /// Every attempt failed for a reason that could have passed.
        RetriesExhausted = "retries_exhausted",
        /// Several Patients hold this NIK.
        AmbiguousPatient = "ambiguous_patient",
        /// The Patient is inactive or was replaced by another.
        PatientInactive = "patient_inactive",
        /// The Patient was deleted between search and write.
        PatientGone = "patient_gone",
        /// The server only gives a partial or masked body, which must not be written back.
        ResourceIncomplete = "resource_incomplete",
        /// What the server answers about the Patient is larger than is read.
        ResourceTooLarge = "resource_too_large",
        /// Somebody else kept changing the Patient while we tried.
        WriteConflict = "write_conflict",
        /// The FHIR server refuses this row.
        RejectedByServer = "rejected_by_server",
        /// Processing this row kills its process.
        PoisonMessage = "poison_message",
    }
}

impl Reason {
    /// Whether it is a dead letter's; else it is a rejection's.
    pub fn is_of_dead_letters(self) -> bool {
        match self {
            Self::RetriesExhausted
            | Self::AmbiguousPatient
            | Self::PatientInactive
            | Self::PatientGone
            | Self::ResourceIncomplete
            | Self::ResourceTooLarge
            | Self::WriteConflict
            | Self::RejectedByServer
            | Self::PoisonMessage => true,
            Self::NikMissing
            | Self::NikNot16Digits
            | Self::NikLostPrecision
            | Self::NikSeveral
            | Self::PhoneMissing
            | Self::PhoneInvalid
            | Self::PhoneNotMobile
            | Self::PhoneSeveral
            | Self::PhoneNote
            | Self::CellError
            | Self::CellTooLong
            | Self::DateUnreadable
            | Self::ConflictingRows => false,
        }
    }
}

spelled! {
    /// The column a rejection is about.
    Column {
        /// `SHEET_COLUMN_NIK`.
        Nik = "nik",
        /// `SHEET_COLUMN_PHONE`.
        Phone = "phone",
        /// `SHEET_COLUMN_UPDATED`.
        Updated = "updated",
    }
}

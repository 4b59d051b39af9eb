//! What is odd about a row that is processed nevertheless.

use super::spelled;

spelled! {
    /// Something a person may want to look at; it changes no outcome.
    Warning {
        /// The first two digits of the NIK are no province's code.
        NikUnlikelyProvince = "nik_unlikely_province",
        /// Digits 7 to 12 of the NIK are no birth date.
        NikUnlikelyBirthDate = "nik_unlikely_birth_date",
        /// The cell holds the same NIK more than once.
        NikRepeated = "nik_repeated",
        /// The cell holds the same number more than once.
        PhoneRepeated = "phone_repeated",
        /// An Indonesian mobile number of a range that the numbering plan we know leaves unassigned.
        PhoneUnlikelyPrefix = "phone_unlikely_prefix",
        /// The Patient has more than one current mobile telecom; the best ranked one was set.
        SeveralCurrentMobiles = "several_current_mobiles",
    }
}

//! Explanations in English.

use super::{Column, Reason};

/// The row, the column and what was found in it.
pub(super) fn place(sheet_row: u32, column: Option<Column>, column_name: &str, found: &str) -> String {
    match (column, found) {
        (None, _) => format!("Row {sheet_row}"),
        (Some(_), "") => format!("Row {sheet_row}, column \"{column_name}\""),
        (Some(_), found) => format!("Row {sheet_row}, column \"{column_name}\", found \"{found}\""),
    }
}

/// What is wrong and what to do about it.
pub(super) fn advice(reason: Reason) -> &'static str {
    match reason {
        Reason::NikMissing => {
            "there is no NIK. Type the 16 digits from the KTP into this row; they are not taken from the row above."
        }
        Reason::NikNot16Digits => {
            "this is not a NIK of exactly 16 digits. Type it again from the KTP, digits only, for example \
             3171234567890001 (the letter O is not a zero)."
        }
        Reason::NikLostPrecision => {
            "the NIK was stored as a number, and spreadsheets keep only about 15 digits of a number, so it may \
             now be somebody else's. Format the column as plain text, then type the 16 digits again from the KTP."
        }
        Reason::NikSeveral => {
            "there are two different NIKs in one cell. Leave one, and give the other a row of its own."
        }
        Reason::PhoneMissing => {
            "there is no WhatsApp number. Type one, for example 081234567890; the number on record stays as it \
             is until then."
        }
        Reason::PhoneInvalid => {
            "this cannot be read as a phone number without guessing: it may have too few or too many digits, \
             letters, hidden digits or decimals. Type the whole number as plain text, for example 081234567890, \
             or +6591234567 for another country."
        }
        Reason::PhoneNotMobile => {
            "this is a landline, a short number or a call centre, not a mobile number. Type a mobile number, for \
             example 081234567890."
        }
        Reason::PhoneSeveral => {
            "there is more than one number in the cell, and nothing says which is right. Leave only the WhatsApp \
             number to be used."
        }
        Reason::PhoneNote => {
            "there is a remark beside the number. Leave only the person's own WhatsApp number here, and move the \
             remark to another column."
        }
        Reason::CellError => {
            "the cell holds a spreadsheet error in place of a value. Repair its formula, or type the value as \
             plain text."
        }
        Reason::CellTooLong => {
            "the cell holds more than 32,767 characters, so none of it was read. Leave only the value here, and \
             move the rest to another place."
        }
        Reason::DateUnreadable => {
            "this cannot be read as a date. Write day, month and a year of four digits, for example 23/11/2026 \
             or 2026-11-23."
        }
        Reason::ConflictingRows => {
            "this NIK is in several rows of the same date with different numbers, and nothing says which is \
             right. Leave only the row with the right number."
        }
        Reason::RetriesExhausted => {
            "the FHIR server failed for this row every time it was tried. Once the server is well again, replay \
             the dead letter; the sheet needs no change."
        }
        Reason::AmbiguousPatient => {
            "several Patients hold this NIK, so none was changed. Merge the duplicates or correct their NIK in \
             the FHIR server, then replay the dead letter."
        }
        Reason::PatientInactive => {
            "the Patient is inactive or was replaced by another, so it was not changed. Correct the NIK's Patient \
             in the FHIR server, then replay the dead letter."
        }
        Reason::PatientGone => {
            "the Patient was deleted while this row was being processed. If it should exist, restore it in the \
             FHIR server, then replay the dead letter."
        }
        Reason::ResourceIncomplete => {
            "the FHIR server shows only a part of this Patient or masks it, and writing that back would lose \
             data. Give this service the right to read whole Patients, then replay the dead letter."
        }
        Reason::ResourceTooLarge => {
            "what the FHIR server answers about this Patient is larger than is read, so the Patient was not \
             changed. Make it smaller in the FHIR server, usually by taking out an embedded photo, then replay the \
             dead letter."
        }
        Reason::WriteConflict => {
            "someone else kept changing this Patient while the number was to be written. Replay the dead letter \
             once that has stopped."
        }
        Reason::RejectedByServer => {
            "the FHIR server refused this row. Its answer is in the dead letter; usually the Patient breaks one \
             of the server's rules or access to it is not allowed. Correct that, then replay the dead letter."
        }
        Reason::PoisonMessage => {
            "processing this row stopped the program several times, so it was set aside. Report it to the \
             developers with its run and row; replay the dead letter with the corrected version."
        }
    }
}

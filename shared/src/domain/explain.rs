//! What is wrong with a row and how to put it right, in a sentence or two for the person who typed it.

use super::{Column, Reason, explain_en, explain_id, spelled};

spelled! {
    /// A language of explanations (`--lang`).
    Language {
        /// English.
        En = "en",
        /// Bahasa Indonesia.
        Id = "id",
    }
}

/// Says which row and column is meant, what was found there, what is wrong with it and how to write it; of a
/// dead letter, what happened and what usually helps.
///
/// `found` is the masked excerpt of a `Rejection`, empty where there is none; `column_name` the header as
/// the sheet spells it. `column` may be missing for reasons that are about no column.
pub fn explain(
    reason: Reason,
    column: Option<Column>,
    sheet_row: u32,
    found: &str,
    column_name: &str,
    lang: Language,
) -> String {
    // Quotes in the excerpt would end ours; it is for reading only.
    let found = found.replace('"', "'");
    let (place, sentences) = match lang {
        Language::En => {
            (explain_en::place(sheet_row, column, column_name, &found), explain_en::advice(reason))
        }
        Language::Id => {
            (explain_id::place(sheet_row, column, column_name, &found), explain_id::advice(reason))
        }
    };
    format!("{place}: {sentences}")
}

/// The same without the place: what the reason means and what usually helps.
pub fn meaning(reason: Reason, lang: Language) -> &'static str {
    match lang {
        Language::En => explain_en::advice(reason),
        Language::Id => explain_id::advice(reason),
    }
}

//! What is safe to open in a spreadsheet.

use std::borrow::Cow;

/// The cell of a CSV file for this text. One that begins like a formula would be run by the spreadsheet it is opened in
/// (OWASP, "CSV Injection"), so an apostrophe stands before it. A masked number cannot be run, and is left as it is
/// looked up: `+6281******90`.
pub fn cell(text: &str) -> Cow<'_, str> {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) && !is_masked(text) {
        format!("'{text}").into()
    } else {
        text.into()
    }
}

fn is_masked(text: &str) -> bool {
    let rest = text.strip_prefix('+').unwrap_or_default();
    rest.contains('*')
        && rest.ends_with(|c: char| c.is_ascii_digit())
        && rest.chars().all(|c| c.is_ascii_digit() || c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_be_run_is_not_run_and_a_masked_number_stays() {
        for text in ["=1+1", "+cmd|'/c calc'!A0", "-1", "@SUM(A1)", "\t=1", "+62812", "+6281*A1*90", "+*"] {
            assert_eq!(cell(text), format!("'{text}"));
        }
        for text in ["", "a=1", "3171********0001", "+6281******90"] {
            assert_eq!(cell(text), text);
        }
    }
}

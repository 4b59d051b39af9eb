//! Why a sheet cannot be read, in words for the operator who has to do something about it.
//!
//! No text here holds a credential, a cell's content or a number that could be a NIK or a telephone number.

use std::error::Error;
use std::path::PathBuf;
use std::time::Duration;

use super::SinkError;
use super::header::ShapeFault;

/// Names of sheets shown in an explanation.
const SHOWN_TABS: usize = 30;

/// Why the rows could not be read.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// 403: the service account may not read the spreadsheet.
    #[error(
        "the spreadsheet is not shared with the service account: open it, choose Share, \
         and add {client_email} as a Viewer"
    )]
    NotShared {
        /// The service account's address.
        client_email: String,
    },
    /// 403 with `SERVICE_DISABLED`.
    #[error(
        "the Google Sheets API is not enabled in the service account's project: \
         enable it at {link} and start again some minutes later"
    )]
    ApiDisabled {
        /// Where to enable it.
        link: String,
    },
    /// 404.
    #[error(
        "Google knows no spreadsheet {spreadsheet_id}: compare SHEET_ID with the sheet's address, \
         where it stands between /d/ and /edit; it may have been deleted too"
    )]
    NotFound {
        /// `SHEET_ID`.
        spreadsheet_id: String,
    },
    /// The file in Drive is not a Google spreadsheet.
    #[error(
        "SHEET_ID names an Office file kept in Drive, which the Sheets API does not read: \
         open it, choose File, Save as Google Sheets, and use the new sheet's id"
    )]
    OfficeFile,
    /// The tab was renamed or removed.
    #[error("there is no sheet named {wanted:?} (SHEET_RANGE); found: {}", tabs(found))]
    TabMissing {
        /// The name looked for.
        wanted: String,
        /// The names there are.
        found: Vec<String>,
    },
    /// 400: Google finds no such tab or range, though it was there a moment ago.
    #[error(
        "Google does not find what SHEET_RANGE names: {message}; if the tab was renamed just now, name it back or \
         change SHEET_RANGE, and start again"
    )]
    RangeRefused {
        /// Google's words, digits masked.
        message: String,
    },
    /// A needed header is missing, renamed or there twice.
    #[error("{0}")]
    SheetShape(ShapeFault),
    /// An answer is larger than is read.
    #[error(
        "an answer of Google's is larger than {limit} bytes: let SHEET_RANGE name the needed columns alone, as in \
         Sheet1!A1:F, and remove what is too long from the cells in between"
    )]
    AnswerTooLarge {
        /// The limit.
        limit: usize,
    },
    /// Google refuses the credentials, or they cannot be read.
    #[error("the credentials of the service account do not work (GOOGLE_CREDENTIALS): {explanation}")]
    Credentials {
        /// What is wrong and what to do.
        explanation: String,
    },
    /// 429 for longer than we wait.
    #[error(
        "the quota of the Google Sheets API is used up, and waiting {} s did not help: something else reads \
         with the same service account or project, or the quota has to be raised",
        waited.as_secs()
    )]
    Quota {
        /// How long we waited in all for this request.
        waited: Duration,
    },
    /// Every attempt failed in a way that usually passes.
    #[error("{service} could not be reached or did not answer properly in {attempts} attempts")]
    Unreachable {
        /// Which service.
        service: &'static str,
        /// Attempts made, the first included.
        attempts: u32,
        /// How the last one failed.
        source: TransientFault,
    },
    /// An answer that is final and fits nothing above.
    #[error("Google refused the request with status {status}: {message}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// Google's words, digits masked.
        message: String,
    },
    /// The file cannot be read.
    #[error("{} cannot be read: {problem}", path.display())]
    File {
        /// `--file`.
        path: PathBuf,
        /// What is wrong and what to do.
        problem: String,
    },
    /// A setting that can be judged only when it is used: exit status 2.
    #[error("{variable}: {problem}")]
    Setting {
        /// The setting's name.
        variable: &'static str,
        /// What was found and what is accepted.
        problem: String,
    },
    /// The sink did not take the rows.
    #[error("the rows could not be kept")]
    Sink(#[source] SinkError),
}

/// How one attempt failed, where another may succeed.
#[derive(Debug, thiserror::Error)]
pub enum TransientFault {
    /// DNS, TCP, proxy or TLS.
    #[error("no connection")]
    Connection(#[source] Box<dyn Error + Send + Sync>),
    /// No answer in time.
    #[error("no answer within {} s", .0.as_secs_f32())]
    TimedOut(Duration),
    /// 5xx and 408.
    #[error("status {0}")]
    Status(u16),
    /// The body ended early.
    #[error("the answer was cut off")]
    Truncated,
    /// The body is not what this service answers, as from a proxy's page.
    #[error("the answer was not what the service answers; is there a proxy in between?")]
    NotTheService,
}

impl SourceError {
    /// Whether no row can be read until somebody does something, or a service comes back: exit status 5.
    ///
    /// The others are [`SourceError::Setting`] (exit status 2) and [`SourceError::Sink`], where the sink's
    /// own error decides.
    pub fn is_systemic(&self) -> bool {
        !matches!(self, Self::Setting { .. } | Self::Sink(_))
    }

    pub(super) fn tab_missing<'a>(wanted: &str, found: impl IntoIterator<Item = &'a str>) -> Self {
        let found = found.into_iter().map(|name| shown(name, 100, 8)).take(SHOWN_TABS).collect();
        Self::TabMissing { wanted: wanted.to_owned(), found }
    }
}

fn tabs(found: &[String]) -> String {
    if found.is_empty() { "none".to_owned() } else { found.join(", ") }
}

/// Text from outside made fit to be shown: at most `max_chars` characters, and `****` for every run of more
/// than `max_digits` digits and for more than eight digits that only separators keep apart.
pub(super) fn shown(text: &str, max_chars: usize, max_digits: usize) -> String {
    const SEPARATORS: &str = " -./()\u{a0}";
    let chars: Vec<char> = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let mut out = String::new();
    let mut at = 0;
    while at < chars.len() {
        // A group starts and ends with a digit and holds nothing but digits and separators.
        let (mut end, mut digits, mut run, mut longest) = (at, 0, 0, 0);
        for (i, c) in chars.iter().enumerate().skip(at) {
            if c.is_numeric() {
                (end, digits, run) = (i + 1, digits + 1, run + 1);
                longest = longest.max(run);
            } else if digits > 0 && SEPARATORS.contains(*c) {
                run = 0;
            } else {
                break;
            }
        }
        if digits == 0 {
            out.push(chars[at]);
            at += 1;
        } else if longest > max_digits || digits > 8 {
            out.push_str("****");
            at = end;
        } else {
            out.extend(&chars[at..end]);
            at = end;
        }
    }
    if out.chars().count() > max_chars {
        out = out.chars().take(max_chars).chain(['…']).collect();
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_what_could_be_a_nik_or_a_number() {
        for (text, masked) in [
            ("3174012304560001", "****"),
            ("NIK 3174 0123 0456 0001 lama", "NIK **** lama"),
            ("+62 812-3456-7001", "+****"),
            ("(0812) 345.67.001", "(****"),
            ("data 2026-11-23", "data 2026-11-23"),
            ("12345", "****"),
            ("1234 a 5678", "1234 a 5678"),
            ("a\u{7}b", "a b"),
        ] {
            assert_eq!(shown(text, 40, 4), masked, "{text}");
        }
    }

    #[test]
    fn a_missing_tab_lists_the_others() {
        let error = SourceError::tab_missing("Sheet1", ["Nomor 20261123", "081234567001"]);
        assert_eq!(
            error.to_string(),
            "there is no sheet named \"Sheet1\" (SHEET_RANGE); found: Nomor 20261123, ****"
        );
        assert!(error.is_systemic());
    }
}

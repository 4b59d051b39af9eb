//! What a check found.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::json;

use crate::domain::spelled;
use crate::settings::BadSettings;

spelled! {
    /// What a check says.
    Verdict {
        /// It is as it should be.
        Ok = "ok",
        /// It is not; the text says how to mend it.
        Wrong = "wrong",
        /// It was not looked at; the text says why.
        Skipped = "skipped",
    }
}

/// What one check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The check's name: of a setting its variable, of another side `SIDE.WHAT`.
    pub check: String,
    /// Whether it is well.
    pub verdict: Verdict,
    /// What was found; where it is wrong, how to mend it. One line.
    pub text: String,
}

impl Finding {
    /// As one JSON object.
    pub fn json(&self) -> String {
        json!({ "check": self.check, "verdict": self.verdict.as_str(), "text": self.text }).to_string()
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<8} {:<22} {}", self.verdict.as_str(), self.check, self.text)
    }
}

/// What the checks of one side found so far. Clones are the same list, so that it outlives an examination that is
/// cut off.
#[derive(Clone, Debug, Default)]
pub struct Findings(Arc<Mutex<Vec<Finding>>>);

impl Findings {
    /// It is as it should be.
    pub fn ok(&self, check: impl Into<String>, text: impl fmt::Display) {
        self.push(check.into(), Verdict::Ok, &text);
    }

    /// It is not: what is wrong, and how to mend it.
    pub fn wrong(&self, check: impl Into<String>, text: impl fmt::Display) {
        self.push(check.into(), Verdict::Wrong, &text);
    }

    /// It was not looked at, and why.
    pub fn skipped(&self, check: impl Into<String>, text: impl fmt::Display) {
        self.push(check.into(), Verdict::Skipped, &text);
    }

    /// A setting that proved unusable: wrong under the name of each variable it is about, or under `check` where it
    /// names none.
    pub fn bad_setting(&self, check: &str, problem: &BadSettings) {
        let named = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || matches!(c, '_' | ',' | ' ');
        match problem.0.split_once(": ") {
            Some((variables, text)) if variables.chars().all(named) => {
                for variable in variables.split(", ") {
                    self.wrong(variable, text);
                }
            }
            _ => {
                let first = problem.0.split(' ').next().unwrap_or_default();
                let is_variable = first.contains('_') && first.chars().all(named);
                self.wrong(if is_variable { first } else { check }, &problem.0);
            }
        }
    }

    /// Whether anything is wrong so far.
    pub fn any_wrong(&self) -> bool {
        self.list().iter().any(|finding| finding.verdict == Verdict::Wrong)
    }

    /// Takes all out.
    pub fn take(&self) -> Vec<Finding> {
        std::mem::take(&mut self.list())
    }

    fn push(&self, check: String, verdict: Verdict, text: &dyn fmt::Display) {
        // One line, whatever another side said.
        let text = text.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
        self.list().push(Finding { check, verdict, text });
    }

    fn list(&self) -> MutexGuard<'_, Vec<Finding>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_one_line_in_either_form() {
        let findings = Findings::default();
        findings.wrong("fhir.reach", "no connection:\n refused");
        let finding = findings.take().remove(0);
        assert_eq!(finding.to_string(), "wrong    fhir.reach             no connection: refused");
        assert_eq!(
            finding.json(),
            r#"{"check":"fhir.reach","verdict":"wrong","text":"no connection: refused"}"#
        );
    }

    #[test]
    fn a_bad_setting_goes_under_its_own_name() {
        let findings = Findings::default();
        findings.bad_setting("sheet", &BadSettings("SHEET_ID, GOOGLE_CREDENTIALS: not set; needed".into()));
        findings.bad_setting("fhir", &BadSettings("FHIR_API_KEY holds a line break".into()));
        findings.bad_setting("fhir", &BadSettings("the HTTP client cannot be set up: no roots".into()));
        let found: Vec<_> = findings.take().into_iter().map(|found| (found.check, found.text)).collect();
        let expected = [
            ("SHEET_ID", "not set; needed"),
            ("GOOGLE_CREDENTIALS", "not set; needed"),
            ("FHIR_API_KEY", "FHIR_API_KEY holds a line break"),
            ("fhir", "the HTTP client cannot be set up: no roots"),
        ];
        assert_eq!(found, expected.map(|(check, text)| (check.to_owned(), text.to_owned())));
    }
}

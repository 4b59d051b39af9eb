//! What `doctor` said.

use super::child::Finished;

/// A diagnosis, check by check.
#[derive(Debug)]
pub struct Diagnosis {
    /// Check, verdict and text, in their order.
    pub lines: Vec<(String, String, String)>,
    /// The exit status.
    pub status: Option<i32>,
}

impl Diagnosis {
    /// Of `doctor --output json`.
    ///
    /// # Panics
    /// A line is not what the contract says.
    pub fn of(finished: &Finished) -> Self {
        let line = |object: serde_json::Value| {
            let text =
                |key: &str| object[key].as_str().unwrap_or_else(|| panic!("{key} in {object}")).to_owned();
            (text("check"), text("verdict"), text("text"))
        };
        Self { lines: finished.objects().into_iter().map(line).collect(), status: finished.status }
    }

    /// The names of the checks with this verdict.
    pub fn those(&self, verdict: &str) -> Vec<&str> {
        self.lines.iter().filter(|line| line.1 == verdict).map(|line| line.0.as_str()).collect()
    }

    /// Makes sure that exactly this is found wrong, and that its line says all of `says`.
    ///
    /// # Panics
    /// It is not.
    #[track_caller]
    pub fn expect_wrong(&self, what: &str, check: &str, says: &[&str]) {
        assert_eq!((self.status, self.those("wrong")), (Some(5), vec![check]), "{what}: {:#?}", self.lines);
        let line = self.lines.iter().find(|line| line.1 == "wrong").expect("just found");
        for word in says {
            assert!(line.2.contains(word), "{what}: '{word}' is not said: {}", line.2);
        }
    }

    /// Makes sure that nothing is wrong.
    ///
    /// # Panics
    /// Something is.
    #[track_caller]
    pub fn expect_well(&self) {
        assert_eq!((self.status, self.those("wrong")), (Some(0), vec![]), "{:#?}", self.lines);
    }
}

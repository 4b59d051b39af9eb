//! One rule for error chains: a cause is in `source()` or in `Display`, never in both; the chain is written out
//! once, where the error is handled.

use std::error::Error;

/// An error and its causes, outermost first, on one line.
pub fn error_chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text.push_str(": ");
        text.push_str(&next.to_string());
        cause = next.source();
    }
    text
}

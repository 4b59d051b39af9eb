//! A cell read as a WhatsApp number.

use super::PhoneNumber;

/// The one number, mobile or not, that a text is a spelling of.
pub(super) fn any_number(text: &str) -> Option<PhoneNumber> {
    text.parse().ok()
}

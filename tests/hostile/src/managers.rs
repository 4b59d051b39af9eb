//! Answers of the secrets managers.

use std::time::Duration;

use secrecy::ExposeSecret as _;
use shared::fuzzing::managers::read;

use crate::input::Input;

/// An answer with any status.
pub fn answer(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let status = input.one_of(&[200, 200, 200, 400, 403, 404, 429, 500, 503]);
    for read in read(status, input.rest()) {
        match read {
            Ok((secret, lasts)) => {
                assert_eq!(status, 200, "a refusal is no secret");
                // It is added to a clock.
                assert!(lasts.is_none_or(|lasts| lasts <= Duration::from_secs(86_400)), "{lasts:?}");
                let _ = secret.expose_secret();
            }
            Err(error) => {
                let text = error.to_string();
                assert!(text.len() <= 200, "{text}");
                assert!(text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' '), "{text:?}");
            }
        }
    }
}

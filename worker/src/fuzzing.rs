//! What reads hostile input and is private, opened to its tests (`tests/hostile`): nothing else may use it.

use bytes::Bytes;
use http::Response;
use secrecy::SecretString;

use crate::token::{NoToken, read};

/// The token in a token endpoint's answer, and whether it may still be used.
///
/// # Errors
/// There is none.
pub fn token(answer: &Response<Bytes>) -> Result<(SecretString, bool), NoToken> {
    let token = read(answer, tokio::time::Instant::now())?;
    let is_fresh = token.is_fresh();
    Ok((token.access, is_fresh))
}

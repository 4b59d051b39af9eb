//! The body of somebody else's answer, cut off while it is read: whatever a header promises, and however small it was
//! before it was decompressed.

use bytes::{Bytes, BytesMut};
use reqwest::Response;

/// Why a body was not read to its end.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// There is more of it than was asked for.
    #[error("the answer is larger than {0} bytes")]
    TooLarge(usize),
    /// The connection broke, or what came cannot be decompressed.
    #[error(transparent)]
    Broken(#[from] reqwest::Error),
}

/// Reads a body of `most` bytes at most, counted after decompression.
///
/// # Errors
/// It is larger, or does not come to its end.
pub async fn at_most(mut answer: Response, most: usize) -> Result<Bytes, BodyError> {
    let within = |length: usize| if length > most { Err(BodyError::TooLarge(most)) } else { Ok(()) };
    // Most bodies come in one piece and need no copy.
    let Some(first) = answer.chunk().await? else { return Ok(Bytes::new()) };
    within(first.len())?;
    let Some(second) = answer.chunk().await? else { return Ok(first) };
    let mut whole = BytesMut::from(first);
    let mut next = Some(second);
    while let Some(piece) = next {
        within(whole.len() + piece.len())?;
        whole.extend_from_slice(&piece);
        next = answer.chunk().await?;
    }
    Ok(whole.freeze())
}

//! A response body that arrives slowly, or not to its end.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::HttpBody;
use bytes::Bytes;
use hyper::body::Frame;
use tokio::time::{Sleep, sleep};

/// How many pieces a body is cut into.
const PIECES: usize = 10;

/// Long enough for the server to flush what it has before the connection ends.
const FLUSH: Duration = Duration::from_millis(5);

/// Bytes sent in pieces with pauses between them, and an error instead of the end where it is truncated. It hides
/// its length, so that the response's own `Content-Length` stands even where less is sent.
pub(crate) struct DribblingBody {
    left: Bytes,
    piece: usize,
    gap: Duration,
    pause: Option<Pin<Box<Sleep>>>,
    cut_short: bool,
}

impl DribblingBody {
    /// The whole body, from the first byte to the last in `over`.
    pub(crate) fn slow(body: Bytes, over: Duration) -> Self {
        let piece = body.len().div_ceil(PIECES).max(1);
        Self { left: body, piece, gap: over / PIECES as u32, pause: None, cut_short: false }
    }

    /// The first half of the body, then a broken connection.
    pub(crate) fn truncated(body: Bytes) -> Self {
        let piece = (body.len() / 2).max(1);
        Self { left: body.slice(..body.len() / 2), piece, gap: FLUSH, pause: None, cut_short: true }
    }
}

impl HttpBody for DribblingBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let this = self.get_mut();
        if let Some(pause) = &mut this.pause {
            ready!(pause.as_mut().poll(context));
            this.pause = None;
        }
        if this.left.is_empty() {
            let cut = || Err(io::Error::new(io::ErrorKind::UnexpectedEof, "truncated by the fault plan"));
            return Poll::Ready(this.cut_short.then(cut));
        }
        let piece = this.left.split_to(this.piece.min(this.left.len()));
        if this.cut_short || !this.left.is_empty() {
            this.pause = Some(Box::pin(sleep(this.gap)));
        }
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }
}

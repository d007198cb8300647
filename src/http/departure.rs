//! The last look before a request leaves.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use thiserror::Error;

/// A body that is given to the connection only if its sender still may send. Between the decision
/// to send and the first byte lie look-up, connect and TLS; a process that was frozen in between may
/// have lost the right to send meanwhile.
pub(super) struct GuardedBody<G> {
    bytes: Option<Bytes>,
    may_leave: G,
    held_back: Arc<AtomicBool>,
}

/// The guard said no.
#[derive(Debug, Error)]
#[error("the request was held back")]
pub(super) struct HeldBack;

impl<G: Fn() -> bool> GuardedBody<G> {
    /// The body, and where it notes that it was held back.
    pub(super) fn new(bytes: Bytes, may_leave: G) -> (Self, Arc<AtomicBool>) {
        let held_back = Arc::new(AtomicBool::new(false));
        let body = Self {
            bytes: Some(bytes),
            may_leave,
            held_back: Arc::clone(&held_back),
        };
        (body, held_back)
    }
}

impl<G: Fn() -> bool + Unpin> Body for GuardedBody<G> {
    type Data = Bytes;
    type Error = HeldBack;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HeldBack>>> {
        let Some(bytes) = self.bytes.take() else {
            return Poll::Ready(None);
        };
        if (self.may_leave)() {
            return Poll::Ready(Some(Ok(Frame::data(bytes))));
        }
        self.held_back.store(true, Ordering::Release);
        Poll::Ready(Some(Err(HeldBack)))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
    }
}

//! One connection to an endpoint, and what must be known of it to judge a request that failed on
//! it: whether it had served before, and whether anything came back.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use hyper_util::client::legacy::connect::{Connected, Connection as Pooled};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::connection_budget::Place;

/// A byte stream of any make: TCP, TLS, either of them through a proxy.
pub(super) trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

/// What has come over a connection so far.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    bytes_read: AtomicU64,
    answers: AtomicU64,
}

impl Traffic {
    /// Bytes from the other side, after decryption: a TLS alert is not an answer.
    pub(super) fn bytes_read(&self) -> u64 {
        self.bytes_read.load(Ordering::Acquire)
    }

    /// Whether the connection has carried an answer before.
    pub(super) fn has_served(&self) -> bool {
        self.answers.load(Ordering::Acquire) > 0
    }

    /// An answer's head has come.
    pub(super) fn answered(&self) {
        self.answers.fetch_add(1, Ordering::AcqRel);
    }
}

/// An open connection, which holds its place in the process's budget until it is closed.
pub(super) struct Connection {
    wire: Box<dyn Wire>,
    traffic: Arc<Traffic>,
    speaks_http_2: bool,
    place: Place,
}

impl Connection {
    pub(super) fn new(wire: Box<dyn Wire>, speaks_http_2: bool, place: Place) -> Self {
        Self {
            wire,
            traffic: Arc::default(),
            speaks_http_2,
            place,
        }
    }
}

impl Pooled for Connection {
    fn connected(&self) -> Connected {
        let connected = Connected::new().extra(Arc::clone(&self.traffic));
        if !self.place.may_be_kept() {
            connected.poison(); // the pool's word for: one request, then closed
        }
        if self.speaks_http_2 {
            connected.negotiated_h2()
        } else {
            connected
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.wire).poll_read(context, buffer))?;
        let read = buffer.filled().len().saturating_sub(before);
        self.traffic
            .bytes_read
            .fetch_add(read as u64, Ordering::AcqRel);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.wire).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.wire).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.wire).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.wire).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.wire.is_write_vectored()
    }
}

//! The last look before a request leaves.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::Extensions;
use http_body::{Body, Frame, SizeHint};
use hyper_util::client::legacy::connect::CaptureConnection;
use thiserror::Error;

use super::connection::Traffic;

/// Says at the last moment whether a request may still leave.
pub(super) type Guard = Arc<dyn Fn() -> bool + Send + Sync>;

/// A body that is given to the connection only if its sender still may send. Between the decision
/// to send and the first byte lie look-up, connect and TLS; a process that was frozen in between may
/// have lost the right to send meanwhile.
pub(super) struct GuardedBody {
    bytes: Option<Bytes>,
    may_leave: Guard,
    connection: CaptureConnection,
    departure: Arc<Departure>,
}

/// What became of a body when the connection asked for it.
#[derive(Debug, Default)]
pub(super) struct Departure {
    held_back: AtomicBool,
    on: OnceLock<OnConnection>,
}

/// The connection that a request was given to, as it was then.
#[derive(Debug)]
pub(super) struct OnConnection {
    traffic: Arc<Traffic>,
    had_served: bool,
    bytes_read: u64,
}

/// The guard said no.
#[derive(Debug, Error)]
#[error("the request was held back")]
pub(super) struct HeldBack;

impl Departure {
    /// Whether the guard said no.
    pub(super) fn was_held_back(&self) -> bool {
        self.held_back.load(Ordering::Acquire)
    }

    /// Whether the request went to a connection that had served before, and that has not given a
    /// byte since: the other side may have closed it while the request was on its way.
    pub(super) fn may_have_crossed_a_close(&self) -> bool {
        self.on
            .get()
            .is_some_and(|on| on.had_served && on.traffic.bytes_read() == on.bytes_read)
    }
}

impl GuardedBody {
    /// A body, and where it notes its departure. `connection` is that of its request.
    pub(super) fn new(
        bytes: Bytes,
        may_leave: Guard,
        connection: CaptureConnection,
    ) -> (Self, Arc<Departure>) {
        let departure = Arc::<Departure>::default();
        let body = Self {
            bytes: Some(bytes),
            may_leave,
            connection,
            departure: Arc::clone(&departure),
        };
        (body, departure)
    }

    fn note_connection(&self) {
        let mut known = Extensions::new();
        if let Some(connected) = self.connection.connection_metadata().as_ref() {
            connected.get_extras(&mut known);
        }
        if let Some(traffic) = known.remove::<Arc<Traffic>>() {
            let on = OnConnection {
                had_served: traffic.has_served(),
                bytes_read: traffic.bytes_read(),
                traffic,
            };
            // Asked for once only: the bytes are taken with it.
            self.departure.on.set(on).ok();
        }
    }
}

impl Body for GuardedBody {
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
            self.note_connection();
            return Poll::Ready(Some(Ok(Frame::data(bytes))));
        }
        self.departure.held_back.store(true, Ordering::Release);
        Poll::Ready(Some(Err(HeldBack)))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
    }
}

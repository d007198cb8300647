//! When a request that failed is sent once more at once, within its attempt.
//!
//! Two cases. The other side said by HTTP/2 that it did not look at the request: then sending it again
//! doubles nothing. Or the request went out on a connection that had served before and broke without a
//! byte in return: most likely the other side closed it for idleness in the same moment. That cannot be
//! told from an endpoint that died over the request, so it may double it; without it, though, each
//! such crossing would cost an attempt and the wait after it, and the retry after that wait would be
//! the same second copy. Hence once, and never on a connection that is new.

use super::departure::Departure;
use super::exchange::ErrorClass;
use super::failure::{self, ClientFailure};

/// Why a request is sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Resend {
    /// The connection had served, and closed without a byte in return.
    DeadConnection,
    /// The other side says that it did not process the request.
    NotProcessed,
}

impl Resend {
    /// The label of the metric.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::DeadConnection => "dead_connection",
            Self::NotProcessed => "not_processed",
        }
    }
}

/// Whether a request that failed is to be sent again, if it was not already.
pub(super) fn judge(error: &ClientFailure, departure: &Departure) -> Option<Resend> {
    if error.is_connect() {
        None
    } else if was_not_processed(error) {
        Some(Resend::NotProcessed)
    } else if departure.may_have_crossed_a_close() && failure::class(error) == ErrorClass::Reset {
        Some(Resend::DeadConnection)
    } else {
        None
    }
}

/// REFUSED_STREAM, or a GOAWAY without error that names an earlier stream as the last one (RFC 9113,
/// 8.7); the HTTP/2 layer reports that only to the streams after it.
fn was_not_processed(error: &ClientFailure) -> bool {
    let nack = |error: &h2::Error| {
        let reason = error.reason();
        error.is_remote()
            && (error.is_go_away() && reason == Some(h2::Reason::NO_ERROR)
                || error.is_reset() && reason == Some(h2::Reason::REFUSED_STREAM))
    };
    failure::causes(error).any(|cause| cause.downcast_ref().is_some_and(nack))
}

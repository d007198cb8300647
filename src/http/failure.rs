//! Tells failures of the HTTP client apart by the types of their causes, never by their text.

use std::error::Error;
use std::io;
use std::iter;

use super::exchange::{ErrorClass, Failure};
use super::resolver::ResolveError;

/// What an error of the client means. Its URL is left out: it may hold secrets.
pub(super) fn from_client(error: &reqwest::Error) -> Failure {
    Failure::new(class(error), message(error))
}

/// Whether an error while reading a body came from the connection; otherwise from decompression.
pub(super) fn is_transport(error: &reqwest::Error) -> bool {
    error.is_timeout() || causes(error).any(|cause| cause.is::<hyper::Error>())
}

fn class(error: &reqwest::Error) -> ErrorClass {
    if error.is_builder() {
        return ErrorClass::InvalidRequest;
    }
    let connecting = error.is_connect();
    if connecting && error.is_timeout() {
        return ErrorClass::TimeoutConnect;
    }
    causes(error)
        .find_map(|cause| class_of_cause(cause, connecting))
        .unwrap_or(if connecting {
            ErrorClass::Connect
        } else {
            ErrorClass::Protocol
        })
}

/// What one cause of a failure says about it; `None`: nothing, ask the next.
fn class_of_cause(cause: &(dyn Error + 'static), connecting: bool) -> Option<ErrorClass> {
    if let Some(error) = cause.downcast_ref::<ResolveError>() {
        return Some(match error {
            ResolveError::Refused(_) => ErrorClass::RefusedAddress,
            ResolveError::Lookup(_) | ResolveError::NoAddress => ErrorClass::Dns,
        });
    }
    if cause.is::<rustls::Error>() {
        return Some(ErrorClass::Tls);
    }
    if let Some(error) = cause.downcast_ref::<hyper::Error>() {
        return class_of_hyper(error);
    }
    if let Some(error) = cause.downcast_ref::<h2::Error>() {
        return class_of_h2(error);
    }
    if let Some(error) = cause.downcast_ref::<io::Error>() {
        return class_of_io(error, connecting);
    }
    None
}

fn class_of_hyper(error: &hyper::Error) -> Option<ErrorClass> {
    if error.is_parse_too_large() {
        Some(ErrorClass::ResponseTooLarge)
    } else if error.is_parse() {
        Some(ErrorClass::Protocol)
    } else if error.is_timeout() {
        Some(ErrorClass::Timeout)
    } else if error.is_incomplete_message() || error.is_canceled() || error.is_closed() {
        Some(ErrorClass::Reset)
    } else {
        None
    }
}

fn class_of_h2(error: &h2::Error) -> Option<ErrorClass> {
    if error.is_remote() && (error.is_reset() || error.is_go_away()) {
        Some(ErrorClass::Reset)
    } else if error.is_library() && error.reason() == Some(h2::Reason::ENHANCE_YOUR_CALM) {
        // Our side hung up on a head far beyond its bound.
        Some(ErrorClass::ResponseTooLarge)
    } else {
        None
    }
}

fn class_of_io(error: &io::Error, connecting: bool) -> Option<ErrorClass> {
    if is_own_fault(error) {
        return Some(ErrorClass::Internal);
    }
    match error.kind() {
        // TCP knows no end of file before it is connected: this one is in the TLS handshake.
        io::ErrorKind::UnexpectedEof if connecting => Some(ErrorClass::Tls),
        io::ErrorKind::UnexpectedEof
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::NotConnected => Some(ErrorClass::Reset),
        io::ErrorKind::TimedOut => Some(ErrorClass::Timeout),
        _ => None,
    }
}

/// Whether this machine ran out of something, which no endpoint is to blame for.
fn is_own_fault(error: &io::Error) -> bool {
    const ENFILE: i32 = 23;
    const EMFILE: i32 = 24;
    let out_of_files = cfg!(unix) && matches!(error.raw_os_error(), Some(ENFILE | EMFILE));
    let kind = error.kind();
    out_of_files
        || matches!(
            kind,
            io::ErrorKind::AddrNotAvailable | io::ErrorKind::OutOfMemory
        )
}

/// The error's causes, outermost first, without the error itself.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    const DEPTH: usize = 32; // no chain is that long; a bound all the same
    iter::successors(cause_of(error), |cause| cause_of(*cause)).take(DEPTH)
}

/// As `source`, but does not skip what an I/O error wraps (whose `source` is that of the wrapped).
fn cause_of<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    match error.downcast_ref::<io::Error>().map(io::Error::get_ref) {
        Some(Some(wrapped)) => Some(wrapped),
        Some(None) | None => error.source(),
    }
}

fn message(error: &reqwest::Error) -> String {
    let mut parts: Vec<String> = causes(error).map(ToString::to_string).collect();
    parts.dedup(); // an I/O error shows what it wraps
    if parts.is_empty() {
        return "the request cannot be built".to_owned();
    }
    parts.join(": ")
}

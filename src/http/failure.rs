//! Tells failures of the HTTP client apart by the types of their causes, never by their text.

use std::error::Error;
use std::io;
use std::iter;

use hyper_util::client::legacy;

use super::connector::ConnectError;
use super::exchange::{ErrorClass, Failure};
use super::resolver::ResolveError;
use super::system_resolver::LookupError;
use super::tunnel::TunnelError;

/// An error of the client before an answer came.
pub(super) type ClientFailure = legacy::Error;

/// What an error before the answer means.
pub(super) fn from_client(error: &ClientFailure) -> Failure {
    Failure::new(class(error), message(error))
}

/// What an error within the answer's body means. None: it did not come from the connection but from
/// decompression, which says nothing of the delivery.
pub(super) fn from_body(error: &(dyn Error + 'static)) -> Option<Failure> {
    let error = chain(error).find(|cause| cause.is::<hyper::Error>())?;
    let class = chain(error)
        .find_map(class_of_cause)
        .unwrap_or(ErrorClass::Protocol);
    Some(Failure::new(class, text(chain(error))))
}

pub(super) fn class(error: &ClientFailure) -> ErrorClass {
    causes(error)
        .find_map(class_of_cause)
        .unwrap_or(if error.is_connect() {
            ErrorClass::Connect
        } else {
            ErrorClass::Protocol
        })
}

/// What one cause of a failure says about it; `None`: nothing, ask the next.
fn class_of_cause(cause: &(dyn Error + 'static)) -> Option<ErrorClass> {
    if let Some(error) = cause.downcast_ref::<ConnectError>() {
        return class_of_connect(error);
    }
    if let Some(error) = cause.downcast_ref::<hyper::Error>() {
        return class_of_hyper(error);
    }
    if let Some(error) = cause.downcast_ref::<h2::Error>() {
        return class_of_h2(error);
    }
    if let Some(error) = cause.downcast_ref::<io::Error>() {
        return class_of_io(error);
    }
    None
}

/// Whose fault it is that there is no connection.
fn class_of_connect(error: &ConnectError) -> Option<ErrorClass> {
    match error {
        ConnectError::NoPlace => Some(ErrorClass::Resources),
        ConnectError::LookupTimedOut(_) => Some(ErrorClass::Resolver),
        ConnectError::Resolve(error) => Some(class_of_resolve(error)),
        ConnectError::TimedOut(_) => Some(ErrorClass::TimeoutConnect),
        ConnectError::Dial(error) => chain(&**error)
            .filter_map(|cause| cause.downcast_ref())
            .find_map(class_of_dial),
        ConnectError::ProxyTimedOut(_) | ConnectError::ProxyDial(_) => Some(ErrorClass::Proxy),
        ConnectError::Tunnel(TunnelError::Unreachable(_)) => Some(ErrorClass::Connect),
        ConnectError::Tunnel(
            TunnelError::Refused(_) | TunnelError::Io(_) | TunnelError::Protocol(_),
        ) => Some(ErrorClass::Proxy),
        ConnectError::ServerName => Some(ErrorClass::InvalidRequest),
        // TCP is there by now, so its end or its reset is one of the handshake; a reset keeps its name.
        ConnectError::Tls(error) => match class_of_io(error) {
            Some(ErrorClass::Reset) if error.kind() != io::ErrorKind::UnexpectedEof => {
                Some(ErrorClass::Reset)
            }
            Some(_) | None => Some(ErrorClass::Tls),
        },
    }
}

/// The system gives a connection up by itself after a while.
fn class_of_dial(error: &io::Error) -> Option<ErrorClass> {
    match error.kind() {
        io::ErrorKind::TimedOut => Some(ErrorClass::TimeoutConnect),
        _ => class_of_io(error),
    }
}

fn class_of_resolve(error: &ResolveError) -> ErrorClass {
    match error {
        ResolveError::Refused(_) => ErrorClass::RefusedAddress,
        ResolveError::NoAddress | ResolveError::Lookup(LookupError::NoSuchName) => ErrorClass::Dns,
        ResolveError::Lookup(LookupError::Failed(_)) => ErrorClass::Resolver,
        ResolveError::Lookup(LookupError::Exhausted(_)) => ErrorClass::Resources,
    }
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

fn class_of_io(error: &io::Error) -> Option<ErrorClass> {
    if is_exhausted(error) {
        return Some(ErrorClass::Resources);
    }
    match error.kind() {
        // Nothing left this machine: it has no way there, or its own firewall forbids it. A host that
        // cannot be reached is not among them: that is what the last router says when the endpoint's
        // machine is off.
        io::ErrorKind::NetworkUnreachable
        | io::ErrorKind::NetworkDown
        | io::ErrorKind::PermissionDenied => Some(ErrorClass::NoRoute),
        io::ErrorKind::ConnectionRefused | io::ErrorKind::HostUnreachable => {
            Some(ErrorClass::Connect)
        }
        io::ErrorKind::UnexpectedEof
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::NotConnected => Some(ErrorClass::Reset),
        io::ErrorKind::TimedOut => Some(ErrorClass::Timeout),
        _ => None,
    }
}

/// Whether this machine ran out of something: files, buffers, memory, ports to dial from.
pub(super) fn is_exhausted(error: &io::Error) -> bool {
    const ENFILE: i32 = 23;
    const EMFILE: i32 = 24;
    const ENOBUFS: i32 = if cfg!(target_os = "linux") { 105 } else { 55 };
    let code = error.raw_os_error();
    let kind = error.kind();
    cfg!(unix) && matches!(code, Some(ENFILE | EMFILE | ENOBUFS))
        || matches!(
            kind,
            io::ErrorKind::AddrNotAvailable | io::ErrorKind::OutOfMemory
        )
}

/// The error's causes, outermost first, without the error itself.
pub(super) fn causes<'a>(
    error: &'a (dyn Error + 'static),
) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    chain(error).skip(1)
}

/// The error and its causes, outermost first.
fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    const DEPTH: usize = 32; // no chain is that long; a bound all the same
    iter::successors(Some(error), |cause| cause_of(*cause)).take(DEPTH)
}

/// As `source`, but does not skip what an I/O error wraps (whose `source` is that of the wrapped).
fn cause_of<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    match error.downcast_ref::<io::Error>().map(io::Error::get_ref) {
        Some(Some(wrapped)) => Some(wrapped),
        Some(None) | None => error.source(),
    }
}

fn message(error: &ClientFailure) -> String {
    text(causes(error))
}

fn text<'a>(causes: impl Iterator<Item = &'a (dyn Error + 'static)>) -> String {
    let mut parts: Vec<String> = causes.map(ToString::to_string).collect();
    parts.dedup(); // an I/O error shows what it wraps
    parts.join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class_of(error: &ConnectError) -> &'static str {
        let class = chain(error).find_map(class_of_cause);
        class.unwrap_or(ErrorClass::Connect).as_str()
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn what_the_system_says_to_a_dial_has_one_class() {
        fn check(code: i32, expected: &str) {
            let error = || io::Error::from_raw_os_error(code);
            let dial = ConnectError::Dial(error().into());
            assert_eq!(class_of(&dial), expected, "{dial:?}");
            // Whatever keeps us from our proxy, it is our own.
            assert_eq!(class_of(&ConnectError::ProxyDial(error().into())), "proxy");
        }
        check(1, "no_route"); // EPERM
        check(12, "resources"); // ENOMEM
        check(13, "no_route"); // EACCES
        check(23, "resources"); // ENFILE
        check(24, "resources"); // EMFILE
        check(99, "resources"); // EADDRNOTAVAIL
        check(100, "no_route"); // ENETDOWN
        check(101, "no_route"); // ENETUNREACH
        check(104, "reset"); // ECONNRESET
        check(105, "resources"); // ENOBUFS
        check(110, "timeout_connect"); // ETIMEDOUT
        check(111, "connect"); // ECONNREFUSED
        check(113, "connect"); // EHOSTUNREACH
        check(22, "connect"); // EINVAL, for all others
    }

    #[test]
    fn each_step_to_a_connection_has_a_class_of_its_own() {
        fn check(error: ConnectError, expected: &str) {
            assert_eq!(class_of(&error), expected, "{error:?}");
        }
        const SECOND: std::time::Duration = std::time::Duration::from_secs(1);
        let lookup = |error: LookupError| ConnectError::Resolve(error.into());
        let tls = |kind: io::ErrorKind| ConnectError::Tls(kind.into());
        check(ConnectError::NoPlace, "resources");
        check(ConnectError::LookupTimedOut(SECOND), "resolver");
        check(lookup(LookupError::NoSuchName), "dns");
        check(lookup(LookupError::Failed(String::new())), "resolver");
        check(lookup(LookupError::Exhausted(String::new())), "resources");
        check(ConnectError::Resolve(ResolveError::NoAddress), "dns");
        check(ConnectError::TimedOut(SECOND), "timeout_connect");
        check(ConnectError::ProxyTimedOut(SECOND), "proxy");
        check(ConnectError::ServerName, "invalid_request");
        check(tls(io::ErrorKind::UnexpectedEof), "tls");
        check(tls(io::ErrorKind::InvalidData), "tls");
        check(tls(io::ErrorKind::ConnectionReset), "reset");
    }
}

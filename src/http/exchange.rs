//! What goes into an exchange with an endpoint and what comes out of it, as data.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method};
use url::Url;

/// A request that is ready to be sent: signed, complete, its own deadline with it.
#[derive(Clone)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// The target. Userinfo becomes Basic auth, unless `headers` carry an `authorization`.
    pub url: Url,
    /// All headers but those that the connection decides (`host`, `content-length`, ...).
    pub headers: HeaderMap,
    /// The very bytes that were signed.
    pub body: Bytes,
    /// How long the whole exchange may take, from the look-up of the name to the end of the answer.
    pub timeout: Duration,
}

/// One request and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// From the start of the request to the end of the answer, or to the failure.
    pub duration: Duration,
    /// What the endpoint said, or why nothing whole came back.
    pub result: Result<Answer, Failure>,
}

/// A whole answer: its status line came, and its body ended or was cut at the bound.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// The status code, 100 to 999.
    pub status: u16,
    /// The `retry-after` header as sent.
    pub retry_after: Option<String>,
    /// The first bytes of the body, decompressed.
    pub body: Bytes,
    /// Whether the body went on beyond `body`.
    pub truncated: bool,
    /// Whether it went on beyond what is read at all, and so the connection was given up. The status
    /// counts all the same.
    pub cut: bool,
}

/// An exchange that broke off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What kind of failure.
    pub class: ErrorClass,
    /// For people: no userinfo, no query, no header value; at most
    /// [`Failure::MESSAGE_BYTES`] long.
    pub message: String,
    /// The status, when the exchange broke off after it came.
    pub status: Option<u16>,
}

impl Failure {
    /// Bound of `message` in bytes: part of it may come from the other side (names in a
    /// certificate), and it is kept in the headers of Kafka records.
    pub const MESSAGE_BYTES: usize = 512;

    /// A failure before any status came.
    pub fn new(class: ErrorClass, message: impl Into<String>) -> Self {
        let mut message = message.into();
        message.truncate(message.floor_char_boundary(Self::MESSAGE_BYTES));
        Self {
            class,
            message,
            status: None,
        }
    }
}

/// Why an exchange broke off: the `error` of an attempt record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorClass {
    /// The name does not exist, or has no address.
    Dns,
    /// Our resolver did not answer.
    Resolver,
    /// The address policy forbids every address of the target.
    RefusedAddress,
    /// No connection: refused, or the host is unreachable.
    Connect,
    /// The handshake failed, or the certificate is not trusted.
    Tls,
    /// No connection within the connect timeout.
    TimeoutConnect,
    /// Our proxy is away or refuses us.
    Proxy,
    /// We have no way to the network of the target.
    NoRoute,
    /// We are out of file descriptors, ports or memory.
    Resources,
    /// The exchange did not end within its timeout.
    Timeout,
    /// The connection was closed or reset before the answer was whole.
    Reset,
    /// What came back is not HTTP.
    Protocol,
    /// The head of the answer is beyond the bound. (A body beyond it is cut, and its status counts.)
    ResponseTooLarge,
    /// No request can be made from what the subscription says.
    InvalidRequest,
    /// Any other fault of our own.
    Internal,
}

impl ErrorClass {
    /// The name in attempt records, metrics and the `hooktide-last-error` header.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Resolver => "resolver",
            Self::RefusedAddress => "refused_address",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::TimeoutConnect => "timeout_connect",
            Self::Proxy => "proxy",
            Self::NoRoute => "no_route",
            Self::Resources => "resources",
            Self::Timeout => "timeout",
            Self::Reset => "reset",
            Self::Protocol => "protocol",
            Self::ResponseTooLarge => "response_too_large",
            Self::InvalidRequest => "invalid_request",
            Self::Internal => "internal",
        }
    }
}

/// The URL as records and logs may show it: userinfo and query are replaced, the fragment (which
/// is never sent) is left out.
pub fn redact(url: &Url) -> String {
    let mut shown = url.clone();
    let has_userinfo = !url.username().is_empty() || url.password().is_some();
    // Refused only for URLs that cannot have userinfo, which then have none to hide.
    shown.set_password(None).ok();
    shown
        .set_username(if has_userinfo { REDACTED } else { "" })
        .ok();
    shown.set_query(url.query().map(|_| REDACTED));
    shown.set_fragment(None);
    shown.into()
}

const REDACTED: &str = "redacted";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_shown_without_what_may_be_secret() {
        fn check(url: &str, expected: &str) {
            assert_eq!(redact(&Url::parse(url).unwrap()), expected);
        }
        check("https://a.example/hooks", "https://a.example/hooks");
        check(
            "https://user:pass@a.example:8443/",
            "https://redacted@a.example:8443/",
        );
        check("https://user@a.example/", "https://redacted@a.example/");
        check("https://:pass@a.example/", "https://redacted@a.example/");
        check(
            "https://a.example/x?token=abc#frag",
            "https://a.example/x?redacted",
        );
        check("https://a.example/x?", "https://a.example/x?redacted");
        check("https://a.example/x#token", "https://a.example/x");
        check("mailto:someone@a.example", "mailto:someone@a.example");
    }

    #[test]
    fn messages_are_bounded_at_a_character() {
        let failure = Failure::new(ErrorClass::Tls, "é".repeat(400));
        assert_eq!(failure.message, "é".repeat(256));
        let failure = Failure::new(ErrorClass::Tls, format!("x{}", "é".repeat(400)));
        assert_eq!(failure.message.len(), 511);
    }
}

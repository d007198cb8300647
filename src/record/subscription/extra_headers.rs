//! Headers that a subscription adds to its requests.

use http::header::{HeaderMap, HeaderName, HeaderValue};

use super::error::SubscriptionError;
use super::field::Field;

/// Names that the request itself sets, that would change how it is framed or read (RFC 9110, 7.6.1), or
/// that say what we can decompress, and so can bound.
const RESERVED: [&str; 13] = [
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];
const RESERVED_PREFIXES: [&str; 2] = ["webhook-", "proxy-"];
/// A colon, a space and the line's end, as HTTP/1.1 writes each header.
const FRAMING: usize = 4;

/// Why a header cannot be sent.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub enum HeaderError {
    /// Not a token.
    #[error("is not the name of an HTTP header")]
    Name,
    /// Other characters than visible ASCII, spaces and tabs.
    #[error("has a value with characters other than visible ASCII, space and tab")]
    Value,
    /// A name that the request sets itself.
    #[error("is reserved")]
    Reserved,
    /// The same name twice: case makes no difference.
    #[error("is given twice, in other case")]
    Repeated,
    /// More than the configuration allows.
    #[error("all headers together must not be longer than {most} bytes")]
    TooLarge {
        /// The most that is allowed.
        most: usize,
    },
    /// The URL's user and password become this very header.
    #[error("the URL already has user and password")]
    AuthorizationTwice,
}

/// Reads an object of names and values. All values are marked sensitive, so that printing them
/// shows nothing.
pub(super) fn parse(field: &Field, most: usize) -> Result<HeaderMap, SubscriptionError> {
    let fields = field.object()?;
    let mut headers = HeaderMap::new();
    let mut size = 0;
    for (text, entry) in fields.iter() {
        let value = entry.string()?;
        size += text.len() + value.len() + FRAMING;
        if size > most {
            return Err(field.refuse(HeaderError::TooLarge { most }));
        }
        let name =
            HeaderName::from_bytes(text.as_bytes()).map_err(|_| entry.refuse(HeaderError::Name))?;
        if is_reserved(name.as_str()) {
            return Err(entry.refuse(HeaderError::Reserved));
        }
        let plain = |byte: u8| byte == b'\t' || byte == b' ' || byte.is_ascii_graphic();
        let mut value = HeaderValue::from_str(&value)
            .ok()
            .filter(|value| value.as_bytes().iter().copied().all(plain))
            .ok_or_else(|| entry.refuse(HeaderError::Value))?;
        value.set_sensitive(true);
        if headers.insert(name, value).is_some() {
            return Err(entry.refuse(HeaderError::Repeated));
        }
    }
    Ok(headers)
}

/// Whether a header is not for subscriptions to set; `name` in lower case.
pub(super) fn is_reserved(name: &str) -> bool {
    let begins = |prefix: &&str| name.starts_with(prefix);
    RESERVED.contains(&name) || RESERVED_PREFIXES.iter().any(begins)
}

//! `http.proxy`: where requests pass through on their way out, and which do not.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use percent_encoding::percent_decode_str;
use serde::{Deserialize, Deserializer};
use thiserror::Error;
use url::{Host, Url};

use super::exchange::redact;

/// How a proxy is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP CONNECT.
    Http,
    /// HTTP CONNECT over TLS.
    Https,
    /// SOCKS 5 (RFC 1928).
    Socks5,
}

/// A proxy and what is said to it. Its password is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    pub(super) protocol: Protocol,
    pub(super) host: Host,
    pub(super) port: u16,
    pub(super) credentials: Option<Credentials>,
    shown: String,
}

/// User and password, as they are said.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Credentials {
    pub(super) user: String,
    pub(super) password: String,
}

/// Why a text is not a proxy. Says nothing of the text, which may hold a password.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum ProxyError {
    /// Not a URL.
    #[error("must be a URL, as in http://user:password@proxy.example:3128")]
    Url,
    /// Another scheme.
    #[error("must begin with http://, https:// or socks5://")]
    Scheme,
    /// `socks5h`, which says two things at once.
    #[error("must begin with socks5://; who resolves names is said by `http.proxy_resolves`")]
    Socks5h,
    /// It has parts that mean nothing here.
    #[error("must have no path, query or fragment")]
    Rest,
    /// User or password cannot be said.
    #[error("must have a user and a password of 1 to 255 bytes, in UTF-8, or neither")]
    Credentials,
}

impl Proxy {
    /// Reads `scheme://[user:password@]host[:port]`.
    ///
    /// # Errors
    /// [`ProxyError`], without a word of the text.
    pub fn parse(text: &str) -> Result<Self, ProxyError> {
        let url = Url::parse(text).map_err(|_| ProxyError::Url)?;
        let (protocol, port) = match url.scheme() {
            "http" => (Protocol::Http, 80),
            "https" => (Protocol::Https, 443),
            "socks5" => (Protocol::Socks5, 1080),
            "socks5h" => return Err(ProxyError::Socks5h),
            _ => return Err(ProxyError::Scheme),
        };
        if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
            return Err(ProxyError::Rest);
        }
        Ok(Self {
            protocol,
            host: host(&url)?,
            port: url.port().unwrap_or(port),
            credentials: credentials(&url)?,
            shown: redact(&url),
        })
    }
}

/// Of a scheme that the URL standard does not know, a host is just text.
fn host(url: &Url) -> Result<Host, ProxyError> {
    match url.host() {
        None => Err(ProxyError::Url),
        Some(Host::Domain(name)) => Host::parse(name).map_err(|_| ProxyError::Url),
        Some(address) => Ok(address.to_owned()),
    }
}

fn credentials(url: &Url) -> Result<Option<Credentials>, ProxyError> {
    let decoded = |text: &str| {
        let text = percent_decode_str(text).decode_utf8();
        let text = text.map_err(|_| ProxyError::Credentials)?;
        // The lengths that SOCKS 5 can carry (RFC 1929); a colon would end the user of Basic.
        if (1..=255).contains(&text.len()) && !text.chars().any(char::is_control) {
            Ok(text.into_owned())
        } else {
            Err(ProxyError::Credentials)
        }
    };
    match (url.username(), url.password()) {
        ("", None) => Ok(None),
        (user, password) => {
            let user = decoded(user)?;
            if user.contains(':') {
                return Err(ProxyError::Credentials);
            }
            let password = decoded(password.unwrap_or_default())?;
            Ok(Some(Credentials { user, password }))
        }
    }
}

/// With user and password redacted.
impl fmt::Display for Proxy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.shown)
    }
}

/// As it is shown.
impl fmt::Debug for Proxy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Proxy({self})")
    }
}

/// What goes past the proxy: an address, a network, or a name with all below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bypass {
    /// Hosts that are addresses within it. A name is never looked up for this.
    Network(IpNet),
    /// This name and those below it.
    Name(String),
}

impl Bypass {
    /// Reads `10.0.0.0/8`, `10.1.2.3`, `example.com` or `.example.com`.
    pub fn parse(text: &str) -> Option<Self> {
        if let Ok(network) = text.parse() {
            return Some(Self::Network(network));
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            return Some(Self::Network(address.into()));
        }
        match Host::parse(text.strip_prefix('.').unwrap_or(text)).ok()? {
            Host::Domain(name) if !name.contains('*') => Some(Self::Name(name)),
            Host::Domain(_) | Host::Ipv4(_) | Host::Ipv6(_) => None,
        }
    }

    /// Whether a URL's host, as it stands there, is meant.
    pub(super) fn covers(&self, host: &str) -> bool {
        match self {
            Self::Network(network) => {
                let literal = host.trim_start_matches('[').trim_end_matches(']');
                let address = literal.parse::<IpAddr>();
                address.is_ok_and(|address| network.contains(&address.to_canonical()))
            }
            Self::Name(name) => {
                let host = host.strip_suffix('.').unwrap_or(host);
                let above = host.strip_suffix(name.as_str());
                above.is_some_and(|above| above.is_empty() || above.ends_with('.'))
            }
        }
    }
}

impl<'de> Deserialize<'de> for Bypass {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let text = String::deserialize(input)?;
        Self::parse(&text).ok_or_else(|| {
            serde::de::Error::custom("must be a name, an address, or a network like 10.0.0.0/8")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxies_are_read_and_never_shown_with_their_password() {
        fn check(text: &str, shown: &str, port: u16, credentials: Option<(&str, &str)>) {
            let proxy = Proxy::parse(text).unwrap();
            assert_eq!(
                format!("{proxy} {proxy:?}"),
                format!("{shown} Proxy({shown})")
            );
            assert_eq!(proxy.port, port, "{text}");
            let found = proxy.credentials.as_ref();
            let found = found.map(|known| (known.user.as_str(), known.password.as_str()));
            assert_eq!(found, credentials, "{text}");
        }
        check("http://proxy.example", "http://proxy.example/", 80, None);
        check(
            "http://10.0.0.1:3128/",
            "http://10.0.0.1:3128/",
            3_128,
            None,
        );
        check("https://proxy.example", "https://proxy.example/", 443, None);
        check("socks5://[::1]", "socks5://[::1]", 1_080, None);
        check(
            "socks5://proxy.example:9050",
            "socks5://proxy.example:9050",
            9_050,
            None,
        );

        check(
            "http://user:pa%3As%40s@proxy.example:3128",
            "http://redacted@proxy.example:3128/",
            3_128,
            Some(("user", "pa:s@s")),
        );
    }

    #[test]
    fn other_texts_are_refused_without_repeating_them() {
        fn check(text: &str, expected: ProxyError) {
            assert_eq!(Proxy::parse(text), Err(expected), "{text}");
            assert!(!expected.to_string().contains("hunter2"));
        }
        check("proxy.example", ProxyError::Url);
        check("http://", ProxyError::Url);
        check("proxy.example:3128", ProxyError::Scheme);
        check("ftp://u:hunter2@proxy.example", ProxyError::Scheme);
        check("socks4://proxy.example", ProxyError::Scheme);
        check("socks5h://proxy.example", ProxyError::Socks5h);
        check("http://proxy.example/path", ProxyError::Rest);
        check("http://proxy.example?hunter2", ProxyError::Rest);
        check("http://user@proxy.example", ProxyError::Credentials);
        check("http://:hunter2@proxy.example", ProxyError::Credentials);
        check(
            "http://a%3Ab:hunter2@proxy.example",
            ProxyError::Credentials,
        );
        check(
            "http://a:hunter2%0D%0Ax@proxy.example",
            ProxyError::Credentials,
        );
        check("http://a:%FF@proxy.example", ProxyError::Credentials);
    }

    #[test]
    fn what_goes_past_the_proxy() {
        fn check(entry: &str, host: &str, expected: bool) {
            assert_eq!(
                Bypass::parse(entry).unwrap().covers(host),
                expected,
                "{entry} {host}"
            );
        }
        check("inside.example", "inside.example", true);
        check("inside.example", "a.b.inside.example", true);
        check("inside.example", "a.inside.example.", true);
        check(".Inside.example", "a.inside.example", true);
        check("inside.example", "notinside.example", false);
        check("inside.example", "example", false);
        check("10.0.0.0/8", "10.1.2.3", true);
        check("10.0.0.0/8", "[::ffff:a01:203]", true);
        check("10.0.0.0/8", "11.1.2.3", false);
        check("10.0.0.0/8", "ten.example", false);
        check("10.1.2.3", "10.1.2.3", true);
        check("fd00::/8", "[fd00::1]", true);
        for not_one in ["", "*", "*.example", "a b", "10.0.0.0/33"] {
            assert_eq!(Bypass::parse(not_one), None, "{not_one}");
        }
    }
}

//! Where a subscription's requests go.

use std::fmt;
use std::sync::Arc;

use serde::{Serialize, Serializer};
use url::Url;

use super::url_template::{self, UrlTemplate, UrlTemplateError};

const LONGEST: usize = 2_048;
const REDACTED: &str = "[redacted]";

/// An absolute http or https URL. Printing it leaves out user, password and query, which may hold
/// credentials.
#[derive(Clone)]
pub struct TargetUrl {
    /// Of a template without path and query.
    url: Arc<Url>,
    template: Option<Box<UrlTemplate>>,
    /// What may be shown, where that is not the URL itself.
    redacted: Option<Arc<str>>,
}

/// A URL that may be shown to anyone. Cheap to clone.
#[derive(Clone)]
pub struct RedactedUrl(Shown);

#[derive(Clone)]
enum Shown {
    /// There is nothing to hide.
    Whole(Arc<Url>),
    Redacted(Arc<str>),
}

/// Why a text is not a URL to send to.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum UrlError {
    /// Too long.
    #[error("must not be longer than {LONGEST} bytes")]
    TooLong,
    /// Characters that URL readers drop or turn into others, each in its own way.
    #[error("must not hold spaces, control characters or backslashes")]
    Characters,
    /// Another scheme, or none.
    #[error("must begin with `https://` or `http://`")]
    Scheme,
    /// No host, or a malformed one; a wrong port; anything else against the URL standard.
    #[error("is not a URL with a host")]
    Malformed,
    /// Port 0 cannot be dialled.
    #[error("must not name port 0")]
    PortZero,
    /// A fragment is never sent.
    #[error("must not have a fragment")]
    Fragment,
    /// A value of the event elsewhere than in path and query: it would decide who is dialled.
    #[error("must not have `{{{{ }}}}` before the path")]
    TemplateInOrigin,
    /// See [`UrlTemplateError`].
    #[error(transparent)]
    Template(#[from] UrlTemplateError),
}

impl TargetUrl {
    /// Reads a URL; user and password are allowed, and places for values in path and query.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        if text.len() > LONGEST {
            return Err(UrlError::TooLong);
        }
        if !text.contains("{{") && !text.contains("}}") {
            return Self::url(text).map(Self::of);
        }
        let filled_in = url_template::filled_in(text)?;
        let mut url = Self::url(&filled_in)?;
        let behind_scheme = text.find("://").map_or(0, |at| at + 3);
        let origin = text[behind_scheme..]
            .find(['/', '?'])
            .map_or(text.len(), |at| behind_scheme + at);
        let (origin, target) = text.split_at(origin);
        if origin.contains(['{', '}']) {
            return Err(UrlError::TemplateInOrigin);
        }
        let path = target.split('?').next().unwrap_or_default();
        url.set_query(None);
        url.set_path("/");
        let origin = redact(&url);
        let query = if target.contains('?') {
            format!("?{REDACTED}")
        } else {
            String::new()
        };
        let redacted = format!("{}{path}{query}", &origin[..origin.len() - 1]);
        Ok(Self {
            url: Arc::new(url),
            template: Some(Box::new(UrlTemplate::parse(target)?)),
            redacted: Some(redacted.into()),
        })
    }

    /// One without places for values.
    fn of(url: Url) -> Self {
        let redacted = redact(&url);
        Self {
            redacted: (redacted != url.as_str()).then(|| redacted.into()),
            url: Arc::new(url),
            template: None,
        }
    }

    fn url(text: &str) -> Result<Url, UrlError> {
        let confusing = |char: char| char.is_whitespace() || char.is_control() || char == '\\';
        if text.contains(confusing) {
            return Err(UrlError::Characters);
        }
        let (scheme, rest) = text.split_once("://").ok_or(UrlError::Scheme)?;
        if !["http", "https"]
            .iter()
            .any(|known| scheme.eq_ignore_ascii_case(known))
        {
            return Err(UrlError::Scheme);
        }
        // The URL standard skips further slashes and takes the next segment for the host.
        if rest.starts_with('/') {
            return Err(UrlError::Malformed);
        }
        let url = Url::parse(text).map_err(|_| UrlError::Malformed)?;
        if !url.has_host() {
            return Err(UrlError::Malformed);
        }
        if url.port() == Some(0) {
            return Err(UrlError::PortZero);
        }
        if url.fragment().is_some() {
            return Err(UrlError::Fragment);
        }
        Ok(url)
    }

    /// The whole URL with its credentials, for the one place that sends. That of a template has neither
    /// path nor query.
    pub fn expose(&self) -> &Url {
        &self.url
    }

    /// What makes path and query for each event, where they are not fixed.
    pub fn template(&self) -> Option<&UrlTemplate> {
        self.template.as_deref()
    }

    /// Who is dialled, with the path and query that were made for an event.
    pub fn with_target(&self, target: &str) -> Self {
        let mut url = (*self.url).clone();
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (target, None),
        };
        url.set_path(path);
        url.set_query(query);
        Self::of(url)
    }

    /// What may be shown.
    pub fn redacted(&self) -> RedactedUrl {
        RedactedUrl(match &self.redacted {
            Some(redacted) => Shown::Redacted(Arc::clone(redacted)),
            None => Shown::Whole(Arc::clone(&self.url)),
        })
    }

    /// Whether user or password are part of it.
    pub fn has_credentials(&self) -> bool {
        !self.url.username().is_empty() || self.url.password().is_some()
    }
}

fn redact(url: &Url) -> String {
    let mut shown = format!("{}://", url.scheme());
    if !url.username().is_empty() || url.password().is_some() {
        shown += REDACTED;
        shown += "@";
    }
    shown += url.host_str().unwrap_or_default();
    if let Some(port) = url.port() {
        shown += &format!(":{port}");
    }
    shown += url.path();
    if url.query().is_some() {
        shown += "?";
        shown += REDACTED;
    }
    shown
}

impl fmt::Debug for TargetUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl fmt::Display for TargetUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.redacted(), formatter)
    }
}

impl fmt::Display for RedactedUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl fmt::Debug for RedactedUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl RedactedUrl {
    fn as_str(&self) -> &str {
        match &self.0 {
            Shown::Whole(url) => url.as_str(),
            Shown::Redacted(text) => text,
        }
    }
}

impl PartialEq for RedactedUrl {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for RedactedUrl {}

impl Serialize for RedactedUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_neither_credentials_nor_query() {
        fn check(text: &str, expected: &str) {
            let url = TargetUrl::parse(text).unwrap();
            assert_eq!(url.to_string(), expected);
            assert_eq!(format!("{url:?}"), expected);
            assert_eq!(
                serde_json::to_string(&url.redacted()).unwrap(),
                format!("\"{expected}\"")
            );
        }
        check("https://example.com", "https://example.com/");
        check(
            "HTTPS://Example.com:8443/hooks",
            "https://example.com:8443/hooks",
        );
        check(
            "http://user:pass@example.com/a?token=1",
            "http://[redacted]@example.com/a?[redacted]",
        );
        check(
            "https://token@example.com/",
            "https://[redacted]@example.com/",
        );
        check("https://[2001:db8::1]:1/", "https://[2001:db8::1]:1/");
        check(
            "https://b\u{fc}cher.example/\u{e9}",
            "https://xn--bcher-kva.example/%C3%A9",
        );
        check("https://example.com/?", "https://example.com/?[redacted]");
    }

    #[test]
    fn refuses_other_texts() {
        fn check(text: &str, expected: UrlError) {
            assert_eq!(TargetUrl::parse(text).unwrap_err(), expected, "{text}");
        }
        check("", UrlError::Scheme);
        check("example.com/hooks", UrlError::Scheme);
        check("//example.com/hooks", UrlError::Scheme);
        check("http:example.com", UrlError::Scheme);
        check("ftp://example.com", UrlError::Scheme);
        check("file:///etc/passwd", UrlError::Scheme);
        check("https://", UrlError::Malformed);
        check("https:///example.com", UrlError::Malformed);
        check("https://:80/", UrlError::Malformed);
        check("https://user@/", UrlError::Malformed);
        check("https://a:99999/", UrlError::Malformed);
        check("https://a:0/", UrlError::PortZero);
        check("https://a/#", UrlError::Fragment);
        check("https://a/#b", UrlError::Fragment);
        check(" https://a/", UrlError::Characters);
        check("https://a/\n", UrlError::Characters);
        check("https://a\\@b/", UrlError::Characters);
        check(
            &format!("https://a/{}", "x".repeat(2_039)),
            UrlError::TooLong,
        );
        assert!(TargetUrl::parse(&format!("https://a/{}", "x".repeat(2_038))).is_ok());
    }
}

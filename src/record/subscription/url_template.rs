//! Values of an event in a URL's path and query: `https://example.com/orders/{{ data.id }}`.

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use crate::record::json_text::{Path, PathError, Step};

const LONGEST_VALUE: usize = 1_024;
/// As long as the URL itself may be; a header of the task holds it.
const LONGEST_TARGET: usize = 2_048;

/// What a URL's path must not hold as it is.
const LITERAL: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'<')
    .add(b'>')
    .add(b'`')
    .add(b'{')
    .add(b'}')
    .add(b'^')
    .add(b'|')
    .add(b'\'');

/// All but RFC 3986's unreserved characters: whatever a value says, it stays one part of one segment.
const VALUE: &AsciiSet = &percent_encoding::NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// A request target (path and query) with places for values.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UrlTemplate {
    pieces: Box<[Piece]>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Piece {
    /// Escaped already.
    Text(Box<str>),
    Value(Path),
}

/// Why a text is no such template.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum UrlTemplateError {
    /// A place that is not closed, or closed without being opened.
    #[error("`{{{{` and `}}}}` must enclose a path")]
    Open,
    /// What stands between the braces.
    #[error(transparent)]
    Path(#[from] PathError),
    /// A path to many values.
    #[error("a path in a URL must lead to one value, `[*]` leads to many")]
    Many,
}

/// Why a template gives no target for an event.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum TargetError {
    /// Nothing is there, or no text, number or truth value.
    #[error("`{0}` of the URL is not a text, a number, true or false")]
    NoValue(Path),
    /// An empty text.
    #[error("`{0}` of the URL is empty")]
    Empty(Path),
    /// Longer than [`LONGEST_VALUE`].
    #[error("`{0}` of the URL is longer than {LONGEST_VALUE} bytes")]
    TooLong(Path),
    /// All of them together.
    #[error("path and query of the URL would be longer than {LONGEST_TARGET} bytes")]
    LongTarget,
    /// A segment `.` or `..`, which no escape keeps from leading elsewhere.
    #[error("a segment of the URL's path would be `.` or `..`")]
    DotSegment,
}

/// Cuts a URL into text and what stands in `{{` and `}}`.
fn cut(text: &str) -> Result<Vec<Result<&str, &str>>, UrlTemplateError> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once("{{") {
        let (inside, behind) = behind.split_once("}}").ok_or(UrlTemplateError::Open)?;
        if before.contains("}}") || inside.contains(['{', '}']) {
            return Err(UrlTemplateError::Open);
        }
        parts.push(Ok(before));
        parts.push(Err(inside.trim()));
        rest = behind;
    }
    if rest.contains("}}") {
        return Err(UrlTemplateError::Open);
    }
    parts.push(Ok(rest));
    Ok(parts)
}

/// The URL with a plain word in each place, to be checked as a URL.
pub(super) fn filled_in(text: &str) -> Result<String, UrlTemplateError> {
    let parts = cut(text)?;
    Ok(parts.into_iter().map(|part| part.unwrap_or("x")).collect())
}

impl UrlTemplate {
    /// Reads what stands behind the host.
    pub(super) fn parse(target: &str) -> Result<Self, UrlTemplateError> {
        let mut pieces = Vec::new();
        if !target.starts_with('/') {
            pieces.push(Piece::Text("/".into()));
        }
        for part in cut(target)? {
            match part {
                Ok("") => {}
                Ok(text) => pieces.push(Piece::Text(
                    utf8_percent_encode(text, LITERAL).to_string().into(),
                )),
                Err(path) => {
                    let path: Path = path.parse()?;
                    if path.steps().contains(&Step::Each) {
                        return Err(UrlTemplateError::Many);
                    }
                    pieces.push(Piece::Value(path));
                }
            }
        }
        Ok(Self {
            pieces: pieces.into(),
        })
    }

    /// The target, each value taken from `value` and escaped.
    ///
    /// # Errors
    /// Which value there is none of, or that it would lead elsewhere.
    pub fn render<'a>(
        &self,
        mut value: impl FnMut(&Path) -> Option<std::borrow::Cow<'a, str>>,
    ) -> Result<String, TargetError> {
        let mut target = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => target.push_str(text),
                Piece::Value(path) => {
                    let value = value(path).ok_or_else(|| TargetError::NoValue(path.clone()))?;
                    if value.is_empty() {
                        return Err(TargetError::Empty(path.clone()));
                    }
                    if value.len() > LONGEST_VALUE {
                        return Err(TargetError::TooLong(path.clone()));
                    }
                    target.extend(utf8_percent_encode(&value, VALUE));
                }
            }
        }
        if target.len() > LONGEST_TARGET {
            return Err(TargetError::LongTarget);
        }
        let path = target.split('?').next().unwrap_or_default();
        if path.split('/').any(is_dot_segment) {
            return Err(TargetError::DotSegment);
        }
        Ok(target)
    }
}

/// As URL readers see it, for whom an escaped dot is one too.
fn is_dot_segment(segment: &str) -> bool {
    segment.len() <= 6
        && matches!(
            &*segment.to_ascii_lowercase().replace("%2e", "."),
            "." | ".."
        )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use url::Url;

    fn render(template: &str, value: &str) -> Result<String, TargetError> {
        let template = UrlTemplate::parse(template).unwrap();
        template.render(|path| (path.to_string() != "data.none").then(|| value.to_owned().into()))
    }

    #[test]
    fn values_are_escaped() {
        fn check(template: &str, value: &str, expected: &str) {
            assert_eq!(render(template, value).unwrap(), expected);
        }
        check("/orders/{{ data.id }}", "o-1", "/orders/o-1");
        check("/{{data.a}}/{{ data.b[0] }}.json", "x", "/x/x.json");
        check("?id={{ data.id }}&n=1", "a&b=c", "/?id=a%26b%3Dc&n=1");
        check("/a/{{ data.id }}", "../../admin", "/a/..%2F..%2Fadmin");
        check(
            "/a/{{ data.id }}",
            "a b?c#d%\r\n",
            "/a/a%20b%3Fc%23d%25%0D%0A",
        );
        check("/a/{{ data.id }}", "J\u{fc}r", "/a/J%C3%BCr");
        check("/\u{fc}/{{ data.id }}", "1", "/%C3%BC/1");
        check("/x{{ data.id }}", "..", "/x..");
    }

    #[test]
    fn what_would_lead_elsewhere_is_refused() {
        for value in [".", ".."] {
            assert_eq!(render("/a/{{ id }}/b", value), Err(TargetError::DotSegment));
            assert_eq!(render("/a/{{ id }}", value), Err(TargetError::DotSegment));
        }
        assert_eq!(render("/a/.{{ id }}", "."), Err(TargetError::DotSegment));
        assert_eq!(render("/a/%2E{{ id }}", "."), Err(TargetError::DotSegment));
        assert!(render("/a?{{ id }}", "..").is_ok());
        assert_eq!(
            render("/a/{{ data.none }}", "").unwrap_err().to_string(),
            "`data.none` of the URL is not a text, a number, true or false"
        );
        assert!(matches!(
            render("/a/{{ id }}", ""),
            Err(TargetError::Empty(_))
        ));
        let long = "x".repeat(LONGEST_VALUE + 1);
        assert!(matches!(
            render("/a/{{ id }}", &long),
            Err(TargetError::TooLong(_))
        ));
        let long = "/".repeat(LONGEST_VALUE);
        assert_eq!(render("/a/{{ id }}", &long), Err(TargetError::LongTarget));
    }

    #[test]
    fn refuses_by_rule() {
        fn check(template: &str, expected: UrlTemplateError) {
            assert_eq!(UrlTemplate::parse(template), Err(expected), "{template}");
        }
        for open in [
            "/{{ data.id",
            "/data }}",
            "/{{ {{ a }} }}",
            "/}}{{ a }}",
            "/{{ a } }}",
        ] {
            check(open, UrlTemplateError::Open);
        }
        check("/{{ }}", PathError::Empty.into());
        check("/{{ data.items[*] }}", UrlTemplateError::Many);
    }

    proptest! {
        #[test]
        fn no_value_leaves_its_place(value in any::<String>()) {
            let Ok(target) = render("/a/{{ data.id }}/b?q={{ data.id }}&r=1", &value) else {
                return Ok(());
            };
            prop_assert!(target.is_ascii() && !target.contains(|c: char| c.is_ascii_control()));
            let url = Url::parse(&format!("https://e.com{target}")).unwrap();
            prop_assert_eq!(url.host_str(), Some("e.com"));
            let segments: Vec<_> = url.path_segments().unwrap().collect();
            prop_assert_eq!(segments.len(), 3);
            prop_assert_eq!((segments[0], segments[2]), ("a", "b"));
            let decoded = percent_encoding::percent_decode_str(segments[1]).decode_utf8().unwrap();
            prop_assert_eq!(&*decoded, &*value);
            let pairs: Vec<_> = url.query_pairs().collect();
            prop_assert_eq!(pairs.len(), 2);
            prop_assert_eq!(&*pairs[0].1, &*value);
            prop_assert_eq!(url.fragment(), None);
        }
    }
}

//! Reads a JSON object down to its members and no further: each value stays the text it was.

use std::collections::BTreeSet;
use std::{fmt, str};

use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::record::json_text;
use crate::secret;

/// How many arrays and objects may stand in one another. Readers of JSON that call themselves for
/// each level, ours and those of receivers, stay far from the end of their stack.
const DEEPEST: usize = 128;

/// How much of a name that somebody sent is repeated in an error.
const SHOWN_NAME: usize = 64;

/// Names (unescaped) and values (their source text) in their order.
pub(super) type Members = Vec<(String, Box<RawValue>)>;

/// Why bytes are not an object whose members can be used.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum JsonError {
    /// Not UTF-8.
    #[error("the value is not UTF-8 (byte {at})")]
    NotUtf8 {
        /// The first byte that is wrong, from 0.
        at: usize,
    },
    /// Breaks JSON's grammar, or goes on after its end.
    #[error("the value is not JSON (line {line}, column {column})")]
    NotJson {
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
    },
    /// JSON, but not an object.
    #[error("the value is not a JSON object")]
    NotAnObject,
    /// Too many arrays and objects in one another.
    #[error("the value nests deeper than {DEEPEST} levels")]
    TooDeep,
    /// Two members of one name, so that readers would disagree on which one counts.
    #[error("`{name}` is given twice")]
    DuplicateMember {
        /// The name (its start, when it is long).
        name: String,
    },
}

impl JsonError {
    /// A short name from a fixed set, for metrics and the header `hooktide-reason`.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::NotUtf8 { .. } => "not_utf8",
            Self::NotJson { .. } => "not_json",
            Self::NotAnObject => "not_an_object",
            Self::TooDeep => "too_deep",
            Self::DuplicateMember { .. } => "duplicate_member",
        }
    }

    fn not_json(error: &serde_json::Error) -> Self {
        Self::NotJson {
            line: error.line(),
            column: error.column(),
        }
    }
}

impl From<json_text::Error> for JsonError {
    fn from(error: json_text::Error) -> Self {
        match error {
            json_text::Error::Syntax(error) => Self::not_json(&error),
            json_text::Error::TooDeep => Self::TooDeep,
            json_text::Error::NotAnObject => Self::NotAnObject,
        }
    }
}

/// The members of the object that `bytes` hold.
pub(super) fn members(bytes: &[u8]) -> Result<Members, JsonError> {
    let text = str::from_utf8(bytes).map_err(|error| JsonError::NotUtf8 {
        at: error.valid_up_to(),
    })?;
    if nests_too_deep(bytes) {
        return Err(JsonError::TooDeep);
    }
    if !text.trim_start().starts_with('{') {
        let grammar =
            serde_json::from_str::<&RawValue>(text).map_err(|error| JsonError::not_json(&error));
        return Err(grammar.err().unwrap_or(JsonError::NotAnObject));
    }
    let mut reader = serde_json::Deserializer::from_str(text);
    let members = reader
        .deserialize_map(MembersVisitor)
        .and_then(|members| reader.end().map(|()| members))
        .map_err(|error| JsonError::not_json(&error))?;
    match duplicate(&members) {
        Some(name) => Err(JsonError::DuplicateMember {
            name: shown_name(name),
        }),
        None => Ok(members),
    }
}

/// The start of a name, for an error: names come from outside, may be of any length and hold line
/// ends that would forge a log. A secret that was put in a name's place is cut off.
pub(super) fn shown_name(name: &str) -> String {
    for prefix in [secret::PREFIX, secret::PRIVATE_PREFIX] {
        if let Some((before, _)) = name.split_once(prefix) {
            return format!("{}{prefix}...", shown_name(before));
        }
    }
    let shown = |char: char| if char.is_control() { '\u{fffd}' } else { char };
    name.chars().take(SHOWN_NAME).map(shown).collect()
}

/// Counts brackets outside of strings. What is not JSON gives a number without meaning, and is
/// refused afterwards all the same.
fn nests_too_deep(bytes: &[u8]) -> bool {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in bytes {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                depth += 1;
                if depth > DEEPEST {
                    return true;
                }
            }
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

fn duplicate(members: &Members) -> Option<&str> {
    // An object of a million members must not cost a million squared.
    let mut seen = BTreeSet::new();
    members
        .iter()
        .map(|(name, _)| name.as_str())
        .find(|name| !seen.insert(*name))
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
        let mut members = Members::new();
        while let Some(name) = map.next_key::<String>()? {
            let value = map.next_value::<&'de RawValue>()?;
            members.push((name, value.to_owned()));
        }
        Ok(members)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_source_text_of_values() {
        fn check(text: &str, expected: &[(&str, &str)]) {
            let members = members(text.as_bytes()).unwrap();
            let shown: Vec<_> = members
                .iter()
                .map(|(name, value)| (name.as_str(), value.get()))
                .collect();
            assert_eq!(shown, expected, "{text}");
        }
        check("{}", &[]);
        check(" {\"a\" : 1.10 } \r\n", &[("a", "1.10")]);
        check(
            r#"{"b":1e3,"a":"\u00e9"}"#,
            &[("b", "1e3"), ("a", r#""\u00e9""#)],
        );
        check(
            r#"{"\u0061":{"z": 1,"z":2}}"#,
            &[("a", r#"{"z": 1,"z":2}"#)],
        );
        check(r#"{"n":1e999999999999}"#, &[("n", "1e999999999999")]);
        check(r#"{"s":"\\\"[[{"}"#, &[("s", r#""\\\"[[{""#)]);
    }

    #[test]
    fn refuses_what_is_not_an_object() {
        fn check(bytes: &[u8], expected: JsonError) {
            let shown = String::from_utf8_lossy(bytes).into_owned();
            assert_eq!(members(bytes).unwrap_err(), expected, "{shown}");
        }
        let not_json = |line, column| JsonError::NotJson { line, column };
        check(b"", not_json(1, 0));
        check(b"{", not_json(1, 1));
        check(b"{\"a\":1,}", not_json(1, 8));
        check(b"{\"a\":1}\n x", not_json(2, 2));
        check(b"{} {}", not_json(1, 4));
        check(b"{\"a\":01}", not_json(1, 7));
        check(b"{\"a\":NaN}", not_json(1, 6));
        check(b"{\"a\n\":1}", not_json(2, 0));
        check(br#"{"\ud800":1}"#, not_json(1, 9));
        check(b"[1,", not_json(1, 3));
        check(b"\xef\xbb\xbf{}", not_json(1, 1));
        check(b"[1]", JsonError::NotAnObject);
        check(b"null", JsonError::NotAnObject);
        check(b" \"{}\"", JsonError::NotAnObject);
        check(b"{\"\xff\":1}", JsonError::NotUtf8 { at: 2 });
        let name = "a".to_owned();
        check(
            br#"{"a":1,"\u0061":1}"#,
            JsonError::DuplicateMember { name },
        );
        let name = "n".repeat(64);
        let long = format!("{{\"{0}\":1,\"{0}\":2}}", "n".repeat(1_000));
        check(long.as_bytes(), JsonError::DuplicateMember { name });
    }

    #[test]
    fn bounds_the_nesting() {
        let nested = |levels: usize| {
            let inner = levels - 1;
            format!("{{\"a\":{}{}}}", "[".repeat(inner), "]".repeat(inner))
        };
        assert!(members(nested(128).as_bytes()).is_ok());
        assert_eq!(
            members(nested(129).as_bytes()).unwrap_err(),
            JsonError::TooDeep
        );
        let open = "[".repeat(1_000_000);
        assert_eq!(members(open.as_bytes()).unwrap_err(), JsonError::TooDeep);
    }
}

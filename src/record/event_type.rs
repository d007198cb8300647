//! A record of the topic `event_types`: what events of one type look like. The key is the type.

use serde_json::value::RawValue;

use crate::record::JsonError;
use crate::record::event::is_event_type;
use crate::record::json_object::{members, shown_name};

const VERSION: u32 = 1;
/// The longest `description`, in bytes.
const LONGEST_DESCRIPTION: usize = 4_096;
/// The longest `schema`, in bytes.
const LONGEST_SCHEMA: usize = 256 * 1_024;

/// What events of a type look like, as written.
#[derive(Clone, Debug, Default)]
pub struct EventType {
    /// For people.
    pub description: Option<String>,
    /// JSON Schema of the events' `data`.
    pub schema: Option<Box<RawValue>>,
    /// A sample of `data`.
    pub example: Option<Box<RawValue>>,
    /// Whether nobody should ask for it any more.
    pub deprecated: bool,
}

/// Why a record says nothing about a type.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum EventTypeError {
    /// Not a JSON object that can be used.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// The key.
    #[error("the key is not a type: a text of 1 to 256 bytes without control characters")]
    Key,
    /// A member that is not known.
    #[error("`{0}` is not a member of an event type")]
    Unknown(String),
    /// A member that is not as it must be.
    #[error("`{member}` {rule}")]
    Member {
        /// Its name.
        member: &'static str,
        /// What it must be.
        rule: &'static str,
    },
}

/// The type that a record's key names.
///
/// # Errors
/// [`EventTypeError::Key`].
pub fn type_of_key(key: &[u8]) -> Result<&str, EventTypeError> {
    let text = std::str::from_utf8(key).ok();
    text.filter(|text| is_event_type(text))
        .ok_or(EventTypeError::Key)
}

impl EventType {
    /// Reads the value of the record of this type.
    ///
    /// # Errors
    /// Names the member and the rule.
    pub fn parse(event_type: &str, value: &[u8]) -> Result<Self, EventTypeError> {
        let mut read = Self::default();
        for (name, value) in members(value)? {
            match &*name {
                "version" => must(number(&value) == Some(VERSION), "version", "must be 1")?,
                "type" => must(
                    text(&value).as_deref() == Some(event_type),
                    "type",
                    "must be the record's key, if it is given",
                )?,
                "description" => {
                    let said = text(&value).filter(|said| said.len() <= LONGEST_DESCRIPTION);
                    let rule = "must be a string of at most 4,096 bytes";
                    must(said.is_some(), "description", rule)?;
                    read.description = said;
                }
                "schema" => {
                    let is_schema = matches!(value.get().as_bytes(), [b'{' | b't' | b'f', ..]);
                    must(is_schema, "schema", "must be an object, true or false")?;
                    let fits = value.get().len() <= LONGEST_SCHEMA;
                    must(fits, "schema", "must not be longer than 256 KiB")?;
                    read.schema = Some(value);
                }
                "example" => read.example = Some(value),
                "deprecated" => {
                    let said = serde_json::from_str(value.get()).ok();
                    must(said.is_some(), "deprecated", "must be true or false")?;
                    read.deprecated = said.unwrap_or_default();
                }
                _ => return Err(EventTypeError::Unknown(shown_name(&name))),
            }
        }
        Ok(read)
    }
}

fn must(holds: bool, member: &'static str, rule: &'static str) -> Result<(), EventTypeError> {
    match holds {
        true => Ok(()),
        false => Err(EventTypeError::Member { member, rule }),
    }
}

fn number(value: &RawValue) -> Option<u32> {
    serde_json::from_str(value.get()).ok()
}

fn text(value: &RawValue) -> Option<String> {
    serde_json::from_str(value.get()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_kept_as_it_was() {
        let value = br#"{"version":1,"type":"a","description":"A.","deprecated":true,
            "schema":{"minimum":1.10},"example": 1.10 }"#;
        let read = EventType::parse("a", value).unwrap();
        assert_eq!(read.description.as_deref(), Some("A."));
        assert!(read.deprecated);
        assert_eq!(read.schema.unwrap().get(), r#"{"minimum":1.10}"#);
        assert_eq!(read.example.unwrap().get(), "1.10");
        assert!(EventType::parse("a", b"{}").is_ok());
    }

    #[test]
    fn names_what_is_wrong() {
        fn check(value: &str, expected: &str) {
            let error = EventType::parse("a", value.as_bytes()).unwrap_err();
            assert!(error.to_string().contains(expected), "{value}: {error}");
        }
        check("", "not JSON");
        check("[]", "not a JSON object");
        check(r#"{"schema":{},"schema":{}}"#, "`schema` is given twice");
        check(r#"{"scheme":{}}"#, "`scheme` is not a member");
        check(r#"{"version":2}"#, "`version` must be 1");
        check(r#"{"type":"b"}"#, "`type` must be the record's key");
        check(r#"{"description":1}"#, "`description`");
        let long = format!(r#"{{"description":"{}"}}"#, "x".repeat(4_097));
        check(&long, "4,096 bytes");
        check(r#"{"schema":"a"}"#, "`schema` must be an object");
        let long = format!(r#"{{"schema":{{"title":"{}"}}}}"#, "x".repeat(256 * 1_024));
        check(&long, "256 KiB");
        check(r#"{"deprecated":1}"#, "`deprecated`");
    }

    #[test]
    fn a_key_is_a_type() {
        assert_eq!(type_of_key(b"order.created"), Ok("order.created"));
        for wrong in [&b""[..], b"\xff", b"a\n", &[b'a'; 257]] {
            assert_eq!(type_of_key(wrong), Err(EventTypeError::Key));
        }
    }
}

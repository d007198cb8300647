//! A business event, as upstream systems produce it: the plain JSON form.

use serde_json::value::RawValue;

use crate::clock::Timestamp;
use crate::record::json_object::{self, JsonError, Members};
use crate::record::subscription_key::is_key_part;
use crate::record::{Coordinates, EventKey, rfc_3339};

const DEFAULT_TENANT: &str = "default";
const LONGEST_TYPE: usize = 256;
const LONGEST_ID: usize = 512;

/// An event whose required members are there and well formed. All members keep their source text.
#[derive(Clone, Debug)]
pub struct Event {
    at: Coordinates,
    id: Option<String>,
    event_type: String,
    tenant: String,
    timestamp: String,
    members: Members,
}

/// Why a record is not an event. A member that is there must have its type: `null` is not absence,
/// but for `data`, which may be any JSON value.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum EventError {
    /// Not a JSON object that can be used.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// `type` is missing.
    #[error("`type` is missing")]
    NoType,
    /// `type` is empty, too long, holds control characters or is not a string.
    #[error("`type` is not a string of 1 to {LONGEST_TYPE} bytes without control characters")]
    BadType,
    /// `data` is missing.
    #[error("`data` is missing")]
    NoData,
    /// `tenant` is not a tenant's name.
    #[error(
        "`tenant` is not a string of 1 to 128 of A-Z a-z 0-9 . _ ~ -, without a dot at the start"
    )]
    BadTenant,
    /// `id` is empty, too long, holds control characters or is not a string.
    #[error("`id` is not a string of 1 to {LONGEST_ID} bytes without control characters")]
    BadId,
    /// `timestamp`, or `time`, is not an RFC 3339 time.
    #[error("`{member}` is not an RFC 3339 time")]
    BadTimestamp {
        /// The name that the event uses.
        member: &'static str,
    },
    /// `timestamp` and its alias `time` are both given.
    #[error("both `timestamp` and its alias `time` are given")]
    TwoTimestamps,
}

impl EventError {
    /// A short name from a fixed set, for metrics and the header `hooktide-reason`.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Json(JsonError::NotUtf8 { .. }) => "not_utf8",
            Self::Json(JsonError::NotJson { .. }) => "not_json",
            Self::Json(JsonError::NotAnObject) => "not_an_object",
            Self::Json(JsonError::TooDeep) => "too_deep",
            Self::Json(JsonError::DuplicateMember { .. }) => "duplicate_member",
            Self::NoType => "no_type",
            Self::BadType => "bad_type",
            Self::NoData => "no_data",
            Self::BadTenant => "bad_tenant",
            Self::BadId => "bad_id",
            Self::BadTimestamp { .. } => "bad_timestamp",
            Self::TwoTimestamps => "two_timestamps",
        }
    }
}

impl Event {
    /// Reads the value of a record that stands at `at` and has the time `record_timestamp`.
    pub fn parse(
        value: &[u8],
        at: &Coordinates,
        record_timestamp: Timestamp,
    ) -> Result<Self, EventError> {
        let members = json_object::members(value)?;
        let event_type = find(&members, "type").ok_or(EventError::NoType)?;
        let event_type = string(event_type)
            .filter(|text| is_event_type(text))
            .ok_or(EventError::BadType)?;
        find(&members, "data").ok_or(EventError::NoData)?;
        let tenant = match find(&members, "tenant") {
            Some(raw) => string(raw)
                .filter(|text| is_key_part(text))
                .ok_or(EventError::BadTenant)?,
            None => DEFAULT_TENANT.to_owned(),
        };
        let id = match find(&members, "id") {
            Some(raw) => Some(
                string(raw)
                    .filter(|text| is_event_id(text))
                    .ok_or(EventError::BadId)?,
            ),
            None => None,
        };
        let timestamp = match (find(&members, "timestamp"), find(&members, "time")) {
            (Some(_), Some(_)) => return Err(EventError::TwoTimestamps),
            (Some(raw), None) => time_text(raw, "timestamp")?,
            (None, Some(raw)) => time_text(raw, "time")?,
            (None, None) => record_timestamp.to_string(),
        };
        Ok(Self {
            at: at.clone(),
            id,
            event_type,
            tenant,
            timestamp,
            members,
        })
    }

    /// The id that its producer gave it.
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// The id, or else where the record stands, as `topic/partition/offset`: what the request and
    /// the header `hooktide-event-id` say.
    pub fn id_or_position(&self) -> String {
        self.id.clone().unwrap_or_else(|| self.at.to_string())
    }

    /// What tells it from the other events of its source, for the delivery id.
    pub fn key(&self) -> EventKey<'_> {
        match &self.id {
            Some(id) => EventKey::Id(id),
            None => EventKey::Position {
                partition: self.at.partition,
                offset: self.at.offset,
            },
        }
    }

    /// Where it comes from, for the delivery id: its topic's name.
    pub fn source(&self) -> &str {
        &self.at.topic
    }

    /// Where its record stands.
    pub fn coordinates(&self) -> &Coordinates {
        &self.at
    }

    /// What happened: `order.created`.
    pub fn event_type(&self) -> &str {
        &self.event_type
    }

    /// Whose event it is; `default` when it does not say.
    pub fn tenant(&self) -> &str {
        &self.tenant
    }

    /// When it happened, in RFC 3339: as the producer wrote it, else the record's time. Needs no
    /// escapes in JSON.
    pub fn timestamp(&self) -> &str {
        &self.timestamp
    }

    /// The source text of a top-level member, by its unescaped name.
    pub fn member(&self, name: &str) -> Option<&RawValue> {
        find(&self.members, name)
    }

    /// All top-level members in their order: unescaped name and source text.
    pub fn members(&self) -> impl Iterator<Item = (&str, &RawValue)> {
        self.members
            .iter()
            .map(|(name, value)| (name.as_str(), &**value))
    }
}

/// Whether a text can be an event's type.
pub(super) fn is_event_type(text: &str) -> bool {
    !text.is_empty() && text.len() <= LONGEST_TYPE && !text.chars().any(char::is_control)
}

/// Whether a text can be an event's id.
pub(super) fn is_event_id(text: &str) -> bool {
    !text.is_empty() && text.len() <= LONGEST_ID && !text.chars().any(char::is_control)
}

fn find<'a>(members: &'a Members, name: &str) -> Option<&'a RawValue> {
    members
        .iter()
        .find(|(present, _)| present == name)
        .map(|(_, value)| &**value)
}

fn string(raw: &RawValue) -> Option<String> {
    serde_json::from_str(raw.get()).ok()
}

fn time_text(raw: &RawValue, member: &'static str) -> Result<String, EventError> {
    string(raw)
        .filter(|text| rfc_3339::parse(text).is_some())
        .ok_or(EventError::BadTimestamp { member })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(value: &[u8]) -> Result<Event, EventError> {
        let at = "orders/3/42".parse().unwrap();
        Event::parse(value, &at, Timestamp::from_millis(1_795_341_600_007))
    }

    #[test]
    fn reads_all_members() {
        let event = parse(
            br#"{"id":"evt_1","type":"order.created","tenant":"acme","extra":1.10,
                 "timestamp":"2026-11-22T11:00:00+01:00","data":{"a" : 1e3},"metadata":{}}"#,
        )
        .unwrap();
        assert_eq!(event.id(), Some("evt_1"));
        assert_eq!(event.id_or_position(), "evt_1");
        assert_eq!(event.key(), EventKey::Id("evt_1"));
        assert_eq!(event.source(), "orders");
        assert_eq!(event.event_type(), "order.created");
        assert_eq!(event.tenant(), "acme");
        assert_eq!(event.timestamp(), "2026-11-22T11:00:00+01:00");
        assert_eq!(event.member("data").unwrap().get(), r#"{"a" : 1e3}"#);
        assert_eq!(event.member("extra").unwrap().get(), "1.10");
        assert!(event.member("other").is_none());
        let names: Vec<_> = event.members().map(|(name, _)| name).collect();
        let expected = [
            "id",
            "type",
            "tenant",
            "extra",
            "timestamp",
            "data",
            "metadata",
        ];
        assert_eq!(names, expected);
    }

    #[test]
    fn fills_in_what_may_be_absent() {
        let event = parse(br#"{"\u0074ype":"\u00e9","data":null}"#).unwrap();
        let (partition, offset) = (3, 42);
        assert_eq!(event.id(), None);
        assert_eq!(event.id_or_position(), "orders/3/42");
        assert_eq!(event.key(), EventKey::Position { partition, offset });
        assert_eq!(event.event_type(), "\u{e9}");
        assert_eq!(event.tenant(), "default");
        assert_eq!(event.timestamp(), "2026-11-22T10:00:00.007Z");
        assert_eq!(event.member("data").unwrap().get(), "null");
        let event = parse(br#"{"type":"a","data":0,"time":"2026-11-22T10:00:00Z"}"#).unwrap();
        assert_eq!(event.timestamp(), "2026-11-22T10:00:00Z");
    }

    #[test]
    fn names_what_is_wrong() {
        fn check(value: &[u8], reason: &str) {
            let shown = String::from_utf8_lossy(value).into_owned();
            assert_eq!(parse(value).unwrap_err().reason(), reason, "{shown}");
        }
        check(b"", "not_json");
        check(b"order created", "not_json");
        check(b"\x00\x00\x00\x00\x01\x02", "not_json");
        check(br#"{"type":"a","data":1} {}"#, "not_json");
        check(b"\xff", "not_utf8");
        check(br#"[{"type":"a","data":1}]"#, "not_an_object");
        check(br#"{"type":"a","data":1,"type":"a"}"#, "duplicate_member");
        let deep = format!(
            r#"{{"type":"a","data":{}{}}}"#,
            "[".repeat(128),
            "]".repeat(128)
        );
        check(deep.as_bytes(), "too_deep");
        check(br#"{"data":1}"#, "no_type");
        check(br#"{"Type":"a","data":1}"#, "no_type");
        check(br#"{"type":"a"}"#, "no_data");
        for wrong in [
            "1",
            "null",
            r#""""#,
            r#""a\n""#,
            r#""\u0085""#,
            r#""\ud800""#,
            r#"["a"]"#,
        ] {
            check(
                format!(r#"{{"type":{wrong},"data":1}}"#).as_bytes(),
                "bad_type",
            );
            check(
                format!(r#"{{"type":"a","data":1,"id":{wrong}}}"#).as_bytes(),
                "bad_id",
            );
            check(
                format!(r#"{{"type":"a","data":1,"tenant":{wrong}}}"#).as_bytes(),
                "bad_tenant",
            );
            check(
                format!(r#"{{"type":"a","data":1,"timestamp":{wrong}}}"#).as_bytes(),
                "bad_timestamp",
            );
        }
        for wrong in ["a/b", ".a", "\u{e9}", "a b"] {
            check(
                format!(r#"{{"type":"a","data":1,"tenant":"{wrong}"}}"#).as_bytes(),
                "bad_tenant",
            );
        }
        for wrong in [
            "2026-11-22",
            "2026-11-22T10:00:00",
            "2026-13-01T00:00:00Z",
            "1795341600",
            "now",
        ] {
            check(
                format!(r#"{{"type":"a","data":1,"time":"{wrong}"}}"#).as_bytes(),
                "bad_timestamp",
            );
        }
        let now = "2026-11-22T10:00:00Z";
        let both = format!(r#"{{"type":"a","data":1,"time":"{now}","timestamp":"{now}"}}"#);
        check(both.as_bytes(), "two_timestamps");
    }

    #[test]
    fn bounds_type_and_id() {
        fn check(type_length: usize, id_length: usize, expected: Option<EventError>) {
            let (of_type, of_id) = ("t".repeat(type_length), "i".repeat(id_length));
            let value = format!(r#"{{"type":"{of_type}","id":"{of_id}","data":1}}"#);
            assert_eq!(parse(value.as_bytes()).err(), expected);
        }
        check(256, 512, None);
        check(257, 512, Some(EventError::BadType));
        check(256, 513, Some(EventError::BadId));
    }
}

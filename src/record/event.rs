//! A business event: what the router knows of one, whatever form it came in.
//!
//! Every form is brought to one [`Document`], the JSON that filters, fields and bodies work on
//! (`router::event_form`); here its members are read, as the plain form or as a CloudEvent.

use crate::clock::Timestamp;
use crate::record::json_object::{JsonError, shown_name};
use crate::record::json_text::{Document, Kind, Node};
use crate::record::subscription_key::is_key_part;
use crate::record::{Coordinates, EventKey, rfc_3339};

const DEFAULT_TENANT: &str = "default";
const LONGEST_TYPE: usize = 256;
const LONGEST_ID: usize = 512;
const LONGEST_SOURCE: usize = 2_048;
/// The version of CloudEvents that is read.
const SPECVERSION: &str = "1.0";

/// An event whose required members are there and well formed.
#[derive(Clone, Debug)]
pub struct Event {
    at: Coordinates,
    id: Option<String>,
    event_type: String,
    tenant: String,
    timestamp: String,
    /// Of a CloudEvent.
    source: Option<String>,
}

/// What a document was before it was JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Envelope {
    /// JSON: the plain form, or a CloudEvent if it has a member `specversion`.
    Json,
    /// Avro, which has no way to leave a field out: as JSON, but `null` is absence.
    Avro,
    /// A CloudEvent, as its headers say.
    CloudEvent,
}

/// Why a record is not an event. A member that is there must have its type: `null` is not absence,
/// but for `data`, which may be any JSON value, and in Avro.
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
    /// `id` is missing in a CloudEvent.
    #[error("`id` is missing, which a CloudEvent requires")]
    NoId,
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
    /// `source` is missing in a CloudEvent, or cannot be used.
    #[error(
        "`source` is not a string of 1 to {LONGEST_SOURCE} bytes without control characters, which a CloudEvent requires"
    )]
    BadSource,
    /// A CloudEvent of another version, or of none.
    #[error("`specversion` is not \"{SPECVERSION}\", the version of CloudEvents that is read")]
    BadSpecversion,
    /// `data_base64` is not base64, stands beside `data`, or does not hold what `datacontenttype` says.
    #[error("`data_base64`: {0}")]
    BadDataBase64(&'static str),
}

impl EventError {
    /// A short name from a fixed set, for metrics and the header `hooktide-reason`.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Json(error) => error.reason(),
            Self::NoType => "no_type",
            Self::BadType => "bad_type",
            Self::NoData => "no_data",
            Self::BadTenant => "bad_tenant",
            Self::NoId => "no_id",
            Self::BadId => "bad_id",
            Self::BadTimestamp { .. } => "bad_timestamp",
            Self::TwoTimestamps => "two_timestamps",
            Self::BadSource => "bad_source",
            Self::BadSpecversion => "bad_specversion",
            Self::BadDataBase64(_) => "bad_data_base64",
        }
    }
}

impl Event {
    /// Reads a record's value as JSON: the plain form, or a structured CloudEvent. The record stands
    /// at `at` and has the time `record_timestamp`.
    pub fn parse(
        value: &[u8],
        at: &Coordinates,
        record_timestamp: Timestamp,
    ) -> Result<Self, EventError> {
        let document = document(value)?;
        Self::read(&document, Envelope::Json, at, record_timestamp)
    }

    /// Reads the members of a document.
    pub fn read(
        document: &Document<'_>,
        envelope: Envelope,
        at: &Coordinates,
        record_timestamp: Timestamp,
    ) -> Result<Self, EventError> {
        let members = Found { document, envelope };
        let is_cloud_event = is_cloud_event(document, envelope);
        let source = match is_cloud_event {
            true => Some(members.cloud_event_source()?),
            false => None,
        };
        let event_type = members.get("type").ok_or(EventError::NoType)?;
        let event_type = string(event_type)
            .filter(|text| is_event_type(text))
            .ok_or(EventError::BadType)?;
        if !is_cloud_event {
            members.find("data").ok_or(EventError::NoData)?;
        }
        let tenant = match members.get("tenant") {
            Some(node) => string(node)
                .filter(|text| is_key_part(text))
                .ok_or(EventError::BadTenant)?,
            None => DEFAULT_TENANT.to_owned(),
        };
        let id = match members.get("id") {
            Some(node) => Some(
                string(node)
                    .filter(|text| is_event_id(text))
                    .ok_or(EventError::BadId)?,
            ),
            None if is_cloud_event => return Err(EventError::NoId),
            None => None,
        };
        let timestamp = match (members.get("timestamp"), members.get("time")) {
            (Some(_), Some(_)) if !is_cloud_event => return Err(EventError::TwoTimestamps),
            // In a CloudEvent `timestamp` is somebody's extension.
            (_, Some(node)) => time_text(node, "time")?,
            (Some(node), None) => time_text(node, "timestamp")?,
            (None, None) => record_timestamp.to_string(),
        };
        Ok(Self {
            at: at.clone(),
            id,
            event_type,
            tenant,
            timestamp,
            source,
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

    /// Where it comes from, for the delivery id: a CloudEvent's `source`, else its topic's name.
    pub fn origin(&self) -> &str {
        self.source.as_deref().unwrap_or(&self.at.topic)
    }

    /// A CloudEvent's `source`; none of an event in another form.
    pub fn source(&self) -> Option<&str> {
        self.source.as_deref()
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
}

/// Reads bytes as a JSON object that can be an event's document: each name once.
pub fn document(bytes: &[u8]) -> Result<Document<'_>, JsonError> {
    let text = str::from_utf8(bytes).map_err(|error| JsonError::NotUtf8 {
        at: error.valid_up_to(),
    })?;
    let document = Document::parse_str(text).map_err(JsonError::from)?;
    match document.duplicate() {
        Some(name) => Err(JsonError::DuplicateMember {
            name: shown_name(&String::from_utf8_lossy(&name)),
        }),
        None => Ok(document),
    }
}

/// Whether a document is to be read as a CloudEvent.
pub fn is_cloud_event(document: &Document<'_>, envelope: Envelope) -> bool {
    match envelope {
        Envelope::CloudEvent => true,
        Envelope::Json | Envelope::Avro => document.member("specversion").is_some(),
    }
}

/// The members of a document that are there.
struct Found<'d, 'a> {
    document: &'d Document<'a>,
    envelope: Envelope,
}

impl<'a> Found<'_, 'a> {
    /// Also as null.
    fn find(&self, name: &str) -> Option<Node<'a>> {
        self.document.member(name)
    }

    fn get(&self, name: &str) -> Option<Node<'a>> {
        let node = self.find(name)?;
        let is_absent = self.envelope == Envelope::Avro && node.kind() == Kind::Null;
        (!is_absent).then_some(node)
    }

    fn cloud_event_source(&self) -> Result<String, EventError> {
        let version = self.get("specversion").and_then(string);
        if version.as_deref() != Some(SPECVERSION) {
            return Err(EventError::BadSpecversion);
        }
        self.get("source")
            .and_then(string)
            .filter(|text| is_within(text, LONGEST_SOURCE))
            .ok_or(EventError::BadSource)
    }
}

/// Whether a text can be an event's type.
pub fn is_event_type(text: &str) -> bool {
    is_within(text, LONGEST_TYPE)
}

/// Whether a text can be an event's id.
pub(super) fn is_event_id(text: &str) -> bool {
    is_within(text, LONGEST_ID)
}

fn is_within(text: &str, longest: usize) -> bool {
    !text.is_empty() && text.len() <= longest && !text.chars().any(char::is_control)
}

fn string(node: Node<'_>) -> Option<String> {
    serde_json::from_str(node.text()).ok()
}

fn time_text(node: Node<'_>, member: &'static str) -> Result<String, EventError> {
    string(node)
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
        assert_eq!((event.source(), event.origin()), (None, "orders"));
        assert_eq!(event.event_type(), "order.created");
        assert_eq!(event.tenant(), "acme");
        assert_eq!(event.timestamp(), "2026-11-22T11:00:00+01:00");
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
    fn a_member_specversion_makes_a_cloud_event() {
        let event = parse(
            br#"{"specversion":"1.0","id":"1","source":"/shop","type":"order.created","tenant":"acme",
                 "time":"2026-11-22T10:00:00Z","timestamp":7,"subject":"o1"}"#,
        )
        .unwrap();
        assert_eq!((event.source(), event.origin()), (Some("/shop"), "/shop"));
        assert_eq!(event.tenant(), "acme");
        assert_eq!(event.timestamp(), "2026-11-22T10:00:00Z");
        let event = parse(br#"{"specversion":"1.0","id":"1","source":"s","type":"t"}"#).unwrap();
        assert_eq!(event.timestamp(), "2026-11-22T10:00:00.007Z");

        fn check(members: &str, expected: EventError) {
            let value = format!(r#"{{"specversion":"1.0"{members}}}"#);
            assert_eq!(parse(value.as_bytes()).unwrap_err(), expected, "{value}");
        }
        check(r#","id":"1","source":"s""#, EventError::NoType);
        check(r#","source":"s","type":"t""#, EventError::NoId);
        check(r#","id":"1","type":"t""#, EventError::BadSource);
        check(r#","id":"1","type":"t","source":"""#, EventError::BadSource);
        check(
            r#","id":"1","type":"t","source":null"#,
            EventError::BadSource,
        );
        check(r#","id":null,"type":"t","source":"s""#, EventError::BadId);
        for version in ["1", "null", r#""0.3""#, r#""1.0.2""#] {
            let value = format!(r#"{{"specversion":{version},"id":"1","source":"s","type":"t"}}"#);
            let refused = parse(value.as_bytes()).unwrap_err();
            assert_eq!(refused, EventError::BadSpecversion, "{version}");
        }
    }

    #[test]
    fn null_is_absence_in_avro() {
        let at = "orders/3/42".parse().unwrap();
        let read = |value: &str| {
            let document = document(value.as_bytes()).unwrap();
            Event::read(&document, Envelope::Avro, &at, Timestamp::from_millis(0))
        };
        let event = read(
            r#"{"type":"a","id":null,"tenant":null,"timestamp":null,"time":null,"data":null}"#,
        )
        .unwrap();
        assert_eq!((event.id(), event.tenant()), (None, "default"));
        assert_eq!(event.timestamp(), "1970-01-01T00:00:00.000Z");
        assert_eq!(
            read(r#"{"type":null,"data":1}"#).unwrap_err(),
            EventError::NoType
        );
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

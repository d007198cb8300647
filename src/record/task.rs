//! A delivery task: a Kafka record whose value is the body to send and whose headers say the rest.
//! Moving a task rewrites headers only.

use std::{fmt, str};

use bytes::Bytes;

use crate::clock::Timestamp;
use crate::record::event::{is_event_id, is_event_type};
use crate::record::{Coordinates, DeliveryId, Headers, Parked};

const DELIVERY_ID: &str = "hooktide-delivery-id";
const EVENT_ID: &str = "hooktide-event-id";
const EVENT_TYPE: &str = "hooktide-event-type";
const ATTEMPT: &str = "hooktide-attempt";
const CHARGED: &str = "hooktide-charged";
const PARKS: &str = "hooktide-parks";
const PARKED: &str = "hooktide-parked";
const FIRST_SEEN: &str = "hooktide-first-seen";
const NOT_BEFORE: &str = "hooktide-not-before";
const SOURCE: &str = "hooktide-source";
const REVISION: &str = "hooktide-subscription-revision";
const CONTENT_TYPE: &str = "hooktide-content-type";
const METHOD: &str = "hooktide-method";
const TARGET: &str = "hooktide-target";
const TEST: &str = "hooktide-test";
const VERSION: &str = "hooktide-version";

const KNOWN: [&str; 16] = [
    DELIVERY_ID,
    EVENT_ID,
    EVENT_TYPE,
    ATTEMPT,
    CHARGED,
    PARKS,
    PARKED,
    FIRST_SEEN,
    NOT_BEFORE,
    SOURCE,
    REVISION,
    CONTENT_TYPE,
    METHOD,
    TARGET,
    TEST,
    VERSION,
];

/// The version of the headers that we write, and the newest that we read. It is not said: a task without
/// one is of this version. Headers that are added do not change it, for they pass through older readers;
/// one that changes what is there would, one minor version after readers have learnt it.
const THIS_VERSION: u32 = 1;

/// An id that stands for an event without one holds a topic's name (249 bytes at most) and two
/// numbers, which is less; so one bound serves both.
const LONGEST_TEXT: usize = 2_048;

/// The headers of a task. The record's key is the subscription's (`tenant/id`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskHeaders {
    /// The same on every copy of the task and every request for it.
    pub delivery_id: DeliveryId,
    /// The event's id; `topic/partition/offset` when it has none.
    pub event_id: String,
    /// The event's type.
    pub event_type: String,
    /// How many requests have been made.
    pub attempt: u32,
    /// How many of them the retry policy charged; only written where it differs from `attempt`.
    pub charged: u32,
    /// How often the task was put off without a request.
    pub parks: u32,
    /// Why it was put off, if it was not sent since; a reason of a newer version is not kept.
    pub parked: Option<Parked>,
    /// When the event's record was written, as far as that is not ahead of the router's clock. What
    /// `max_age` counts from.
    pub first_seen: Timestamp,
    /// No request before this time.
    pub not_before: Option<Timestamp>,
    /// Where the event stands.
    pub source: Coordinates,
    /// Offset of the subscription's record that the task was made from.
    pub revision: i64,
    /// The body's content type, where it is not `application/json`.
    pub content_type: Option<String>,
    /// The request's method, where it is not `POST`.
    pub method: Option<String>,
    /// Where the request goes, where that is not the subscription's own URL.
    pub target: Option<String>,
    /// Whether somebody tries the subscription out: it is sent once or not at all, soon or never, and says
    /// nothing against its endpoint.
    pub is_test: bool,
    /// All other headers in their order: `traceparent`, and those that are not ours.
    pub passthrough: Headers,
}

/// Why headers are not those of a task.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("the header `{name}` {rule}")]
pub struct TaskError {
    /// The header.
    pub name: &'static str,
    /// What it breaks.
    pub rule: TaskRule,
}

/// What the headers of a task must keep to.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub enum TaskRule {
    /// Every task has it.
    #[error("is missing")]
    Missing,
    /// Two readers could take different ones.
    #[error("is given twice")]
    Repeated,
    /// Kafka allows null; we write none.
    #[error("is null")]
    Null,
    /// All headers are UTF-8 text.
    #[error("is not UTF-8")]
    NotUtf8,
    /// Counts, offsets and times are plain decimals, as we write them.
    #[error("is not a decimal number in its range")]
    NotANumber,
    /// See [`DeliveryId`].
    #[error("is not a delivery id")]
    NotADeliveryId,
    /// See [`Coordinates`].
    #[error("is not of the form topic/partition/offset")]
    NotCoordinates,
    /// What we know of its headers may not hold.
    #[error("is not {THIS_VERSION}: it was written by a newer hooktide")]
    NewerVersion,
    /// Empty, too long or with control characters.
    #[error("is empty, too long or holds control characters")]
    NotPlainText,
}

impl TaskHeaders {
    /// Reads the headers of a task's record.
    pub fn decode(headers: &Headers) -> Result<Self, TaskError> {
        let reader = Reader(headers);
        reader.of_this_version()?;
        let attempt = reader.count(ATTEMPT)?.ok_or(missing(ATTEMPT))?;
        let mut passthrough = Headers::new();
        for (name, value) in headers.iter().filter(|(name, _)| !is_known(name)) {
            passthrough.push(name, value.map(Bytes::copy_from_slice));
        }
        Ok(Self {
            delivery_id: reader.required(DELIVERY_ID, TaskRule::NotADeliveryId, parsed)?,
            event_id: reader.required(EVENT_ID, TaskRule::NotPlainText, |text| {
                is_event_id(text).then(|| text.to_owned())
            })?,
            event_type: reader.required(EVENT_TYPE, TaskRule::NotPlainText, |text| {
                is_event_type(text).then(|| text.to_owned())
            })?,
            attempt,
            charged: reader.count(CHARGED)?.unwrap_or(attempt),
            parks: reader.count(PARKS)?.ok_or(missing(PARKS))?,
            parked: reader.plain_text(PARKED)?.and_then(|text| parsed(&text)),
            first_seen: reader.time(FIRST_SEEN)?.ok_or(missing(FIRST_SEEN))?,
            not_before: reader.time(NOT_BEFORE)?,
            source: reader.required(SOURCE, TaskRule::NotCoordinates, parsed)?,
            revision: reader.required(REVISION, TaskRule::NotANumber, |text| {
                decimal(text).filter(|offset: &i64| *offset >= 0)
            })?,
            content_type: reader.plain_text(CONTENT_TYPE)?,
            method: reader.plain_text(METHOD)?,
            target: reader.plain_text(TARGET)?,
            is_test: reader.plain_text(TEST)?.is_some(),
            passthrough,
        })
    }

    /// The headers to write: ours, then those that pass through. What passes through under one of
    /// our names is left out, so that a header never says two things.
    pub fn encode(&self) -> Headers {
        let mut headers = Headers::new();
        let mut push = |name: &str, value: String| headers.push(name, Some(value.into()));
        push(DELIVERY_ID, self.delivery_id.to_string());
        push(EVENT_ID, self.event_id.clone());
        push(EVENT_TYPE, self.event_type.clone());
        push(ATTEMPT, self.attempt.to_string());
        if self.charged != self.attempt {
            push(CHARGED, self.charged.to_string());
        }
        push(PARKS, self.parks.to_string());
        if let Some(reason) = self.parked {
            push(PARKED, reason.as_str().to_owned());
        }
        push(FIRST_SEEN, self.first_seen.as_millis().to_string());
        if let Some(time) = self.not_before {
            push(NOT_BEFORE, time.as_millis().to_string());
        }
        push(SOURCE, self.source.to_string());
        push(REVISION, self.revision.to_string());
        for (name, value) in [
            (CONTENT_TYPE, &self.content_type),
            (METHOD, &self.method),
            (TARGET, &self.target),
        ] {
            if let Some(text) = value {
                push(name, text.clone());
            }
        }
        if self.is_test {
            push(TEST, "1".to_owned());
        }
        for (name, value) in self.passthrough.iter().filter(|(name, _)| !is_known(name)) {
            headers.push(name, value.map(Bytes::copy_from_slice));
        }
        headers
    }
}

/// Whether the headers with these names are those of a trial's task.
pub fn is_trial<'a>(mut names: impl Iterator<Item = &'a str>) -> bool {
    names.any(|name| name == TEST)
}

fn is_known(name: &str) -> bool {
    KNOWN.contains(&name)
}

const fn missing(name: &'static str) -> TaskError {
    let rule = TaskRule::Missing;
    TaskError { name, rule }
}

fn parsed<T: str::FromStr>(text: &str) -> Option<T> {
    text.parse().ok()
}

/// A number written the one way that we write it: no plus sign, no leading zeros.
fn decimal<T: str::FromStr + fmt::Display>(text: &str) -> Option<T> {
    parsed(text).filter(|number: &T| number.to_string() == text)
}

struct Reader<'a>(&'a Headers);

impl<'a> Reader<'a> {
    fn of_this_version(&self) -> Result<(), TaskError> {
        match self.count(VERSION)? {
            None | Some(THIS_VERSION) => Ok(()),
            Some(_) => Err(TaskError {
                name: VERSION,
                rule: TaskRule::NewerVersion,
            }),
        }
    }

    fn text(&self, name: &'static str) -> Result<Option<&'a str>, TaskError> {
        let error = |rule| TaskError { name, rule };
        let mut values = self.0.iter().filter(|(present, _)| *present == name);
        match (values.next(), values.next()) {
            (None, _) => Ok(None),
            (Some(_), Some(_)) => Err(error(TaskRule::Repeated)),
            (Some((_, None)), None) => Err(error(TaskRule::Null)),
            (Some((_, Some(bytes))), None) => str::from_utf8(bytes)
                .map(Some)
                .map_err(|_| error(TaskRule::NotUtf8)),
        }
    }

    fn optional<T>(
        &self,
        name: &'static str,
        rule: TaskRule,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, TaskError> {
        self.text(name)?
            .map(|text| read(text).ok_or(TaskError { name, rule }))
            .transpose()
    }

    fn required<T>(
        &self,
        name: &'static str,
        rule: TaskRule,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, TaskError> {
        self.optional(name, rule, read)?.ok_or(missing(name))
    }

    fn count(&self, name: &'static str) -> Result<Option<u32>, TaskError> {
        self.optional(name, TaskRule::NotANumber, decimal)
    }

    fn time(&self, name: &'static str) -> Result<Option<Timestamp>, TaskError> {
        let read = |text: &str| decimal(text).map(Timestamp::from_millis);
        self.optional(name, TaskRule::NotANumber, read)
    }

    fn plain_text(&self, name: &'static str) -> Result<Option<String>, TaskError> {
        self.optional(name, TaskRule::NotPlainText, |text| {
            let plain = !text.is_empty()
                && text.len() <= LONGEST_TEXT
                && !text.chars().any(char::is_control);
            plain.then(|| text.to_owned())
        })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::record::EventKey;

    pub(in crate::record) fn task() -> TaskHeaders {
        let mut passthrough = Headers::new();
        passthrough.push("traceparent", Some(Bytes::from_static(b"00-1-2-01")));
        passthrough.push("x", None);
        passthrough.push("x", Some(Bytes::from_static(b"\xff")));
        TaskHeaders {
            delivery_id: DeliveryId::derive("acme", "events", EventKey::Id("evt_1"), "shop"),
            event_id: "evt_1".to_owned(),
            event_type: "order.created".to_owned(),
            attempt: 3,
            charged: 3,
            parks: 1,
            parked: Some(Parked::Crowded),
            first_seen: Timestamp::from_millis(1_795_341_600_000),
            not_before: None,
            source: "events/0/7".parse().unwrap(),
            revision: 12,
            content_type: None,
            method: None,
            target: None,
            is_test: false,
            passthrough,
        }
    }

    #[test]
    fn writes_the_headers_of_the_contract() {
        let headers = task().encode();
        let shown: Vec<_> = headers
            .iter()
            .map(|(name, value)| (name, value.map(String::from_utf8_lossy)))
            .collect();
        let expected = [
            (DELIVERY_ID, Some("msg_X3Qf2P7v04jVikk7HYun88sbbDD")),
            (EVENT_ID, Some("evt_1")),
            (EVENT_TYPE, Some("order.created")),
            (ATTEMPT, Some("3")),
            (PARKS, Some("1")),
            (PARKED, Some("crowded")),
            (FIRST_SEEN, Some("1795341600000")),
            (SOURCE, Some("events/0/7")),
            (REVISION, Some("12")),
            ("traceparent", Some("00-1-2-01")),
            ("x", None),
            ("x", Some("\u{fffd}")),
        ]
        .map(|(name, value)| (name, value.map(Into::into)));
        assert_eq!(shown, expected);
    }

    #[test]
    fn names_header_and_rule() {
        fn check(name: &'static str, value: Option<&'static [u8]>, rule: TaskRule) {
            let mut headers = task().encode();
            headers.remove(name);
            headers.push(name, value.map(Bytes::from_static));
            let error = TaskHeaders::decode(&headers).unwrap_err();
            assert_eq!(error, TaskError { name, rule }, "{value:?}");
        }
        for name in KNOWN {
            check(name, None, TaskRule::Null);
            check(name, Some(b"\xff"), TaskRule::NotUtf8);
        }
        for name in [
            ATTEMPT, CHARGED, PARKS, FIRST_SEEN, NOT_BEFORE, REVISION, VERSION,
        ] {
            for wrong in [
                &b""[..],
                b"+1",
                b"01",
                b"1.0",
                b" 1",
                b"-0",
                b"99999999999999999999",
            ] {
                check(name, Some(wrong), TaskRule::NotANumber);
            }
        }
        for name in [ATTEMPT, CHARGED, PARKS, REVISION] {
            check(name, Some(b"-1"), TaskRule::NotANumber);
        }
        for name in [EVENT_ID, EVENT_TYPE, CONTENT_TYPE, METHOD, TARGET] {
            check(name, Some(b""), TaskRule::NotPlainText);
            check(name, Some(b"a\r\nb"), TaskRule::NotPlainText);
            check(name, Some(&[b'a'; 4_096]), TaskRule::NotPlainText);
        }
        check(DELIVERY_ID, Some(b"msg_1"), TaskRule::NotADeliveryId);
        check(SOURCE, Some(b"events/0"), TaskRule::NotCoordinates);
        check(VERSION, Some(b"0"), TaskRule::NewerVersion);
        check(VERSION, Some(b"2"), TaskRule::NewerVersion);
    }

    #[test]
    fn a_version_need_not_be_said() {
        let mut headers = task().encode();
        assert_eq!(headers.get(VERSION), None);
        headers.push(VERSION, Some(Bytes::from_static(b"1")));
        assert_eq!(TaskHeaders::decode(&headers), Ok(task()));
    }

    #[test]
    fn refuses_missing_and_repeated_headers() {
        for name in [
            DELIVERY_ID,
            EVENT_ID,
            EVENT_TYPE,
            ATTEMPT,
            PARKS,
            FIRST_SEEN,
            SOURCE,
            REVISION,
        ] {
            let mut headers = task().encode();
            let value = headers.get(name).map(Bytes::copy_from_slice);
            headers.push(name, value);
            let error = TaskHeaders::decode(&headers).unwrap_err();
            assert_eq!((error.name, error.rule), (name, TaskRule::Repeated));
            headers.remove(name);
            let error = TaskHeaders::decode(&headers).unwrap_err();
            assert_eq!((error.name, error.rule), (name, TaskRule::Missing));
        }
    }

    #[test]
    fn what_passes_through_cannot_take_our_names() {
        let mut forged = task();
        forged
            .passthrough
            .push(ATTEMPT, Some(Bytes::from_static(b"0")));
        forged
            .passthrough
            .push(NOT_BEFORE, Some(Bytes::from_static(b"0")));
        assert_eq!(TaskHeaders::decode(&forged.encode()), Ok(task()));
    }

    fn any_headers() -> impl Strategy<Value = Headers> {
        let value = prop::option::of(prop::collection::vec(any::<u8>(), 0..8));
        prop::collection::vec(("[a-z]{0,3}", value), 0..5).prop_map(|pairs| {
            let mut headers = Headers::new();
            for (name, value) in pairs {
                headers.push(name, value.map(Bytes::from));
            }
            headers
        })
    }

    proptest! {
        #[test]
        fn round_trips(
            counts in any::<(u32, u32, u32)>(),
            first_seen in any::<i64>(),
            not_before in any::<Option<i64>>(),
            texts in ("[^\\p{Cc}]{1,40}", "[^\\p{Cc}]{1,40}"),
            rest in prop::array::uniform3(prop::option::of("[ -~]{1,40}")),
            (partition, offset, revision) in (0..=i32::MAX, 0..=i64::MAX, 0..=i64::MAX),
            passthrough in any_headers(),
            is_test in any::<bool>(),
        ) {
            let [content_type, method, target] = rest;
            let task = TaskHeaders {
                event_id: texts.0,
                event_type: texts.1,
                attempt: counts.0,
                charged: counts.1,
                parks: counts.2,
                parked: Parked::ALL.get(counts.2 as usize).copied(),
                first_seen: Timestamp::from_millis(first_seen),
                not_before: not_before.map(Timestamp::from_millis),
                source: Coordinates { topic: "t".into(), partition, offset },
                revision,
                content_type,
                method,
                target,
                is_test,
                passthrough,
                ..task()
            };
            prop_assert_eq!(TaskHeaders::decode(&task.encode()), Ok(task));
        }
    }
}

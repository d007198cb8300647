//! What one record of an events topic becomes: tasks, rejects, or nothing.

use std::cell::OnceCell;
use std::sync::Arc;

use bytes::Bytes;

use super::conformance::{Nonconformity, judge};
use super::event_form::mapping::{Mapping, Source};
use super::event_form::{EventForm, FormError, WriterSchema};
use super::fan_out::{NewTask, Origin, Unfiltered, fan_out};
use super::known::Known;
use super::payload::Facts;
use crate::clock::Timestamp;
use crate::kafka::record::{Incoming, Outgoing};
use crate::record::{DeadLetter, DisabledReason, Headers, Reason, Reject, cloud_event};
use crate::topic::{Topic, Topics};

/// Where the router writes, and how much fits.
#[derive(Clone, Debug)]
pub struct Destinations {
    /// Full name of tier 0.
    pub deliveries: Arc<str>,
    /// Full name of the topic for what is given up.
    pub dlq: Arc<str>,
    /// Full name of the topic for what cannot be processed.
    pub rejects: Arc<str>,
    /// Full name of the topic for what people should hear of.
    pub notices: Arc<str>,
    /// The longest body that a task may have, in bytes.
    pub longest_body: usize,
    /// The longest value that a reject keeps, in bytes.
    pub longest_reject: usize,
}

impl Destinations {
    /// What a body must leave of a record for its headers.
    const HEADER_ROOM: usize = 16 * 1_024;
    /// The longest value of a reject, if records may be as long.
    const LONGEST_REJECT: usize = 256 * 1_024;

    /// An installation's topics, whose records have at most `max_message_bytes`.
    pub fn new(topics: &Topics, max_message_bytes: usize) -> Self {
        let name = |topic| topics.name(topic).into();
        Self {
            deliveries: name(Topic::Deliveries),
            dlq: name(Topic::Dlq),
            rejects: name(Topic::Rejects),
            notices: name(Topic::Notices),
            longest_body: max_message_bytes.saturating_sub(Self::HEADER_ROOM),
            longest_reject: Self::LONGEST_REJECT.min(max_message_bytes / 2),
        }
    }
}

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Result {
    /// At least one task.
    Matched,
    /// Nobody asked for it.
    Unmatched,
    /// The endpoints of all who asked for it are disabled.
    Disabled,
    /// It has no value, or its topic's mapping passes it over.
    Skipped,
    /// It is no event, or none of its tasks can be written or sent.
    Rejected,
}

impl Result {
    /// The name in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Matched => "matched",
            Self::Unmatched => "unmatched",
            Self::Disabled => "disabled",
            Self::Skipped => "skipped",
            Self::Rejected => "rejected",
        }
    }
}

/// A record that was routed.
#[derive(Clone, Debug)]
pub struct Routed {
    /// What became of it.
    pub result: Result,
    /// Tasks and rejects to be written.
    pub records: Vec<Outgoing>,
    /// How many of them are tasks.
    pub tasks: usize,
    /// The reason of each reject, a short name from a fixed set.
    pub rejects: Vec<&'static str>,
    /// How many of them are given up at once.
    pub undeliverable: usize,
    /// For each task that was not made why its endpoint is disabled.
    pub skipped: Vec<DisabledReason>,
    /// Whose `where` could not be told.
    pub unfiltered: Vec<Unfiltered>,
    /// Its type, and why it is not as the catalogue says.
    pub nonconforming: Option<(String, Nonconformity)>,
}

/// A record but for its value, as mappings see it.
pub fn source_of(record: &Incoming) -> Source<'_> {
    Source {
        topic: &record.at.topic,
        key: record.key.as_deref(),
        headers: &record.headers,
    }
}

/// Routes one record. `mapping` is its topic's, `schema` the one that the record names.
pub fn route(
    record: &Incoming,
    mapping: Option<&Mapping>,
    schema: Option<&WriterSchema>,
    known: Known<'_>,
    to: &Destinations,
    now: Timestamp,
) -> Routed {
    let mut routed = Routed {
        result: Result::Skipped,
        records: Vec::new(),
        tasks: 0,
        rejects: Vec::new(),
        undeliverable: 0,
        skipped: Vec::new(),
        unfiltered: Vec::new(),
        nonconforming: None,
    };
    let Some(value) = &record.value else {
        return routed;
    };
    let seen = record.timestamp.unwrap_or(now);
    let decoded = EventForm::of_source(mapping, source_of(record), value)
        .and_then(|form| form.decode(&record.headers, schema));
    let read = decoded
        .as_ref()
        .map_err(FormError::clone)
        .and_then(|decoded| decoded.read(&record.at, seen));
    let (event, document) = match read {
        Ok(read) => read,
        Err(error) if error.is_passed_over() => {
            tracing::debug!(at = %record.at, %error, "record passed over");
            return routed;
        }
        Err(error) => {
            let (reason, message) = (error.reason(), error.to_string());
            tracing::debug!(at = %record.at, reason, message, "event rejected");
            routed.result = Result::Rejected;
            routed.reject(record, reason, &message, to, now);
            return routed;
        }
    };
    // Notices have the form of events, and types of our own.
    if let Some(catalogue) = known.catalogue.filter(|_| record.at.topic != to.notices)
        && let Err(found) = judge(catalogue.table, event.event_type(), &document)
    {
        if catalogue.rejects {
            routed.result = Result::Rejected;
            routed.reject(record, found.reason(), &found.to_string(), to, now);
        }
        routed.nonconforming = Some((event.event_type().to_owned(), found));
        if catalogue.rejects {
            return routed;
        }
    }
    let candidates = known
        .subscriptions
        .matching(event.tenant(), event.event_type());
    let travels = traceparent(&record.headers);
    let id = event.id_or_position();
    let facts = Facts {
        document: &document,
        event_type: event.event_type(),
        tenant: event.tenant(),
        id: &id,
        timestamp: event.timestamp(),
        source: event.origin(),
        raw: value,
        raw_content_type: content_type(&record.headers),
        values: OnceCell::new(),
    };
    let origin = Origin {
        event: &event,
        facts: &facts,
        at: &record.at,
        // A producer's clock that is ahead must not move the deadline.
        seen: seen.min(now),
        passthrough: &travels,
    };
    let made = fan_out(origin, candidates, known.endpoints, to.longest_body);
    routed.tasks = made.tasks.len();
    routed.undeliverable = made.undeliverable.len();
    let is_refused = !made.too_large.is_empty() || !made.undeliverable.is_empty();
    routed.result = match (made.tasks.is_empty(), is_refused) {
        (false, _) => Result::Matched,
        (true, false) if !made.skipped.is_empty() => Result::Disabled,
        (true, false) => Result::Unmatched,
        (true, true) => Result::Rejected,
    };
    routed.unfiltered = made.unfiltered;
    routed.skipped = made.skipped;
    for refused in made.too_large {
        let message = format!(
            "the body for {} has {} bytes, at most {} fit",
            refused.subscription, refused.bytes, to.longest_body
        );
        routed.reject(record, "too_large", &message, to, now);
    }
    for task in made.tasks {
        let headers = task.headers.encode();
        routed.records.push(outgoing(task, &to.deliveries, headers));
    }
    for given_up in made.undeliverable {
        let letter = DeadLetter {
            reason: Reason::Undeliverable,
            last_status: None,
            last_error: Some(&given_up.message),
            dead_at: now,
        };
        let headers = letter.headers(&given_up.task.headers);
        routed
            .records
            .push(outgoing(given_up.task, &to.dlq, headers));
    }
    routed
}

impl Routed {
    fn reject(
        &mut self,
        record: &Incoming,
        reason: &'static str,
        message: &str,
        to: &Destinations,
        now: Timestamp,
    ) {
        let reject = Reject {
            reason,
            error: message,
            source: &record.at,
            value: record.value.as_deref(),
            headers: &record.headers,
            rejected_at: now,
        };
        self.rejects.push(reason);
        self.records.push(Outgoing {
            topic: Arc::clone(&to.rejects),
            partition: None,
            key: record.key.clone(),
            value: reject.value(to.longest_reject),
            headers: reject.headers(),
            cause: record.at.clone(),
        });
    }
}

fn outgoing(task: NewTask, topic: &Arc<str>, headers: Headers) -> Outgoing {
    Outgoing {
        topic: Arc::clone(topic),
        partition: None,
        key: Some(Bytes::from(task.subscription.to_string())),
        value: Some(task.body),
        headers,
        cause: task.headers.source,
    }
}

/// The record's own content type, if a request can have it.
fn content_type(headers: &Headers) -> Option<&str> {
    let said = cloud_event::content_type(headers)?;
    let is_usable = said.len() <= 256 && http::HeaderValue::from_str(said).is_ok();
    (is_usable && !said.trim().is_empty()).then_some(said)
}

/// The event's trace context travels with its tasks; nothing else of its headers does.
fn traceparent(headers: &Headers) -> Headers {
    const NAME: &str = "traceparent";
    let mut travels = Headers::new();
    // W3C Trace Context: 55 characters in version 00; much longer ones are not ours to carry.
    if let Some(value) = headers.get(NAME).filter(|value| value.len() <= 256) {
        travels.push(NAME, Some(value));
    }
    travels
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint_table::EndpointTable;
    use crate::record::subscription::Rules;
    use crate::subscription_table::SubscriptionTable;

    fn to() -> Destinations {
        Destinations {
            deliveries: "deliveries".into(),
            dlq: "dlq".into(),
            notices: "notices".into(),
            rejects: "rejects".into(),
            longest_body: 200,
            longest_reject: 16,
        }
    }

    fn record(value: Option<&str>) -> Incoming {
        let mut headers = Headers::new();
        headers.push("traceparent", Some(b"00-1-2-01"));
        headers.push("own", Some(b"1"));
        Incoming {
            at: "events/3/14".parse().unwrap(),
            timestamp: Some(Timestamp::from_millis(5)),
            key: Some(Bytes::from_static(b"k")),
            value: value.map(|value| Bytes::copy_from_slice(value.as_bytes())),
            headers,
        }
    }

    fn routed(value: Option<&str>) -> Routed {
        let mut table = SubscriptionTable::new(Rules::default());
        for (key, events, more) in [
            ("acme/all", "*", ""),
            ("acme/small", "order.*", r#","fields":["data.id"]"#),
            ("acme/off", "*", r#","state":"disabled""#),
            ("acme/paused", "order.paid", r#","state":"paused""#),
            ("other/all", "*", ""),
            ("gone/all", "order.*", ""),
        ] {
            let value = format!(
                r#"{{"url":"https://e.com/","signatures":[],"events":["{events}"]{more}}}"#
            );
            table.apply(Some(key.as_bytes()), Some(value.as_bytes()), 0);
        }
        assert_eq!(table.counts().invalid, 0);
        route(
            &record(value),
            None,
            None,
            Known::new(&table, &endpoints(), None),
            &to(),
            Timestamp::from_millis(9),
        )
    }

    /// In which one endpoint is gone.
    fn endpoints() -> EndpointTable {
        let mut endpoints = EndpointTable::default();
        let state = br#"{"version":1,"disabled":{"reason":"gone","at":"2026-11-22T10:00:00Z","revision":0}}"#;
        endpoints.apply(b"gone/all", Some(state), 0, 0);
        endpoints
    }

    #[test]
    fn a_record_becomes_tasks_rejects_or_nothing() {
        fn check(value: Option<&str>, result: Result, keys: &[&str], rejects: &[&str]) {
            let routed = routed(value);
            assert_eq!(routed.result, result, "{value:?}");
            let tasks = routed
                .records
                .iter()
                .filter(|record| &*record.topic == "deliveries");
            let tasks: Vec<_> = tasks.map(|task| task.key.clone().unwrap()).collect();
            assert_eq!(tasks, keys, "{value:?}");
            assert_eq!(routed.tasks, keys.len());
            assert_eq!(routed.rejects, rejects, "{value:?}");
            assert_eq!(routed.records.len(), keys.len() + rejects.len());
        }
        let event = |kind: &str, data: &str| {
            Some(format!(
                r#"{{"tenant":"acme","type":"{kind}","data":{data}}}"#
            ))
        };
        check(None, Result::Skipped, &[], &[]);
        check(Some("{"), Result::Rejected, &[], &["not_json"]);
        check(Some(r#"{"data":1}"#), Result::Rejected, &[], &["no_type"]);
        check(
            Some(r#"{"type":"a","data":1}"#),
            Result::Unmatched,
            &[],
            &[],
        );
        let paid = event("order.paid", r#"{"id":1}"#);
        let all = ["acme/all", "acme/small", "acme/paused"];
        check(paid.as_deref(), Result::Matched, &all, &[]);
        // Too large for one is not too large for another.
        let long = event(
            "order.made",
            &format!(r#"{{"id":1,"x":"{}"}}"#, "x".repeat(200)),
        );
        check(
            long.as_deref(),
            Result::Matched,
            &["acme/small"],
            &["too_large"],
        );
        let gone = r#"{"tenant":"gone","type":"order.made","data":1}"#;
        check(Some(gone), Result::Disabled, &[], &[]);
        assert_eq!(routed(Some(gone)).skipped, [DisabledReason::Gone]);
        let other = r#"{"tenant":"gone","type":"user.made","data":1}"#;
        check(Some(other), Result::Unmatched, &[], &[]);
        let none = event("user.made", &format!(r#""{}""#, "x".repeat(200)));
        check(none.as_deref(), Result::Rejected, &[], &["too_large"]);
    }

    #[test]
    fn what_fails_for_an_event_is_given_up_with_what_a_replay_needs() {
        let mut table = SubscriptionTable::new(Rules::default());
        for (key, more) in [
            ("acme/body", r#","body":{"template":"{{ data.none }}"}"#),
            ("acme/where", r#","where":"data.none""#),
            ("acme/good", r#","method":"PUT","body":"cloudevents""#),
        ] {
            let value =
                format!(r#"{{"url":"https://e.com/","signatures":[],"events":["*"]{more}}}"#);
            table.apply(Some(key.as_bytes()), Some(value.as_bytes()), 3);
        }
        let event = record(Some(r#"{"tenant":"acme","type":"a","id":"e","data":{}}"#));
        let mut to = to();
        to.longest_body = 500;
        let routed = route(
            &event,
            None,
            None,
            Known::new(&table, &endpoints(), None),
            &to,
            Timestamp::from_millis(9),
        );
        assert_eq!((routed.tasks, routed.undeliverable), (1, 1));
        assert_eq!(routed.result, Result::Matched);
        assert_eq!(routed.unfiltered.len(), 1);
        assert_eq!(routed.unfiltered[0].subscription.to_string(), "acme/where");
        assert_eq!(routed.unfiltered[0].revision, 3);
        let [good, dead] = routed.records.as_slice() else {
            panic!("{:?}", routed.records);
        };
        assert_eq!(&*good.topic, "deliveries");
        let headers = crate::record::TaskHeaders::decode(&good.headers).unwrap();
        assert_eq!(headers.method.as_deref(), Some("PUT"));
        assert_eq!(
            headers.content_type.as_deref(),
            Some("application/cloudevents+json")
        );
        assert_eq!(&*dead.topic, "dlq");
        assert_eq!(dead.key.as_deref(), Some(&b"acme/body"[..]));
        let replayed = crate::record::TaskHeaders::decode(&dead.headers).unwrap();
        assert_eq!((replayed.attempt, replayed.revision), (0, 3));
        assert_eq!(
            dead.headers.get("hooktide-reason"),
            Some(&b"undeliverable"[..])
        );
        let message = dead.headers.get("hooktide-last-error").unwrap();
        assert!(
            message.starts_with(b"body.template: line 1: undefined"),
            "{message:?}"
        );
        let usual = br#"{"type":"a","timestamp":"1970-01-01T00:00:00.005Z","data":{},"id":"e"}"#;
        assert_eq!(dead.value.as_deref(), Some(&usual[..]));
    }

    #[test]
    fn a_record_s_content_type_is_used_only_if_a_request_can_have_it() {
        fn check(value: &'static [u8], expected: Option<&str>) {
            let mut headers = Headers::new();
            headers.push("content-type", Some(value));
            assert_eq!(content_type(&headers), expected, "{value:?}");
        }
        check(b"application/avro", Some("application/avro"));
        check(b"a/b\r\nX-Evil: 1", None);
        check(b"a/b\0", None);
        check(b"\xff", None);
        check(b"", None);
        check(&[b'x'; 300], None);
    }

    #[test]
    fn only_the_trace_travels_on_and_a_reject_keeps_the_start() {
        let task = &routed(Some(r#"{"tenant":"other","type":"a","data":1}"#)).records[0];
        assert!(task.headers.get("traceparent").is_some() && task.headers.get("own").is_none());
        let reject = &routed(Some(r#"{"type":"a","tenant":"not a tenant","data":1}"#)).records[0];
        assert_eq!(reject.value.as_deref(), Some(&br#"{"type":"a","ten"#[..]));
        assert_eq!(reject.key.as_deref(), Some(&b"k"[..]));
        assert_eq!(reject.headers.get("own"), Some(&b"1"[..]));
    }
}

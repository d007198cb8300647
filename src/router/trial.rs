//! The task that tries a subscription out: made of a sample event as any other, for this subscription
//! alone.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::value::RawValue;

use super::filter::FilterSet;
use super::known::Known;
use super::routing::{Destinations, Routed, route};
use crate::clock::Timestamp;
use crate::endpoint_table::EndpointTable;
use crate::kafka::record::{Incoming, Outgoing};
use crate::record::json_text::Node;
use crate::record::subscription::Rules;
use crate::record::{Coordinates, Headers, SubscriptionKey, TaskError, TaskHeaders, document};
use crate::subscription_table::{Compiled, Invalid, SubscriptionTable};

/// Where the sample event is said to stand: on no topic.
const NOWHERE: &str = "test";

/// What is tried out.
#[derive(Clone, Copy, Debug)]
pub struct Tried<'a> {
    /// Whose.
    pub key: &'a SubscriptionKey,
    /// The newest record's value.
    pub value: &'a [u8],
    /// Its offset.
    pub revision: i64,
}

/// Why there is nothing to send.
#[derive(Debug, thiserror::Error)]
pub enum Unsent {
    /// The subscription's record.
    #[error("the subscription is invalid: {0}")]
    Invalid(Invalid),
    /// The sample.
    #[error("it is no event: {0}")]
    NoEvent(String),
    /// Its type.
    #[error("the subscription does not get it: none of its `events` is `{0}`")]
    Events(String),
    /// Its data.
    #[error("the subscription does not get it: `filters[{0}]` does not hold")]
    Filter(usize),
    /// Its data, too.
    #[error("the subscription does not get it: its `where` is false")]
    Where,
    /// Its data makes no sense to `where`.
    #[error("the subscription does not get it: its `where` cannot be told: {0}")]
    WhereFails(String),
    /// A body or a URL cannot be made.
    #[error("no request can be made of it, it would go to `dlq`: {0}")]
    Undeliverable(String),
    /// A body that fits nowhere.
    #[error("no task can be made of it, it would go to `rejects`: {0}")]
    TooLarge(String),
    /// What was made is no task.
    #[error(transparent)]
    Task(#[from] TaskError),
}

/// Makes the task of an event, marked as a test.
///
/// # Errors
/// Says why the subscription gets nothing.
pub fn task(
    tried: Tried<'_>,
    event: &str,
    event_type: &str,
    rules: &Rules,
    to: &Destinations,
    now: Timestamp,
) -> Result<(Outgoing, TaskHeaders), Unsent> {
    let compiled = Compiled::parse(tried.key, tried.value, rules).map_err(Unsent::Invalid)?;
    let mut table = SubscriptionTable::new(*rules);
    let key = tried.key.to_string();
    table.apply(Some(key.as_bytes()), Some(tried.value), tried.revision);
    let record = Incoming {
        at: Coordinates {
            topic: NOWHERE.into(),
            partition: 0,
            offset: 0,
        },
        timestamp: Some(now),
        key: None,
        value: Some(Bytes::copy_from_slice(event.as_bytes())),
        headers: Headers::new(),
    };
    let endpoints = EndpointTable::default();
    let known = Known::new(&table, &endpoints, None);
    let routed = route(&record, None, None, known, to, now);
    let mut made = routed.records.iter();
    let Some(made) = made.find(|made| made.topic == to.deliveries) else {
        return Err(unsent(&routed, &compiled, event, event_type, to));
    };
    let mut headers = TaskHeaders::decode(&made.headers)?;
    headers.is_test = true;
    let mut marked = made.clone();
    marked.headers = headers.encode();
    Ok((marked, headers))
}

fn unsent(
    routed: &Routed,
    compiled: &Compiled,
    event: &str,
    event_type: &str,
    to: &Destinations,
) -> Unsent {
    let said = |topic: &Arc<str>, header: &str| {
        let record = routed.records.iter().find(|made| made.topic == *topic)?;
        let text = record.headers.get(header)?;
        Some(String::from_utf8_lossy(text).into_owned())
    };
    if let Some(failed) = routed.unfiltered.first() {
        return Unsent::WhereFails(failed.failure.message.clone());
    }
    if let Some(message) = said(&to.dlq, "hooktide-last-error") {
        return Unsent::Undeliverable(message);
    }
    if let Some(message) = said(&to.rejects, "hooktide-error") {
        return match routed.rejects.as_slice() {
            ["too_large"] => Unsent::TooLarge(message),
            _ => Unsent::NoEvent(message),
        };
    }
    let mut events = compiled.subscription.events().iter();
    if !events.any(|pattern| pattern.matches(event_type)) {
        return Unsent::Events(event_type.to_owned());
    }
    match failing_filter(compiled, event) {
        Some(index) => Unsent::Filter(index),
        None => Unsent::Where,
    }
}

/// The first of the filters that does not hold.
fn failing_filter(compiled: &Compiled, event: &str) -> Option<usize> {
    let document = document(event.as_bytes()).ok()?;
    let filters = Node::try_from(compiled.subscription.filters()?).ok()?;
    filters.elements().position(|filter| {
        let alone = RawValue::from_string(format!("[{}]", filter.text())).ok();
        let alone = alone.and_then(|alone| FilterSet::parse(&alone).ok());
        alone.is_some_and(|alone| !alone.matches(&document))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENT: &str = r#"{"id":"test_1","type":"order.paid","tenant":"acme","timestamp":"2026-11-22T10:00:00Z","data":{"n":5}}"#;

    fn tried(members: &str) -> Result<(Outgoing, TaskHeaders), Unsent> {
        let to = Destinations {
            deliveries: "deliveries".into(),
            dlq: "dlq".into(),
            rejects: "rejects".into(),
            notices: "notices".into(),
            longest_body: 300,
            longest_reject: 16,
        };
        let value = format!(r#"{{"url":"https://e.com/","signatures":[]{members}}}"#);
        let tried = Tried {
            key: &"acme/shop".parse().unwrap(),
            value: value.as_bytes(),
            revision: 7,
        };
        let now = Timestamp::from_millis(5);
        task(tried, EVENT, "order.paid", &Rules::default(), &to, now)
    }

    #[test]
    fn the_task_is_one_like_any_other_but_for_its_mark() {
        let members = r#","events":["order.*"],"filters":[{"field":"data.n","operator":"equals","value":5}],"where":"data.n == 5","method":"PUT""#;
        let (task, headers) = tried(members).unwrap();
        assert_eq!(
            (&*task.topic, task.key.as_deref()),
            ("deliveries", Some(&b"acme/shop"[..]))
        );
        let body = br#"{"type":"order.paid","timestamp":"2026-11-22T10:00:00Z","data":{"n":5},"id":"test_1"}"#;
        assert_eq!(task.value.as_deref(), Some(&body[..]));
        assert_eq!(TaskHeaders::decode(&task.headers), Ok(headers.clone()));
        assert_eq!(task.headers.get("hooktide-test"), Some(&b"1"[..]));
        assert_eq!(
            (headers.revision, headers.method.as_deref()),
            (7, Some("PUT"))
        );
        assert_eq!(headers.source.to_string(), "test/0/0");
    }

    #[test]
    fn it_says_why_a_subscription_gets_nothing() {
        fn check(members: &str, expected: &str) {
            let error = tried(members).unwrap_err().to_string();
            assert!(error.contains(expected), "{members}: {error}");
        }
        check("", "invalid: `events`");
        check(
            r#","events":["order.made","user.*"]"#,
            "none of its `events` is `order.paid`",
        );
        let one = r#"{"field":"type","operator":"exists","value":true}"#;
        let other = r#"{"any":[{"field":"data.n","operator":"less_than","value":5}]}"#;
        check(
            &format!(r#","events":["*"],"filters":[{one},{other}]"#),
            "`filters[1]` does not hold",
        );
        check(
            r#","events":["*"],"where":"data.n > 5""#,
            "its `where` is false",
        );
        check(
            r#","events":["*"],"where":"data.m > 5""#,
            "cannot be told: ",
        );
        check(
            r#","events":["*"],"body":{"template":"{{ data.m }}"}"#,
            "`dlq`: body.template",
        );
        let long = "x".repeat(301);
        check(
            &format!(r#","events":["*"],"body":{{"template":"\"{long}\""}}"#),
            "`rejects`: the body",
        );
    }
}

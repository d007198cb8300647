//! What the steps are given: the same in every run, without a clock and without chance.

use std::cell::OnceCell;

use bytes::Bytes;
use hooktide::clock::Timestamp;
use hooktide::kafka::record::Incoming;
use hooktide::record::json_text::Document;
use hooktide::record::subscription::Rules;
use hooktide::record::{Coordinates, DeliveryId, EventKey, Headers, SubscriptionKey, TaskHeaders};
use hooktide::router::payload::{self, Facts};
use hooktide::subscription_table::Compiled;

/// The time of all that is done.
pub const NOW: Timestamp = Timestamp::from_millis(1_795_341_600_000);

/// As large as most of the suite's: 512 bytes.
pub const EVENT: &str = r#"{"id":"evt_8RZk2mQv5LxT","type":"order.created","tenant":"acme","timestamp":"2026-11-22T10:00:00Z","data":{"orderId":12345678901234567890,"total":149.90,"currency":"EUR","customerEmail":"j\u00fcrgen@example.com","items":[{"sku":"A-1001","qty":2,"price":49.95},{"sku":"B-2002","qty":1,"price":50.00}],"address":{"street":"Hauptstrasse 1","city":"Bern","country":"CH"},"note":"Ring twice, and leave it with the neighbours if nobody is there!"},"metadata":{"region":"eu","trace":"4bf92f3577b34da6a3ce929d0e0e4736"}}"#;

const TRACE: &[u8] = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// Kept for as long as the process lives: what a step looks at is not dropped while it is counted.
pub fn kept<T>(value: T) -> &'static T {
    Box::leak(Box::new(value))
}

/// Where the event stands.
pub fn at() -> Coordinates {
    "orders/3/1234567".parse().expect("coordinates")
}

/// Whose subscription it is where there is one.
pub fn key() -> SubscriptionKey {
    "acme/shop".parse().expect("a key")
}

/// The subscription with these members, and what is compiled from it.
pub fn subscription(members: &str) -> Compiled {
    let value = format!(
        r#"{{"url":"https://example.com/hooks","events":["order.*"],"headers":{{"X-Team":"billing"}},"labels":{{"owner":"ops"}},{members}}}"#
    );
    Compiled::parse(&key(), value.as_bytes(), &Rules::default()).expect("a subscription")
}

/// What is known of the event.
pub fn facts() -> Facts<'static> {
    Facts {
        document: kept(Document::parse_str(EVENT).expect("an event")),
        event_type: "order.created",
        tenant: "acme",
        id: "evt_8RZk2mQv5LxT",
        timestamp: "2026-11-22T10:00:00Z",
        source: "orders",
        raw: kept(Bytes::from_static(EVENT.as_bytes())),
        raw_content_type: None,
        values: OnceCell::new(),
    }
}

/// The event's record.
pub fn event() -> Incoming {
    let mut headers = Headers::new();
    headers.push("traceparent", Some(TRACE));
    headers.push("producer", Some(b"shop"));
    Incoming {
        at: at(),
        timestamp: Some(NOW),
        key: Some(Bytes::from_static(b"12345678901234567890")),
        value: Some(Bytes::from_static(EVENT.as_bytes())),
        headers,
    }
}

/// The id of the event's delivery to the subscription.
pub fn delivery_id() -> DeliveryId {
    let event = EventKey::Id("evt_8RZk2mQv5LxT");
    DeliveryId::derive("acme", "orders", event, "shop")
}

/// Headers of a task that was made again once.
pub fn task_headers() -> TaskHeaders {
    let mut passthrough = Headers::new();
    passthrough.push("traceparent", Some(TRACE));
    TaskHeaders {
        delivery_id: delivery_id(),
        event_id: "evt_8RZk2mQv5LxT".to_owned(),
        event_type: "order.created".to_owned(),
        attempt: 1,
        charged: 1,
        parks: 0,
        parked: None,
        first_seen: NOW,
        not_before: Some(NOW),
        source: at(),
        revision: 4_711,
        content_type: None,
        method: None,
        target: None,
        is_test: false,
        passthrough,
    }
}

/// The record of that task, with the usual body.
pub fn task() -> Incoming {
    Incoming {
        at: "deliveries/5/7654321".parse().expect("coordinates"),
        timestamp: Some(NOW),
        key: Some(Bytes::from(key().to_string())),
        value: Some(payload::usual(&facts())),
        headers: task_headers().encode(),
    }
}

//! What the fuzz targets stand on: how an input is cut, and a body as the router makes it.

use std::cell::OnceCell;

use bytes::Bytes;
use hooktide::record::json_text::Document;
use hooktide::record::subscription::Rules;
use hooktide::record::{DeliveryId, EventKey, Headers, Subscription, SubscriptionKey};
use hooktide::router::payload::{self, Facts, Recipient, RenderError, Shape};
use hooktide::router::programs::Programs;
use serde_json::{Value, json};

/// An input: what a subscription says, then a line with an event.
pub struct Case<'a> {
    /// What the subscription says.
    pub program: &'a str,
    /// The event's text.
    pub event: &'a str,
    /// The same, read.
    pub document: Document<'a>,
}

impl<'a> Case<'a> {
    /// Cuts an input; none if its last line is no event that the router would take.
    pub fn of(input: &'a [u8]) -> Option<Self> {
        let (program, event) = std::str::from_utf8(input).ok()?.rsplit_once('\n')?;
        let document = Document::parse_str(event).ok()?;
        Some(Self {
            program,
            event,
            document,
        })
    }

    /// What is known of the event besides.
    pub fn facts(&self) -> Facts<'_> {
        static RAW: Bytes = Bytes::from_static(b"{}");
        Facts {
            document: &self.document,
            event_type: "order.created",
            tenant: "acme",
            id: "evt_1",
            timestamp: "2026-11-22T10:00:00Z",
            source: "orders",
            raw: &RAW,
            raw_content_type: None,
            values: OnceCell::new(),
        }
    }

    /// The body for a subscription with these members; none if it is refused when it is written.
    pub fn body(&self, members: &Value) -> Option<Result<Bytes, RenderError>> {
        let mut value = json!({"url": "https://e.com/", "events": ["*"], "signatures": []});
        for (name, member) in members.as_object()? {
            value[name] = member.clone();
        }
        let key: SubscriptionKey = "acme/sub_1".parse().ok()?;
        let rules = Rules::default();
        let subscription = Subscription::parse(&key, value.to_string().as_bytes(), &rules).ok()?;
        let shape = Shape::compile(&subscription, &rules, &mut Programs::default()).ok()?;
        let delivery_id = DeliveryId::derive("acme", "orders", EventKey::Id("evt_1"), "sub_1");
        let recipient = Recipient {
            key: &key,
            subscription: &subscription,
            delivery_id: &delivery_id,
        };
        Some(payload::render(&self.facts(), shape.as_deref(), recipient))
    }
}

/// Headers, a line for each: `name=value`, or a name alone for null. Lines that are none are left out.
pub fn headers(lines: &[u8]) -> Headers {
    let mut headers = Headers::new();
    for line in lines.split(|byte| *byte == b'\n') {
        let equals = line.iter().position(|byte| *byte == b'=');
        let (name, value) = line.split_at(equals.unwrap_or(line.len()));
        if let (Ok(name), false) = (std::str::from_utf8(name), name.is_empty()) {
            headers.push(name, value.get(1..));
        }
    }
    headers
}

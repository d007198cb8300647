//! A record of one HTTP request, for the `attempts` topic.

use std::borrow::Cow;
use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::clock::Timestamp;
use crate::record::subscription::RedactedUrl;
use crate::record::{Coordinates, DeliveryId, SubscriptionKey};

/// Room for what most records take.
const TYPICAL_BYTES: usize = 640;

/// One request and what came of it. Its record's key is the subscription's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt<'a> {
    /// The delivery that the request is for.
    pub delivery_id: DeliveryId,
    /// The event's id; `topic/partition/offset` when it has none.
    pub event_id: &'a str,
    /// The event's type.
    pub event_type: &'a str,
    /// Whom the request is for.
    pub subscription: &'a SubscriptionKey,
    /// Offset of the subscription's record that the request was made by.
    pub revision: i64,
    /// Which request of the delivery it is, from 1.
    pub attempt: u32,
    /// When it was begun.
    pub started_at: Timestamp,
    /// How long it took; written in milliseconds.
    pub duration: Duration,
    /// What follows from it.
    pub outcome: AttemptOutcome,
    /// The answer's status, if there was an answer.
    pub status: Option<u16>,
    /// The class of the error, such as `dns` or `timeout`.
    pub error: Option<&'static str>,
    /// The error, for people. Must not hold secrets.
    pub message: Option<&'a str>,
    /// The start of the answer's body.
    pub response: Option<Cow<'a, str>>,
    /// Where it was sent, without credentials.
    pub url: RedactedUrl,
    /// When the next one is due, if one follows.
    pub next_attempt_at: Option<Timestamp>,
    /// Where the event stands.
    pub source: &'a Coordinates,
    /// The process that made the request.
    pub instance: &'a str,
}

/// What follows from a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AttemptOutcome {
    /// The endpoint took the event.
    Delivered,
    /// Another request follows.
    Retry,
    /// The task is given up.
    Dead,
}

impl AttemptOutcome {
    /// As records and metrics have it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Retry => "retry",
            Self::Dead => "dead",
        }
    }
}

impl Attempt<'_> {
    /// The record's value.
    pub fn encode(&self) -> serde_json::Result<Vec<u8>> {
        let mut value = Vec::with_capacity(TYPICAL_BYTES);
        let written = Written {
            delivery_id: self.delivery_id.as_str(),
            event_id: self.event_id,
            event_type: self.event_type,
            tenant: self.subscription.tenant(),
            subscription: self.subscription.id(),
            revision: self.revision,
            attempt: self.attempt,
            started_at: self.started_at,
            duration_ms: u64::try_from(self.duration.as_millis()).unwrap_or(u64::MAX),
            outcome: self.outcome,
            status: self.status,
            error: self.error,
            message: self.message,
            response: self.response.as_deref(),
            url: &self.url,
            next_attempt_at: self.next_attempt_at,
            source: Shown(self.source),
            instance: self.instance,
        };
        serde_json::to_writer(&mut value, &written)?;
        Ok(value)
    }
}

/// The JSON form, in the contract's order.
#[derive(Serialize)]
struct Written<'a> {
    delivery_id: &'a str,
    event_id: &'a str,
    event_type: &'a str,
    tenant: &'a str,
    subscription: &'a str,
    revision: i64,
    attempt: u32,
    started_at: Timestamp,
    duration_ms: u64,
    outcome: AttemptOutcome,
    status: Option<u16>,
    error: Option<&'static str>,
    message: Option<&'a str>,
    response: Option<&'a str>,
    url: &'a RedactedUrl,
    next_attempt_at: Option<Timestamp>,
    source: Shown<'a>,
    instance: &'a str,
}

/// Written as it is shown.
struct Shown<'a>(&'a Coordinates);

impl Serialize for Shown<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::subscription::TargetUrl;

    #[test]
    fn writes_the_members_of_the_contract() {
        fn check(attempt: &Attempt<'_>, expected: &str) {
            let written = String::from_utf8(attempt.encode().unwrap()).unwrap();
            assert_eq!(written, expected);
        }
        let url = TargetUrl::parse("https://u:p@example.com/hooks?a=1").unwrap();
        let subscription = "acme/shop".parse().unwrap();
        let source = "events/0/7".parse().unwrap();
        let failed = Attempt {
            delivery_id: "msg_X3Qf2P7v04jVikk7HYun88sbbDD".parse().unwrap(),
            event_id: "evt_1",
            event_type: "order.created",
            subscription: &subscription,
            revision: 12,
            attempt: 1,
            started_at: Timestamp::from_millis(1_795_341_600_007),
            duration: Duration::from_micros(42_900),
            outcome: AttemptOutcome::Retry,
            status: None,
            error: Some("timeout"),
            message: Some("no answer in 15s"),
            response: None,
            url: url.redacted(),
            next_attempt_at: Some(Timestamp::from_millis(1_795_341_605_007)),
            source: &source,
            instance: "pod-0",
        };
        let head = r#"{"delivery_id":"msg_X3Qf2P7v04jVikk7HYun88sbbDD","event_id":"evt_1","event_type":"order.created","tenant":"acme","subscription":"shop","revision":12,"#;
        let url = r#""url":"https://[redacted]@example.com/hooks?[redacted]""#;
        let first = r#""attempt":1,"started_at":"2026-11-22T10:00:00.007Z","duration_ms":42,"outcome":"retry","status":null,"error":"timeout","message":"no answer in 15s","response":null"#;
        let last = r#""next_attempt_at":"2026-11-22T10:00:05.007Z","source":"events/0/7","instance":"pod-0"}"#;
        check(&failed, &format!("{head}{first},{url},{last}"));
        let delivered = Attempt {
            attempt: 2,
            outcome: AttemptOutcome::Delivered,
            status: Some(204),
            error: None,
            message: None,
            response: Some("\"ok\"\n".into()),
            next_attempt_at: None,
            ..failed
        };
        let first = r#""attempt":2,"started_at":"2026-11-22T10:00:00.007Z","duration_ms":42,"outcome":"delivered","status":204,"error":null,"message":null,"response":"\"ok\"\n""#;
        let last = r#""next_attempt_at":null,"source":"events/0/7","instance":"pod-0"}"#;
        check(&delivered, &format!("{head}{first},{url},{last}"));
    }

    #[test]
    fn names_outcomes_alike_everywhere() {
        use AttemptOutcome::*;
        for outcome in [Delivered, Retry, Dead] {
            let written = serde_json::to_string(&outcome).unwrap();
            assert_eq!(written, format!("\"{}\"", outcome.as_str()));
        }
    }
}

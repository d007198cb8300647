//! What the people behind a subscription should hear of, for the `notices` topic. In the form of an
//! event, so that it can be delivered like one.

use serde::Serialize;

use crate::clock::Timestamp;
use crate::record::SubscriptionKey;

/// One thing that happened. Its record's key is the subscription's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// What happened.
    pub kind: NoticeKind,
    /// Whose.
    pub subscription: SubscriptionKey,
    /// Offset of the subscription's record that it is about.
    pub revision: i64,
    /// When.
    pub at: Timestamp,
    /// The same for people. Must not hold secrets.
    pub message: String,
    /// The process that noticed.
    pub instance: String,
    /// What else there is to say.
    pub details: NoticeDetails,
}

/// What only some kinds of notices say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct NoticeDetails {
    /// Why, in one word.
    pub reason: Option<String>,
    /// Since when.
    pub since: Option<Timestamp>,
    /// How many failures in a row.
    pub failures: Option<u64>,
    /// How many deliveries it stands for.
    pub count: Option<u64>,
    /// The last answer's status.
    pub last_status: Option<u16>,
    /// The class of what kept the last answer from coming.
    pub last_error: Option<String>,
}

/// What can happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum NoticeKind {
    /// An endpoint has accepted nothing for long, and is disabled if it goes on so.
    EndpointFailing,
    /// An endpoint that was told to be failing takes requests again.
    EndpointRecovered,
    /// An endpoint wants less at a time.
    EndpointThrottled,
    /// Nothing is sent to an endpoint any more.
    EndpointDisabled,
    /// A disabled endpoint is sent to again.
    EndpointEnabled,
    /// Deliveries were given up, their retries used up.
    DeliveryExhausted,
    /// Deliveries pended when their subscription was deleted.
    DeliveriesCancelled,
    /// A subscription has a new record, or was deleted.
    SubscriptionChanged,
    /// The newest record of a subscription breaks a rule: nothing is sent for it.
    SubscriptionInvalid,
    /// The `where` of a subscription cannot be told of an event, which it then does not get.
    FilterFailed,
}

impl NoticeKind {
    /// All kinds.
    pub const ALL: [Self; 10] = [
        Self::EndpointFailing,
        Self::EndpointRecovered,
        Self::EndpointThrottled,
        Self::EndpointDisabled,
        Self::EndpointEnabled,
        Self::DeliveryExhausted,
        Self::DeliveriesCancelled,
        Self::SubscriptionChanged,
        Self::SubscriptionInvalid,
        Self::FilterFailed,
    ];

    /// As records have it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::EndpointFailing => "endpoint.failing",
            Self::EndpointRecovered => "endpoint.recovered",
            Self::EndpointThrottled => "endpoint.throttled",
            Self::EndpointDisabled => "endpoint.disabled",
            Self::EndpointEnabled => "endpoint.enabled",
            Self::DeliveryExhausted => "delivery.exhausted",
            Self::DeliveriesCancelled => "deliveries.cancelled",
            Self::SubscriptionChanged => "subscription.changed",
            Self::SubscriptionInvalid => "subscription.invalid",
            Self::FilterFailed => "filter.failed",
        }
    }
}

impl Notice {
    /// The record's value.
    ///
    /// # Errors
    /// None that can happen: all its members can be written as JSON.
    pub fn encode(&self) -> serde_json::Result<Vec<u8>> {
        let kind = self.kind.as_str();
        serde_json::to_vec(&Written {
            // One endpoint has no two notices of a kind in a millisecond.
            id: format!("{kind}/{}/{}", self.subscription, self.at.as_millis()),
            kind,
            tenant: self.subscription.tenant(),
            timestamp: self.at,
            data: Data {
                subscription: self.subscription.id(),
                revision: self.revision,
                message: &self.message,
                details: &self.details,
                instance: &self.instance,
            },
        })
    }
}

/// The JSON form.
#[derive(Serialize)]
struct Written<'a> {
    id: String,
    #[serde(rename = "type")]
    kind: &'a str,
    tenant: &'a str,
    timestamp: Timestamp,
    data: Data<'a>,
}

#[derive(Serialize)]
struct Data<'a> {
    subscription: &'a str,
    revision: i64,
    message: &'a str,
    #[serde(flatten)]
    details: &'a NoticeDetails,
    instance: &'a str,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Event;

    #[test]
    fn writes_an_event() {
        let notice = Notice {
            kind: NoticeKind::EndpointDisabled,
            subscription: "acme/shop".parse().unwrap(),
            revision: 12,
            at: Timestamp::from_millis(1_795_341_600_007),
            message: "it answered 410".to_owned(),
            instance: "pod-0".to_owned(),
            details: NoticeDetails {
                reason: Some("gone".to_owned()),
                last_status: Some(410),
                ..NoticeDetails::default()
            },
        };
        let written = String::from_utf8(notice.encode().unwrap()).unwrap();
        let expected = r#"{"id":"endpoint.disabled/acme/shop/1795341600007","type":"endpoint.disabled","tenant":"acme","timestamp":"2026-11-22T10:00:00.007Z","data":{"subscription":"shop","revision":12,"message":"it answered 410","reason":"gone","since":null,"failures":null,"count":null,"last_status":410,"last_error":null,"instance":"pod-0"}}"#;
        assert_eq!(written, expected);
        let at = "notices/0/0".parse().unwrap();
        let event = Event::parse(written.as_bytes(), &at, Timestamp::default()).unwrap();
        assert_eq!(event.tenant(), "acme");
        assert_eq!(event.event_type(), "endpoint.disabled");
    }
}

//! What the people behind a subscription should hear of, for the `notices` topic.

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
}

/// What can happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NoticeKind {
    /// The newest record of a subscription breaks a rule: nothing is sent for it.
    SubscriptionInvalid,
    /// Nothing is sent to an endpoint any more.
    EndpointDisabled,
    /// An endpoint that failed takes requests again.
    EndpointRecovered,
}

impl NoticeKind {
    /// All kinds.
    pub const ALL: [Self; 3] = [
        Self::SubscriptionInvalid,
        Self::EndpointDisabled,
        Self::EndpointRecovered,
    ];

    /// As records have it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SubscriptionInvalid => "subscription_invalid",
            Self::EndpointDisabled => "endpoint_disabled",
            Self::EndpointRecovered => "endpoint_recovered",
        }
    }
}

impl Notice {
    /// The record's value.
    ///
    /// # Errors
    /// None that can happen: all its members can be written as JSON.
    pub fn encode(&self) -> serde_json::Result<Vec<u8>> {
        serde_json::to_vec(&Written {
            kind: self.kind,
            tenant: self.subscription.tenant(),
            subscription: self.subscription.id(),
            revision: self.revision,
            at: self.at,
            message: &self.message,
            instance: &self.instance,
        })
    }
}

/// The JSON form.
#[derive(Serialize)]
struct Written<'a> {
    kind: NoticeKind,
    tenant: &'a str,
    subscription: &'a str,
    revision: i64,
    at: Timestamp,
    message: &'a str,
    instance: &'a str,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_one_json_object() {
        let notice = Notice {
            kind: NoticeKind::SubscriptionInvalid,
            subscription: "acme/shop".parse().unwrap(),
            revision: 12,
            at: Timestamp::from_millis(1_795_341_600_007),
            message: "`url`: is missing".to_owned(),
            instance: "pod-0".to_owned(),
        };
        let written = String::from_utf8(notice.encode().unwrap()).unwrap();
        let expected = r#"{"kind":"subscription_invalid","tenant":"acme","subscription":"shop","revision":12,"at":"2026-11-22T10:00:00.007Z","message":"`url`: is missing","instance":"pod-0"}"#;
        assert_eq!(written, expected);
    }

    #[test]
    fn names_kinds_alike_everywhere() {
        for kind in NoticeKind::ALL {
            let written = serde_json::to_string(&kind).unwrap();
            assert_eq!(written, format!("\"{}\"", kind.as_str()));
        }
    }
}

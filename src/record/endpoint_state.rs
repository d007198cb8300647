//! What is known of an endpoint that is not in order: the value of a record on the topic `endpoints`.
//! A healthy endpoint has none.

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;

const VERSION: u32 = 1;

/// The state of one endpoint, known by its subscription's key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndpointState {
    /// Set: nothing is sent to it.
    pub disabled: Option<Disabled>,
    /// Set: it has accepted nothing for some time.
    pub failing: Option<Failing>,
    /// The status of its last failure, if there was an answer.
    pub last_status: Option<u16>,
    /// The error class of its last failure, if there was no answer.
    pub last_error: Option<String>,
    /// Set: its circuit breaker is open.
    pub breaker: Option<OpenBreaker>,
    /// Set: it has asked for a pause.
    pub throttled: Option<Throttled>,
}

/// A circuit breaker that is not closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenBreaker {
    /// When the next request may ask whether the endpoint is back.
    pub until: Timestamp,
    /// When it opened, or the last one failed that asked: the next wait is twice as long.
    pub asked_at: Timestamp,
    /// Since when nothing has spoken for the endpoint.
    pub failing_since: Timestamp,
    /// Offset of the subscription's record as it was then: any newer one closes the breaker.
    pub revision: i64,
}

/// That an endpoint wants nothing for a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Throttled {
    /// When it asked for it.
    pub at: Timestamp,
    /// Until when, by its last `Retry-After`.
    pub until: Timestamp,
    /// Offset of the subscription's record as it was then: with a newer one it is over.
    pub revision: i64,
}

/// That, why and since when nothing is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disabled {
    /// Why.
    pub reason: DisabledReason,
    /// Since when; also what an operator's wish to enable it refers to.
    pub at: Timestamp,
    /// Offset of the subscription's record as it was then: any newer one enables the endpoint.
    pub revision: i64,
}

/// Why nothing is sent to an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DisabledReason {
    /// It answered 410.
    Gone,
    /// It failed for too long.
    Failing,
    /// An operator wants it so.
    Operator,
}

impl DisabledReason {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Gone, Self::Failing, Self::Operator];

    /// As records and metrics have it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gone => "gone",
            Self::Failing => "failing",
            Self::Operator => "operator",
        }
    }
}

/// Failures without a success between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failing {
    /// The first of them.
    pub since: Timestamp,
    /// The last of them, as far as it was written down.
    pub last_at: Timestamp,
    /// How many, as far as that was written down.
    pub failures: u64,
    /// When the people behind it were told.
    pub warned_at: Option<Timestamp>,
}

/// The JSON form. Unknown members are a newer version's.
#[derive(Serialize, Deserialize)]
struct Written {
    version: u32,
    disabled: Option<Disabled>,
    failing: Option<Failing>,
    last_status: Option<u16>,
    last_error: Option<String>,
    breaker_open_until: Option<Timestamp>,
    breaker: Option<WrittenBreaker>,
    throttled: Option<Throttled>,
}

/// What belongs to `breaker_open_until`.
#[derive(Serialize, Deserialize)]
struct WrittenBreaker {
    asked_at: Timestamp,
    failing_since: Timestamp,
    revision: i64,
}

impl EndpointState {
    /// Reads a record's value.
    ///
    /// # Errors
    /// It is not JSON, or a member is missing or of another type.
    pub fn decode(value: &[u8]) -> serde_json::Result<Self> {
        let written: Written = serde_json::from_slice(value)?;
        Ok(Self {
            disabled: written.disabled,
            failing: written.failing,
            last_status: written.last_status,
            last_error: written.last_error,
            // Neither says anything without the other.
            breaker: written
                .breaker_open_until
                .zip(written.breaker)
                .map(|(until, written)| OpenBreaker {
                    until,
                    asked_at: written.asked_at,
                    failing_since: written.failing_since,
                    revision: written.revision,
                }),
            throttled: written.throttled,
        })
    }

    /// The record's value.
    ///
    /// # Errors
    /// None that can happen: all its members can be written as JSON.
    pub fn encode(&self) -> serde_json::Result<Vec<u8>> {
        serde_json::to_vec(&Written {
            version: VERSION,
            disabled: self.disabled,
            failing: self.failing,
            last_status: self.last_status,
            last_error: self.last_error.clone(),
            breaker_open_until: self.breaker.map(|breaker| breaker.until),
            breaker: self.breaker.map(|breaker| WrittenBreaker {
                asked_at: breaker.asked_at,
                failing_since: breaker.failing_since,
                revision: breaker.revision,
            }),
            throttled: self.throttled,
        })
    }

    /// Whether there is nothing to tell of it.
    pub fn is_healthy(&self) -> bool {
        self.disabled.is_none()
            && self.failing.is_none()
            && self.breaker.is_none()
            && self.throttled.is_none()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn reads_what_is_written_and_what_is_newer() {
        let at = Timestamp::from_millis(1_795_341_600_007);
        let state = EndpointState {
            disabled: Some(Disabled {
                reason: DisabledReason::Failing,
                at,
                revision: 12,
            }),
            failing: Some(Failing {
                since: at,
                last_at: at,
                failures: 3,
                warned_at: None,
            }),
            last_status: Some(503),
            last_error: None,
            breaker: Some(OpenBreaker {
                until: at.after(Duration::from_secs(40)),
                asked_at: at,
                failing_since: at,
                revision: 12,
            }),
            throttled: Some(Throttled {
                at,
                until: at.after(Duration::from_secs(7)),
                revision: 12,
            }),
        };
        let written = String::from_utf8(state.encode().unwrap()).unwrap();
        let expected = r#"{"version":1,"disabled":{"reason":"failing","at":"2026-11-22T10:00:00.007Z","revision":12},"failing":{"since":"2026-11-22T10:00:00.007Z","last_at":"2026-11-22T10:00:00.007Z","failures":3,"warned_at":null},"last_status":503,"last_error":null,"breaker_open_until":"2026-11-22T10:00:40.007Z","breaker":{"asked_at":"2026-11-22T10:00:00.007Z","failing_since":"2026-11-22T10:00:00.007Z","revision":12},"throttled":{"at":"2026-11-22T10:00:00.007Z","until":"2026-11-22T10:00:07.007Z","revision":12}}"#;
        assert_eq!(written, expected);
        let newer = written.replace(r#""version":1"#, r#""version":2,"more":[1]"#);
        assert_eq!(EndpointState::decode(newer.as_bytes()).unwrap(), state);
        for wrong in ["", "[]", "null", r#"{"version":1,"disabled":1}"#] {
            assert!(EndpointState::decode(wrong.as_bytes()).is_err(), "{wrong}");
        }
        assert!(!state.is_healthy() && EndpointState::default().is_healthy());
        // As the first version wrote it.
        let older = r#"{"version":1,"disabled":null,"failing":null,"last_status":null,"last_error":null,"breaker_open_until":null}"#;
        let older = EndpointState::decode(older.as_bytes()).unwrap();
        assert_eq!(older, EndpointState::default());
    }
}

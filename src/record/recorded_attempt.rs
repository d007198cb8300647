//! A record of the `attempts` topic as its readers see it. They must tolerate members and words that
//! are newer than they are.

use std::time::Duration;

use serde::Deserialize;

use crate::clock::Timestamp;
use crate::record::rfc_3339;

/// What a record says about one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedAttempt {
    /// The delivery that the request was for.
    pub delivery_id: String,
    /// The event's id, or what stands for it.
    pub event_id: String,
    /// Whom the request was for: `tenant/id`.
    pub subscription: String,
    /// Which request of the delivery it was, from 1.
    pub attempt: u32,
    /// When it was begun.
    pub started_at: Timestamp,
    /// How long it took, to the millisecond.
    pub duration: Duration,
    /// `delivered`, `retry`, `dead`, or a newer word.
    pub outcome: String,
    /// The answer's status, if there was one.
    pub status: Option<u16>,
    /// The class of the error, if there was one.
    pub error: Option<String>,
    /// When the next request is due, if one follows.
    pub next_attempt_at: Option<Timestamp>,
}

/// Why a value is not the record of an attempt.
#[derive(Debug, thiserror::Error)]
pub enum RecordedAttemptError {
    /// Not JSON, or a member is missing or of another type.
    #[error("not the record of an attempt: {0}")]
    Json(#[from] serde_json::Error),
    /// A time in another form.
    #[error("`{member}` is not an RFC 3339 time")]
    Time {
        /// Which one.
        member: &'static str,
    },
}

#[derive(Deserialize)]
struct Written {
    delivery_id: String,
    event_id: String,
    tenant: String,
    subscription: String,
    attempt: u32,
    started_at: String,
    duration_ms: u64,
    outcome: String,
    status: Option<u16>,
    error: Option<String>,
    next_attempt_at: Option<String>,
}

impl RecordedAttempt {
    /// Reads a record's value.
    pub fn decode(value: &[u8]) -> Result<Self, RecordedAttemptError> {
        let written: Written = serde_json::from_slice(value)?;
        let time =
            |member, text: &str| rfc_3339::parse(text).ok_or(RecordedAttemptError::Time { member });
        Ok(Self {
            started_at: time("started_at", &written.started_at)?,
            next_attempt_at: match &written.next_attempt_at {
                Some(text) => Some(time("next_attempt_at", text)?),
                None => None,
            },
            subscription: format!("{}/{}", written.tenant, written.subscription),
            duration: Duration::from_millis(written.duration_ms),
            delivery_id: written.delivery_id,
            event_id: written.event_id,
            attempt: written.attempt,
            outcome: written.outcome,
            status: written.status,
            error: written.error,
        })
    }

    /// When the answer was there, or given up on.
    pub fn ended_at(&self) -> Timestamp {
        self.started_at.after(self.duration)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::subscription::TargetUrl;
    use crate::record::{Attempt, AttemptOutcome};

    #[test]
    fn reads_what_is_written() {
        let attempt = Attempt {
            delivery_id: "msg_X3Qf2P7v04jVikk7HYun88sbbDD".parse().unwrap(),
            event_id: "evt_1",
            event_type: "order.created",
            subscription: &"acme/shop".parse().unwrap(),
            revision: 12,
            attempt: 2,
            started_at: Timestamp::from_millis(1_795_341_600_007),
            duration: Duration::from_millis(42),
            outcome: AttemptOutcome::Retry,
            status: Some(503),
            error: None,
            message: None,
            response: None,
            url: TargetUrl::parse("https://a.example").unwrap().redacted(),
            next_attempt_at: Some(Timestamp::from_millis(1_795_341_605_007)),
            source: &"events/0/7".parse().unwrap(),
            instance: "pod-0",
        };
        let read = RecordedAttempt::decode(&attempt.encode().unwrap()).unwrap();
        let expected = RecordedAttempt {
            delivery_id: "msg_X3Qf2P7v04jVikk7HYun88sbbDD".to_owned(),
            event_id: "evt_1".to_owned(),
            subscription: "acme/shop".to_owned(),
            attempt: 2,
            started_at: attempt.started_at,
            duration: attempt.duration,
            outcome: "retry".to_owned(),
            status: Some(503),
            error: None,
            next_attempt_at: attempt.next_attempt_at,
        };
        assert_eq!(read, expected);
        assert_eq!(read.ended_at().as_millis(), 1_795_341_600_049);
    }

    #[test]
    fn refuses_what_is_no_attempt() {
        fn check(value: &str, expected: &str) {
            let error = RecordedAttempt::decode(value.as_bytes()).unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
        }
        check("", "EOF");
        check("[]", "invalid");
        check("{}", "missing field `delivery_id`");
        let times = |started: &str, next: &str| {
            format!(
                r#"{{"delivery_id":"a","event_id":"b","tenant":"t","subscription":"s","attempt":1,
                "started_at":"{started}","duration_ms":1,"outcome":"later","next_attempt_at":"{next}"}}"#
            )
        };
        const GOOD: &str = "2026-11-22T10:00:00Z";
        check(&times("now", GOOD), "`started_at`");
        check(&times(GOOD, "soon"), "`next_attempt_at`");
        assert!(RecordedAttempt::decode(times(GOOD, GOOD).as_bytes()).is_ok());
    }
}

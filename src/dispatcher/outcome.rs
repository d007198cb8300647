//! What the end of a request means: for its task, and for what is known of its endpoint. One pure
//! decision from what the endpoint answered, or from why it did not.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::heard::Heard;
use crate::clock::Timestamp;
use crate::http::{Answer, ErrorClass, Failure};
use crate::record::subscription::{Answers, Meaning};

/// What follows from a request for its task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The endpoint has it.
    Delivered,
    /// It failed, which uses up one of the policy's retries.
    Retry {
        /// The least wait that the endpoint asked for.
        retry_after: Option<Duration>,
    },
    /// The endpoint wants less at a time. That is no failure of this task, and uses up none of its
    /// retries: `max_age` bounds it.
    Throttled {
        /// The least wait that the endpoint asked for.
        retry_after: Option<Duration>,
    },
    /// Our own fault, which uses up nothing either.
    OwnFault,
    /// Never to be sent again.
    Dead(Death),
}

/// Why a request ended its task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Death {
    /// The endpoint answered 410: it is gone for good (Standard Webhooks).
    Gone,
    /// The endpoint answered with a status that its subscription calls final.
    Rejected,
    /// The address policy forbids the target.
    Refused,
}

/// Judges one request: what becomes of its task, and what it says about its endpoint. The second
/// does not depend on what the subscription wants done about a status, but for one that it takes as
/// delivered.
///
/// `now` is when the answer came; a `retry-after` counts from then and is cut at `max_retry_after`,
/// so that an endpoint cannot park its tasks for years.
pub fn classify(
    result: &Result<Answer, Failure>,
    answers: &Answers,
    now: Timestamp,
    max_retry_after: Duration,
) -> (Outcome, Heard) {
    let answer = match result {
        Ok(answer) => answer,
        // A status that came before the exchange broke off decides nothing.
        Err(failure) => return of_failure(failure.class),
    };
    let retry_after = || {
        let value = answer.retry_after.as_deref()?;
        Some(parse_retry_after(value, now)?.min(max_retry_after))
    };
    let heard = of_status(answer.status, retry_after);
    if heard == Heard::Accepted {
        return (Outcome::Delivered, heard);
    }
    match (answers.meaning(answer.status), heard) {
        (Some(Meaning::Delivered), _) => (Outcome::Delivered, Heard::Accepted),
        // The subscription says what 410 means: that it is not the end of the endpoint.
        (Some(Meaning::Final), Heard::Gone) => (REJECTED, Heard::Declined),
        (Some(Meaning::Final), heard) => (REJECTED, heard),
        (Some(Meaning::Retry), Heard::Gone) => (FAILED, Heard::Declined),
        (Some(Meaning::Retry) | None, heard) => (usual(heard), heard),
    }
}

const REJECTED: Outcome = Outcome::Dead(Death::Rejected);
const FAILED: Outcome = Outcome::Retry { retry_after: None };

/// What a status says about the endpoint. Redirects are not followed: that would send the body where
/// nobody subscribed it to.
fn of_status(status: u16, retry_after: impl FnOnce() -> Option<Duration>) -> Heard {
    match status {
        200..=299 => Heard::Accepted,
        410 => Heard::Gone,
        429 => Heard::Throttled {
            retry_after: retry_after(),
        },
        // Often a load balancer, which speaks for an endpoint that is away.
        502..=504 => Heard::Unavailable {
            retry_after: retry_after(),
        },
        ..=499 => Heard::Declined,
        500.. => Heard::Broken,
    }
}

/// What becomes of a task after an answer, unless its subscription says otherwise.
const fn usual(heard: Heard) -> Outcome {
    match heard {
        Heard::Accepted => Outcome::Delivered,
        Heard::Gone => Outcome::Dead(Death::Gone),
        Heard::Throttled { retry_after } => Outcome::Throttled { retry_after },
        // Charged, other than 429: an endpoint that is away for good must come to an end.
        Heard::Unavailable { retry_after } => Outcome::Retry { retry_after },
        Heard::Declined | Heard::Broken | Heard::TimedOut | Heard::NoAnswer | Heard::NotAsked => {
            FAILED
        }
        Heard::OwnFault => Outcome::OwnFault,
    }
}

const fn of_failure(class: ErrorClass) -> (Outcome, Heard) {
    let heard = match class {
        ErrorClass::RefusedAddress => return (Outcome::Dead(Death::Refused), Heard::NotAsked),
        ErrorClass::InvalidRequest => Heard::NotAsked,
        ErrorClass::Resolver
        | ErrorClass::Proxy
        | ErrorClass::NoRoute
        | ErrorClass::Resources
        | ErrorClass::Internal => Heard::OwnFault,
        ErrorClass::Timeout => Heard::TimedOut,
        ErrorClass::Protocol | ErrorClass::ResponseTooLarge => Heard::Broken,
        ErrorClass::Dns
        | ErrorClass::Connect
        | ErrorClass::Tls
        | ErrorClass::TimeoutConnect
        | ErrorClass::Reset => Heard::NoAnswer,
    };
    (usual(heard), heard)
}

/// The wait of a `retry-after` header (RFC 9110, 10.2.3): seconds, or an HTTP-date, of which one in
/// the past means zero. `None` for anything else: an odd header is no reason to fail differently.
fn parse_retry_after(value: &str, now: Timestamp) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // All digits: only too many of them can fail.
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    let at = httpdate::parse_http_date(value).ok()?;
    Some(unix(at).since(now))
}

fn unix(at: SystemTime) -> Timestamp {
    let since_epoch = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(0).after(since_epoch)
}

#[cfg(test)]
mod tests;

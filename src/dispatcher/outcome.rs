//! What the end of a request means for its task: one pure decision from what the endpoint
//! answered, or from why it did not.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::clock::Timestamp;
use crate::http::{Answer, ErrorClass, Failure};

/// What follows from a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A 2xx: the endpoint has it.
    Delivered,
    /// To be sent again later.
    Retry {
        /// Whether the request uses up one of the policy's attempts. Our own faults do not.
        charge: bool,
        /// The least wait that the endpoint asked for.
        retry_after: Option<Duration>,
    },
    /// Never to be sent again.
    Dead(Death),
}

/// Why a request ended its task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Death {
    /// The endpoint answered 410: it is gone for good (Standard Webhooks).
    Gone,
    /// The address policy forbids the target.
    Refused,
}

/// Judges one request. `now` is when the answer came; a `retry-after` counts from then and is cut
/// at `max_retry_after`, so that an endpoint cannot park its tasks for years.
pub fn classify(
    result: &Result<Answer, Failure>,
    now: Timestamp,
    max_retry_after: Duration,
) -> Outcome {
    match result {
        Ok(answer) => match answer.status {
            200..=299 => Outcome::Delivered,
            410 => Outcome::Dead(Death::Gone),
            // Throttled, or a load balancer speaks for an endpoint that is away.
            429 | 502 | 503 | 504 => Outcome::Retry {
                charge: true,
                retry_after: answer
                    .retry_after
                    .as_deref()
                    .and_then(|value| parse_retry_after(value, now))
                    .map(|wait| wait.min(max_retry_after)),
            },
            // Redirects too: following one would send the body where nobody subscribed it to.
            _ => retry(true),
        },
        Err(failure) => match failure.class {
            ErrorClass::RefusedAddress => Outcome::Dead(Death::Refused),
            ErrorClass::Internal => retry(false),
            ErrorClass::Dns
            | ErrorClass::Connect
            | ErrorClass::Tls
            | ErrorClass::TimeoutConnect
            | ErrorClass::Timeout
            | ErrorClass::Reset
            | ErrorClass::Protocol
            | ErrorClass::ResponseTooLarge
            | ErrorClass::InvalidRequest => retry(true),
        },
    }
}

const fn retry(charge: bool) -> Outcome {
    Outcome::Retry {
        charge,
        retry_after: None,
    }
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
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_445_412_480_000); // 2015-10-21T07:28:00Z
    const MAX: Duration = Duration::from_secs(3_600);

    fn answer(status: u16, retry_after: Option<&str>) -> Result<Answer, Failure> {
        Ok(Answer {
            status,
            retry_after: retry_after.map(str::to_owned),
            ..Answer::default()
        })
    }

    #[test]
    fn every_status_has_one_outcome() {
        for status in 100..=999 {
            let expected = match status {
                200..=299 => Outcome::Delivered,
                410 => Outcome::Dead(Death::Gone),
                _ => retry(true),
            };
            assert_eq!(
                classify(&answer(status, None), NOW, MAX),
                expected,
                "{status}"
            );
        }
    }

    #[test]
    fn every_failure_has_one_outcome() {
        fn check(class: ErrorClass, expected: Outcome) {
            // A status that came before the exchange broke off decides nothing.
            for status in [None, Some(200), Some(410)] {
                let mut failure = Failure::new(class, "");
                failure.status = status;
                assert_eq!(classify(&Err(failure), NOW, MAX), expected, "{class:?}");
            }
        }
        check(ErrorClass::Dns, retry(true));
        check(ErrorClass::RefusedAddress, Outcome::Dead(Death::Refused));
        check(ErrorClass::Connect, retry(true));
        check(ErrorClass::Tls, retry(true));
        check(ErrorClass::TimeoutConnect, retry(true));
        check(ErrorClass::Timeout, retry(true));
        check(ErrorClass::Reset, retry(true));
        check(ErrorClass::Protocol, retry(true));
        check(ErrorClass::ResponseTooLarge, retry(true));
        check(ErrorClass::InvalidRequest, retry(true));
        check(ErrorClass::Internal, retry(false));
    }

    #[test]
    fn retry_after_is_heard_where_it_throttles() {
        fn check(status: u16, header: &str, expected: Option<u64>) {
            let expected = Outcome::Retry {
                charge: true,
                retry_after: expected.map(Duration::from_secs),
            };
            let found = classify(&answer(status, Some(header)), NOW, MAX);
            assert_eq!(found, expected, "{status} {header:?}");
        }
        for status in [429, 502, 503, 504] {
            check(status, "120", Some(120));
        }
        for status in [301, 400, 404, 500, 501, 505] {
            check(status, "120", None);
        }
        check(503, " 0 ", Some(0));
        check(503, "3601", Some(3_600));
        check(503, "99999999999999999999999999", Some(3_600));
        check(503, "Wed, 21 Oct 2015 07:28:30 GMT", Some(30));
        check(503, "Wednesday, 21-Oct-15 07:28:30 GMT", Some(30));
        check(503, "Wed Oct 21 07:28:30 2015", Some(30));
        check(503, "Wed, 21 Oct 2015 07:27:00 GMT", Some(0));
        check(503, "Thu, 01 Jan 1970 00:00:00 GMT", Some(0));
        check(503, "Fri, 31 Dec 9999 23:59:59 GMT", Some(3_600));
        check(503, "", None);
        check(503, "-1", None);
        check(503, "1.5", None);
        check(503, "+5", None);
        check(503, "٣", None);
        check(503, "soon", None);
        check(503, "Wed, 99 Oct 2015 07:28:00 GMT", None);
    }
}

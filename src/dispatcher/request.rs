//! The request of a delivery, from what the task and the subscription say.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use thiserror::Error;
use url::Url;

use super::held_task::HeldTask;
use super::signature::{self, Message, SignatureError};
use crate::clock::Timestamp;
use crate::http::{ErrorClass, Failure, Request};
use crate::record::Subscription;
use crate::record::subscription::TargetUrl;
use crate::secret::Secret;

/// The parts of a request, as they are found at attempt time.
#[derive(Clone, Copy)]
pub struct Parts<'a> {
    /// Where to.
    pub url: &'a Url,
    /// `POST`, unless the task says otherwise.
    pub method: &'a Method,
    /// What `body` is.
    pub content_type: &'a str,
    /// The headers of the subscription, which holds no reserved ones.
    pub headers: &'a HeaderMap,
    /// Who sends.
    pub user_agent: &'a str,
    /// The same on every attempt.
    pub delivery_id: &'a str,
    /// Of this attempt, in Unix seconds.
    pub timestamp: i64,
    /// What the signature schemes add.
    pub signatures: &'a [(HeaderName, HeaderValue)],
    /// The signed bytes.
    pub body: &'a Bytes,
    /// Of the whole exchange.
    pub timeout: Duration,
}

/// A part that cannot be a header's value.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("{header} must be visible ASCII characters")]
pub struct InvalidHeader {
    /// The header.
    pub header: HeaderName,
}

/// A task's headers that make no request.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum InvalidTarget {
    /// The URL has become a template since the task was made.
    #[error(
        "the URL has places for values of the event, and the task is older: it has no `hooktide-target`"
    )]
    Missing,
    /// Not as the router writes it.
    #[error("`hooktide-target` does not begin with `/`")]
    NoPath,
    /// Not as the router writes it.
    #[error("`hooktide-method` is not `POST`, `PUT`, `PATCH` or `DELETE`")]
    Method,
}

/// The request for a task by its subscription, signed with `secrets` (newest first) as of `now`.
///
/// # Errors
/// A failure of class `invalid_request`: no request can be made of these parts.
pub fn of(
    task: &HeldTask,
    subscription: &Subscription,
    secrets: &[Secret],
    user_agent: &str,
    now: Timestamp,
) -> Result<Request, Failure> {
    let id = task.headers.delivery_id.as_str();
    let message = Message {
        id,
        event_type: &task.headers.event_type,
        at: now,
        body: &task.body,
    };
    let signatures = signature::headers(subscription.signatures(), secrets, &message)
        .map_err(|error| Failure::new(class_of(&error), error.to_string()))?;
    let invalid = |message: String| Failure::new(ErrorClass::InvalidRequest, message);
    let url = url(task.headers.target.as_deref(), subscription)
        .map_err(|error| invalid(error.to_string()))?;
    let method =
        method(task.headers.method.as_deref()).map_err(|error| invalid(error.to_string()))?;
    let parts = Parts {
        url: url.expose(),
        method: &method,
        content_type: task
            .headers
            .content_type
            .as_deref()
            .unwrap_or("application/json"),
        headers: subscription.headers(),
        user_agent,
        delivery_id: id,
        timestamp: now.as_secs(),
        signatures: &signatures,
        body: &task.body,
        timeout: subscription.timeout(),
    };
    build(parts).map_err(|error| invalid(error.to_string()))
}

/// Where a request goes: to whom the subscription's URL names now, and there to what the task's event
/// named.
///
/// # Errors
/// The two do not fit.
pub fn url<'a>(
    target: Option<&str>,
    subscription: &'a Subscription,
) -> Result<Cow<'a, TargetUrl>, InvalidTarget> {
    let url = subscription.url();
    match target {
        Some(target) if target.starts_with('/') => Ok(Cow::Owned(url.with_target(target))),
        Some(_) => Err(InvalidTarget::NoPath),
        None if url.template().is_some() => Err(InvalidTarget::Missing),
        None => Ok(Cow::Borrowed(url)),
    }
}

/// What subscriptions may ask for; nobody else writes tasks.
fn method(named: Option<&str>) -> Result<Method, InvalidTarget> {
    match named {
        None | Some("POST") => Ok(Method::POST),
        Some("PUT") => Ok(Method::PUT),
        Some("PATCH") => Ok(Method::PATCH),
        Some("DELETE") => Ok(Method::DELETE),
        Some(_) => Err(InvalidTarget::Method),
    }
}

/// Secrets are the operator's, and can be set right without a loss; the rest is the subscription's.
const fn class_of(error: &SignatureError) -> ErrorClass {
    match error {
        SignatureError::NoKey { .. } => ErrorClass::Internal,
        SignatureError::NoData { .. } | SignatureError::Header { .. } => ErrorClass::InvalidRequest,
    }
}

/// Builds the request of the contract.
///
/// # Errors
/// [`InvalidHeader`] when a value holds control characters or others that no header may have.
pub fn build(parts: Parts<'_>) -> Result<Request, InvalidHeader> {
    let mut headers =
        HeaderMap::with_capacity(parts.headers.len() + parts.signatures.len() + BESIDE_SIGNATURES);
    headers.extend(
        parts
            .headers
            .iter()
            .map(|(name, value)| (name.clone(), value.clone())),
    );
    let mut insert = |header: HeaderName, value: &str| match HeaderValue::from_str(value) {
        Ok(value) => {
            headers.insert(header, value);
            Ok(())
        }
        Err(_) => Err(InvalidHeader { header }),
    };
    insert(CONTENT_TYPE, parts.content_type)?;
    insert(WEBHOOK_ID, parts.delivery_id)?;
    insert(WEBHOOK_TIMESTAMP, &parts.timestamp.to_string())?;
    if !headers.contains_key(USER_AGENT) {
        let agent = HeaderValue::from_str(parts.user_agent);
        headers.insert(
            USER_AGENT,
            agent.map_err(|_| InvalidHeader { header: USER_AGENT })?,
        );
    }
    for (header, value) in parts.signatures {
        headers.insert(header.clone(), value.clone());
    }
    Ok(Request {
        method: parts.method.clone(),
        url: parts.url.clone(),
        headers,
        body: parts.body.clone(),
        timeout: parts.timeout,
    })
}

/// Room for content type, id, timestamp and user agent, and for what the client adds.
const BESIDE_SIGNATURES: usize = 8;
const WEBHOOK_ID: HeaderName = HeaderName::from_static("webhook-id");
const WEBHOOK_TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");

#[cfg(test)]
mod tests {
    use super::*;

    fn build_with(
        custom: &[(&'static str, &'static str)],
        change: impl FnOnce(&mut Parts<'_>),
    ) -> Result<Request, InvalidHeader> {
        let mut headers = HeaderMap::new();
        for (name, value) in custom {
            headers.append(
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            );
        }
        let mut parts = Parts {
            url: &Url::parse("https://a.example/hooks").unwrap(),
            method: &Method::POST,
            content_type: "application/json",
            headers: &headers,
            user_agent: "hooktide/0.1.0",
            delivery_id: "msg_1",
            timestamp: 1_700_000_000,
            signatures: &[(
                HeaderName::from_static("webhook-signature"),
                HeaderValue::from_static("v1,abc"),
            )],
            body: &Bytes::from_static(b"{}"),
            timeout: Duration::from_secs(30),
        };
        change(&mut parts);
        build(parts)
    }

    fn shown(request: &Request) -> Vec<String> {
        let headers = request.headers.iter();
        let mut shown: Vec<_> = headers
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        shown.sort();
        shown
    }

    const OURS: [&str; 5] = [
        "content-type: application/json",
        "user-agent: hooktide/0.1.0",
        "webhook-id: msg_1",
        "webhook-signature: v1,abc",
        "webhook-timestamp: 1700000000",
    ];

    #[test]
    fn the_request_is_that_of_the_contract() {
        let request = build_with(&[], |_| ()).unwrap();
        assert_eq!(request.method, Method::POST);
        assert_eq!(request.url.as_str(), "https://a.example/hooks");
        assert_eq!(request.body, "{}");
        assert_eq!(request.timeout, Duration::from_secs(30));
        assert_eq!(shown(&request), OURS);
    }

    #[test]
    fn the_event_decides_the_path_and_the_subscription_the_host() {
        fn check(now: &str, target: Option<&str>, expected: Result<&str, InvalidTarget>) {
            let key = "acme/s1".parse().unwrap();
            let value = format!(r#"{{"url":"{now}","events":["*"],"signatures":[]}}"#);
            let rules = crate::record::subscription::Rules::default();
            let subscription = Subscription::parse(&key, value.as_bytes(), &rules).unwrap();
            let url = url(target, &subscription);
            let url = url.map(|url| url.expose().as_str().to_owned());
            assert_eq!(url, expected.map(str::to_owned), "{now} {target:?}");
        }
        let template = "https://u:p@e.com:8443/orders/{{ data.id }}";
        let target = Some("/orders/7?x=%2F");
        check(
            template,
            target,
            Ok("https://u:p@e.com:8443/orders/7?x=%2F"),
        );
        // The host that holds now, with what the event said then.
        check(
            "https://new.example/all?a=1",
            target,
            Ok("https://new.example/orders/7?x=%2F"),
        );
        check("https://e.com/all?a=1", None, Ok("https://e.com/all?a=1"));
        check(template, None, Err(InvalidTarget::Missing));
        // Nothing that a task says leads to another host.
        check(
            template,
            Some("//evil.example/x"),
            Ok("https://u:p@e.com:8443//evil.example/x"),
        );
        check(template, Some("/a#b"), Ok("https://u:p@e.com:8443/a%23b"));
        check(
            template,
            Some("https://evil.example/"),
            Err(InvalidTarget::NoPath),
        );
        check(template, Some("@evil.example/"), Err(InvalidTarget::NoPath));
    }

    #[test]
    fn only_methods_of_subscriptions_are_sent() {
        assert_eq!(method(None), Ok(Method::POST));
        for name in ["POST", "PUT", "PATCH", "DELETE"] {
            assert_eq!(method(Some(name)).unwrap().as_str(), name);
        }
        for name in ["GET", "post", "CONNECT", "", "POST "] {
            assert_eq!(method(Some(name)), Err(InvalidTarget::Method));
        }
    }

    #[test]
    fn without_a_signature_there_is_no_such_header() {
        let request = build_with(&[], |parts| parts.signatures = &[]).unwrap();
        assert!(!request.headers.contains_key("webhook-signature"));
    }

    #[test]
    fn what_the_request_sets_wins_and_others_pass() {
        let ours = [
            "content-type",
            "webhook-id",
            "webhook-timestamp",
            "webhook-signature",
        ];
        for name in ours {
            let request = build_with(&[(name, "x")], |_| ()).unwrap();
            assert_eq!(shown(&request), OURS, "{name}");
        }
        let custom = [
            ("x-team", "billing"),
            ("x-team", "ops"),
            ("user-agent", "own/1"),
        ];
        let request = build_with(&custom, |_| ()).unwrap();
        assert_eq!(request.headers.len(), 7);
        assert_eq!(request.headers["user-agent"], "own/1");
        let teams: Vec<_> = request.headers.get_all("x-team").iter().collect();
        assert_eq!(teams, ["billing", "ops"]);
    }

    #[test]
    fn values_that_would_break_the_head_are_refused_by_name() {
        fn check(change: impl FnOnce(&mut Parts<'_>), header: &str) {
            let refused = build_with(&[], change).err().unwrap();
            assert_eq!(refused.header, header);
        }
        check(
            |parts| parts.content_type = "text/plain\r\nx: y",
            "content-type",
        );
        check(|parts| parts.delivery_id = "msg_\0", "webhook-id");
        check(|parts| parts.user_agent = "a\nb", "user-agent");
    }
}

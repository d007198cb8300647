//! What is shown of a test: request, answer and times. Nothing secret: of headers of the subscription's
//! own only the names.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::cli::output::plain;
use crate::clock::Timestamp;
use crate::record::{Subscription, SubscriptionKey, TaskHeaders};

const REDACTED: &str = "[redacted]";
/// What a signature is shown as: it is made when the request is.
const SIGNED: &str = "[made when it is sent]";

/// The record of the request, as far as it is shown.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Answer {
    #[serde(skip_serializing)]
    pub(super) delivery_id: String,
    pub(super) started_at: Timestamp,
    pub(super) duration_ms: u64,
    pub(super) outcome: String,
    pub(super) status: Option<u16>,
    pub(super) error: Option<String>,
    pub(super) message: Option<String>,
    pub(super) response: Option<String>,
    pub(super) url: String,
}

/// How a test has ended.
pub(super) enum Outcome {
    /// A request was made, or tried to be.
    Answered(Answer),
    /// None was.
    GivenUp {
        /// As on `dlq`.
        reason: String,
        /// For people.
        message: String,
    },
}

/// All that is shown.
pub(super) struct Report<'a> {
    pub(super) key: &'a SubscriptionKey,
    pub(super) revision: i64,
    pub(super) event_id: &'a str,
    pub(super) event_type: &'a str,
    pub(super) subscription: &'a Subscription,
    pub(super) headers: &'a TaskHeaders,
    pub(super) body: Bytes,
    pub(super) produced_at: Timestamp,
    pub(super) outcome: &'a Outcome,
}

impl Report<'_> {
    fn url(&self) -> String {
        match self.outcome {
            Outcome::Answered(answer) => answer.url.clone(),
            Outcome::GivenUp { .. } => self.subscription.url().redacted().to_string(),
        }
    }

    fn method(&self) -> &str {
        self.headers.method.as_deref().unwrap_or("POST")
    }

    /// Names and values in the order in which they are shown.
    fn request_headers(&self) -> Vec<(String, String)> {
        let content_type = self.headers.content_type.as_deref();
        let mut shown = vec![
            (
                "content-type".to_owned(),
                content_type.unwrap_or("application/json").to_owned(),
            ),
            (
                "webhook-id".to_owned(),
                self.headers.delivery_id.to_string(),
            ),
        ];
        if let Outcome::Answered(answer) = self.outcome {
            let at = answer.started_at.as_secs().to_string();
            shown.push(("webhook-timestamp".to_owned(), at));
        }
        for scheme in self.subscription.signatures() {
            shown.push((scheme.header.to_string(), SIGNED.to_owned()));
        }
        let own = self.subscription.headers().keys();
        shown.extend(own.map(|name| (name.to_string(), REDACTED.to_owned())));
        shown
    }

    /// As one document.
    pub(super) fn json(&self) -> Value {
        let headers: Map<String, Value> = self
            .request_headers()
            .into_iter()
            .map(|(name, value)| (name, value.into()))
            .collect();
        let mut report = json!({
            "tenant": self.key.tenant(),
            "subscription": self.key.id(),
            "revision": self.revision,
            "delivery_id": self.headers.delivery_id.as_str(),
            "event_id": self.event_id,
            "event_type": self.event_type,
            "produced_at": self.produced_at,
            "request": {
                "method": self.method(),
                "url": self.url(),
                "headers": headers,
                "body": String::from_utf8_lossy(&self.body),
            },
            "answer": null,
            "given_up": null,
        });
        match self.outcome {
            Outcome::Answered(answer) => {
                report["answer"] = json!({
                    "outcome": answer.outcome,
                    "status": answer.status,
                    "error": answer.error,
                    "message": answer.message,
                    "response": answer.response,
                    "started_at": answer.started_at,
                    "duration_ms": answer.duration_ms,
                });
            }
            Outcome::GivenUp { reason, message } => {
                report["given_up"] = json!({ "reason": reason, "message": message });
            }
        }
        report
    }

    /// For people.
    pub(super) fn text(&self) -> String {
        let mut text = format!("request   {} {}\n", self.method(), plain(&self.url()));
        for (name, value) in self.request_headers() {
            text += &format!("          {name}: {}\n", plain(&value));
        }
        text += &format!(
            "body      {}\n",
            plain(&String::from_utf8_lossy(&self.body))
        );
        match self.outcome {
            Outcome::GivenUp { reason, message } => {
                text += &format!("answer    none: {reason}: {}\n", plain(message));
            }
            Outcome::Answered(answer) => {
                let status = answer.status.map(|status| status.to_string());
                let parts = [status, answer.error.clone(), answer.message.clone()];
                let parts: Vec<_> = parts.into_iter().flatten().collect();
                text += &format!("answer    {}\n", plain(&parts.join(", ")));
                if let Some(response) = answer.response.as_deref().filter(|said| !said.is_empty()) {
                    text += &format!("          {}\n", plain(response));
                }
                let waited = answer.started_at.since(self.produced_at).as_millis();
                text += &format!(
                    "times     produced {}, sent after {waited} ms, answered after {} ms more\n",
                    self.produced_at, answer.duration_ms
                );
            }
        }
        text
    }
}

//! Steps of the dispatcher: from a task to a signed request, and the record of what came of it.

use std::time::Duration;

use gungraun::library_benchmark;
use hooktide::dispatcher::held_task::HeldTask;
use hooktide::dispatcher::request;
use hooktide::dispatcher::signature::{self, Message, SignatureError};
use hooktide::http::{Failure, Request};
use hooktide::record::{Attempt, AttemptOutcome, Coordinates, SubscriptionKey};
use hooktide::secret::Secret;
use hooktide::subscription_table::Compiled;
use http::{HeaderName, HeaderValue};

use crate::scene::{NOW, at, delivery_id, kept, key, subscription, task};

const SHARED: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
/// RFC 8032, 7.1, test 1.
const PRIVATE: &str = "whsk_nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=";

/// A task that is due, and whose it is.
pub struct Due {
    task: HeldTask,
    compiled: Compiled,
    secrets: Vec<Secret>,
}

impl Due {
    fn signatures(&self) -> Result<Vec<(HeaderName, HeaderValue)>, SignatureError> {
        let message = Message {
            id: self.task.headers.delivery_id.as_str(),
            event_type: &self.task.headers.event_type,
            at: NOW,
            body: &self.task.body,
        };
        let schemes = self.compiled.subscription.signatures();
        signature::headers(schemes, &self.secrets, &message)
    }

    fn request(&self) -> Result<Request, Failure> {
        let subscription = &self.compiled.subscription;
        let agent = "hooktide/0.1.0";
        request::of(&self.task, subscription, &self.secrets, agent, NOW)
    }
}

/// Signed by this scheme with this secret.
fn due(scheme: &str, secret: &str) -> &'static Due {
    let members = format!(r#""secrets":["{secret}"],"signatures":["{scheme}"],"timeout":"15s""#);
    let due = kept(Due {
        task: HeldTask::read(&task(), 0).expect("a task"),
        compiled: subscription(&members),
        secrets: vec![Secret::parse(secret).expect("a secret")],
    });
    assert!(due.signatures().is_ok_and(|made| !made.is_empty()));
    assert!(due.request().is_ok_and(|made| made.headers.len() >= 5));
    due
}

#[library_benchmark]
#[bench::standard(due("standard", SHARED))]
#[bench::v1a(due("v1a", PRIVATE))]
#[bench::hex_timestamp_body(due("hex-timestamp-body", SHARED))]
pub fn signing(due: &'static Due) -> Result<Vec<(HeaderName, HeaderValue)>, SignatureError> {
    due.signatures()
}

#[library_benchmark]
#[bench::standard(due("standard", SHARED))]
pub fn making_request(due: &'static Due) -> Result<Request, Failure> {
    due.request()
}

/// What an attempt is of.
struct Made {
    subscription: SubscriptionKey,
    source: Coordinates,
    compiled: Compiled,
}

impl Made {
    fn attempt(&self) -> Attempt<'_> {
        Attempt {
            delivery_id: delivery_id(),
            event_id: "evt_8RZk2mQv5LxT",
            event_type: "order.created",
            subscription: &self.subscription,
            revision: 4_711,
            attempt: 2,
            started_at: NOW,
            duration: Duration::from_millis(42),
            outcome: AttemptOutcome::Retry,
            status: Some(503),
            error: Some("status"),
            message: Some("503 Service Unavailable"),
            response: Some("{\"error\":\"try again later\"}".into()),
            url: self.compiled.subscription.url().redacted().clone(),
            next_attempt_at: Some(NOW.after(Duration::from_secs(5))),
            source: &self.source,
            instance: "hooktide-0",
        }
    }
}

fn failed_attempt() -> &'static Attempt<'static> {
    let made = kept(Made {
        subscription: key(),
        source: at(),
        compiled: subscription(r#""signatures":[]"#),
    });
    kept(made.attempt())
}

#[library_benchmark]
#[bench::that_failed(failed_attempt())]
pub fn writing_attempt(attempt: &'static Attempt<'static>) -> serde_json::Result<Vec<u8>> {
    attempt.encode()
}

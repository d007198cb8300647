//! One event, many tasks: a task for each subscription that it matches, its body rendered once for
//! each distinct rendering.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;

use crate::clock::Timestamp;
use crate::endpoint_table::EndpointTable;
use crate::record::{
    Coordinates, DeliveryId, DisabledReason, Event, Headers, SubscriptionKey, TaskHeaders,
};
use crate::router::filter::{EventValue, Failure};
use crate::router::payload::{self, Facts, Recipient, RenderError};
use crate::subscription_table::{Compiled, Entry};

/// A task that is to be written.
#[derive(Clone, Debug)]
pub struct NewTask {
    /// Whose: the record's key.
    pub subscription: SubscriptionKey,
    /// The request's body: the record's value.
    pub body: Bytes,
    /// The record's headers.
    pub headers: TaskHeaders,
}

/// A subscription that the event matches but whose task would be too large to be written.
#[derive(Clone, Debug)]
pub struct TooLarge {
    /// Whose.
    pub subscription: SubscriptionKey,
    /// The body that was rendered, in bytes.
    pub bytes: usize,
}

/// A task whose body or URL cannot be made: it is given up with the usual body.
#[derive(Clone, Debug)]
pub struct Undeliverable {
    /// What it would have been.
    pub task: NewTask,
    /// Why.
    pub message: String,
}

/// A subscription whose `where` says neither yes nor no: it gets nothing.
#[derive(Clone, Debug)]
pub struct Unfiltered {
    /// Whose.
    pub subscription: SubscriptionKey,
    /// Offset of its record.
    pub revision: i64,
    /// Why.
    pub failure: Failure,
}

/// What one event becomes.
#[derive(Clone, Debug, Default)]
pub struct FanOut {
    /// The tasks.
    pub tasks: Vec<NewTask>,
    /// Those that cannot be.
    pub too_large: Vec<TooLarge>,
    /// Those that are given up at once.
    pub undeliverable: Vec<Undeliverable>,
    /// Those that cannot be told to be wanted.
    pub unfiltered: Vec<Unfiltered>,
    /// Why the endpoints are disabled that get none.
    pub skipped: Vec<DisabledReason>,
}

/// What is the same for all tasks of an event.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'a> {
    /// The event.
    pub event: &'a Event,
    /// The same for bodies and filters.
    pub facts: &'a Facts<'a>,
    /// Where its record stands.
    pub at: &'a Coordinates,
    /// When it was written.
    pub seen: Timestamp,
    /// The headers of its record that travel on.
    pub passthrough: &'a Headers,
}

/// Makes the tasks of one event. `candidates` are the subscriptions that its tenant and type select;
/// their filters are applied here. An endpoint that is disabled gets none.
#[expect(
    clippy::mutable_key_type,
    reason = "what can change in a template is neither compared nor hashed"
)]
pub fn fan_out<'a>(
    origin: Origin<'_>,
    candidates: impl Iterator<Item = (&'a Entry, &'a Arc<Compiled>)>,
    endpoints: &EndpointTable,
    longest_body: usize,
) -> FanOut {
    let mut result = FanOut::default();
    let facts = origin.facts;
    let event = OnceCell::new();
    let mut bodies: HashMap<payload::Key<'_>, Result<Bytes, RenderError>> = HashMap::new();
    for (entry, compiled) in candidates {
        if !compiled.filters.matches(facts.document) {
            continue;
        }
        if let Some(condition) = &compiled.condition {
            match condition.holds(event.get_or_init(|| EventValue::of(facts))) {
                Ok(true) => {}
                Ok(false) => continue,
                Err(failure) => {
                    result.unfiltered.push(Unfiltered {
                        subscription: entry.key.clone(),
                        revision: entry.revision,
                        failure,
                    });
                    continue;
                }
            }
        }
        if let Some(disabled) = endpoints.disabled(&entry.key, entry.revision) {
            result.skipped.push(disabled.reason);
            continue;
        }
        let mut headers = headers(&origin, entry);
        let shape = compiled.shape.as_deref();
        let recipient = Recipient {
            key: &entry.key,
            subscription: &compiled.subscription,
            delivery_id: &headers.delivery_id,
        };
        let body = match payload::key(shape) {
            Some(key) => bodies
                .entry(key)
                .or_insert_with(|| payload::render(facts, shape, recipient))
                .clone(),
            None => payload::render(facts, shape, recipient),
        };
        let made = body.and_then(|body| {
            let target = payload::target(facts, &compiled.subscription)?;
            Ok((body, target))
        });
        let (body, message) = match made {
            Ok((body, target)) => {
                headers.target = target;
                headers.content_type = shape
                    .and_then(|shape| shape.content_type(facts))
                    .map(str::to_owned);
                headers.method = shape
                    .and_then(|shape| shape.method())
                    .map(ToString::to_string);
                (body, None)
            }
            Err(error) => (payload::usual(facts), Some(error.to_string())),
        };
        if body.len() > longest_body {
            result.too_large.push(TooLarge {
                subscription: entry.key.clone(),
                bytes: body.len(),
            });
            continue;
        }
        let task = NewTask {
            subscription: entry.key.clone(),
            body,
            headers,
        };
        match message {
            None => result.tasks.push(task),
            Some(message) => result.undeliverable.push(Undeliverable { task, message }),
        }
    }
    result
}

/// The headers of a task for the usual request.
fn headers(origin: &Origin<'_>, entry: &Entry) -> TaskHeaders {
    let event = origin.event;
    TaskHeaders {
        delivery_id: DeliveryId::derive(
            event.tenant(),
            event.origin(),
            event.key(),
            entry.key.id(),
        ),
        event_id: origin.facts.id.to_owned(),
        event_type: event.event_type().to_owned(),
        attempt: 0,
        charged: 0,
        parks: 0,
        parked: None,
        first_seen: origin.seen,
        not_before: None,
        source: origin.at.clone(),
        revision: entry.revision,
        content_type: None,
        method: None,
        target: None,
        is_test: false,
        passthrough: origin.passthrough.clone(),
    }
}

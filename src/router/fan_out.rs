//! One event, many tasks: a task for each subscription that it matches, its body rendered once for
//! each distinct rendering.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;

use crate::clock::Timestamp;
use crate::endpoint_table::EndpointTable;
use crate::record::json_text::Document;
use crate::record::{
    Coordinates, DeliveryId, DisabledReason, Event, Headers, SubscriptionKey, TaskHeaders,
};
use crate::router::payload::{self, Defaults, Fields};
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

/// What one event becomes.
#[derive(Clone, Debug, Default)]
pub struct FanOut {
    /// The tasks.
    pub tasks: Vec<NewTask>,
    /// Those that cannot be.
    pub too_large: Vec<TooLarge>,
    /// Why the endpoints are disabled that get none.
    pub skipped: Vec<DisabledReason>,
}

/// Makes the tasks of one event, whose value is `document`. `candidates` are the subscriptions that its tenant and type select;
/// their filters are applied here. An endpoint that is disabled gets none. `passthrough` are the headers of the event's record that travel on.
#[expect(
    clippy::too_many_arguments,
    reason = "one call, all of different types"
)]
pub fn fan_out<'a>(
    event: &Event,
    document: &Document<'_>,
    at: &Coordinates,
    seen: Timestamp,
    passthrough: &Headers,
    candidates: impl Iterator<Item = (&'a Entry, &'a Arc<Compiled>)>,
    endpoints: &EndpointTable,
    longest_body: usize,
) -> FanOut {
    let mut result = FanOut::default();
    let event_id = event.id_or_position();
    let defaults = Defaults {
        timestamp: event.timestamp(),
        id: &event_id,
    };
    let mut bodies: HashMap<Option<&Fields>, Bytes> = HashMap::new();
    for (entry, compiled) in candidates {
        if !compiled.filters.matches(document) {
            continue;
        }
        if let Some(disabled) = endpoints.disabled(&entry.key, entry.revision) {
            result.skipped.push(disabled.reason);
            continue;
        }
        let body = bodies
            .entry(compiled.fields.as_ref())
            .or_insert_with_key(|fields| payload::render(document, defaults, *fields));
        if body.len() > longest_body {
            result.too_large.push(TooLarge {
                subscription: entry.key.clone(),
                bytes: body.len(),
            });
            continue;
        }
        result.tasks.push(NewTask {
            subscription: entry.key.clone(),
            body: body.clone(),
            headers: TaskHeaders {
                delivery_id: DeliveryId::derive(
                    event.tenant(),
                    event.origin(),
                    event.key(),
                    entry.key.id(),
                ),
                event_id: event_id.clone(),
                event_type: event.event_type().to_owned(),
                attempt: 0,
                charged: 0,
                parks: 0,
                parked: None,
                first_seen: seen,
                not_before: None,
                source: at.clone(),
                revision: entry.revision,
                content_type: None,
                method: None,
                target: None,
                passthrough: passthrough.clone(),
            },
        });
    }
    result
}

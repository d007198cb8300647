//! The tables that events are matched with, and proof that none is older than the events.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::error::KafkaResult;

use super::endpoint_reader::EndpointReader;
use super::event_type_reader::EventTypeReader;
use super::subscription_reader::SubscriptionReader;
use crate::wake::Waker;

/// How long one question to the cluster may take.
const ANSWER: Duration = Duration::from_secs(1);

/// What events are matched with.
pub struct RouterTables {
    /// Who wants what.
    pub subscriptions: Arc<SubscriptionReader>,
    /// Who cannot be delivered to.
    pub endpoints: Arc<EndpointReader>,
    /// What events look like; none: nobody looks.
    pub event_types: Option<Arc<EventTypeReader>>,
}

/// The ends of those topics that are clocks.
#[derive(Clone, Copy, Debug)]
pub struct Ends {
    subscriptions: i64,
    event_types: Option<i64>,
}

impl RouterTables {
    /// The ends now: everything acknowledged before this call is below them.
    ///
    /// # Errors
    /// The cluster does not answer.
    pub fn ask_ends(&self) -> KafkaResult<Ends> {
        let event_types = self.event_types.as_ref();
        let event_types = event_types.map(|reader| reader.ask_end(ANSWER));
        Ok(Ends {
            subscriptions: self.subscriptions.ask_end(ANSWER)?,
            event_types: event_types.transpose()?,
        })
    }

    /// Whether the tables have, and the endpoints were read at all: those have no clock. A task for an
    /// endpoint that is disabled at the same time is given up by the dispatcher.
    pub fn have_passed(&self, ends: Ends) -> bool {
        let event_types = self.event_types.as_ref().zip(ends.event_types);
        self.subscriptions.position() >= ends.subscriptions
            && event_types.is_none_or(|(reader, end)| reader.position() >= end)
            && self.endpoints.is_loaded()
    }

    /// Wakes this loop whenever one of them has moved.
    pub fn wake_on_change(&self, waker: &Waker) {
        self.subscriptions.wake_on_change(waker.clone());
        self.endpoints.wake_on_change(waker.clone());
        if let Some(reader) = &self.event_types {
            reader.wake_on_change(waker.clone());
        }
    }
}

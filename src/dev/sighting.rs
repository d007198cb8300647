//! What a record on one of the watched topics means to somebody who looks on.

use crate::clock::Timestamp;
use crate::config::Config;
use crate::kafka::record::Incoming;
use crate::record::{Coordinates, Inscription, RecordedAttempt, TaskHeaders};
use crate::router::event_form::EventForm;
use crate::topic::Topic;

/// The topics that tell the whole story.
#[derive(Clone, Debug)]
pub struct Watched {
    /// Where events come in.
    pub events: String,
    /// Tasks.
    pub deliveries: String,
    /// Requests.
    pub attempts: String,
    /// Dead letters.
    pub dlq: String,
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Sighting {
    /// An event came in.
    Event {
        /// Where it stands.
        at: Coordinates,
        /// Its id, or where it stands.
        id: String,
        /// Its type.
        event_type: String,
        /// Whose it is.
        tenant: String,
    },
    /// A record on an events topic that is no event; it goes to `rejects`.
    NoEvent {
        /// Why.
        problem: String,
    },
    /// The router made a task.
    Task {
        /// The event.
        source: Coordinates,
        /// The event's id.
        event_id: String,
        /// The delivery.
        delivery_id: String,
        /// For whom: `tenant/id`.
        subscription: String,
    },
    /// A request was made.
    Request(RecordedAttempt),
    /// A task was given up.
    DeadLetter {
        /// The delivery.
        delivery_id: String,
        /// The event's id.
        event_id: String,
        /// For whom: `tenant/id`.
        subscription: String,
        /// Why.
        reason: String,
        /// What the last request came to.
        last: Option<String>,
        /// How many requests were made.
        requests: u32,
    },
    /// Nothing to tell: a task on its way back to tier 0, a tombstone, a record that is not ours.
    Nothing,
}

impl Watched {
    /// The topics of an installation.
    pub fn of(config: &Config, events: &str) -> Self {
        let name = |topic| config.topics.name(topic);
        Self {
            events: events.to_owned(),
            deliveries: name(Topic::Deliveries),
            attempts: name(Topic::Attempts),
            dlq: name(Topic::Dlq),
        }
    }

    /// Their names.
    pub fn names(&self) -> Vec<String> {
        vec![
            self.events.clone(),
            self.deliveries.clone(),
            self.attempts.clone(),
            self.dlq.clone(),
        ]
    }

    /// Reads a record of one of them.
    pub fn read(&self, record: &Incoming) -> Sighting {
        let topic = &*record.at.topic;
        if topic == self.events {
            event(record)
        } else if topic == self.deliveries {
            task(record)
        } else if topic == self.attempts {
            request(record)
        } else if topic == self.dlq {
            dead_letter(record)
        } else {
            Sighting::Nothing
        }
    }
}

fn event(record: &Incoming) -> Sighting {
    let Some(value) = &record.value else {
        return Sighting::Nothing;
    };
    let appended = record.timestamp.unwrap_or(Timestamp::from_millis(0));
    // Without schemas: here nobody writes with one.
    let read = EventForm::of(&record.headers, value)
        .and_then(|form| form.decode(&record.headers, None))
        .and_then(|decoded| Ok(decoded.read(&record.at, appended)?.0));
    match read {
        Ok(event) => Sighting::Event {
            at: record.at.clone(),
            id: event.id_or_position(),
            event_type: event.event_type().to_owned(),
            tenant: event.tenant().to_owned(),
        },
        Err(problem) => Sighting::NoEvent {
            problem: problem.to_string(),
        },
    }
}

/// Only a task as the router made it: one that rests for less than the smallest tier passes here too.
fn task(record: &Incoming) -> Sighting {
    match TaskHeaders::decode(&record.headers) {
        Ok(task) if task.attempt == 0 && task.parks == 0 => Sighting::Task {
            subscription: key(record),
            delivery_id: task.delivery_id.to_string(),
            event_id: task.event_id,
            source: task.source,
        },
        Ok(_) | Err(_) => Sighting::Nothing,
    }
}

fn request(record: &Incoming) -> Sighting {
    let value = record.value.as_deref().unwrap_or_default();
    RecordedAttempt::decode(value).map_or(Sighting::Nothing, Sighting::Request)
}

fn dead_letter(record: &Incoming) -> Sighting {
    let Ok(task) = TaskHeaders::decode(&record.headers) else {
        return Sighting::Nothing;
    };
    let said = Inscription::read(&record.headers);
    Sighting::DeadLetter {
        subscription: key(record),
        delivery_id: task.delivery_id.to_string(),
        event_id: task.event_id,
        reason: said.reason.unwrap_or("unknown").to_owned(),
        last: said.last_status.or(said.last_error).map(str::to_owned),
        requests: task.attempt,
    }
}

fn key(record: &Incoming) -> String {
    String::from_utf8_lossy(record.key.as_deref().unwrap_or_default()).into_owned()
}

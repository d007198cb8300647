//! What was seen of one run: the topics' side, the receiver's side, and what was done to the processes.
//! All of it comes from one machine, so its times are of one clock.

use std::time::Duration;

use hooktide::clock::Timestamp;

/// Everything that a judgement needs.
#[derive(Debug, Default)]
pub struct Record {
    /// Ids of the events on their topic, each of which is of interest to every subscriber.
    pub events: Vec<String>,
    /// Who subscribed.
    pub subscribers: Vec<Subscriber>,
    /// Tasks as the router made them.
    pub tasks: Vec<Task>,
    /// Requests that are in the books.
    pub attempts: Vec<Attempt>,
    /// Tasks that were given up.
    pub letters: Vec<Letter>,
    /// Requests that reached the receiver.
    pub requests: Vec<Request>,
    /// What was done, in its order.
    pub strikes: Vec<Strike>,
    /// What should not have happened, found while it did: a process that ended by itself, an offset
    /// that stayed behind.
    pub incidents: Vec<String>,
}

/// A subscription to all events.
#[derive(Clone, Debug)]
pub struct Subscriber {
    /// `tenant/id`.
    pub key: String,
    /// Whether it was deleted while events came.
    pub is_deleted: bool,
}

/// A record of tier 0 that no request was made for yet.
#[derive(Clone, Debug)]
pub struct Task {
    /// The delivery's id.
    pub delivery: String,
    /// The event's id.
    pub event: String,
    /// `tenant/id`.
    pub subscriber: String,
}

/// A record of the attempts topic.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// The delivery's id.
    pub delivery: String,
    /// `tenant/id`.
    pub subscriber: String,
    /// Where the event stands.
    pub source: String,
    /// From 1.
    pub number: u32,
    /// By the process's word.
    pub started: Timestamp,
    /// By the process's word: how long the exchange took, and it may have begun somewhat later.
    pub ended: Timestamp,
    /// When its record was produced: after its end was known.
    pub recorded: Timestamp,
    /// What follows.
    pub outcome: Outcome,
    /// The answer's status.
    pub status: Option<u16>,
    /// When the next one is due.
    pub next: Option<Timestamp>,
    /// Which process made the request.
    pub instance: String,
}

/// What follows from a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing: it is delivered.
    Delivered,
    /// Another one.
    Retry,
    /// A dead letter.
    Dead,
}

/// A record of the dead-letter topic.
#[derive(Clone, Debug)]
pub struct Letter {
    /// The delivery's id.
    pub delivery: String,
    /// Why.
    pub reason: String,
    /// Requests that were made.
    pub requests: u32,
    /// `tenant/id`.
    pub subscriber: String,
}

/// A request as the receiver saw it.
#[derive(Clone, Debug)]
pub struct Request {
    /// `webhook-id`.
    pub delivery: String,
    /// All requests on one connection are of one process.
    pub connection: u64,
    /// When its last byte was read.
    pub arrived: Timestamp,
    /// None: it is open.
    pub end: Option<(Timestamp, End)>,
}

/// How a request ended, as the receiver saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The answer with this status was handed to the socket.
    Answered(u16),
    /// The receiver broke the connection.
    Cut,
    /// The sender went away.
    Left,
}

/// A fault, or a rebalance that follows from one.
#[derive(Clone, Debug)]
pub struct Strike {
    /// What it is, for the sums.
    pub fault: String,
    /// Whose requests it may double; none: nobody's.
    pub hits: Option<String>,
    /// When it began.
    pub from: Timestamp,
    /// Until when what the process committed counts as committed before it; later than `from` where the
    /// process found out late.
    pub noticed: Timestamp,
    /// When it was over for the process that it hits.
    pub until: Timestamp,
    /// What was answered before this must be in the books: the process was asked to end, and waits for
    /// open requests until then.
    pub drains_until: Option<Timestamp>,
    /// When the same instance was started again.
    pub restarted: Option<Timestamp>,
    /// Whether it was inflicted, rather than a consequence.
    pub is_fault: bool,
}

impl Strike {
    /// A fault that hits nobody's requests, and has begun.
    pub fn begin(fault: impl Into<String>) -> Self {
        let now = Timestamp::now();
        Self {
            fault: fault.into(),
            hits: None,
            from: now,
            noticed: now,
            until: now,
            drains_until: None,
            restarted: None,
            is_fault: true,
        }
    }

    /// One that hits this process.
    pub fn on(fault: impl Into<String>, instance: &str) -> Self {
        Self {
            hits: Some(instance.to_owned()),
            ..Self::begin(fault)
        }
    }

    /// It is over.
    pub fn end(mut self) -> Self {
        self.until = Timestamp::now();
        self
    }

    /// The process waits for its open requests for so long.
    pub fn draining(mut self, drain: Duration) -> Self {
        self.drains_until = Some(self.from.after(drain));
        self
    }
}

//! A task in this process's memory: read from Kafka, not finished yet.

use std::time::Duration;

use bytes::Bytes;

use super::endpoints::Origin;
use crate::clock::Timestamp;
use crate::kafka::record::Incoming;
use crate::record::{Coordinates, SubscriptionKey, SubscriptionKeyError, TaskError, TaskHeaders};

/// A task that was taken from a partition.
#[derive(Clone, Debug)]
pub struct HeldTask {
    /// Where its record stands: what it is known by. (The delivery id is not unique: a producer may
    /// repeat an event id.)
    pub at: Coordinates,
    /// Index of the lane it came through, in this assignment.
    pub lane: usize,
    /// The record's key, to be written again as it is.
    pub key: Bytes,
    /// Whose it is.
    pub subscription: SubscriptionKey,
    /// The request's body.
    pub body: Bytes,
    /// The rest.
    pub headers: TaskHeaders,
    /// When it was due: for the lateness of retries.
    pub due: Option<Timestamp>,
    /// How long it lay on the tier that it comes from, if that was for a pause: the next wait is longer.
    pub paused_for: Option<Duration>,
    /// Since when nothing but its endpoint's limits holds it back.
    pub ready_since: Timestamp,
}

/// Why a record on a task topic is not a task.
#[derive(Debug, thiserror::Error)]
pub enum HeldTaskError {
    /// Its key.
    #[error("the key is not a subscription's: {0}")]
    Key(#[from] SubscriptionKeyError),
    /// Its headers.
    #[error(transparent)]
    Headers(#[from] TaskError),
    /// It has no value: there is no body to send.
    #[error("the value is null")]
    NoBody,
}

impl HeldTask {
    /// Reads a record of a task topic.
    ///
    /// # Errors
    /// Names what the record lacks.
    pub fn read(record: &Incoming, lane: usize) -> Result<Self, HeldTaskError> {
        let key = record.key.clone().unwrap_or_default();
        Ok(Self {
            at: record.at.clone(),
            lane,
            subscription: SubscriptionKey::try_from(&key[..])?,
            key,
            headers: TaskHeaders::decode(&record.headers)?,
            body: record.value.clone().ok_or(HeldTaskError::NoBody)?,
            due: None,
            paused_for: None,
            ready_since: Timestamp::default(),
        })
    }

    /// Whether it was read from this record, and not from one that stands in the same place since
    /// the topic was made anew.
    pub fn is_of(&self, record: &Incoming) -> bool {
        Self::read(record, self.lane).is_ok_and(|read| {
            (&read.at, &read.key, &read.body, &read.headers)
                == (&self.at, &self.key, &self.body, &self.headers)
        })
    }

    /// Whether it comes from a tier, or for the first time.
    pub fn origin(&self) -> Origin {
        match self.due {
            Some(_) => Origin::Returned,
            None => Origin::New,
        }
    }

    /// What holding it costs, in bytes: the body and, roughly, all else.
    pub fn size(&self) -> usize {
        const REST: usize = 1_024;
        self.body.len() + REST
    }
}

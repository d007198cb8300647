//! The subscriptions of a run: every event type has as many as the fan-out.

use std::net::SocketAddr;

use base64::prelude::{BASE64_STANDARD, Engine};
use serde_json::{Value, json};

use super::tally::RETRY_WAIT;
use super::{Bench, BenchError, load};
use crate::kafka::errand::RecordWriter;
use crate::topic::Topic;

/// How often: endpoints that come back after a while are to be delivered to.
const RETRIES: usize = 100;

/// A subscription of the run.
pub(super) struct Subscription {
    pub(super) id: String,
    /// Its number.
    pub(super) event_type: u64,
    pub(super) at: SocketAddr,
    pub(super) rate_limit: Option<Value>,
    /// Whether its requests fail at first.
    pub(super) comes_back: bool,
}

impl Subscription {
    fn record(&self, scheme: &str) -> Value {
        let at = self.at;
        let event_type = load::event_type(self.event_type);
        let secret: [u8; 32] = rand::random();
        let mut record = json!({
            "version": 1,
            "url": format!("{scheme}://{at}/{event_type}"),
            "events": [event_type],
            "secrets": [format!("whsec_{}", BASE64_STANDARD.encode(secret))],
        });
        if self.comes_back {
            record["retry"] = json!({
                "initial": format!("{}s", RETRY_WAIT.as_secs()),
                "multiplier": 1,
                "jitter": 0,
                "max_retries": RETRIES,
            });
        }
        if let Some(limit) = &self.rate_limit {
            record["rate_limit"] = limit.clone();
        }
        record
    }
}

impl Bench<'_> {
    pub(super) fn put_subscriptions(&self, endpoints: &[SocketAddr]) -> Result<(), BenchError> {
        let numbers = (0..self.plan.subscriptions()).zip(endpoints.iter().cycle());
        let asked = self.plan.asked();
        let fan_out = asked.fan_out;
        let comes_back = asked.failing > 0.0 || asked.due_at_once || asked.beside.is_some();
        self.put(numbers.map(|(number, at)| Subscription {
            id: format!("bench-{number}"),
            event_type: number / fan_out,
            at: *at,
            rate_limit: None,
            comes_back,
        }))
    }

    pub(super) fn put(
        &self,
        subscriptions: impl Iterator<Item = Subscription>,
    ) -> Result<(), BenchError> {
        let config = &self.installation.config;
        let writer =
            RecordWriter::connect_to_table(config, &config.topics.name(Topic::Subscriptions))?;
        for subscription in subscriptions {
            let key = format!("default/{}", subscription.id);
            let value = subscription.record(self.scheme()).to_string();
            writer.write(0, Some(key.as_bytes()), Some(value.as_bytes()))?;
        }
        writer.settle();
        match writer.failure() {
            Some((_, error)) => Err(error.into()),
            None => Ok(()),
        }
    }
}

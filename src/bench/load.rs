//! The process that produces events.

use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::kafka::errand::{ErrandError, RecordWriter};

/// What an event is made of besides its filler, in bytes.
pub const LEAST_SIZE: usize = 160;
/// The member of an event's data that says when it was produced, in microseconds since the Unix epoch.
pub(super) const PRODUCED_AT: &str = "\"produced_at\":";

/// The number of an event that only warms the load up. No subscription gets it.
const NOBODYS: u64 = u64::MAX;
/// Its id: who posts every event posts that one too, and it does not count.
pub(super) const NOBODYS_ID: &[u8] = b"evt_18446744073709551615";

/// What the load says when it is done. Times in microseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Done {
    /// When the first event was produced.
    pub started_at: u64,
    /// When the last one was acknowledged.
    pub ended_at: u64,
}

/// What is produced.
#[derive(Clone, Debug)]
pub struct Load {
    /// To which topic.
    pub topic: String,
    /// How many events.
    pub events: u64,
    /// The number of the first one: what tells them apart.
    pub first_number: u64,
    /// Bytes of each.
    pub size: usize,
    /// The number of the first event type.
    pub first_type: u64,
    /// Event types from there on, taken in turn.
    pub types: u64,
    /// Events a second; none: as fast as Kafka takes them.
    pub rate: Option<u32>,
    /// Whether an event's type is its key; else it has none.
    pub keyed: bool,
}

impl Load {
    /// How long it takes at its rate, in seconds.
    pub(super) fn seconds(&self) -> f64 {
        let rate = self.rate.map_or(f64::INFINITY, f64::from);
        self.events as f64 / rate
    }

    /// Produces.
    ///
    /// # Errors
    /// Kafka does not take them.
    pub fn run(&self, config: &Config) -> Result<Done, ErrandError> {
        let writer = RecordWriter::connect(config, &self.topic)?;
        // An idempotent producer asks for its id when it is first used, and now and then half a second
        // later. That is not to be the first events' latency.
        let nobodys = event(NOBODYS, "nobodys", self.size, now());
        writer.write(0, None, Some(nobodys.as_bytes()))?;
        writer.settle();
        let (began, started_at) = (Instant::now(), now());
        for number in 0..self.events {
            if let Some(rate) = self.rate {
                let due = began + Duration::from_secs_f64(number as f64 / f64::from(rate));
                thread::sleep(due.saturating_duration_since(Instant::now()));
            }
            let event_type = event_type(self.first_type + number % self.types);
            let event = event(self.first_number + number, &event_type, self.size, now());
            let key = self.keyed.then_some(event_type.as_bytes());
            writer.write(0, key, Some(event.as_bytes()))?;
            if let Some((_, error)) = writer.failure() {
                return Err(error);
            }
        }
        writer.settle();
        match writer.failure() {
            Some((_, error)) => Err(error),
            None => Ok(Done {
                started_at,
                ended_at: now(),
            }),
        }
    }
}

/// The type of a group of subscriptions.
pub(super) fn event_type(number: u64) -> String {
    format!("bench.{number}")
}

/// An event of `size` bytes. Its filler does not compress away.
pub(super) fn event(number: u64, event_type: &str, size: usize, produced_at: u64) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut event = String::with_capacity(size.max(LEAST_SIZE));
    event.push_str(&format!(
        r#"{{"id":"evt_{number}","type":"{event_type}","data":{{{PRODUCED_AT}{produced_at},"number":{number},"filler":""#
    ));
    const END: &str = "\"}}";
    let mut random = SmallRng::seed_from_u64(number);
    while event.len() + END.len() < size {
        let mut bits: u64 = random.random();
        for _ in 0..10.min(size - END.len() - event.len()) {
            event.push(char::from(DIGITS[(bits & 63) as usize]));
            bits >>= 6;
        }
    }
    event.push_str(END);
    event
}

/// Microseconds since the Unix epoch.
pub(super) fn now() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
    u64::try_from(since_epoch.unwrap_or_default().as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::record::{Coordinates, Event};

    #[test]
    fn an_event_is_one_and_has_its_size() {
        let at: Coordinates = "events/0/1".parse().unwrap();
        for size in [LEAST_SIZE, 512, 16 << 10] {
            for number in [0, u64::MAX] {
                let text = event(number, &event_type(number), size, now());
                let id = format!("{:?}", str::from_utf8(NOBODYS_ID).unwrap());
                assert_eq!(text.contains(&id), number == NOBODYS, "{text}");
                assert_eq!(text.len(), size, "{text}");
                let parsed = Event::parse(text.as_bytes(), &at, Timestamp::default()).unwrap();
                assert_eq!(parsed.event_type(), event_type(number));
            }
        }
    }
}

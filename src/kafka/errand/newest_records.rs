//! Reads a compacted topic to its end: the newest committed record of each key.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseProducer, Producer};
use rdkafka::{Message, Offset, TopicPartitionList};

use super::{ErrandError, LastWord, PATIENCE, partitions};
use crate::clock::Timestamp;
use crate::config::Config;
use crate::kafka::client_config;
use crate::kafka::record::headers_of;
use crate::record::Headers;

const POLL: Duration = Duration::from_millis(100);

/// What a key's newest record says.
#[derive(Clone, Debug)]
pub struct NewestRecord {
    /// Its offset.
    pub offset: i64,
    /// When it was written.
    pub timestamp: Option<Timestamp>,
    /// Its value; keys whose newest record is a tombstone are not there at all.
    pub value: Bytes,
    /// Its headers.
    pub headers: Headers,
}

/// How many partitions a topic is to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// One, so that its offset is one clock.
    One,
    /// Any number; all records of a key lie on one.
    Any,
}

/// The newest record of each key that is `wanted`, as of now. Blocks.
///
/// # Errors
/// No such topic, another number of partitions, or the cluster falls silent.
pub fn newest_records(
    config: &Config,
    topic: &str,
    expected: Expected,
    wanted: impl Fn(&[u8]) -> bool,
) -> Result<BTreeMap<Bytes, NewestRecord>, ErrandError> {
    let probe: BaseProducer<LastWord> = client_config::admin(config)
        .create_with_context(LastWord::default())
        .map_err(ErrandError::Client)?;
    let partitions = partitions(config, topic, &probe, probe.context())?;
    if expected == Expected::One && partitions != 1 {
        let topic = topic.to_owned();
        return Err(ErrandError::Partitions { topic, partitions });
    }
    let consumer: BaseConsumer<LastWord> = client_config::table_reader(config)
        .create_with_context(LastWord::default())
        .map_err(ErrandError::Client)?;
    let mut unread: BTreeSet<i32> = (0..).take(partitions).collect();
    let mut from_the_start = TopicPartitionList::new();
    for partition in &unread {
        from_the_start
            .add_partition_offset(topic, *partition, Offset::Beginning)
            .map_err(ErrandError::Client)?;
    }
    consumer
        .assign(&from_the_start)
        .map_err(ErrandError::Client)?;

    let mut newest = BTreeMap::new();
    let mut heard = Instant::now();
    let mut trouble = None;
    loop {
        match consumer.poll(POLL) {
            Some(Ok(message)) => {
                heard = Instant::now();
                let key = message.key().unwrap_or_default();
                if !wanted(key) {
                    continue;
                }
                match message.payload() {
                    None => drop(newest.remove(key)),
                    Some(value) => {
                        let record = NewestRecord {
                            offset: message.offset(),
                            timestamp: message.timestamp().to_millis().map(Timestamp::from_millis),
                            value: Bytes::copy_from_slice(value),
                            headers: headers_of(&message),
                        };
                        newest.insert(Bytes::copy_from_slice(key), record);
                    }
                }
            }
            // Reported where a fetch has found nothing more that is committed.
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                heard = Instant::now();
                unread.remove(&partition);
                if unread.is_empty() {
                    return Ok(newest);
                }
            }
            Some(Err(error)) => trouble = Some(error),
            None => {}
        }
        if heard.elapsed() > PATIENCE {
            let cause = match trouble {
                Some(error) => error.to_string(),
                None => consumer.context().or("no answer"),
            };
            let topic = topic.to_owned();
            return Err(ErrandError::Unread { topic, cause });
        }
    }
}

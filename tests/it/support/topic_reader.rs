//! Reads a topic as any careful consumer would: committed records only, from the beginning.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::Context;
use rdkafka::ClientConfig;
use rdkafka::Message;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::kafka::{ANSWER, partitions};

/// A record as it lies on Kafka.
#[derive(Clone, PartialEq, Eq)]
pub struct Record {
    /// From 0.
    pub partition: i32,
    /// Within the partition.
    pub offset: i64,
    /// None: a null key.
    pub key: Option<String>,
    /// None: a tombstone.
    pub value: Option<Vec<u8>>,
    /// In their order; a null value is empty here.
    pub headers: Vec<(String, Vec<u8>)>,
    /// Unix milliseconds, as the topic stamps them.
    pub timestamp: i64,
}

impl Record {
    /// A header's text; none when it is not there or not UTF-8.
    pub fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(present, _)| present == name)?;
        std::str::from_utf8(value).ok()
    }

    /// The value as JSON.
    pub fn json(&self) -> anyhow::Result<serde_json::Value> {
        let value = self.value.as_deref().context("a tombstone has no JSON")?;
        Ok(serde_json::from_slice(value)?)
    }
}

/// Shows values and headers as text: bytes as numbers tell nothing in a failure's message.
impl std::fmt::Debug for Record {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        const SHOWN: usize = 500;
        let text =
            |bytes: &[u8]| String::from_utf8_lossy(&bytes[..bytes.len().min(SHOWN)]).into_owned();
        let headers = self.headers.iter().map(|(name, value)| (name, text(value)));
        formatter
            .debug_struct("Record")
            .field("at", &format_args!("{}/{}", self.partition, self.offset))
            .field("key", &self.key)
            .field("value", &self.value.as_deref().map(text))
            .field("headers", &headers.collect::<Vec<_>>())
            .field("timestamp", &self.timestamp)
            .finish()
    }
}

/// A reader of all partitions of a topic. Its calls block.
pub struct TopicReader {
    consumer: BaseConsumer,
    topic: String,
    unread: BTreeSet<i32>,
}

impl TopicReader {
    /// Begins at the start of every partition.
    pub fn open(config: &ClientConfig, topic: &str) -> anyhow::Result<Self> {
        let mut config = config.clone();
        config
            // Needed to assign, never committed to.
            .set("group.id", "hooktide-it-reader")
            .set("enable.auto.commit", "false")
            .set("isolation.level", "read_committed")
            .set("enable.partition.eof", "true")
            .set("auto.offset.reset", "error")
            .set("fetch.wait.max.ms", "20")
            .set("fetch.message.max.bytes", "20000000");
        let consumer: BaseConsumer = config.create()?;
        let unread: BTreeSet<i32> = partitions(&consumer, topic)?.into_iter().collect();
        let mut assignment = TopicPartitionList::new();
        for &partition in &unread {
            assignment.add_partition_offset(topic, partition, Offset::Beginning)?;
        }
        consumer.assign(&assignment)?;
        Ok(Self {
            consumer,
            topic: topic.to_owned(),
            unread,
        })
    }

    /// All records up to where every partition's stable end was met once, in partition order.
    pub fn read_to_end(mut self) -> anyhow::Result<Vec<Record>> {
        let until = Instant::now() + ANSWER;
        let mut records = Vec::new();
        while !self.unread.is_empty() {
            anyhow::ensure!(Instant::now() < until, "{} has no end", self.topic);
            records.extend(self.next()?);
        }
        records.sort_by_key(|record: &Record| (record.partition, record.offset));
        Ok(records)
    }

    /// Reads on past the end until `condition` holds.
    pub fn follow_until(
        mut self,
        within: Duration,
        condition: impl Fn(&[Record]) -> bool,
    ) -> anyhow::Result<Vec<Record>> {
        let until = Instant::now() + within;
        let mut records = Vec::new();
        while !condition(&records) {
            anyhow::ensure!(
                Instant::now() < until,
                "{} did not get there within {within:?}; {} records, the last: {:#?}",
                self.topic,
                records.len(),
                &records[records.len().saturating_sub(5)..]
            );
            // Conditions are asked once for what has arrived together.
            let mut record = self.next()?;
            while let Some(read) = record.take() {
                records.push(read);
                record = self.next_within(Duration::ZERO)?;
            }
        }
        Ok(records)
    }

    fn next(&mut self) -> anyhow::Result<Option<Record>> {
        self.next_within(Duration::from_millis(50))
    }

    fn next_within(&mut self, wait: Duration) -> anyhow::Result<Option<Record>> {
        match self.consumer.poll(wait) {
            None => Ok(None),
            Some(Ok(message)) => Ok(Some(record(&message))),
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                self.unread.remove(&partition);
                Ok(None)
            }
            // A broker that is away for a moment; librdkafka goes on by itself.
            Some(Err(KafkaError::MessageConsumption(
                RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::AllBrokersDown
                | RDKafkaErrorCode::OperationTimedOut,
            ))) => Ok(None),
            Some(Err(error)) => Err(error).with_context(|| format!("reading {}", self.topic)),
        }
    }
}

fn record(message: &BorrowedMessage<'_>) -> Record {
    let headers = message.headers().into_iter().flat_map(|headers| {
        headers.iter().map(|header| {
            (
                header.key.to_owned(),
                header.value.unwrap_or_default().to_vec(),
            )
        })
    });
    Record {
        partition: message.partition(),
        offset: message.offset(),
        key: message
            .key()
            .map(|key| String::from_utf8_lossy(key).into_owned()),
        value: message.payload().map(<[u8]>::to_vec),
        headers: headers.collect(),
        timestamp: message.timestamp().to_millis().unwrap_or(-1),
    }
}

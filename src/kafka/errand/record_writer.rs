//! Writes records and knows which were acknowledged by all replicas in sync.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};
use rdkafka::types::RDKafkaErrorCode;

use super::{ErrandError, LastWord, partitions};
use crate::config::Config;
use crate::kafka::client_config;
use crate::kafka::record::Outgoing;

/// How long one call to librdkafka waits for acknowledgements.
const POLL: Duration = Duration::from_millis(5);

/// Writes to one topic, idempotently.
pub struct RecordWriter {
    topic: String,
    producer: BaseProducer<Context>,
}

/// Where a record has landed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Landing {
    /// From 0.
    pub partition: i32,
    /// Within the partition.
    pub offset: i64,
}

/// What has become of the records so far.
#[derive(Debug, Default)]
struct Tally {
    acknowledged: u64,
    last: Option<Landing>,
    /// The number of the first record that failed, and why.
    failed: Option<(usize, KafkaError)>,
}

#[derive(Default)]
struct Context {
    last_word: LastWord,
    tally: Mutex<Tally>,
}

impl RecordWriter {
    /// A writer to a topic that is there. Blocks.
    ///
    /// # Errors
    /// No such topic, or the cluster is silent.
    pub fn connect(config: &Config, topic: &str) -> Result<Self, ErrandError> {
        let (writer, _) = Self::open(config, topic)?;
        Ok(writer)
    }

    /// The same for a topic that must have one partition, so that its offset is one clock.
    ///
    /// # Errors
    /// As [`RecordWriter::connect`], and a topic with more partitions.
    pub fn connect_to_table(config: &Config, topic: &str) -> Result<Self, ErrandError> {
        match Self::open(config, topic)? {
            (writer, 1) => Ok(writer),
            (writer, partitions) => Err(ErrandError::Partitions {
                topic: writer.topic,
                partitions,
            }),
        }
    }

    fn open(config: &Config, topic: &str) -> Result<(Self, usize), ErrandError> {
        let producer: BaseProducer<Context> = client_config::errand_producer(config)
            .create_with_context(Context::default())
            .map_err(ErrandError::Client)?;
        let last_word = &producer.context().last_word;
        let partitions = partitions(config, topic, &producer, last_word)?;
        let topic = topic.to_owned();
        Ok((Self { topic, producer }, partitions))
    }

    /// Hands one record over; `number` tells it apart in [`RecordWriter::failure`]. Blocks while
    /// librdkafka's queue is full.
    ///
    /// # Errors
    /// A record that can never be written.
    pub fn write(
        &self,
        number: usize,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
    ) -> Result<(), ErrandError> {
        let mut record = BaseRecord::with_opaque_to(&self.topic, number);
        record.key = key;
        record.payload = value;
        self.send(record)
    }

    fn send(&self, mut record: BaseRecord<'_, [u8], [u8], usize>) -> Result<(), ErrandError> {
        loop {
            match self.producer.send(record) {
                Ok(()) => {
                    self.producer.poll(Duration::ZERO);
                    return Ok(());
                }
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), returned))
                    if self.producer.in_flight_count() > 0 =>
                {
                    record = returned;
                    self.producer.poll(POLL);
                }
                Err((error, _)) => {
                    let topic = self.topic.clone();
                    return Err(ErrandError::Refused { topic, error });
                }
            }
        }
    }

    /// Waits until every record handed over is acknowledged or has failed, which each does within
    /// librdkafka's `delivery.timeout.ms`.
    pub fn settle(&self) {
        while self.producer.in_flight_count() > 0 {
            self.producer.poll(POLL);
        }
    }

    /// How many records are acknowledged.
    pub fn acknowledged(&self) -> u64 {
        self.tally().acknowledged
    }

    /// The number of the first record that failed, and why.
    pub fn failure(&self) -> Option<(usize, ErrandError)> {
        let (number, error) = self.tally().failed.clone()?;
        let topic = self.topic.clone();
        let error = match error.rdkafka_error_code() {
            Some(
                RDKafkaErrorCode::MessageTimedOut
                | RDKafkaErrorCode::RequestTimedOut
                | RDKafkaErrorCode::NotEnoughReplicasAfterAppend
                | RDKafkaErrorCode::Fatal,
            ) => ErrandError::Unacknowledged { topic, error },
            _ => ErrandError::Refused { topic, error },
        };
        Some((number, error))
    }

    /// Writes one record and waits until all replicas in sync have it.
    ///
    /// # Errors
    /// It is not acknowledged.
    pub fn write_one(&self, key: &[u8], value: Option<&[u8]>) -> Result<Landing, ErrandError> {
        self.write(0, Some(key), value)?;
        self.landed()
    }

    /// The same of a record with headers; its topic is the writer's.
    ///
    /// # Errors
    /// It is not acknowledged.
    pub fn write_whole(&self, record: &Outgoing) -> Result<Landing, ErrandError> {
        let mut sent = BaseRecord::with_opaque_to(&self.topic, 0);
        sent.key = record.key.as_deref();
        sent.payload = record.value.as_deref();
        sent.headers = Some(record.native_headers());
        self.send(sent)?;
        self.landed()
    }

    fn landed(&self) -> Result<Landing, ErrandError> {
        self.settle();
        if let Some((_, error)) = self.failure() {
            return Err(error);
        }
        self.tally()
            .last
            .ok_or_else(|| ErrandError::Unacknowledged {
                topic: self.topic.clone(),
                error: KafkaError::Canceled,
            })
    }

    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.producer.context().tally()
    }
}

impl Context {
    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.last_word.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.last_word.error(error, reason);
    }
}

impl ProducerContext for Context {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, number: usize) {
        let mut tally = self.tally();
        match result {
            Ok(message) => {
                tally.acknowledged += 1;
                tally.last = Some(Landing {
                    partition: message.partition(),
                    offset: message.offset(),
                });
            }
            Err((error, _)) => {
                let is_first = tally
                    .failed
                    .as_ref()
                    .is_none_or(|(first, _)| number < *first);
                if is_first {
                    tally.failed = Some((number, error.clone()));
                }
            }
        }
    }
}

//! The plainest way from one topic to another within transactions: what a role that does nothing with
//! its records could reach at best. A yardstick.

use std::time::{Duration, Instant};

use rdkafka::Message;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::BorrowedMessage;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ThreadedProducer};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};

use super::{ErrandError, LastWord, PATIENCE, partitions};
use crate::config::Config;
use crate::kafka::client_config;
use crate::role::Role;

/// How long one call waits for records, or for room in the producer.
const POLL: Duration = Duration::from_millis(5);
/// Between two looks at what is still unanswered.
const DRAIN_STEP: Duration = Duration::from_micros(250);

/// Copies the first `records` of a topic, with keys, headers and partitions, in transactions as large as the
/// router's, with a producer as the router's and a consumer that reads ahead as far as helps. Says how long it took from the first record on. Blocks.
///
/// # Errors
/// The cluster falls silent, or does not take them.
pub fn raw_copy(
    config: &Config,
    from: &str,
    to: &str,
    records: u64,
) -> Result<Duration, ErrandError> {
    let producer: ThreadedProducer<LastWord> =
        client_config::transactional_producer(config, Role::Router, "copy", 1_000_000)
            .create_with_context(LastWord::default())
            .map_err(ErrandError::Client)?;
    let failed = |error| ErrandError::Unacknowledged {
        topic: to.to_owned(),
        error,
    };
    producer.init_transactions(PATIENCE).map_err(failed)?;
    let consumer = from_the_start(config, from)?;
    let group = consumer.group_metadata();
    let group = group.ok_or_else(|| failed(KafkaError::Canceled))?;
    let (mut began, mut copied) = (None, 0);
    let mut heard = Instant::now();
    while copied < records {
        let mut batch = 0;
        let mut offsets = TopicPartitionList::new();
        while batch < config.router.batch_records as u64 && copied + batch < records {
            let message = match consumer.poll(POLL) {
                Some(Ok(message)) => message,
                Some(Err(KafkaError::PartitionEOF(_))) => continue,
                Some(Err(_)) | None if batch > 0 => break,
                Some(Err(_)) | None if heard.elapsed() < PATIENCE => continue,
                Some(Err(_)) | None => {
                    return Err(ErrandError::Unread {
                        topic: from.to_owned(),
                        cause: format!("{copied} of {records} records came"),
                    });
                }
            };
            if batch == 0 {
                began.get_or_insert_with(Instant::now);
                producer.begin_transaction().map_err(failed)?;
            }
            send(&producer, &message, to)?;
            batch += 1;
            let next = Offset::Offset(message.offset() + 1);
            let (partition, at) = (
                message.partition(),
                offsets.find_partition(from, message.partition()),
            );
            match at {
                Some(mut at) => at.set_offset(next),
                None => offsets.add_partition_offset(from, partition, next),
            }
            .map_err(failed)?;
        }
        drain(&producer);
        producer
            .send_offsets_to_transaction(&offsets, &group, PATIENCE)
            .map_err(failed)?;
        producer.commit_transaction(PATIENCE).map_err(failed)?;
        copied += batch;
        heard = Instant::now();
    }
    Ok(began.map(|began| began.elapsed()).unwrap_or_default())
}

/// Waits for the answers to all that was sent, for rust-rdkafka's flush would wait in steps of 100 ms.
fn drain(producer: &ThreadedProducer<LastWord>) {
    let deadline = Instant::now() + PATIENCE;
    while producer.in_flight_count() > 0 && Instant::now() < deadline {
        std::thread::sleep(DRAIN_STEP);
    }
}

fn send(
    producer: &ThreadedProducer<LastWord>,
    message: &BorrowedMessage<'_>,
    to: &str,
) -> Result<(), ErrandError> {
    let mut record: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(to).partition(message.partition());
    record.key = message.key();
    record.payload = message.payload();
    record.headers = message.headers().map(|headers| headers.detach());
    loop {
        match producer.send(record) {
            Ok(()) => return Ok(()),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), returned)) => {
                record = returned;
                std::thread::sleep(POLL);
            }
            Err((error, _)) => {
                let topic = to.to_owned();
                return Err(ErrandError::Refused { topic, error });
            }
        }
    }
}

fn from_the_start(config: &Config, topic: &str) -> Result<BaseConsumer<LastWord>, ErrandError> {
    let probe: BaseProducer<LastWord> = client_config::admin(config)
        .create_with_context(LastWord::default())
        .map_err(ErrandError::Client)?;
    let consumer: BaseConsumer<LastWord> = client_config::group_consumer(config, Role::Router)
        .set("group.id", format!("{}.copy", config.application_id))
        // Not as frugal as a role.
        .set("queued.max.messages.kbytes", "1024")
        .set("fetch.message.max.bytes", (1 << 20).to_string())
        .create_with_context(LastWord::default())
        .map_err(ErrandError::Client)?;
    let mut start = TopicPartitionList::new();
    for partition in (0..).take(partitions(config, topic, &probe, probe.context())?) {
        start
            .add_partition_offset(topic, partition, Offset::Beginning)
            .map_err(ErrandError::Client)?;
    }
    consumer.assign(&start).map_err(ErrandError::Client)?;
    Ok(consumer)
}

//! Reads what is written to some topics from now on.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, Producer};
use rdkafka::{Offset, TopicPartitionList};

use super::{ErrandError, LastWord, PATIENCE, partitions};
use crate::config::Config;
use crate::kafka::client_config;
use crate::kafka::record::Incoming;

/// A reader of what is committed after it has begun.
pub struct Tail {
    consumer: BaseConsumer<LastWord>,
    names: HashMap<String, Arc<str>>,
}

impl Tail {
    /// Begins at the ends that the topics have now. Blocks.
    ///
    /// # Errors
    /// No such topic, or the cluster is silent.
    pub fn begin(config: &Config, topics: &[String]) -> Result<Self, ErrandError> {
        let consumer = consumer_at_the_ends(config, topics)?;
        let names = topics
            .iter()
            .map(|name| (name.clone(), name.as_str().into()));
        Ok(Self {
            consumer,
            names: names.collect(),
        })
    }

    /// The next record of any of the topics; none when there is none within `wait`. A broker that is
    /// away is waited for.
    pub fn next(&self, wait: Duration) -> Option<Incoming> {
        match self.consumer.poll(wait)? {
            Ok(message) => {
                let name = self.names.get(message.topic())?;
                Some(Incoming::copied_from(&message, name))
            }
            Err(KafkaError::PartitionEOF(_)) => None,
            Err(error) => {
                tracing::debug!(%error, "the end of a topic cannot be read");
                None
            }
        }
    }
}

/// A consumer of all partitions of these topics, from the ends that they have now.
pub(super) fn consumer_at_the_ends(
    config: &Config,
    topics: &[String],
) -> Result<BaseConsumer<LastWord>, ErrandError> {
    let probe: BaseProducer<LastWord> = client_config::admin(config)
        .create_with_context(LastWord::default())
        .map_err(ErrandError::Client)?;
    let consumer: BaseConsumer<LastWord> = client_config::table_reader(config)
        .create_with_context(LastWord::default())
        .map_err(ErrandError::Client)?;
    let mut from_the_end = TopicPartitionList::new();
    for topic in topics {
        for partition in (0..).take(partitions(config, topic, &probe, probe.context())?) {
            let ends = consumer.fetch_watermarks(topic, partition, PATIENCE);
            let (_, end) = ends.map_err(|error| ErrandError::Silent {
                servers: config.kafka.bootstrap_servers.clone(),
                cause: probe.context().or(error),
            })?;
            from_the_end
                .add_partition_offset(topic, partition, Offset::Offset(end))
                .map_err(ErrandError::Client)?;
        }
    }
    consumer
        .assign(&from_the_end)
        .map_err(ErrandError::Client)?;
    Ok(consumer)
}

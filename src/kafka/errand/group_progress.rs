//! How far a role's group is on a topic, as its committed offsets say.

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseProducer, Producer};
use rdkafka::{Offset, TopicPartitionList};

use super::{ErrandError, LastWord, PATIENCE, partitions};
use crate::config::Config;
use crate::kafka::client_config;
use crate::role::Role;

/// Asks for the offsets of a group without being in it.
pub struct GroupProgress {
    consumer: BaseConsumer<LastWord>,
    topic: String,
    partitions: TopicPartitionList,
    servers: String,
}

impl GroupProgress {
    /// For a topic that is there. Blocks.
    ///
    /// # Errors
    /// No such topic, or the cluster is silent.
    pub fn of(config: &Config, role: Role, topic: &str) -> Result<Self, ErrandError> {
        let probe: BaseProducer<LastWord> = client_config::admin(config)
            .create_with_context(LastWord::default())
            .map_err(ErrandError::Client)?;
        let consumer = client_config::group_consumer(config, role)
            // Else an answer would wait for the transaction that is under way, and one always is.
            .set("isolation.level", "read_uncommitted")
            .create_with_context(LastWord::default())
            .map_err(ErrandError::Client)?;
        let mut all = TopicPartitionList::new();
        for partition in (0..).take(partitions(config, topic, &probe, probe.context())?) {
            all.add_partition(topic, partition);
        }
        Ok(Self {
            consumer,
            topic: topic.to_owned(),
            partitions: all,
            servers: config.kafka.bootstrap_servers.clone(),
        })
    }

    /// How many offsets of all partitions are committed as done. Blocks.
    ///
    /// # Errors
    /// The cluster is silent.
    pub fn now(&self) -> Result<u64, ErrandError> {
        let asked = self.partitions.clone();
        let committed = self.consumer.committed_offsets(asked, PATIENCE);
        let committed = committed.map_err(|error| self.silent(error))?;
        let offsets = committed
            .elements()
            .into_iter()
            .map(|at| match at.offset() {
                Offset::Offset(offset) => u64::try_from(offset).unwrap_or_default(),
                Offset::Invalid
                | Offset::Beginning
                | Offset::End
                | Offset::Stored
                | Offset::OffsetTail(_) => 0,
            });
        Ok(offsets.sum())
    }

    /// How many offsets there are now. Blocks.
    ///
    /// # Errors
    /// The cluster is silent.
    pub fn end(&self) -> Result<u64, ErrandError> {
        let mut sum = 0;
        for at in self.partitions.elements() {
            let ends = self
                .consumer
                .fetch_watermarks(&self.topic, at.partition(), PATIENCE);
            let (_, end) = ends.map_err(|error| self.silent(error))?;
            sum += u64::try_from(end).unwrap_or_default();
        }
        Ok(sum)
    }

    fn silent(&self, error: impl ToString) -> ErrandError {
        ErrandError::Silent {
            servers: self.servers.clone(),
            cause: self.consumer.context().or(error),
        }
    }
}

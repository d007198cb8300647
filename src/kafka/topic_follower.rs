//! Follows whole topics from their beginning, outside of any group: for looking on.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Message, Offset, TopicPartitionList};

use super::client_log::ClientLog;
use super::record::{Incoming, TopicPartition};

/// How long one question to the cluster may take.
const ANSWER: Duration = Duration::from_secs(10);

/// A reader of all committed records of some topics. Its calls block.
pub struct TopicFollower {
    consumer: BaseConsumer<ClientLog>,
    names: HashMap<String, Arc<str>>,
    /// The next offset of each partition; none before its first record.
    positions: BTreeMap<TopicPartition, Option<i64>>,
    /// librdkafka tells the end of a partition by its number alone, so ends are counted.
    ends_to_meet: HashMap<i32, usize>,
}

/// Why topics cannot be followed.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// A configuration that librdkafka refuses.
    #[error("cannot set up a Kafka client: {0}")]
    Client(KafkaError),
    /// The cluster does not answer.
    #[error("cannot ask Kafka for topic `{topic}`: {cause}")]
    Metadata {
        /// Full name.
        topic: String,
        /// What librdkafka said.
        cause: KafkaError,
    },
    /// librdkafka refuses the assignment, or a read failed.
    #[error("cannot read: {0}")]
    Read(KafkaError),
}

impl TopicFollower {
    /// Begins at the start of every partition. `config` is that of a
    /// [table reader](super::client_config::table_reader).
    pub fn start(config: &ClientConfig, topics: &[String]) -> Result<Self, FollowError> {
        let consumer: BaseConsumer<ClientLog> = config
            .create_with_context(ClientLog::new("follower"))
            .map_err(FollowError::Client)?;
        let mut positions = BTreeMap::new();
        let mut names = HashMap::new();
        for topic in topics {
            let metadata = consumer
                .fetch_metadata(Some(topic), ANSWER)
                .map_err(|cause| FollowError::Metadata {
                    topic: topic.clone(),
                    cause,
                })?;
            let name: Arc<str> = topic.as_str().into();
            let found = metadata.topics().iter().flat_map(|one| one.partitions());
            for partition in found {
                let at = TopicPartition {
                    topic: Arc::clone(&name),
                    partition: partition.id(),
                };
                positions.insert(at, None);
            }
            names.insert(topic.clone(), name);
        }
        let mut follower = Self {
            consumer,
            names,
            positions,
            ends_to_meet: HashMap::new(),
        };
        follower.look_for_the_end()?;
        Ok(follower)
    }

    /// The next record, of whatever topic; none when there is none within `wait`.
    pub fn next(&mut self, wait: Duration) -> Result<Option<Incoming>, FollowError> {
        match self.consumer.poll(wait) {
            None => Ok(None),
            Some(Ok(message)) => {
                let Some(topic) = self.names.get(message.topic()) else {
                    return Ok(None);
                };
                let record = Incoming::copied_from(&message, topic);
                let at = TopicPartition {
                    topic: Arc::clone(topic),
                    partition: record.at.partition,
                };
                self.positions.insert(at, Some(record.at.offset + 1));
                Ok(Some(record))
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                if let Some(left) = self.ends_to_meet.get_mut(&partition) {
                    *left = left.saturating_sub(1);
                }
                Ok(None)
            }
            // A broker that is away for a moment; librdkafka goes on by itself.
            Some(Err(KafkaError::MessageConsumption(
                RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::AllBrokersDown
                | RDKafkaErrorCode::OperationTimedOut,
            ))) => Ok(None),
            Some(Err(error)) => Err(FollowError::Read(error)),
        }
    }

    /// From now on [`Self::is_at_end`] says whether everything has been read that is committed now.
    pub fn look_for_the_end(&mut self) -> Result<(), FollowError> {
        let mut list = TopicPartitionList::new();
        self.ends_to_meet.clear();
        for (at, next) in &self.positions {
            let from = next.map_or(Offset::Beginning, Offset::Offset);
            list.add_partition_offset(&at.topic, at.partition, from)
                .map_err(FollowError::Read)?;
            *self.ends_to_meet.entry(at.partition).or_default() += 1;
        }
        // An end that is met after this was reported by a fetch that began after it. What an old
        // fetch has brought is thrown away first: ends among it would be counted.
        self.consumer.unassign().map_err(FollowError::Read)?;
        self.consumer.assign(&list).map_err(FollowError::Read)
    }

    /// Whether every partition's end was met since [`Self::look_for_the_end`].
    pub fn is_at_end(&self) -> bool {
        self.ends_to_meet.values().all(|left| *left == 0)
    }
}

//! librdkafka's mock broker inside this process, for trying Hooktide out without anything installed.
//!
//! It proves nothing about durability: it drops the offsets of transactions, fences nobody, shows
//! aborted records and keeps 5 MiB of a partition.

use std::collections::BTreeMap;

use rdkafka::error::KafkaError;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;

use super::topic_rules::{Cluster, ClusterFacts, SeenTopic};
use crate::topic::Topics;

/// A cluster of one broker on a free port of 127.0.0.1; it ends when dropped.
pub struct MockBroker {
    cluster: MockCluster<'static, DefaultProducerContext>,
}

/// Why there is no mock broker, or not its topics.
#[derive(Debug, thiserror::Error)]
pub enum MockError {
    /// It could not be started.
    #[error("cannot start the mock broker: {0}")]
    Start(KafkaError),
    /// It would not make a topic.
    #[error("the mock broker cannot create topic `{topic}`: {cause}")]
    Create {
        /// Full name.
        topic: String,
        /// What librdkafka said.
        cause: KafkaError,
    },
    /// There is no `deliveries` among the topics.
    #[error("the mock broker has no topic for deliveries")]
    NoDeliveries,
}

impl MockBroker {
    /// Starts it.
    pub fn start() -> Result<Self, MockError> {
        let cluster = MockCluster::new(1).map_err(MockError::Start)?;
        Ok(Self { cluster })
    }

    /// `127.0.0.1:port`.
    pub fn bootstrap_servers(&self) -> String {
        self.cluster.bootstrap_servers()
    }

    /// Makes the own topics, the task topics with `partitions`, and `events`. The broker cannot be
    /// asked for the facts that the roles need, so they are the result.
    pub fn create_topics(
        &self,
        topics: &Topics,
        events: &str,
        partitions: i32,
    ) -> Result<ClusterFacts, MockError> {
        let mut made = BTreeMap::new();
        for topic in topics.all() {
            made.insert(topics.name(topic), topic.partitions(partitions));
        }
        made.insert(events.to_owned(), partitions);
        for (topic, partitions) in &made {
            let created = self.cluster.create_topic(topic, *partitions, 1);
            created.map_err(|cause| MockError::Create {
                topic: topic.clone(),
                cause,
            })?;
        }
        let seen = made.into_iter().map(|(name, partitions)| {
            let topic = SeenTopic {
                partitions,
                replicas: 1,
                ..SeenTopic::default()
            };
            (name, topic)
        });
        let cluster = Cluster {
            brokers: 1,
            topics: seen.collect(),
            ..Cluster::default()
        };
        ClusterFacts::of(&cluster, topics).ok_or(MockError::NoDeliveries)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::topic::Topic;

    #[test]
    fn topics_are_made_and_their_facts_told() {
        let tiers = [Duration::from_secs(1), Duration::from_secs(3)];
        let topics = Topics::try_new("t.", &BTreeMap::new(), &tiers).unwrap();
        let broker = MockBroker::start().unwrap();
        let facts = broker.create_topics(&topics, "events", 3).unwrap();
        assert_eq!(facts.partitions, 3);
        let named: Vec<_> = facts.tiers.iter().map(|tier| &*tier.topic).collect();
        let expected = tiers.map(|delay| topics.name(Topic::Retry(delay)));
        assert_eq!(named, expected);
        assert!(broker.bootstrap_servers().starts_with("127.0.0.1:"));
        assert!(matches!(
            broker.create_topics(&topics, "events", 3),
            Err(MockError::Create { .. })
        ));
    }
}

//! The test's side of Kafka: makes topics, produces, and reads what has become of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use rdkafka::ClientConfig;
use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, NewPartitions, NewTopic, ResourceSpecifier,
    TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::future_producer::DeliveryFuture;
use rdkafka::producer::{FutureProducer, FutureRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};

use super::topic_reader::{Record, TopicReader};

/// How long the broker may take to answer a request of the test.
pub const ANSWER: Duration = Duration::from_secs(20);

/// A Kafka cluster as seen by a test. Cheap to clone.
#[derive(Clone)]
pub struct Kafka {
    bootstrap_servers: Arc<str>,
    /// Of topics that are made.
    replicas: i32,
    producer: FutureProducer,
}

/// A record to be produced.
#[derive(Clone, Debug, Default)]
pub struct NewRecord {
    /// None: Kafka's null key.
    pub key: Option<String>,
    /// None: a tombstone.
    pub value: Option<Vec<u8>>,
    /// In their order.
    pub headers: Vec<(String, Vec<u8>)>,
    /// None: the producer's partitioner decides.
    pub partition: Option<i32>,
}

/// Where a record has landed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Landed {
    /// From 0.
    pub partition: i32,
    /// Within the partition.
    pub offset: i64,
}

/// What a group has committed for a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The topic's full name.
    pub topic: String,
    /// From 0.
    pub partition: i32,
    /// None: nothing yet.
    pub offset: Option<i64>,
    /// Commit metadata as written.
    pub metadata: String,
}

impl NewRecord {
    /// A value without a key.
    pub fn value(value: impl Into<Vec<u8>>) -> Self {
        Self {
            value: Some(value.into()),
            ..Self::default()
        }
    }

    /// A value under a key.
    pub fn keyed(key: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        Self {
            key: Some(key.into()),
            ..Self::value(value)
        }
    }
}

impl Kafka {
    /// A cluster of one broker. Connects lazily: fails only on settings.
    pub fn new(bootstrap_servers: &str) -> anyhow::Result<Self> {
        Self::replicated(bootstrap_servers, 1)
    }

    /// One whose topics are made with so many copies.
    pub fn replicated(bootstrap_servers: &str, replicas: i32) -> anyhow::Result<Self> {
        let producer = client_config(bootstrap_servers)
            // What is counted is what Hooktide doubles.
            .set("enable.idempotence", "true")
            .set("linger.ms", "1")
            .set("message.max.bytes", "20000000")
            .set("delivery.timeout.ms", "60000")
            .set("queue.buffering.max.messages", "1000000")
            .create()?;
        Ok(Self {
            bootstrap_servers: bootstrap_servers.into(),
            replicas,
            producer,
        })
    }

    /// For clients of the test's own.
    pub fn bootstrap_servers(&self) -> &str {
        &self.bootstrap_servers
    }

    /// How many copies of its topics there are.
    pub fn replicas(&self) -> i32 {
        self.replicas
    }

    /// The settings that every client of this cluster needs.
    pub fn client_config(&self) -> ClientConfig {
        client_config(&self.bootstrap_servers)
    }

    /// One metadata request; blocks for at most `within`.
    pub fn ask_for_metadata(&self, within: Duration) -> anyhow::Result<()> {
        let consumer: BaseConsumer = self.client_config().create()?;
        consumer.fetch_metadata(None, within)?;
        Ok(())
    }

    /// Makes a topic with these settings (`[("cleanup.policy", "compact")]`).
    pub async fn create_topic(
        &self,
        name: &str,
        partitions: i32,
        settings: &[(&str, &str)],
    ) -> anyhow::Result<()> {
        let mut topic = NewTopic::new(name, partitions, TopicReplication::Fixed(self.replicas));
        for (key, value) in settings {
            topic = topic.set(key, value);
        }
        let results = self
            .admin()?
            .create_topics([&topic], &admin_options())
            .await?;
        for result in results {
            result.map_err(|(name, code)| anyhow::anyhow!("topic {name}: {code}"))?;
        }
        self.wait_for_topic_to_be_known(name).await
    }

    /// The controller has made a topic before the brokers hear of it.
    async fn wait_for_topic_to_be_known(&self, name: &str) -> anyhow::Result<()> {
        let consumer: Arc<BaseConsumer> = Arc::new(self.client_config().create()?);
        let known = async {
            let mut tick = tokio::time::interval(Duration::from_millis(20));
            loop {
                tick.tick().await;
                let (consumer, name) = (Arc::clone(&consumer), name.to_owned());
                if blocking(move || partitions(&consumer, &name)).await.is_ok() {
                    return;
                }
            }
        };
        tokio::time::timeout(ANSWER, known)
            .await
            .with_context(|| format!("no broker knows topic {name}"))
    }

    /// Removes a topic and waits until it is gone.
    pub async fn delete_topic(&self, name: &str) -> anyhow::Result<()> {
        let results = self
            .admin()?
            .delete_topics(&[name], &admin_options())
            .await?;
        for result in results {
            result.map_err(|(name, code)| anyhow::anyhow!("topic {name}: {code}"))?;
        }
        let (config, name) = (self.client_config(), name.to_owned());
        blocking(move || {
            let consumer: BaseConsumer = config.create()?;
            let until = Instant::now() + ANSWER;
            // An answer takes a moment, so this does not spin.
            while partitions(&consumer, &name).is_ok() {
                anyhow::ensure!(Instant::now() < until, "{name} is still there");
            }
            Ok(())
        })
        .await
    }

    /// Gives a topic more partitions: `partitions` in all, which can be produced to at once.
    pub async fn grow_topic(&self, name: &str, partitions: usize) -> anyhow::Result<()> {
        let growth = NewPartitions::new(name, partitions);
        let results = self
            .admin()?
            .create_partitions([&growth], &admin_options())
            .await?;
        for result in results {
            result.map_err(|(name, code)| anyhow::anyhow!("topic {name}: {code}"))?;
        }
        let (producer, name) = (self.producer.clone(), name.to_owned());
        blocking(move || {
            let until = Instant::now() + ANSWER;
            // Asking is also what tells the producer.
            let known = || -> anyhow::Result<bool> {
                let metadata = producer.client().fetch_metadata(Some(&name), ANSWER)?;
                let topic = metadata.topics().iter().find(|topic| topic.name() == name);
                Ok(topic.is_some_and(|topic| topic.partitions().len() == partitions))
            };
            while !known()? {
                anyhow::ensure!(Instant::now() < until, "{name} does not grow");
            }
            Ok(())
        })
        .await
    }

    /// Gives a topic these settings in place of all that it had.
    pub async fn set_topic(&self, name: &str, settings: &[(&str, &str)]) -> anyhow::Result<()> {
        let mut change = AlterConfig::new(ResourceSpecifier::Topic(name));
        for (key, value) in settings {
            change = change.set(key, value);
        }
        let admin = self.admin()?;
        for result in admin.alter_configs([&change], &admin_options()).await? {
            result.map_err(|(topic, code)| anyhow::anyhow!("{topic:?}: {code}"))?;
        }
        Ok(())
    }

    /// The first offset of a partition, and the one after its last.
    pub async fn log_range(&self, topic: &str, partition: i32) -> anyhow::Result<(i64, i64)> {
        let (config, topic) = (self.client_config(), topic.to_owned());
        blocking(move || {
            let consumer: BaseConsumer = config.create()?;
            Ok(consumer.fetch_watermarks(&topic, partition, ANSWER)?)
        })
        .await
    }

    /// Commits offsets and metadata for a group without members, as any tool may.
    pub async fn commit(&self, group: &str, commits: Vec<Committed>) -> anyhow::Result<()> {
        let mut config = self.client_config();
        config.set("group.id", group);
        blocking(move || {
            let consumer: BaseConsumer = config.create()?;
            let mut list = TopicPartitionList::new();
            for commit in &commits {
                let offset = Offset::Offset(commit.offset.context("an offset to commit")?);
                let mut element = list.add_partition(&commit.topic, commit.partition);
                element.set_offset(offset)?;
                element.set_metadata(&commit.metadata);
            }
            consumer.commit(&list, CommitMode::Sync)?;
            Ok(())
        })
        .await
    }

    /// Removes a group, with everything that it has committed, as soon as it has no members.
    pub async fn delete_group(&self, group: &str, within: Duration) -> anyhow::Result<()> {
        let admin = self.admin()?;
        let deleted = async {
            let mut tick = tokio::time::interval(Duration::from_millis(100));
            loop {
                tick.tick().await;
                let answers = admin.delete_groups(&[group], &admin_options()).await?;
                match answers.into_iter().next() {
                    Some(Err((_, RDKafkaErrorCode::NonEmptyGroup))) => {}
                    Some(Err((group, code))) => anyhow::bail!("group {group}: {code}"),
                    Some(Ok(_)) | None => return Ok(()),
                }
            }
        };
        tokio::time::timeout(within, deleted)
            .await
            .with_context(|| format!("group {group} does not get empty"))?
    }

    /// Produces a record and waits for the broker's acknowledgement.
    pub async fn produce(&self, topic: &str, record: &NewRecord) -> anyhow::Result<Landed> {
        let landed = self
            .produce_all(topic, std::slice::from_ref(record))
            .await?;
        landed.first().copied().context("one record, one answer")
    }

    /// Produces records, batched, and waits for all acknowledgements. Records of one partition keep
    /// their order.
    pub async fn produce_all(
        &self,
        topic: &str,
        records: &[NewRecord],
    ) -> anyhow::Result<Vec<Landed>> {
        let mut pending = Vec::with_capacity(records.len());
        for record in records {
            pending.push(self.send(topic, record)?);
        }
        let mut landed = Vec::with_capacity(pending.len());
        for delivery in pending {
            let delivery = delivery
                .await?
                .map_err(|(error, _)| error)
                .with_context(|| format!("producing to {topic}"))?;
            landed.push(Landed {
                partition: delivery.partition,
                offset: delivery.offset,
            });
        }
        Ok(landed)
    }

    fn send(&self, topic: &str, record: &NewRecord) -> anyhow::Result<DeliveryFuture> {
        let mut headers = OwnedHeaders::new();
        for (key, value) in &record.headers {
            headers = headers.insert(Header {
                key,
                value: Some(value),
            });
        }
        let mut sent = FutureRecord::<str, [u8]>::to(topic).headers(headers);
        sent.key = record.key.as_deref();
        sent.payload = record.value.as_deref();
        sent.partition = record.partition;
        let queued = self.producer.send_result(sent);
        queued
            .map_err(|(error, _)| error)
            .with_context(|| format!("producing to {topic}"))
    }

    /// Every committed record of a topic, partition by partition, up to the stable end of now.
    pub async fn read_topic(&self, topic: &str) -> anyhow::Result<Vec<Record>> {
        let (config, topic) = (self.client_config(), topic.to_owned());
        blocking(move || TopicReader::open(&config, &topic)?.read_to_end()).await
    }

    /// Follows a topic from its beginning until `condition` holds for all committed records read so
    /// far; an error that shows them when that takes longer than `within`.
    pub async fn wait_for_topic(
        &self,
        topic: &str,
        within: Duration,
        condition: impl Fn(&[Record]) -> bool + Send + 'static,
    ) -> anyhow::Result<Vec<Record>> {
        let (config, topic) = (self.client_config(), topic.to_owned());
        blocking(move || TopicReader::open(&config, &topic)?.follow_until(within, condition)).await
    }

    /// What `group` has committed for every partition of `topics`.
    pub async fn committed(&self, group: &str, topics: &[&str]) -> anyhow::Result<Vec<Committed>> {
        let mut config = self.client_config();
        config.set("group.id", group);
        let topics: Vec<String> = topics.iter().map(|&topic| topic.to_owned()).collect();
        blocking(move || {
            let consumer: BaseConsumer = config.create()?;
            let mut wanted = TopicPartitionList::new();
            for topic in &topics {
                for partition in partitions(&consumer, topic)? {
                    wanted.add_partition(topic, partition);
                }
            }
            let committed = settled(&consumer, || {
                consumer.committed_offsets(wanted.clone(), ANSWER)
            })?;
            committed
                .elements()
                .iter()
                .map(|element| {
                    element.error()?;
                    Ok(Committed {
                        topic: element.topic().to_owned(),
                        partition: element.partition(),
                        offset: element.offset().to_raw().filter(|offset| *offset >= 0),
                        metadata: element.metadata().to_owned(),
                    })
                })
                .collect()
        })
        .await
    }

    fn admin(&self) -> anyhow::Result<AdminClient<DefaultClientContext>> {
        Ok(self.client_config().create()?)
    }
}

/// The numbers of a topic's partitions; an error when there is no such topic.
pub fn partitions(consumer: &BaseConsumer, topic: &str) -> anyhow::Result<Vec<i32>> {
    let metadata = consumer.fetch_metadata(Some(topic), ANSWER)?;
    let partitions = metadata
        .topics()
        .iter()
        .filter(|found| found.name() == topic)
        .flat_map(|found| found.partitions())
        .map(|partition| partition.id())
        .collect::<Vec<_>>();
    anyhow::ensure!(!partitions.is_empty(), "there is no topic {topic}");
    Ok(partitions)
}

/// Asks again while the group's coordinator is still on its way up, as on a broker that is new.
fn settled<T>(consumer: &BaseConsumer, ask: impl Fn() -> KafkaResult<T>) -> anyhow::Result<T> {
    let until = Instant::now() + ANSWER;
    loop {
        let answer = ask();
        let code = answer
            .as_ref()
            .err()
            .and_then(KafkaError::rdkafka_error_code);
        let is_on_its_way = matches!(
            code,
            Some(
                RDKafkaErrorCode::NotCoordinator
                    | RDKafkaErrorCode::CoordinatorNotAvailable
                    | RDKafkaErrorCode::CoordinatorLoadInProgress
            )
        );
        if !is_on_its_way || Instant::now() > until {
            return Ok(answer?);
        }
        // Serves the client, which looks for the coordinator meanwhile; there are no records.
        drop(consumer.poll(Duration::from_millis(50)));
    }
}

fn client_config(bootstrap_servers: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", bootstrap_servers)
        .set("reconnect.backoff.ms", "20")
        .set("reconnect.backoff.max.ms", "200")
        .set("topic.metadata.refresh.fast.interval.ms", "20");
    config
}

fn admin_options() -> AdminOptions {
    // An answer means that the topic is there, not only asked for.
    AdminOptions::new()
        .operation_timeout(Some(ANSWER))
        .request_timeout(Some(ANSWER))
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> anyhow::Result<T> + Send + 'static,
) -> anyhow::Result<T> {
    tokio::task::spawn_blocking(work).await?
}

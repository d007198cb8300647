//! Makes the own topics and looks at the cluster, so that a wrong set-up is refused before any work
//! starts.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{RecvTimeoutError, bounded};
use rdkafka::ClientContext;
use rdkafka::admin::{
    AdminClient, AdminOptions, ConfigResource, NewTopic, OwnedResourceSpecifier, ResourceSpecifier,
    TopicReplication,
};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::metadata::{Metadata, MetadataTopic};
use rdkafka::types::RDKafkaErrorCode;
use tokio::time::Instant;

use super::client_config;
use super::client_log::ClientLog;
use super::topic_rules::{Cluster, ClusterFacts, Finding, SeenTopic, findings};
use crate::config::{Config, EventTopic, EventTypeCheck, TopicCreation};
use crate::role::Role;
use crate::topic::{Topic, Topics};

/// The longest wait for one answer of the cluster.
const ANSWER: Duration = Duration::from_secs(30);
/// How long the cluster is waited for before the client's own words are heard.
const LISTEN: Duration = Duration::from_secs(2);
/// How long they are waited for before it is looked whether the answer has come.
const PAUSE: Duration = Duration::from_millis(100);
/// How often metadata is asked for while new topics get their leaders.
const GLANCE: Duration = Duration::from_millis(50);

/// Asks the cluster, and makes topics.
pub struct TopicAdmin {
    client: Arc<AdminClient<ClientLog>>,
    /// Asks for metadata. Nobody hears what an admin client says, be it that it cannot connect or that its
    /// credentials are refused.
    asker: Arc<BaseConsumer<Excuses>>,
    servers: String,
    topics: Topics,
    creation: TopicCreation,
    events: Vec<String>,
    /// Whether `event_types` must be there.
    checks_events: bool,
}

/// What [`TopicAdmin::check`] saw.
#[derive(Debug)]
pub struct Inspection {
    /// Rules that do not hold, errors first.
    pub findings: Vec<Finding>,
    /// What the roles must know; none while there is no `deliveries` topic.
    pub facts: Option<ClusterFacts>,
}

/// What [`TopicAdmin::create`] did.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Creation {
    /// Full names of topics that are new.
    pub created: Vec<String>,
    /// Full names of topics that were there; they are left as they are.
    pub existing: Vec<String>,
}

/// Why the cluster could not be asked or changed. Each text holds its cause's, so that one log field
/// says it all.
#[derive(Debug, thiserror::Error)]
pub enum TopicAdminError {
    /// The client could not be made.
    #[error("cannot set up a Kafka client: {0}")]
    Client(KafkaError),
    /// No answer about brokers and topics.
    #[error(
        "Kafka at `{servers}` does not answer within {} s ({cause}): is it running, and is `kafka.bootstrap_servers` right?",
        ANSWER.as_secs()
    )]
    Metadata {
        /// Where it was looked for.
        servers: String,
        /// What the client said.
        cause: KafkaError,
    },
    /// No answer about settings.
    #[error("cannot ask Kafka for settings of its topics: {0}")]
    Describe(KafkaError),
    /// The request to make topics failed as a whole.
    #[error("cannot create topics: {0}")]
    CreateAll(KafkaError),
    /// The cluster would not make one topic.
    #[error("cannot create topic `{topic}`: {code}")]
    Create {
        /// Full name.
        topic: String,
        /// What the broker said.
        code: RDKafkaErrorCode,
    },
    /// The request to remove topics or groups failed as a whole.
    #[error("cannot remove topics: {0}")]
    RemoveAll(KafkaError),
    /// The cluster would not remove one topic.
    #[error("cannot remove topic `{topic}`: {code}")]
    Remove {
        /// Full name.
        topic: String,
        /// What the broker said.
        code: RDKafkaErrorCode,
    },
    /// Made, but without leaders for too long.
    #[error("topics have no leader yet after {} s: {}", ANSWER.as_secs(), .0.join(", "))]
    NoLeader(Vec<String>),
    /// The worker thread that waits for Kafka ended early.
    #[error("interrupted while waiting for Kafka")]
    Interrupted,
}

type Seen = BTreeMap<String, SeenTopic>;

impl TopicAdmin {
    /// A client for the configured cluster; connects when first used.
    pub fn try_new(config: &Config) -> Result<Self, TopicAdminError> {
        let client_config = client_config::admin(config);
        let client = client_config.create_with_context(ClientLog::new("admin"));
        let asker = client_config.create_with_context(Excuses::default());
        Ok(Self {
            client: Arc::new(client.map_err(TopicAdminError::Client)?),
            asker: Arc::new(asker.map_err(TopicAdminError::Client)?),
            servers: config.kafka.bootstrap_servers.clone(),
            topics: config.topics.clone(),
            creation: config.topic_creation,
            events: config.events.topics.iter().filter_map(named).collect(),
            checks_events: config.event_types.check != EventTypeCheck::Off,
        })
    }

    /// Makes the own topics that are missing and waits until all have leaders. What exists is left
    /// as it is; [`TopicAdmin::check`] tells whether it is right. Topics of events are not made.
    pub async fn create(&self) -> Result<Creation, TopicAdminError> {
        let cluster = self.look().await?;
        let deliveries = cluster.topics.get(&self.topics.name(Topic::Deliveries));
        // A tier that joins an old installation takes after it, whatever the settings say now.
        let usual = deliveries.map_or(self.creation.partitions, |seen| seen.partitions);
        let largest = deliveries.and_then(|seen| seen.settings.get("max.message.bytes"));
        // Unknown, one is assumed, which leaves `min.insync.replicas` to the broker's default.
        let factor = self.creation.replication_factor;
        let replicas = factor.or(cluster.default_replicas).unwrap_or(1);
        let mut creation = Creation::default();
        let mut missing = Vec::new();
        for topic in self.topics.all() {
            let name = self.topics.name(topic);
            if cluster.topics.contains_key(&name) {
                creation.existing.push(name);
            } else {
                let mut settings = topic.settings(replicas);
                let travels = topic.holds_tasks() || topic == Topic::Dlq;
                if let Some(largest) = largest.filter(|_| travels) {
                    settings.push(("max.message.bytes", largest.clone()));
                }
                missing.push((name, topic.partitions(usual), settings));
            }
        }
        let requests: Vec<_> = missing
            .iter()
            .map(|(name, partitions, settings)| NewTopic {
                name,
                num_partitions: *partitions,
                replication: TopicReplication::Fixed(factor.unwrap_or(-1)),
                config: settings.iter().map(|(key, v)| (*key, v.as_str())).collect(),
            })
            .collect();
        self.request(&requests, &mut creation).await?;
        Ok(creation)
    }

    /// Makes the topics of events that the configuration names, if they are missing, with the broker's
    /// own settings. Patterns name none.
    pub async fn create_events(&self, partitions: i32) -> Result<Creation, TopicAdminError> {
        let factor = self.creation.replication_factor.unwrap_or(-1);
        let requests: Vec<_> = self
            .events
            .iter()
            .map(|name| {
                let replication = TopicReplication::Fixed(factor);
                NewTopic::new(name, partitions, replication)
            })
            .collect();
        let mut creation = Creation::default();
        self.request(&requests, &mut creation).await?;
        Ok(creation)
    }

    /// How many members a role's group has; none while it is not stable, or cannot be asked.
    pub async fn stable_members(&self, config: &Config, role: Role) -> Option<usize> {
        let (client, group) = (Arc::clone(&self.client), config.group(role));
        let asked = tokio::task::spawn_blocking(move || {
            let answer = client.inner().fetch_group_list(Some(&group), ANSWER).ok()?;
            let groups = answer.groups().iter();
            let stable = groups.filter(|group| group.state() == "Stable");
            stable.map(|group| group.members().len()).next()
        });
        asked.await.ok().flatten()
    }

    /// Removes the own topics, a topic of events, and the groups of the roles, with everything in
    /// them. For installations that were for trying out.
    pub async fn remove_all(&self, config: &Config, events: &str) -> Result<(), TopicAdminError> {
        let own = self.topics.all().into_iter();
        let mut names: Vec<String> = own.map(|topic| self.topics.name(topic)).collect();
        names.push(events.to_owned());
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let answers = self.client.delete_topics(&names, &options()).await;
        for answer in answers.map_err(TopicAdminError::RemoveAll)? {
            match answer {
                Ok(_) | Err((_, RDKafkaErrorCode::UnknownTopicOrPartition)) => {}
                Err((topic, code)) => return Err(TopicAdminError::Remove { topic, code }),
            }
        }
        let groups = Role::ALL.map(|role| config.group(role));
        let groups = groups.each_ref().map(String::as_str);
        let answers = self.client.delete_groups(&groups, &options()).await;
        for answer in answers.map_err(TopicAdminError::RemoveAll)? {
            // A group whose static members are still in it goes by itself once it has expired.
            if let Err((group, code)) = answer {
                tracing::debug!(group, %code, "a group stays");
            }
        }
        Ok(())
    }

    /// Looks at the cluster and judges it.
    pub async fn check(&self) -> Result<Inspection, TopicAdminError> {
        let cluster = self.look().await?;
        Ok(Inspection {
            findings: findings(&cluster, &self.topics, &self.events, self.checks_events),
            facts: ClusterFacts::of(&cluster, &self.topics),
        })
    }

    async fn look(&self) -> Result<Cluster, TopicAdminError> {
        let (brokers, mut topics) = self.metadata().await?;
        topics.retain(|name, _| {
            self.topics.is_own(name) || name.starts_with("__") || self.events.contains(name)
        });
        let own: Vec<_> = topics
            .keys()
            .filter(|name| self.topics.is_own(name))
            .collect();
        let asked: Vec<_> = own
            .iter()
            .map(|name| ResourceSpecifier::Topic(name))
            .collect();
        for resource in self.describe(&asked).await? {
            if let OwnedResourceSpecifier::Topic(name) = &resource.specifier
                && let Some(seen) = topics.get_mut(name)
            {
                seen.settings = settings(&resource);
            }
        }
        let broker = self.broker_settings(&brokers).await?;
        let number = |setting| broker.get(setting)?.parse::<u64>().ok();
        let minutes = number("offsets.retention.minutes");
        let replicas = number("default.replication.factor");
        Ok(Cluster {
            brokers: brokers.len(),
            topics,
            offsets_retention: minutes.map(|count| Duration::from_secs(count.saturating_mul(60))),
            default_replicas: replicas.and_then(|count| i32::try_from(count).ok()),
        })
    }

    /// Settings of one broker, taken to be those of all. Empty where we may not ask: hosted clusters
    /// often keep that to themselves.
    async fn broker_settings(
        &self,
        brokers: &[i32],
    ) -> Result<BTreeMap<String, String>, TopicAdminError> {
        let Some(first) = brokers.first() else {
            return Ok(BTreeMap::new());
        };
        let answer = self.describe(&[ResourceSpecifier::Broker(*first)]).await;
        match answer {
            Ok(resources) => Ok(resources.first().map(settings).unwrap_or_default()),
            Err(TopicAdminError::Describe(KafkaError::AdminOp(
                RDKafkaErrorCode::ClusterAuthorizationFailed,
            ))) => Ok(BTreeMap::new()),
            Err(other) => Err(other),
        }
    }

    async fn describe(
        &self,
        resources: &[ResourceSpecifier<'_>],
    ) -> Result<Vec<ConfigResource>, TopicAdminError> {
        if resources.is_empty() {
            return Ok(Vec::new());
        }
        let answers = self.client.describe_configs(resources, &options()).await;
        let answers = answers.map_err(TopicAdminError::Describe)?;
        let each = answers.into_iter();
        each.map(|answer| {
            answer.map_err(|code| TopicAdminError::Describe(KafkaError::AdminOp(code)))
        })
        .collect()
    }

    /// Makes topics, and waits until they have leaders.
    async fn request(
        &self,
        requests: &[NewTopic<'_>],
        creation: &mut Creation,
    ) -> Result<(), TopicAdminError> {
        // librdkafka refuses to ask for none.
        if requests.is_empty() {
            return Ok(());
        }
        let options = options().operation_timeout(Some(ANSWER));
        let answers = self.client.create_topics(requests, &options).await;
        for answer in answers.map_err(TopicAdminError::CreateAll)? {
            match answer {
                Ok(topic) => creation.created.push(topic),
                // Another process was quicker.
                Err((topic, RDKafkaErrorCode::TopicAlreadyExists)) => creation.existing.push(topic),
                Err((topic, code)) => return Err(TopicAdminError::Create { topic, code }),
            }
        }
        self.wait_for_leaders(&creation.created).await
    }

    async fn wait_for_leaders(&self, names: &[String]) -> Result<(), TopicAdminError> {
        let deadline = Instant::now() + ANSWER;
        loop {
            let (_, topics) = self.metadata().await?;
            let led = |name: &String| topics.get(name).is_some_and(|seen| seen.leaderless == 0);
            let waiting: Vec<_> = names.iter().filter(|name| !led(name)).cloned().collect();
            if waiting.is_empty() {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(TopicAdminError::NoLeader(waiting));
            }
            tokio::time::sleep(GLANCE).await;
        }
    }

    /// Ids of the brokers, and every topic without its settings.
    async fn metadata(&self) -> Result<(Vec<i32>, Seen), TopicAdminError> {
        let asker = Arc::clone(&self.asker);
        let asked = tokio::task::spawn_blocking(move || {
            let metadata = answer(&asker)?;
            let brokers = metadata.brokers().iter().map(|broker| broker.id());
            let topics = metadata.topics().iter();
            let seen = topics
                .filter(|topic| !topic.partitions().is_empty())
                .map(|topic| (topic.name().to_owned(), seen(topic)));
            Ok((brokers.collect(), seen.collect()))
        });
        match asked.await {
            Ok(answer) => answer.map_err(|cause| TopicAdminError::Metadata {
                servers: self.servers.clone(),
                cause,
            }),
            Err(_) => Err(TopicAdminError::Interrupted),
        }
    }
}

/// Why the cluster does not answer: each reason is said once, in one line.
#[derive(Default)]
struct Excuses(Mutex<Vec<RDKafkaErrorCode>>);

impl ClientContext for Excuses {
    /// Says the same as [`Self::error`], some lines earlier and more often.
    fn log(&self, _: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(target: "librdkafka", client = "admin", facility, "{message}");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let code = error.rdkafka_error_code();
        let Some(code) = code.filter(|code| *code != RDKafkaErrorCode::AllBrokersDown) else {
            return; // That follows from what is wrong with each.
        };
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !said.contains(&code) {
            said.push(code);
            tracing::warn!(%reason, "the cluster does not answer yet");
        }
    }
}

impl ConsumerContext for Excuses {}

/// Waits for an answer about everything, and logs after a while why there is none.
fn answer(asker: &BaseConsumer<Excuses>) -> KafkaResult<Metadata> {
    thread::scope(|scope| {
        let (sender, answer) = bounded(1);
        scope.spawn(move || sender.send(asker.fetch_metadata(None, ANSWER)));
        let mut asked = answer.recv_timeout(LISTEN);
        while matches!(asked, Err(RecvTimeoutError::Timeout)) {
            drop(asker.poll(PAUSE));
            asked = answer.recv_timeout(Duration::ZERO);
        }
        asked.unwrap_or(Err(KafkaError::Canceled))
    })
}

fn seen(topic: &MetadataTopic) -> SeenTopic {
    let partitions = topic.partitions();
    let replicas = partitions
        .iter()
        .map(|partition| partition.replicas().len());
    SeenTopic {
        partitions: i32::try_from(partitions.len()).unwrap_or(i32::MAX),
        leaderless: partitions
            .iter()
            .filter(|partition| partition.leader() < 0)
            .count(),
        replicas: replicas.min().unwrap_or_default(),
        settings: BTreeMap::new(),
    }
}

fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(ANSWER))
}

fn named(entry: &EventTopic) -> Option<String> {
    match entry {
        EventTopic::Name(name) => Some(name.clone()),
        EventTopic::Pattern(_) => None,
    }
}

fn settings(resource: &ConfigResource) -> BTreeMap<String, String> {
    let entries = resource.entries.iter();
    entries
        .filter_map(|entry| Some((entry.name.clone(), entry.value.clone()?)))
        .collect()
}

//! Where the demo plays: on the mock broker, or on a Kafka that was given.

use super::DevError;
use crate::installation::{Installation, InstallationError, Layers, Settings};
use crate::kafka::mock::MockBroker;
use crate::kafka::topic_admin::TopicAdmin;
use crate::kafka::topic_rules::ClusterFacts;
use crate::role::Role;

/// Partitions of every topic but `subscriptions`.
const PARTITIONS: i32 = 4;

/// A place to play, with its topics.
pub struct Stage {
    /// What the roles run under.
    pub installation: Installation,
    /// Facts of a cluster that cannot be asked for them.
    pub facts: Option<ClusterFacts>,
    cluster: Cluster,
}

/// What it plays on.
enum Cluster {
    Mock(#[expect(dead_code, reason = "held: it ends when dropped")] MockBroker),
    Given(Box<TopicAdmin>),
}

impl Stage {
    /// The mock broker, under no settings but the demo's.
    pub fn mock() -> Result<Self, DevError> {
        let broker = MockBroker::start()?;
        let mut settings = usual();
        // An empty Fetch of the mock broker waits to the end, even when data comes.
        settings.push(("KAFKA__PROPERTIES__FETCH_WAIT_MAX_MS", "10".to_owned()));
        settings.push(("KAFKA__BOOTSTRAP_SERVERS", broker.bootstrap_servers()));
        let installation = Installation::alone(settings, "events")?;
        let topics = &installation.config.topics;
        let facts = broker.create_topics(topics, &installation.events, PARTITIONS)?;
        Ok(Self {
            installation,
            facts: Some(facts),
            cluster: Cluster::Mock(broker),
        })
    }

    /// A given Kafka, on topics of our own; `id` tells them from those of others. No topic is made
    /// before [`Self::create_topics`].
    pub fn given(bootstrap_servers: &str, id: u32, layers: Layers) -> Result<Self, DevError> {
        let installation =
            Installation::given("dev", id, Some(bootstrap_servers), usual(), layers)?;
        let admin = TopicAdmin::try_new(&installation.config).map_err(InstallationError::from)?;
        Ok(Self {
            installation,
            facts: None,
            cluster: Cluster::Given(Box::new(admin)),
        })
    }

    /// Whether this is the mock broker.
    pub fn is_mock(&self) -> bool {
        match &self.cluster {
            Cluster::Mock(_) => true,
            Cluster::Given(_) => false,
        }
    }

    /// Makes the topics that are not there yet.
    pub async fn create_topics(&self) -> Result<(), DevError> {
        match &self.cluster {
            Cluster::Mock(_) => Ok(()),
            Cluster::Given(admin) => Ok(self.installation.create_topics(admin, PARTITIONS).await?),
        }
    }

    /// How many members a role's group has, once they have their partitions.
    pub async fn stable_members(&self, role: Role) -> Option<usize> {
        match &self.cluster {
            Cluster::Mock(_) => None,
            Cluster::Given(admin) => admin.stable_members(&self.installation.config, role).await,
        }
    }

    /// Removes what [`Self::create_topics`] made, and the groups that read it.
    pub async fn clean_up(&self) -> Result<(), DevError> {
        match &self.cluster {
            Cluster::Mock(_) => Ok(()),
            Cluster::Given(admin) => Ok(self.installation.remove(admin).await?),
        }
    }

    /// What a command in a second terminal must be told to find this installation.
    pub fn address(&self) -> Vec<(&str, &str)> {
        self.told(&[
            "HOOKTIDE__KAFKA__BOOTSTRAP_SERVERS",
            "HOOKTIDE__APPLICATION_ID",
        ])
    }

    /// What it must be told besides to accept an endpoint on this machine.
    pub fn permission(&self) -> Vec<(&str, &str)> {
        self.told(&["HOOKTIDE__HTTP__ALLOW_NETWORKS"])
    }

    fn told(&self, names: &[&str]) -> Vec<(&str, &str)> {
        names
            .iter()
            .filter_map(|name| self.installation.variables.get_key_value(*name))
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect()
    }
}

fn usual() -> Settings {
    [
        // So few requests would tell little, and the dead endpoint's dead letters are to be seen.
        ("BREAKER__MIN_REQUESTS", "1000000"),
        ("EVENTS__START", "earliest"),
        ("HTTP__ALLOW_NETWORKS", r#"["127.0.0.0/8", "::1/128"]"#),
        ("RETRY__SCHEDULE", r#"["1s", "3s", "10s"]"#),
        ("RETRY__TIERS", r#"["1s", "3s", "10s"]"#),
        ("SHUTDOWN__TIMEOUT", "5s"),
        ("TELEMETRY__LISTEN", "127.0.0.1:0"),
        // librdkafka complains of settings that only some of its clients use, and of brokers that
        // go; a recommendation for topics is no matter of topics that are removed at the end.
        (
            "TELEMETRY__LOG",
            "warn,librdkafka=error,hooktide::run=error",
        ),
    ]
    .into_iter()
    .map(|(name, value)| (name, value.to_owned()))
    .chain([("TOPICS__PARTITIONS", PARTITIONS.to_string())])
    .collect()
}

//! Where the demo plays: under which settings, and on the mock broker or on a Kafka that was given.
//!
//! The settings are environment variables, because children and second terminals need them as such.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::DevError;
use crate::config::Config;
use crate::kafka::client_config;
use crate::kafka::mock::MockBroker;
use crate::kafka::topic_admin::TopicAdmin;
use crate::kafka::topic_rules::ClusterFacts;
use crate::role::Role;

/// Partitions of every topic but `subscriptions`.
const PARTITIONS: i32 = 4;

/// A place to play, with its topics.
pub struct Stage {
    /// What the roles run under.
    pub config: Config,
    /// The topic that events come in on.
    pub events: String,
    /// Facts of a cluster that cannot be asked for them.
    pub facts: Option<ClusterFacts>,
    /// What children and second terminals must be told.
    pub variables: BTreeMap<String, String>,
    /// `--config`, for children.
    pub config_file: Option<PathBuf>,
    cluster: Cluster,
}

/// What it plays on.
enum Cluster {
    Mock(#[expect(dead_code, reason = "held: it ends when dropped")] MockBroker),
    Given(Box<TopicAdmin>),
}

/// The user's own layers of settings, for a Kafka that is given.
#[derive(Clone, Debug, Default)]
pub struct Layers {
    /// `--config`.
    pub file: Option<PathBuf>,
    /// Variables that begin with `HOOKTIDE__`.
    pub environment: Vec<(String, String)>,
}

impl Stage {
    /// The mock broker, under no settings but the demo's.
    pub fn mock() -> Result<Self, DevError> {
        let broker = MockBroker::start()?;
        let events = "events".to_owned();
        let mut settings = usual();
        // An empty Fetch of the mock broker waits to the end, even when data comes.
        settings.push(("KAFKA__PROPERTIES__FETCH_WAIT_MAX_MS", "10".to_owned()));
        settings.push(("KAFKA__BOOTSTRAP_SERVERS", broker.bootstrap_servers()));
        let variables = variables(settings);
        let config = Config::load(None, variables.clone().into_iter())?;
        let facts = broker.create_topics(&config.topics, &events, PARTITIONS)?;
        Ok(Self {
            config,
            events,
            facts: Some(facts),
            variables,
            config_file: None,
            cluster: Cluster::Mock(broker),
        })
    }

    /// A given Kafka, on topics of our own; `id` tells them from those of others. No topic is made
    /// before [`Self::create_topics`].
    pub fn given(bootstrap_servers: &str, id: u32, layers: Layers) -> Result<Self, DevError> {
        let application_id = format!("hooktide-dev-{id:08x}");
        let events = format!("{application_id}-events");
        let mut settings = usual();
        settings.push(("APPLICATION_ID", application_id));
        settings.push(("TOPICS__PREFIX", "<application_id>.".to_owned()));
        settings.push(("EVENTS__TOPICS", format!("[\"{events}\"]")));
        settings.push(("KAFKA__BOOTSTRAP_SERVERS", bootstrap_servers.to_owned()));
        let variables = variables(settings);
        let is_ours = |name: &String| {
            let plain = name.strip_suffix("__FILE").unwrap_or(name);
            variables.contains_key(plain)
        };
        let theirs = layers.environment.into_iter();
        let environment = theirs
            .filter(|(name, _)| !is_ours(name))
            .chain(variables.clone());
        let config = Config::load(layers.file.as_deref(), environment)?;
        client_config::check_properties(&config.kafka.properties)?;
        let admin = TopicAdmin::try_new(&config)?;
        Ok(Self {
            config,
            events,
            facts: None,
            variables,
            config_file: layers.file,
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
            Cluster::Given(admin) => {
                admin.create().await?;
                Ok(admin.create_events(&self.events, PARTITIONS).await?)
            }
        }
    }

    /// How many members a role's group has, once they have their partitions.
    pub async fn stable_members(&self, role: Role) -> Option<usize> {
        match &self.cluster {
            Cluster::Mock(_) => None,
            Cluster::Given(admin) => admin.stable_members(&self.config, role).await,
        }
    }

    /// Removes what [`Self::create_topics`] made, and the groups that read it.
    pub async fn clean_up(&self) -> Result<(), DevError> {
        match &self.cluster {
            Cluster::Mock(_) => Ok(()),
            Cluster::Given(admin) => Ok(admin.remove_all(&self.config, &self.events).await?),
        }
    }

    /// What a command in a second terminal must be told to find this installation.
    pub fn address(&self) -> Vec<(&str, &str)> {
        let wanted = [
            "HOOKTIDE__KAFKA__BOOTSTRAP_SERVERS",
            "HOOKTIDE__APPLICATION_ID",
        ];
        let found = wanted
            .iter()
            .filter_map(|name| self.variables.get_key_value(*name));
        found
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect()
    }
}

fn usual() -> Vec<(&'static str, String)> {
    [
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

fn variables(settings: Vec<(&'static str, String)>) -> BTreeMap<String, String> {
    settings
        .into_iter()
        .map(|(name, value)| (format!("HOOKTIDE__{name}"), value))
        .collect()
}

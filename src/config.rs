//! Settings: `config/default.toml` < the file of `--config` < environment variables.
//!
//! [`Config::load`] refuses what is unknown, of the wrong form, out of its bounds, or at odds with
//! another setting, by the setting's name and the layer it stands in. What is loaded can be used
//! without further checks.

mod duration;
pub mod show;

mod byte_size;
mod check;
mod error;
mod events;
mod layer;
mod networks;
mod properties;
mod schema_registry;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use toml::Value;

pub use byte_size::{ByteSize, ByteSizeError};
pub use error::{ConfigError, Origin};
pub use events::{EventTopic, EventTypeCheck, EventTypesSettings, Start};
pub use ipnet::IpNet;
pub use properties::Properties;
pub use schema_registry::{Hidden, SchemaRegistrySettings};

use crate::http::{AddressPolicy, Bypass, Proxy};
use crate::record::subscription::Rules;
use crate::role::Role;
use crate::router::event_form::mapping::Mapping;
use crate::secret_store::SecretStore;
use crate::topic::Topics;
use layer::Layer;

/// The reference of all settings, with their defaults.
pub const DEFAULT_TOML: &str = include_str!("../config/default.toml");

/// All settings. Their meaning stands in `config/default.toml`, here only what the code must know.
#[derive(Clone, Debug)]
pub struct Config {
    /// Names the installation.
    pub application_id: String,
    /// Set: this process is a static member of its groups.
    pub instance_id: Option<String>,
    /// How Kafka is reached.
    pub kafka: KafkaSettings,
    /// How `topics create` makes topics. Their names are in [`Config::topics`].
    pub topic_creation: TopicCreation,
    /// Own topics, with their names.
    pub topics: Topics,
    /// Where events come from.
    pub events: EventsSettings,
    /// What events of a type look like.
    pub event_types: EventTypesSettings,
    /// Where schemas of events are asked for.
    pub schema_registry: SchemaRegistrySettings,
    /// What subscriptions may refer to.
    pub subscriptions: SubscriptionsSettings,
    /// The ladder, and the schedule of those without a policy.
    pub retry: RetrySettings,
    /// Bounds of the router.
    pub router: RouterSettings,
    /// Bounds of the dispatcher.
    pub dispatcher: DispatcherSettings,
    /// When an endpoint counts as down.
    pub breaker: BreakerSettings,
    /// Bounds of one exchange, and where it may go.
    pub http: HttpSettings,
    /// What is written about each request.
    pub attempts: AttemptsSettings,
    /// When endpoints are disabled.
    pub endpoints: EndpointsSettings,
    /// How often people are told.
    pub notices: NoticesSettings,
    /// How a process ends.
    pub shutdown: ShutdownSettings,
    /// How a process is watched.
    pub telemetry: TelemetrySettings,
    /// Every value with its layer, for `config show`.
    layer: Layer,
}

/// The settings as they are written; [`check`] makes a [`Config`] of them.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    application_id: String,
    instance_id: String,
    kafka: KafkaSettings,
    topics: WrittenTopics,
    events: EventsSettings,
    event_types: EventTypesSettings,
    schema_registry: SchemaRegistrySettings,
    subscriptions: SubscriptionsSettings,
    retry: RetrySettings,
    router: RouterSettings,
    dispatcher: DispatcherSettings,
    breaker: BreakerSettings,
    http: HttpSettings,
    attempts: AttemptsSettings,
    endpoints: EndpointsSettings,
    notices: NoticesSettings,
    shutdown: ShutdownSettings,
    telemetry: TelemetrySettings,
}

/// `topics` as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenTopics {
    prefix: String,
    partitions: i32,
    replication_factor: i32,
    names: BTreeMap<String, String>,
}

/// `kafka`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KafkaSettings {
    /// `host:port`, separated by commas.
    pub bootstrap_servers: String,
    /// After this silence the group gives a member's partitions away.
    #[serde(deserialize_with = "duration::deserialize")]
    pub session_timeout: Duration,
    /// What becomes of a group that has run before and has no offsets.
    pub lost_offsets: LostOffsets,
    /// After this the broker aborts a transaction that its producer left open.
    #[serde(deserialize_with = "duration::deserialize")]
    pub transaction_timeout: Duration,
    /// librdkafka properties of the user.
    pub properties: Properties,
}

/// How `topics create` makes topics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopicCreation {
    /// Partitions of every own topic but `subscriptions`, which has one.
    pub partitions: i32,
    /// Replicas of each partition; none for what the broker has as its default.
    pub replication_factor: Option<i32>,
}

/// `events`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventsSettings {
    /// Names and patterns, at least one.
    pub topics: Vec<EventTopic>,
    /// Where a group that never ran begins.
    pub start: Start,
    /// How records of some of them become events; the first that is meant for a topic counts.
    pub mappings: Vec<Mapping>,
    /// How often the cluster is asked for new topics and partitions.
    #[serde(deserialize_with = "duration::deserialize")]
    pub refresh: Duration,
}

/// `subscriptions`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubscriptionsSettings {
    /// Names of environment variables that secrets may refer to; a `*` ends a prefix.
    pub secret_env: Vec<String>,
    /// Absolute folders that files of secrets may lie in.
    pub secret_dirs: Vec<PathBuf>,
}

/// `retry`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetrySettings {
    /// Delays of the retry topics, rising, none twice, at least one.
    #[serde(deserialize_with = "duration::deserialize_list")]
    pub tiers: Vec<Duration>,
    /// Waits between attempts for subscriptions without a policy; empty sends once.
    #[serde(deserialize_with = "duration::deserialize_list")]
    pub schedule: Vec<Duration>,
    /// How old an event may be and still be sent, for subscriptions that do not say; at least what
    /// `schedule` takes.
    #[serde(deserialize_with = "duration::deserialize")]
    pub max_age: Duration,
}

/// `router`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouterSettings {
    /// The most events in one transaction, at least 1.
    pub batch_records: usize,
    /// The most bytes of events in one transaction.
    pub batch_bytes: ByteSize,
    /// The work that a template may do for one event, at least 1,000.
    pub template_fuel: u64,
}

/// `dispatcher`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DispatcherSettings {
    /// Requests at once in the process, at least 1.
    pub max_in_flight: usize,
    /// Requests at once to one host, of all its subscriptions, at least 1.
    pub max_in_flight_per_host: usize,
    /// Whether it is found out how many requests at once an endpoint bears, where its subscription does not
    /// say.
    pub adaptive_concurrency: bool,
    /// Bytes of task bodies held.
    pub memory: ByteSize,
    /// Unfinished tasks behind the newest one of a partition, 1 to 700.
    pub holes_per_partition: usize,
}

/// `breaker`: the circuit breaker of each endpoint.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BreakerSettings {
    /// The share of failures at which one opens, above 0 up to 1.
    pub failure_ratio: f64,
    /// The least number of requests in the window that a judgement needs, at least 1.
    pub min_requests: u32,
    /// How far back outcomes count.
    #[serde(deserialize_with = "duration::deserialize")]
    pub window: Duration,
    /// From opening to the first probe; doubled with each one that fails.
    #[serde(deserialize_with = "duration::deserialize")]
    pub first_probe: Duration,
    /// The longest from one probe to the next; at least `first_probe`.
    #[serde(deserialize_with = "duration::deserialize")]
    pub longest_probe: Duration,
}

/// `http`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpSettings {
    /// Whole exchange for subscriptions that do not ask for another.
    #[serde(deserialize_with = "duration::deserialize")]
    pub timeout: Duration,
    /// The most a subscription may ask for; at least `timeout`.
    #[serde(deserialize_with = "duration::deserialize")]
    pub max_timeout: Duration,
    /// Part of the timeout that connecting may take.
    #[serde(deserialize_with = "duration::deserialize")]
    pub connect_timeout: Duration,
    /// How much of an answer is read, counted after decompression.
    pub response_limit: ByteSize,
    /// The longest `Retry-After` that is followed.
    #[serde(deserialize_with = "duration::deserialize")]
    pub retry_after_max: Duration,
    /// Private targets that may be dialled, plain http included.
    #[serde(deserialize_with = "networks::deserialize")]
    pub allow_networks: Vec<IpNet>,
    /// Plain http to public addresses.
    pub allow_plaintext: bool,
    /// How long an unused connection stays open; below 60 s.
    #[serde(deserialize_with = "duration::deserialize")]
    pub idle_timeout: Duration,
    /// Unused connections to one host, at most.
    pub idle_per_host: usize,
    /// Connections that stay open for further requests, of all hosts, at most.
    pub kept_connections: usize,
    /// Where requests pass through.
    #[serde(deserialize_with = "optional_proxy")]
    pub proxy: Option<Proxy>,
    /// Whether the proxy resolves names, and so only hosts that are addresses are judged.
    pub proxy_resolves: bool,
    /// What goes past the proxy.
    pub no_proxy: Vec<Bypass>,
    /// Certificate authorities besides the public ones, PEM.
    #[serde(deserialize_with = "optional_path")]
    pub ca_file: Option<PathBuf>,
}

/// `attempts`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttemptsSettings {
    /// Which requests get a record.
    pub record: RecordedAttempts,
    /// How much of an answer a record keeps; at most `http.response_limit`.
    pub response_bytes: ByteSize,
}

/// Which requests get a record on the attempts topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordedAttempts {
    /// Every request.
    All,
    /// Those that did not deliver.
    Failures,
    /// No request.
    None,
}

/// `endpoints`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EndpointsSettings {
    /// Whether endpoints that fail for long are disabled.
    pub auto_disable: bool,
    /// After how long.
    #[serde(deserialize_with = "duration::deserialize")]
    pub disable_after: Duration,
    /// After how many attempts, at least 1.
    pub disable_min_attempts: u64,
    /// The longest that what is paused lies on a tier before it is looked at again.
    #[serde(deserialize_with = "duration::deserialize")]
    pub resume_within: Duration,
    /// The share of both after which people are told, 0 to 1.
    pub warn_at: f64,
}

/// `notices`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoticesSettings {
    /// At most one of a kind about an endpoint in so long.
    #[serde(deserialize_with = "duration::deserialize")]
    pub window: Duration,
}

/// `shutdown`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShutdownSettings {
    /// The most that draining may take.
    #[serde(deserialize_with = "duration::deserialize")]
    pub timeout: Duration,
}

/// `telemetry`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TelemetrySettings {
    /// Where `/metrics`, `/health` and `/ready` are served; port 0 takes a free one.
    #[serde(deserialize_with = "socket_address")]
    pub listen: SocketAddr,
    /// How long a partition may stand still that has work.
    #[serde(deserialize_with = "duration::deserialize")]
    pub stuck_after: Duration,
    /// Directives of `tracing_subscriber::EnvFilter`.
    pub log: String,
    /// How log lines are written.
    pub log_format: LogFormat,
}

/// What becomes of a group that has lost its offsets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LostOffsets {
    /// Everything that is retained is done again.
    Repeat,
    /// Its processes end.
    Stop,
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl Config {
    /// Reads all layers. Pass `std::env::vars()` as the environment; variables that do not begin
    /// with `HOOKTIDE__` are passed over.
    pub fn load(
        file: Option<&Path>,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let mut layer = Layer::defaults(DEFAULT_TOML)?;
        if let Some(path) = file {
            layer.merge_file(path)?;
        }
        layer.merge_environment(environment)?;
        let written =
            serde_path_to_error::deserialize(Value::Table(layer.nested())).map_err(|error| {
                let key = error.path().to_string();
                layer.invalid(&key, error.inner().message().to_owned())
            })?;
        check::into_config(written, layer)
    }

    /// The name of one of this installation's consumer groups.
    pub fn group(&self, role: Role) -> String {
        format!("{}.{role}", self.application_id)
    }

    /// What subscriptions may ask for.
    pub fn subscription_rules(&self) -> Rules {
        Rules {
            default_timeout: self.http.timeout,
            max_timeout: self.http.max_timeout,
            template_fuel: self.router.template_fuel,
            ..Rules::default()
        }
    }

    /// Where requests may go.
    pub fn address_policy(&self) -> AddressPolicy {
        let http = &self.http;
        AddressPolicy::new(http.allow_networks.clone(), http.allow_plaintext)
    }

    /// Reads the secrets that subscriptions may refer to.
    pub fn secret_store(&self) -> SecretStore {
        let allowed = &self.subscriptions;
        SecretStore::new(allowed.secret_env.clone(), allowed.secret_dirs.clone())
    }
}

fn socket_address<'de, D: serde::Deserializer<'de>>(input: D) -> Result<SocketAddr, D::Error> {
    let text = String::deserialize(input)?;
    text.parse().map_err(|_| {
        serde::de::Error::custom("must be an IP address and a port, such as `127.0.0.1:9464`")
    })
}

fn optional_path<'de, D: serde::Deserializer<'de>>(input: D) -> Result<Option<PathBuf>, D::Error> {
    let text = String::deserialize(input)?;
    Ok((!text.is_empty()).then(|| text.into()))
}

fn optional_proxy<'de, D: serde::Deserializer<'de>>(input: D) -> Result<Option<Proxy>, D::Error> {
    let text = String::deserialize(input)?;
    if text.is_empty() {
        return Ok(None);
    }
    let proxy = Proxy::parse(&text).map_err(serde::de::Error::custom)?;
    Ok(Some(proxy))
}

#[cfg(test)]
mod tests;

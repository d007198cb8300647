//! What holds for single settings beyond their type, and between settings.

use std::fmt::Display;
use std::time::Duration;

use super::error::{ConfigError, Origin};
use super::events::EventTopic;
use super::layer::Layer;
use super::{
    BreakerSettings, Config, EndpointsSettings, EventsSettings, HttpSettings, KafkaSettings,
    RetrySettings, SchemaRegistrySettings, TopicCreation, Written,
};
use crate::duration_text::canonical;
use crate::record::subscription::LONGEST_AGE;
use crate::retry::Policy;
use crate::retry::policy::DEFAULT_JITTER;
use crate::topic::{self, Topic, Topics};

/// librdkafka wants `session.timeout.ms` ≤ `max.poll.interval.ms`, which we fix at this.
const MAX_POLL_INTERVAL: Duration = Duration::from_secs(60);
/// A wait longer than this is a mistake: topics keep their records for delay + 7 days.
const LONGEST_WAIT: Duration = Duration::from_hours(31 * 24);
/// Every tier is a set of partitions that every dispatcher fetches.
const MOST_TIERS: usize = 32;
/// Run lengths of so many holes always fit into a commit's 4,096 bytes of metadata.
const MOST_HOLES: usize = 700;
/// Each partition that is assigned looks through them once.
const MOST_MAPPINGS: usize = 1_000;
/// More than any machine has ports for.
const MOST_CONNECTIONS: usize = 1_000_000;
/// Group names and static member names are limited by the broker to 249 characters less suffixes.
const LONGEST_NAME: usize = 128;

/// A setting and the rule that it breaks.
struct Broken {
    key: String,
    rule: String,
}

type Checked = Result<(), Broken>;

pub(super) fn into_config(written: Written, layer: Layer) -> Result<Config, ConfigError> {
    match checked(written, layer.clone()) {
        Ok(config) => Ok(config),
        Err(Broken { key, rule }) => Err(layer.invalid(&key, rule)),
    }
}

impl Layer {
    /// The error for a setting, with the layer that it stands in.
    pub(super) fn invalid(&self, key: &str, rule: String) -> ConfigError {
        // An element of a list has the origin of the list.
        let leaf = key.split('[').next().and_then(|key| self.0.get(key));
        ConfigError::Invalid {
            key: key.to_owned(),
            origin: leaf.map_or(Origin::Default, |leaf| leaf.origin.clone()),
            rule,
        }
    }
}

fn checked(mut written: Written, layer: Layer) -> Result<Config, Broken> {
    name("application_id", &written.application_id)?;
    let instance_id = Some(written.instance_id).filter(|id| !id.is_empty());
    if let Some(id) = &instance_id {
        name("instance_id", id)?;
    }
    kafka(&written.kafka)?;
    retry(&mut written.retry)?;
    let prefix = written
        .topics
        .prefix
        .replace("<application_id>", &written.application_id);
    let topics = Topics::try_new(&prefix, &written.topics.names, &written.retry.tiers)
        .map_err(|error| broken(error.key(), &error))?;
    range("topics.partitions", written.topics.partitions, 1, 10_000)?;
    if written.topics.replication_factor != -1 {
        range(
            "topics.replication_factor",
            written.topics.replication_factor,
            1,
            32_767,
        )?;
    }
    events(&written.events.topics, &topics)?;
    mappings(&written.events)?;
    duration(
        "events.refresh",
        written.events.refresh,
        Duration::from_millis(100),
        HOUR,
    )?;
    schema_registry(&written.schema_registry)?;
    for (index, directory) in written.subscriptions.secret_dirs.iter().enumerate() {
        let key = format!("subscriptions.secret_dirs[{index}]");
        hold(directory.is_absolute(), &key, "must be an absolute path")?;
    }
    for (index, pattern) in written.subscriptions.secret_env.iter().enumerate() {
        let key = format!("subscriptions.secret_env[{index}]");
        let name = pattern.strip_suffix('*').unwrap_or(pattern);
        let plain = !pattern.is_empty() && !name.contains(['*', '=', '\0']);
        hold(plain, &key, "must be a name, with at most one * at its end")?;
    }
    range(
        "router.batch_records",
        written.router.batch_records,
        1,
        1_000_000,
    )?;
    at_least_one_byte("router.batch_bytes", written.router.batch_bytes)?;
    range(
        "router.template_fuel",
        written.router.template_fuel,
        1_000,
        10_000_000,
    )?;
    range(
        "dispatcher.max_in_flight",
        written.dispatcher.max_in_flight,
        1,
        1_000_000,
    )?;
    range(
        "dispatcher.max_in_flight_per_host",
        written.dispatcher.max_in_flight_per_host,
        1,
        1_000_000,
    )?;
    breaker(&written.breaker)?;
    at_least_one_byte("dispatcher.memory", written.dispatcher.memory)?;
    range(
        "dispatcher.holes_per_partition",
        written.dispatcher.holes_per_partition,
        1,
        MOST_HOLES,
    )?;
    http(&written.http)?;
    hold(
        written.attempts.response_bytes <= written.http.response_limit,
        "attempts.response_bytes",
        "must not be more than `http.response_limit`",
    )?;
    endpoints(&written.endpoints)?;
    let window = written.notices.window;
    duration("notices.window", window, Duration::ZERO, 24 * HOUR)?;
    duration(
        "shutdown.timeout",
        written.shutdown.timeout,
        Duration::ZERO,
        HOUR,
    )?;
    let second = Duration::from_secs(1);
    let stuck_after = written.telemetry.stuck_after;
    duration("telemetry.stuck_after", stuck_after, second, 24 * HOUR)?;
    if let Err(error) = tracing_subscriber::EnvFilter::try_new(&written.telemetry.log) {
        return Err(broken("telemetry.log", error));
    }
    let factor = written.topics.replication_factor;
    Ok(Config {
        application_id: written.application_id,
        instance_id,
        kafka: written.kafka,
        topic_creation: TopicCreation {
            partitions: written.topics.partitions,
            replication_factor: (factor != -1).then_some(factor),
        },
        topics,
        events: written.events,
        event_types: written.event_types,
        schema_registry: written.schema_registry,
        subscriptions: written.subscriptions,
        retry: written.retry,
        router: written.router,
        dispatcher: written.dispatcher,
        breaker: written.breaker,
        http: written.http,
        attempts: written.attempts,
        endpoints: written.endpoints,
        notices: written.notices,
        shutdown: written.shutdown,
        telemetry: written.telemetry,
        layer,
    })
}

const HOUR: Duration = Duration::from_hours(1);

fn kafka(kafka: &KafkaSettings) -> Checked {
    let servers = &kafka.bootstrap_servers;
    hold(
        servers.split(',').all(|server| !server.trim().is_empty()),
        "kafka.bootstrap_servers",
        "must be host:port, more of them separated by commas",
    )?;
    let second = Duration::from_secs(1);
    duration(
        "kafka.session_timeout",
        kafka.session_timeout,
        second,
        MAX_POLL_INTERVAL,
    )?;
    // 15 min is the broker's own `transaction.max.timeout.ms`.
    let quarter = Duration::from_mins(15);
    duration(
        "kafka.transaction_timeout",
        kafka.transaction_timeout,
        second,
        quarter,
    )?;
    match kafka.properties.refused() {
        Some((name, reason)) => Err(broken(
            format!("kafka.properties.{name}"),
            format!("is not open to change: {reason}"),
        )),
        None => Ok(()),
    }
}

/// Also sorts the ladder: its order in the list means nothing.
fn retry(retry: &mut RetrySettings) -> Checked {
    range("retry.tiers", retry.tiers.len(), 1, MOST_TIERS)
        .map_err(|_| broken("retry.tiers", format!("must have 1 to {MOST_TIERS} tiers")))?;
    for (index, tier) in retry.tiers.iter().enumerate() {
        let key = format!("retry.tiers[{index}]");
        duration(&key, *tier, Duration::from_millis(100), LONGEST_WAIT)?;
    }
    retry.tiers.sort_unstable();
    if let Some(twice) = retry.tiers.windows(2).find(|pair| pair[0] == pair[1]) {
        let rule = format!("has `{}` twice", canonical(twice[0]));
        return Err(broken("retry.tiers", rule));
    }
    hold(
        retry.schedule.len() <= 1_000,
        "retry.schedule",
        "must have at most 1,000 waits",
    )?;
    for (index, wait) in retry.schedule.iter().enumerate() {
        let key = format!("retry.schedule[{index}]");
        duration(&key, *wait, Duration::ZERO, LONGEST_WAIT)?;
    }
    let key = "retry.max_age";
    duration(key, retry.max_age, Duration::from_secs(1), LONGEST_AGE)?;
    let policy = Policy::schedule(retry.schedule.clone(), DEFAULT_JITTER)
        .map_err(|error| broken("retry.schedule", error))?;
    let rule = || {
        let span = canonical(Duration::from_secs(policy.span().as_secs() + 1));
        format!("must not be shorter than `retry.schedule`, which takes {span} with its jitter")
    };
    hold(retry.max_age >= policy.span(), key, rule())
}

fn breaker(breaker: &BreakerSettings) -> Checked {
    let ratio = breaker.failure_ratio;
    hold(
        ratio > 0.0 && ratio <= 1.0,
        "breaker.failure_ratio",
        "must be above 0 and at most 1",
    )?;
    range("breaker.min_requests", breaker.min_requests, 1, 1_000_000)?;
    let (second, day) = (Duration::from_secs(1), 24 * HOUR);
    duration("breaker.window", breaker.window, second, HOUR)?;
    duration("breaker.first_probe", breaker.first_probe, second, day)?;
    duration("breaker.longest_probe", breaker.longest_probe, second, day)?;
    hold(
        breaker.longest_probe >= breaker.first_probe,
        "breaker.first_probe",
        "must not be longer than `breaker.longest_probe`",
    )
}

fn events(events: &[EventTopic], own: &Topics) -> Checked {
    hold(
        !events.is_empty(),
        "events.topics",
        "must name at least one topic",
    )?;
    for (index, entry) in events.iter().enumerate() {
        let key = format!("events.topics[{index}]");
        let EventTopic::Name(topic) = entry else {
            continue;
        };
        topic::check_name(topic).map_err(|error| broken(&key, error))?;
        // Notices have the form of events, and may be delivered: for those who ask for it by name.
        let may_be_read = matches!(own.parse(topic), None | Some(Topic::Notices));
        let rule = "is one of Hooktide's own topics, of which only `notices` holds events";
        hold(may_be_read, &key, rule)?;
    }
    Ok(())
}

/// A mapping that no record can meet is a mistake.
fn mappings(events: &EventsSettings) -> Checked {
    let mappings = &events.mappings;
    hold(
        mappings.len() <= MOST_MAPPINGS,
        "events.mappings",
        format!("must have at most {MOST_MAPPINGS} mappings"),
    )?;
    for (index, mapping) in mappings.iter().enumerate() {
        let EventTopic::Name(topic) = mapping.topic() else {
            continue;
        };
        let key = format!("events.mappings[{index}].topic");
        let is_read = events.topics.iter().any(|entry| entry.matches(topic));
        hold(is_read, &key, "is none of `events.topics`")?;
        let mut earlier = mappings[..index].iter();
        if let Some(first) = earlier.position(|earlier| earlier.topic().matches(topic)) {
            let rule = format!("is mapped by `events.mappings[{first}]` already");
            return Err(broken(key, rule));
        }
    }
    Ok(())
}

fn schema_registry(registry: &SchemaRegistrySettings) -> Checked {
    let has_password = registry.password.expose().is_some();
    both(
        ("schema_registry.username", !registry.username.is_empty()),
        ("schema_registry.password", has_password),
    )?;
    hold(
        registry.bearer_token.expose().is_none() || !has_password,
        "schema_registry.bearer_token",
        "must be empty beside `schema_registry.username`",
    )?;
    both(
        (
            "schema_registry.certificate_file",
            registry.certificate_file.is_some(),
        ),
        ("schema_registry.key_file", registry.key_file.is_some()),
    )?;
    let least = Duration::from_millis(100);
    let minute = Duration::from_mins(1);
    duration("schema_registry.timeout", registry.timeout, least, minute)?;
    let key = "schema_registry.longest_wait";
    duration(key, registry.longest_wait, least, 5 * minute)?;
    range("schema_registry.cache", registry.cache, 16, 1_000_000)
}

/// Two settings of which each needs the other.
fn both(one: (&str, bool), other: (&str, bool)) -> Checked {
    let (set, missing) = match one.1 {
        true => (one, other),
        false => (other, one),
    };
    let rule = format!("must be set together with `{}`, or neither", missing.0);
    hold(one.1 == other.1, set.0, rule)
}

fn http(http: &HttpSettings) -> Checked {
    let least = Duration::from_millis(1);
    duration("http.max_timeout", http.max_timeout, least, HOUR)?;
    duration("http.timeout", http.timeout, least, HOUR)?;
    hold(
        http.timeout <= http.max_timeout,
        "http.timeout",
        "must not be longer than `http.max_timeout`",
    )?;
    duration("http.connect_timeout", http.connect_timeout, least, HOUR)?;
    hold(
        http.connect_timeout <= http.timeout,
        "http.connect_timeout",
        "must not be longer than `http.timeout`",
    )?;
    duration(
        "http.retry_after_max",
        http.retry_after_max,
        Duration::ZERO,
        LONGEST_WAIT,
    )?;
    let just_below = Duration::from_secs(59);
    let second = Duration::from_secs(1);
    duration("http.idle_timeout", http.idle_timeout, second, just_below)?;
    range(
        "http.idle_per_host",
        http.idle_per_host,
        0,
        MOST_CONNECTIONS,
    )?;
    range(
        "http.kept_connections",
        http.kept_connections,
        0,
        MOST_CONNECTIONS,
    )?;
    hold(
        http.proxy.is_some() || !http.proxy_resolves,
        "http.proxy_resolves",
        "must be false without `http.proxy`",
    )?;
    at_least_one_byte("http.response_limit", http.response_limit)
}

fn endpoints(endpoints: &EndpointsSettings) -> Checked {
    let second = Duration::from_secs(1);
    let after = endpoints.disable_after;
    duration("endpoints.disable_after", after, second, 366 * 24 * HOUR)?;
    let resume = endpoints.resume_within;
    duration("endpoints.resume_within", resume, second, 24 * HOUR)?;
    let attempts = endpoints.disable_min_attempts;
    range("endpoints.disable_min_attempts", attempts, 1, 1_000_000_000)?;
    range("endpoints.warn_at", endpoints.warn_at, 0.0, 1.0)
}

fn name(key: &str, text: &str) -> Checked {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    hold(
        (1..=LONGEST_NAME).contains(&text.len()) && text.bytes().all(plain),
        key,
        "must be 1 to 128 of the characters A-Z a-z 0-9 . _ -",
    )
}

fn duration(key: &str, value: Duration, least: Duration, most: Duration) -> Checked {
    let rule = || format!("must be {} to {}", canonical(least), canonical(most));
    hold((least..=most).contains(&value), key, rule())
}

fn range<T: PartialOrd + Display>(key: &str, value: T, least: T, most: T) -> Checked {
    let rule = format!("must be {least} to {most}");
    hold((least..=most).contains(&value), key, rule)
}

fn at_least_one_byte(key: &str, size: super::ByteSize) -> Checked {
    hold(size.as_bytes() > 0, key, "must be at least 1B")
}

fn hold(holds: bool, key: &str, rule: impl Display) -> Checked {
    if holds {
        Ok(())
    } else {
        Err(broken(key, rule))
    }
}

fn broken(key: impl Display, rule: impl Display) -> Broken {
    Broken {
        key: key.to_string(),
        rule: rule.to_string(),
    }
}

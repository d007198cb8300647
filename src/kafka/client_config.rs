//! How each kind of librdkafka client is set up. The guarantees of the commit protocol hang on these
//! properties, so they are set in one place, and `config::Properties` refuses to change them.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;

use crate::config::{Config, Properties};
use crate::role::Role;

/// A third of the session timeout, and never more than librdkafka's own 3 s.
const LONGEST_HEARTBEAT: Duration = Duration::from_secs(3);

/// A property of the user that librdkafka does not know or take. Never shows a secret.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`kafka.properties.{name}`: {problem}")]
pub struct PropertyError {
    name: String,
    problem: String,
}

/// Asks librdkafka about each of the user's properties; errors of later steps would show values.
pub fn check_properties(properties: &Properties) -> Result<(), PropertyError> {
    for (name, value) in properties.iter() {
        if let Err(error) = ClientConfig::new().set(name, value).create_native_config() {
            let problem = match error {
                KafkaError::ClientConfig(_, said, _, _) if !Properties::is_secret(name) => said,
                _ => "librdkafka does not take it".to_owned(),
            };
            let name = name.to_owned();
            return Err(PropertyError { name, problem });
        }
    }
    Ok(())
}

/// For questions to the cluster and for making topics.
pub fn admin(config: &Config) -> ClientConfig {
    with_properties(base(config, "admin"), config)
}

/// A consumer outside of any group that reads topics to their end and follows them: subscriptions,
/// the changelog of endpoints. It is assigned, never subscribed; it sees only what was committed.
pub fn table_reader(config: &Config) -> ClientConfig {
    let mut client = base(config, "table");
    // librdkafka wants a group's name even where no group is joined; nothing is committed to it.
    client
        .set("group.id", format!("{}.table", config.application_id))
        .set("enable.partition.eof", "true");
    read_safely(&mut client);
    with_properties(client, config)
}

/// A member of a role's group.
pub fn group_consumer(config: &Config, role: Role) -> ClientConfig {
    let session = config.kafka.session_timeout;
    let mut client = base(config, role.as_str());
    client
        .set("group.id", config.group(role))
        .set("group.protocol", "classic")
        // Equal numbers of equally partitioned topics go to one member.
        .set("partition.assignment.strategy", "range")
        .set("session.timeout.ms", millis(session))
        .set(
            "heartbeat.interval.ms",
            millis((session / 3).min(LONGEST_HEARTBEAT)),
        )
        // Also the time that a rebalance waits for each member.
        .set("max.poll.interval.ms", "60000")
        .set("enable.partition.eof", "false");
    read_safely(&mut client);
    // Per partition. What is prefetched is what a role works on while its last transaction ends; more than
    // this makes it larger, not faster.
    client.set("fetch.message.max.bytes", (128 << 10).to_string());
    match role {
        Role::Router => {
            client.set("queued.max.messages.kbytes", "512").set(
                "topic.metadata.refresh.interval.ms",
                millis(config.events.refresh),
            );
        }
        // There are tiers × partitions of them, most of them held unread.
        Role::Dispatcher => {
            client.set("queued.max.messages.kbytes", "128");
        }
    }
    if let Some(instance) = &config.instance_id {
        client.set("group.instance.id", instance);
    }
    with_properties(client, config)
}

/// The producer of a role. `instance` is `instance_id`, or random for this process; `largest_record`
/// is the `max.message.bytes` of the task topics, in bytes, which librdkafka must let through.
pub fn transactional_producer(
    config: &Config,
    role: Role,
    instance: &str,
    largest_record: usize,
) -> ClientConfig {
    let mut client = base(config, role.as_str());
    client
        .set(
            "transactional.id",
            format!("{}.{role}.{instance}", config.application_id),
        )
        .set(
            "transaction.timeout.ms",
            millis(config.kafka.transaction_timeout),
        )
        .set("enable.idempotence", "true")
        .set("acks", "all")
        // As Java's default partitioner places keys, so that ours and theirs agree.
        .set("partitioner", "murmur2_random")
        // Without it thousands of records a second go out as one-record batches.
        .set("linger.ms", "2")
        // A dispatcher fetches as much of a partition at a time, and at least one whole batch.
        .set("batch.size", (128 << 10).to_string())
        // The coordinator is still busy with the last transaction's markers when the next begins.
        .set("retry.backoff.ms", "10")
        .set("compression.type", "lz4")
        .set(
            "message.max.bytes",
            largest_record.max(1_000_000).to_string(),
        )
        // The default is 1 GiB.
        .set("queue.buffering.max.kbytes", (64 << 10).to_string());
    with_properties(client, config)
}

/// The producer of a command that writes a few records, or a file of them, outside of transactions.
pub fn errand_producer(config: &Config) -> ClientConfig {
    let mut client = base(config, "command");
    client
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("partitioner", "murmur2_random")
        .set("delivery.timeout.ms", "30000")
        .set("linger.ms", "5")
        .set("batch.size", (128 << 10).to_string())
        .set("compression.type", "lz4")
        // The topic's own limit decides what is too large.
        .set("message.max.bytes", (64 << 20).to_string())
        .set("queue.buffering.max.kbytes", (64 << 10).to_string());
    with_properties(client, config)
}

fn base(config: &Config, purpose: &str) -> ClientConfig {
    let mut client = ClientConfig::new();
    client
        .set("bootstrap.servers", &config.kafka.bootstrap_servers)
        .set("client.id", format!("{}.{purpose}", config.application_id))
        // A producer's default would make missing topics without their rules.
        .set("allow.auto.create.topics", "false")
        .set("reconnect.backoff.max.ms", "1000");
    client
}

fn read_safely(client: &mut ClientConfig) {
    client
        .set("isolation.level", "read_committed")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "error")
        // A drained partition waits for the Fetch that is under way, and its queue for the next one.
        .set("fetch.wait.max.ms", "50")
        .set("fetch.queue.backoff.ms", "10")
        // 64 MiB and 1 MiB per partition are librdkafka's own; nobody counts on so much.
        .set("queued.max.messages.kbytes", "1024");
}

fn with_properties(mut client: ClientConfig, config: &Config) -> ClientConfig {
    for (name, value) in config.kafka.properties.iter() {
        client.set(name, value);
    }
    client
}

fn millis(duration: Duration) -> String {
    duration.as_millis().to_string()
}

#[cfg(test)]
mod tests {
    use rdkafka::consumer::BaseConsumer;
    use rdkafka::producer::BaseProducer;

    use super::*;

    fn config(environment: &[(&str, &str)]) -> Config {
        let environment = environment
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Config::load(None, environment).unwrap()
    }

    fn check(client: &ClientConfig, name: &str, expected: Option<&str>) {
        assert_eq!(client.get(name), expected, "{name}");
    }

    #[test]
    fn librdkafka_takes_every_client() {
        let config = config(&[("HOOKTIDE__INSTANCE_ID", "a-0")]);
        table_reader(&config).create::<BaseConsumer>().unwrap();
        errand_producer(&config).create::<BaseProducer>().unwrap();
        for role in Role::ALL {
            group_consumer(&config, role)
                .create::<BaseConsumer>()
                .unwrap();
            let producer = transactional_producer(&config, role, "a-0", 1_048_588);
            producer.create::<BaseProducer>().unwrap();
        }
    }

    #[test]
    fn members_are_static_only_with_an_instance() {
        let dynamic = group_consumer(&config(&[]), Role::Router);
        check(&dynamic, "group.id", Some("hooktide.router"));
        check(&dynamic, "group.instance.id", None);
        let one = config(&[("HOOKTIDE__INSTANCE_ID", "a-0")]);
        let fixed = group_consumer(&one, Role::Dispatcher);
        check(&fixed, "group.id", Some("hooktide.dispatcher"));
        check(&fixed, "group.instance.id", Some("a-0"));
    }

    #[test]
    fn heartbeats_fit_into_short_sessions() {
        let short = config(&[("HOOKTIDE__KAFKA__SESSION_TIMEOUT", "3s")]);
        let client = group_consumer(&short, Role::Router);
        check(&client, "session.timeout.ms", Some("3000"));
        check(&client, "heartbeat.interval.ms", Some("1000"));
        client.create::<BaseConsumer>().unwrap();
    }

    #[test]
    fn consumers_read_what_was_committed_and_never_jump() {
        let config = config(&[]);
        for client in [
            table_reader(&config),
            group_consumer(&config, Role::Router),
            group_consumer(&config, Role::Dispatcher),
        ] {
            check(&client, "isolation.level", Some("read_committed"));
            check(&client, "enable.auto.commit", Some("false"));
            check(&client, "auto.offset.reset", Some("error"));
        }
    }

    #[test]
    fn the_users_properties_come_last() {
        let tuned = config(&[("HOOKTIDE__KAFKA__PROPERTIES__LINGER_MS", "7")]);
        let producer = transactional_producer(&tuned, Role::Router, "x", 5_000_000);
        check(&producer, "linger.ms", Some("7"));
        check(&producer, "transactional.id", Some("hooktide.router.x"));
        check(&producer, "message.max.bytes", Some("5000000"));
    }

    #[test]
    fn properties_that_librdkafka_does_not_take_are_named_without_their_secrets() {
        fn refusal(variable: &str, value: &str) -> String {
            let config = config(&[(variable, value)]);
            let error = check_properties(&config.kafka.properties).unwrap_err();
            error.to_string()
        }
        let said = refusal("HOOKTIDE__KAFKA__PROPERTIES__NO_SUCH", "1");
        assert!(said.starts_with("`kafka.properties.no.such`: "), "{said}");
        let said = refusal("HOOKTIDE__KAFKA__PROPERTIES__SOCKET_MAX_FAILS", "x");
        assert!(
            said.starts_with("`kafka.properties.socket.max.fails`: "),
            "{said}"
        );
        let said = refusal("HOOKTIDE__KAFKA__PROPERTIES__NO_SUCH_PASSWORD", "hunter2");
        assert!(!said.contains("hunter2"), "{said}");
        assert_eq!(check_properties(&config(&[]).kafka.properties), Ok(()));
    }
}

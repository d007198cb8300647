//! The user's own librdkafka properties, and those that are refused because a guarantee hangs on them.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;

/// Properties that Hooktide sets itself, each with the reason why nobody else may.
const REFUSED: [(&str, &str); 30] = [
    ("acks", ACKS),
    (
        "allow.auto.create.topics",
        "topics are made by `hooktide topics create`, with their rules",
    ),
    ("auto.commit.enable", OFFSETS),
    ("auto.commit.interval.ms", OFFSETS),
    (
        "auto.offset.reset",
        "a lost offset is an error here, never a silent jump; see `events.start`",
    ),
    ("bootstrap.servers", "use `kafka.bootstrap_servers`"),
    ("builtin.features", "it is read only"),
    (
        "delivery.timeout.ms",
        "it follows `kafka.transaction_timeout`",
    ),
    ("enable.auto.commit", OFFSETS),
    ("enable.auto.offset.store", OFFSETS),
    ("enable.gapless.guarantee", ACKS),
    ("enable.idempotence", ACKS),
    ("enable.partition.eof", "tables are read to their end by it"),
    ("group.id", GROUP),
    ("group.instance.id", "use `instance_id`"),
    (
        "group.protocol",
        "the guarantees are those of the classic group protocol",
    ),
    ("group.protocol.type", GROUP),
    ("group.remote.assignor", GROUP),
    (
        "isolation.level",
        "what an aborted transaction wrote must never be read",
    ),
    (
        "max.poll.interval.ms",
        "it bounds the hand-over of partitions",
    ),
    (
        "message.timeout.ms",
        "it follows `kafka.transaction_timeout`",
    ),
    ("metadata.broker.list", "use `kafka.bootstrap_servers`"),
    ("offset.store.method", OFFSETS),
    ("partition.assignment.strategy", GROUP),
    (
        "partitioner",
        "a subscription's tasks keep their partition in every topic by it",
    ),
    (
        "plugin.library.paths",
        "foreign code could break every guarantee",
    ),
    ("request.required.acks", ACKS),
    ("session.timeout.ms", "use `kafka.session_timeout`"),
    ("transaction.timeout.ms", "use `kafka.transaction_timeout`"),
    (
        "transactional.id",
        "it is made from `application_id`, the role and the instance",
    ),
];
const ACKS: &str = "records are acknowledged by all replicas, once and in order";
const GROUP: &str = "groups are made from `application_id` and the role";
const OFFSETS: &str = "offsets are committed in transactions, with what follows from them";

/// Parts of a name that mark its value as secret.
const SECRET_MARKS: [&str; 9] = [
    "password",
    "secret",
    "key",
    "token",
    "jaas",
    "oauthbearer",
    "assertion",
    "kinit",
    "pem",
];

/// librdkafka properties by name. Shows no value that could be a secret.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Properties(BTreeMap<String, String>);

impl Properties {
    /// Names and values, ordered by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Whether a property's value must not be shown.
    pub fn is_secret(name: &str) -> bool {
        let name = name.to_ascii_lowercase();
        SECRET_MARKS.iter().any(|mark| name.contains(mark))
    }

    /// The first property that would break a guarantee, and why.
    pub(super) fn refused(&self) -> Option<(&str, &'static str)> {
        self.0.keys().find_map(|given| {
            REFUSED
                .iter()
                .find(|(name, _)| name == given)
                .map(|(_, reason)| (given.as_str(), *reason))
        })
    }
}

impl fmt::Debug for Properties {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_map()
            .entries(self.iter().map(|(name, value)| {
                let shown = if Self::is_secret(name) {
                    "(redacted)"
                } else {
                    value
                };
                (name, shown)
            }))
            .finish()
    }
}

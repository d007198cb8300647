//! Every topic of an installation: its name, what lies on it, how long, and by which rules.
//!
//! | topic | key | value | kept |
//! |---|---|---|---|
//! | `subscriptions` | tenant/id | a subscription | compacted, one partition |
//! | `event_types` | the type | what events of a type look like | compacted, one partition, may be missing |
//! | `deliveries` | tenant/subscription | the request body; the rest in headers | 7 d |
//! | `retry.<delay>` | as in `deliveries` | as in `deliveries` | delay + 7 d |
//! | `dlq` | as in `deliveries` | as in `deliveries`, with the reason in headers | 30 d |
//! | `attempts` | tenant/id | an attempt | 30 d |
//! | `rejects` | as it came | what could not be read, with the reason in headers | 30 d |
//! | `notices` | tenant/id | what people should hear of, as events | 30 d |
//! | `endpoints` | tenant/id, or a wish's or cursor's own | the state of an endpoint, what operators wish, what is told | compacted |
//!
//! `deliveries`, every `retry.<delay>` and `endpoints` have equal partition counts, so that the same
//! number of each is owned by one process.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::duration_text::{canonical, parse};

const DAY: Duration = Duration::from_hours(24);

/// One of the own topics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Topic {
    /// Who wants which events.
    Subscriptions,
    /// What the events of each type look like.
    EventTypes,
    /// Tasks as the router made them: tier 0.
    Deliveries,
    /// Tasks that rest for this long.
    Retry(Duration),
    /// Tasks that were given up.
    Dlq,
    /// A record for every request.
    Attempts,
    /// What could not be read or breaks a limit.
    Rejects,
    /// Endpoints disabled, recovered, and the like.
    Notices,
    /// The state of each endpoint.
    Endpoints,
}

/// What happens to old records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cleanup {
    /// The newest record of each key stays.
    Compact,
    /// Records go when they are older than this.
    Delete(Duration),
}

impl Topic {
    /// All topics but the retry tiers.
    pub const FIXED: [Self; 8] = [
        Self::Subscriptions,
        Self::EventTypes,
        Self::Deliveries,
        Self::Dlq,
        Self::Attempts,
        Self::Rejects,
        Self::Notices,
        Self::Endpoints,
    ];

    /// How old records go.
    pub fn cleanup(self) -> Cleanup {
        match self {
            Self::Subscriptions | Self::EventTypes | Self::Endpoints => Cleanup::Compact,
            Self::Deliveries => Cleanup::Delete(7 * DAY),
            Self::Retry(delay) => Cleanup::Delete(delay.saturating_add(7 * DAY)),
            Self::Dlq | Self::Attempts | Self::Rejects | Self::Notices => Cleanup::Delete(30 * DAY),
        }
    }

    /// Whether tasks lie on it. Their due time counts from the append time, so the broker's clock
    /// must stamp them.
    pub fn holds_tasks(self) -> bool {
        match self {
            Self::Deliveries | Self::Retry(_) => true,
            Self::Subscriptions
            | Self::EventTypes
            | Self::Dlq
            | Self::Attempts
            | Self::Rejects
            | Self::Notices
            | Self::Endpoints => false,
        }
    }

    /// Whether its partition count must equal that of `deliveries`.
    pub fn is_co_partitioned(self) -> bool {
        self.holds_tasks() || self == Self::Endpoints
    }

    /// Whether it has one partition, so that any client's partitioner serves and its offset is one
    /// clock.
    pub fn is_one_clock(self) -> bool {
        match self {
            Self::Subscriptions | Self::EventTypes => true,
            Self::Deliveries
            | Self::Retry(_)
            | Self::Dlq
            | Self::Attempts
            | Self::Rejects
            | Self::Notices
            | Self::Endpoints => false,
        }
    }

    /// How many partitions it gets where the installation has `usual` ones.
    pub fn partitions(self, usual: i32) -> i32 {
        if self.is_one_clock() { 1 } else { usual }
    }

    /// The topic-level configuration it is created with, where the broker keeps `replicas` of it.
    pub fn settings(self, replicas: i32) -> Vec<(&'static str, String)> {
        let mut settings = vec![("unclean.leader.election.enable", "false".to_owned())];
        match self.cleanup() {
            Cleanup::Compact => settings.push(("cleanup.policy", "compact".to_owned())),
            Cleanup::Delete(age) => {
                settings.push(("cleanup.policy", "delete".to_owned()));
                settings.push(("retention.ms", age.as_millis().to_string()));
            }
        }
        if self.holds_tasks() {
            settings.push(("message.timestamp.type", "LogAppendTime".to_owned()));
        }
        if replicas >= 3 {
            settings.push(("min.insync.replicas", "2".to_owned()));
        }
        settings
    }
}

/// The name without prefix, as `topics.names` has it: `deliveries`, `retry.5s`.
impl fmt::Display for Topic {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Subscriptions => "subscriptions",
            Self::EventTypes => "event_types",
            Self::Deliveries => "deliveries",
            Self::Retry(delay) => return write!(formatter, "retry.{}", canonical(*delay)),
            Self::Dlq => "dlq",
            Self::Attempts => "attempts",
            Self::Rejects => "rejects",
            Self::Notices => "notices",
            Self::Endpoints => "endpoints",
        })
    }
}

/// The own topics with their full names. Cheap enough to build, meant to be shared.
#[derive(Clone, Debug)]
pub struct Topics {
    prefix: String,
    tiers: Vec<Duration>,
    renamed: BTreeMap<Topic, String>,
}

/// Why names do not make a set of topics.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum TopicsError {
    /// `topics.names` has a key that is no own topic.
    #[error("`{0}` is not one of Hooktide's topics")]
    Unknown(String),
    /// Two keys of `topics.names` mean one topic, such as `retry.60s` and `retry.1m`.
    #[error("`{0}` is named twice")]
    Repeated(String),
    /// A full name that Kafka would not take.
    #[error("`{name}`: {cause}")]
    Name {
        /// The short name, if it is one of `topics.names`.
        renamed: Option<String>,
        /// The full name.
        name: String,
        /// What is wrong with it.
        cause: NameError,
    },
    /// Two topics with one name: each would read the other's records.
    #[error("`{second}` would have the name of `{first}`: `{name}`")]
    Shared {
        /// One topic's short name.
        first: String,
        /// The other's.
        second: String,
        /// The full name.
        name: String,
    },
}

impl TopicsError {
    /// The setting that the error is about.
    pub fn key(&self) -> String {
        match self {
            Self::Unknown(short) | Self::Repeated(short) => format!("topics.names.{short}"),
            Self::Shared { second, .. } => format!("topics.names.{second}"),
            Self::Name { renamed: None, .. } => "topics.prefix".to_owned(),
            Self::Name {
                renamed: Some(short),
                ..
            } => format!("topics.names.{short}"),
        }
    }
}

/// A name that Kafka would not take for a topic.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("a topic's name is 1 to 249 of the characters A-Z a-z 0-9 . _ - and not `.` or `..`")]
pub struct NameError;

/// Kafka's own rule for names of topics.
pub fn check_name(name: &str) -> Result<(), NameError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let good =
        (1..=249).contains(&name.len()) && name.bytes().all(plain) && name != "." && name != "..";
    if good { Ok(()) } else { Err(NameError) }
}

impl Topics {
    /// Names every topic of the ladder and the fixed ones. `renamed` maps short names to full ones;
    /// it may name tiers that are not on the ladder (any more).
    pub fn try_new(
        prefix: &str,
        renamed: &BTreeMap<String, String>,
        tiers: &[Duration],
    ) -> Result<Self, TopicsError> {
        let mut topics = Self {
            prefix: prefix.to_owned(),
            tiers: tiers.to_vec(),
            renamed: BTreeMap::new(),
        };
        for (short, name) in renamed {
            let topic = from_short(short).ok_or_else(|| TopicsError::Unknown(short.clone()))?;
            if topics.renamed.insert(topic, name.clone()).is_some() {
                return Err(TopicsError::Repeated(topic.to_string()));
            }
        }
        let mut taken = BTreeMap::new();
        let renamed_off_ladder = topics.renamed.keys().copied();
        let all = topics.all().into_iter().chain(renamed_off_ladder);
        for topic in all.collect::<std::collections::BTreeSet<_>>() {
            let name = topics.name(topic);
            check_name(&name).map_err(|cause| TopicsError::Name {
                renamed: topics.renamed.get(&topic).map(|_| topic.to_string()),
                name: name.clone(),
                cause,
            })?;
            if let Some(first) = taken.insert(name.clone(), topic) {
                // Usual names differ, so one of the two was given; that one is to blame.
                let (first, second) = match topics.renamed.contains_key(&topic) {
                    true => (first, topic),
                    false => (topic, first),
                };
                return Err(TopicsError::Shared {
                    first: first.to_string(),
                    second: second.to_string(),
                    name,
                });
            }
        }
        Ok(topics)
    }

    /// The fixed topics and the ladder's tiers.
    pub fn all(&self) -> Vec<Topic> {
        let tiers = self.tiers.iter().copied().map(Topic::Retry);
        Topic::FIXED.into_iter().chain(tiers).collect()
    }

    /// The ladder's delays, rising.
    pub fn tiers(&self) -> &[Duration] {
        &self.tiers
    }

    /// A topic's full name.
    pub fn name(&self, topic: Topic) -> String {
        match self.renamed.get(&topic) {
            Some(name) => name.clone(),
            None => format!("{}{topic}", self.prefix),
        }
    }

    /// Which own topic a full name means; also a tier that is not on the ladder. A topic that was
    /// given another name is not found under its usual one.
    pub fn parse(&self, name: &str) -> Option<Topic> {
        if let Some((topic, _)) = self.renamed.iter().find(|(_, given)| *given == name) {
            return Some(*topic);
        }
        let topic = from_short(name.strip_prefix(&self.prefix)?)?;
        // `retry.60s` is not a name that we give: the tier's topic is `retry.1m`.
        (self.name(topic) == name).then_some(topic)
    }

    /// Whether a topic is one of ours, so that no events are read from it.
    pub fn is_own(&self, name: &str) -> bool {
        self.parse(name).is_some()
    }
}

fn from_short(short: &str) -> Option<Topic> {
    if let Some(delay) = short.strip_prefix("retry.") {
        let delay = parse(delay).ok().filter(|delay| !delay.is_zero())?;
        return Some(Topic::Retry(delay));
    }
    Topic::FIXED
        .into_iter()
        .find(|topic| topic.to_string() == short)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topics(prefix: &str, renamed: &[(&str, &str)]) -> Result<Topics, TopicsError> {
        let renamed = renamed
            .iter()
            .map(|(short, name)| ((*short).to_owned(), (*name).to_owned()))
            .collect();
        Topics::try_new(
            prefix,
            &renamed,
            &[Duration::from_secs(5), Duration::from_secs(60)],
        )
    }

    #[test]
    fn names_read_back() {
        let topics = topics("a.", &[("dlq", "dead"), ("retry.60s", "minute")]).unwrap();
        fn check(topics: &Topics, topic: Topic, name: &str) {
            assert_eq!(topics.name(topic), name);
            assert_eq!(topics.parse(name), Some(topic));
        }
        check(&topics, Topic::Deliveries, "a.deliveries");
        check(&topics, Topic::Retry(Duration::from_secs(5)), "a.retry.5s");
        check(&topics, Topic::Retry(Duration::from_secs(60)), "minute");
        check(&topics, Topic::Dlq, "dead");
        // Taken off the ladder, but still one of ours.
        check(
            &topics,
            Topic::Retry(Duration::from_secs(90)),
            "a.retry.90s",
        );
        assert_eq!(topics.all().len(), 10);
    }

    #[test]
    fn other_names_are_not_ours() {
        let topics = topics("a.", &[("dlq", "dead")]).unwrap();
        for name in [
            "",
            "a.",
            "events",
            "a.events",
            "deliveries",
            "b.deliveries",
            "a.dlq",
            "a.retry.60s",
            "a.retry.",
            "a.retry.0s",
            "a.retry.x",
            "a.deliveries.",
            "a.retry.99999999999999999999s",
        ] {
            assert_eq!(topics.parse(name), None, "{name}");
        }
    }

    #[test]
    fn names_that_collide_or_are_no_names_are_refused() {
        fn check(prefix: &str, renamed: &[(&str, &str)], key: &str) {
            assert_eq!(topics(prefix, renamed).unwrap_err().key(), key);
        }
        check("a/", &[], "topics.prefix");
        check(&"a".repeat(245), &[], "topics.prefix");
        check("", &[("dlq", "..")], "topics.names.dlq");
        check(
            "",
            &[("attempts", "x"), ("dlq", "x")],
            "topics.names.attempts",
        );
        check("", &[("retry.90s", "retry.5s")], "topics.names.retry.90s");
        check(
            "",
            &[("retry.60s", "a"), ("retry.1m", "b")],
            "topics.names.retry.1m",
        );
        check("", &[("retry.5", "a")], "topics.names.retry.5");
    }

    #[test]
    fn settings_follow_the_kind_of_topic() {
        fn check(topic: Topic, replicas: i32, expected: &[(&str, &str)]) {
            let settings = topic.settings(replicas);
            let settings: Vec<_> = settings
                .iter()
                .map(|(name, v)| (*name, v.as_str()))
                .collect();
            assert_eq!(settings, expected, "{topic}");
        }
        const UNCLEAN: (&str, &str) = ("unclean.leader.election.enable", "false");
        const STAMPED: (&str, &str) = ("message.timestamp.type", "LogAppendTime");
        const DELETE: (&str, &str) = ("cleanup.policy", "delete");
        let compact = [UNCLEAN, ("cleanup.policy", "compact")];
        check(Topic::Subscriptions, 1, &compact);
        check(Topic::EventTypes, 1, &compact);
        check(Topic::Endpoints, 2, &compact);
        let week = [UNCLEAN, DELETE, ("retention.ms", "604800000"), STAMPED];
        check(Topic::Deliveries, 1, &week);
        let more = [
            UNCLEAN,
            DELETE,
            ("retention.ms", "604805000"),
            STAMPED,
            ("min.insync.replicas", "2"),
        ];
        check(Topic::Retry(Duration::from_secs(5)), 3, &more);
        let month = [UNCLEAN, DELETE, ("retention.ms", "2592000000")];
        check(Topic::Dlq, 1, &month);
    }
}

//! What the cluster must look like for the guarantees to hold, judged on what was seen of it. Pure:
//! [`topic_admin`](super::topic_admin) does the looking.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::topic::{Cleanup, Topic, Topics};

/// What was seen of a cluster.
#[derive(Clone, Debug, Default)]
pub struct Cluster {
    /// How many brokers it has.
    pub brokers: usize,
    /// Topics by full name: the own ones, the named events topics, and Kafka's internal ones.
    pub topics: BTreeMap<String, SeenTopic>,
    /// `offsets.retention.minutes`, unless the broker would not say.
    pub offsets_retention: Option<Duration>,
    /// `default.replication.factor`, unless the broker would not say.
    pub default_replicas: Option<i32>,
}

/// What was seen of a topic.
#[derive(Clone, Debug, Default)]
pub struct SeenTopic {
    /// How many partitions it has.
    pub partitions: i32,
    /// How many of them have no leader right now.
    pub leaderless: usize,
    /// The fewest replicas that one of them has.
    pub replicas: usize,
    /// Its configuration, with the broker's defaults filled in.
    pub settings: BTreeMap<String, String>,
}

/// Whether a process may start in spite of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// A guarantee does not hold: no start.
    Error,
    /// Something that operators should know.
    Warning,
}

/// A rule that does not hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// The topic's full name, or `cluster`.
    pub topic: String,
    /// What the rule is about: a topic-level setting's name, `exists`, `partitions`, `replicas`.
    pub rule: String,
    /// What was seen.
    pub found: String,
    /// What should be.
    pub wanted: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{}: {} is {}, wanted {}",
            self.topic, self.rule, self.found, self.wanted
        )
    }
}

/// A retry topic that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tier {
    /// Full name.
    pub topic: String,
    /// How long a record rests on it.
    pub delay: Duration,
    /// Whether `retry.tiers` (still) has it; others are only read until empty.
    pub on_ladder: bool,
}

/// What the roles must know of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterFacts {
    /// Partitions of `deliveries`, of each tier and of `endpoints`.
    pub partitions: i32,
    /// Partitions of `attempts`.
    pub attempts_partitions: i32,
    /// Every retry topic that exists, by rising delay.
    pub tiers: Vec<Tier>,
    /// The least `max.message.bytes` of the topics that tasks travel on, in bytes.
    pub max_message_bytes: usize,
}

impl ClusterFacts {
    /// Facts of a cluster; none while there is no `deliveries` topic.
    pub fn of(cluster: &Cluster, topics: &Topics) -> Option<Self> {
        let deliveries = cluster.topics.get(&topics.name(Topic::Deliveries))?;
        let tiers = tiers(cluster, topics);
        let task_topics = tiers
            .iter()
            .map(|tier| tier.topic.clone())
            .chain([Topic::Deliveries, Topic::Dlq].map(|topic| topics.name(topic)));
        let limit = task_topics
            .filter_map(|name| cluster.topics.get(&name)?.number("max.message.bytes"))
            .min();
        Some(Self {
            partitions: deliveries.partitions,
            attempts_partitions: cluster
                .topics
                .get(&topics.name(Topic::Attempts))
                .map_or(1, |attempts| attempts.partitions),
            tiers,
            max_message_bytes: usize::try_from(limit.unwrap_or(BROKER_MAX_MESSAGE)).unwrap_or(0),
        })
    }
}

/// The broker's default of `max.message.bytes`, for where it would not say.
const BROKER_MAX_MESSAGE: i64 = 1_048_588;

impl SeenTopic {
    fn number(&self, setting: &str) -> Option<i64> {
        self.settings.get(setting)?.parse().ok()
    }
}

/// Every rule that does not hold, errors first. `events` are the topics of events that have a name;
/// `event_types` may be missing unless `checks_events`.
pub fn findings(
    cluster: &Cluster,
    topics: &Topics,
    events: &[String],
    checks_events: bool,
) -> Vec<Finding> {
    let mut inspection = Inspection {
        cluster,
        topics,
        checks_events,
        findings: Vec::new(),
    };
    let off_ladder = tiers(cluster, topics)
        .into_iter()
        .filter(|tier| !tier.on_ladder)
        .map(|tier| Topic::Retry(tier.delay));
    for topic in topics.all().into_iter().chain(off_ladder) {
        inspection.topic(topic);
    }
    inspection.message_limits();
    for name in events
        .iter()
        .filter(|name| !cluster.topics.contains_key(*name))
    {
        inspection.warn(
            name,
            "exists",
            "no".to_owned(),
            "yes, or no events come from it (`topics create --events` makes it)".to_owned(),
        );
    }
    inspection.internal_topics();
    inspection.offsets_retention();
    let mut findings = inspection.findings;
    findings.sort_by_key(|finding| finding.severity);
    findings
}

/// Every retry topic that exists, on the ladder or not, by rising delay.
fn tiers(cluster: &Cluster, topics: &Topics) -> Vec<Tier> {
    let mut tiers: Vec<_> = cluster
        .topics
        .keys()
        .filter_map(|name| match topics.parse(name)? {
            Topic::Retry(delay) => Some(Tier {
                topic: name.clone(),
                delay,
                on_ladder: topics.tiers().contains(&delay),
            }),
            Topic::Subscriptions
            | Topic::EventTypes
            | Topic::Deliveries
            | Topic::Dlq
            | Topic::Attempts
            | Topic::Rejects
            | Topic::Notices
            | Topic::Endpoints => None,
        })
        .collect();
    tiers.sort_by_key(|tier| tier.delay);
    tiers
}

struct Inspection<'a> {
    cluster: &'a Cluster,
    topics: &'a Topics,
    checks_events: bool,
    findings: Vec<Finding>,
}

impl Inspection<'_> {
    fn topic(&mut self, topic: Topic) {
        let name = self.topics.name(topic);
        let Some(seen) = self.cluster.topics.get(&name) else {
            if topic == Topic::EventTypes && !self.checks_events {
                return;
            }
            return self.refuse(
                &name,
                "exists",
                "no".into(),
                "yes: `hooktide topics create`".into(),
            );
        };
        self.partitions(topic, &name, seen);
        self.cleanup(topic, &name, seen);
        if topic.holds_tasks() {
            self.setting(&name, seen, "message.timestamp.type", "LogAppendTime");
        }
        self.setting(&name, seen, "unclean.leader.election.enable", "false");
        if seen.replicas >= 3
            && seen
                .number("min.insync.replicas")
                .is_some_and(|min| min < 2)
        {
            self.setting(&name, seen, "min.insync.replicas", "2");
        }
        self.replicas(&name, seen);
        if seen.leaderless > 0 {
            let found = format!("missing on {} partitions", seen.leaderless);
            self.warn(&name, "leader", found, "one for each".to_owned());
        }
    }

    fn partitions(&mut self, topic: Topic, name: &str, seen: &SeenTopic) {
        let deliveries = self.topics.name(Topic::Deliveries);
        let equal = self
            .cluster
            .topics
            .get(&deliveries)
            .map(|seen| seen.partitions);
        let found = seen.partitions;
        if topic.is_one_clock() && found != 1 {
            self.refuse(name, "partitions", found.to_string(), "1".to_owned());
        } else if topic.is_co_partitioned()
            && let Some(equal) = equal.filter(|equal| *equal != found)
        {
            let wanted = format!("{equal}, as of {deliveries}");
            self.refuse(name, "partitions", found.to_string(), wanted);
        }
    }

    fn cleanup(&mut self, topic: Topic, name: &str, seen: &SeenTopic) {
        match topic.cleanup() {
            Cleanup::Compact => self.setting(name, seen, "cleanup.policy", "compact"),
            Cleanup::Delete(age) => {
                self.setting(name, seen, "cleanup.policy", "delete");
                // How long finished work is kept is the operator's choice; tasks are not finished.
                if !topic.holds_tasks() {
                    return;
                }
                let wanted = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
                if let Some(found) = seen
                    .number("retention.ms")
                    .filter(|ms| (0..wanted).contains(ms))
                {
                    let wanted = format!("at least {wanted}");
                    self.refuse(name, "retention.ms", found.to_string(), wanted);
                }
                if let Some(found) = seen.number("retention.bytes").filter(|bytes| *bytes >= 0) {
                    let wanted = "-1: a backlog would be deleted".to_owned();
                    self.warn(name, "retention.bytes", found.to_string(), wanted);
                }
            }
        }
    }

    fn replicas(&mut self, name: &str, seen: &SeenTopic) {
        if self.cluster.brokers >= 3 && seen.replicas < 3 {
            let wanted = "at least 3".to_owned();
            self.warn(name, "replicas", seen.replicas.to_string(), wanted);
        }
    }

    /// A task must fit wherever it travels.
    fn message_limits(&mut self) {
        let mut travelled = vec![Topic::Deliveries, Topic::Dlq];
        let tiers = tiers(self.cluster, self.topics);
        travelled.extend(tiers.iter().map(|tier| Topic::Retry(tier.delay)));
        let limits: BTreeMap<String, i64> = travelled
            .into_iter()
            .map(|topic| self.topics.name(topic))
            .filter_map(|name| {
                let limit = self
                    .cluster
                    .topics
                    .get(&name)?
                    .number("max.message.bytes")?;
                Some((name, limit))
            })
            .collect();
        if limits.values().collect::<BTreeSet<_>>().len() < 2 {
            return;
        }
        let most = limits.values().copied().max().unwrap_or_default();
        for (name, limit) in limits.iter().filter(|(_, limit)| **limit != most) {
            let wanted = format!("{most}, equal on deliveries, tiers and dlq");
            self.refuse(name, "max.message.bytes", limit.to_string(), wanted);
        }
    }

    fn internal_topics(&mut self) {
        for name in ["__consumer_offsets", "__transaction_state"] {
            // Absent until first used.
            if let Some(seen) = self.cluster.topics.get(name) {
                self.replicas(name, seen);
            }
        }
    }

    /// A group whose offsets were forgotten would have to start anew, with work still on the topics.
    fn offsets_retention(&mut self) {
        let tiers = tiers(self.cluster, self.topics);
        let delays = tiers.iter().map(|tier| Topic::Retry(tier.delay));
        let longest = delays
            .chain(self.topics.all())
            .filter(|topic| topic.holds_tasks())
            .filter_map(|topic| match topic.cleanup() {
                Cleanup::Delete(age) => Some(age),
                Cleanup::Compact => None,
            })
            .max();
        let (Some(found), Some(longest)) = (self.cluster.offsets_retention, longest) else {
            return;
        };
        if found < longest {
            let minutes = |duration: Duration| duration.as_secs().div_ceil(60).to_string();
            let wanted = format!("at least {}, as long as tasks are kept", minutes(longest));
            self.warn(
                "cluster",
                "offsets.retention.minutes",
                minutes(found),
                wanted,
            );
        }
    }

    /// An error if a setting was seen with another value; a broker that would not say is passed over.
    fn setting(&mut self, name: &str, seen: &SeenTopic, setting: &str, wanted: &str) {
        if let Some(found) = seen.settings.get(setting).filter(|found| *found != wanted) {
            self.refuse(name, setting, found.clone(), wanted.to_owned());
        }
    }

    fn refuse(&mut self, topic: &str, rule: &str, found: String, wanted: String) {
        self.add(Severity::Error, topic, rule, found, wanted);
    }

    fn warn(&mut self, topic: &str, rule: &str, found: String, wanted: String) {
        self.add(Severity::Warning, topic, rule, found, wanted);
    }

    fn add(&mut self, severity: Severity, topic: &str, rule: &str, found: String, wanted: String) {
        self.findings.push(Finding {
            severity,
            topic: topic.to_owned(),
            rule: rule.to_owned(),
            found,
            wanted,
        });
    }
}

#[cfg(test)]
mod tests;

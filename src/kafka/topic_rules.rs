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

/// Every rule that does not hold, errors first.
pub fn findings(cluster: &Cluster, topics: &Topics, events: &[String]) -> Vec<Finding> {
    let mut inspection = Inspection {
        cluster,
        topics,
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
            "yes, or no events come from it".to_owned(),
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
    findings: Vec<Finding>,
}

impl Inspection<'_> {
    fn topic(&mut self, topic: Topic) {
        let name = self.topics.name(topic);
        let Some(seen) = self.cluster.topics.get(&name) else {
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
        if topic == Topic::Subscriptions && found != 1 {
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
mod tests {
    use super::*;

    fn topics() -> Topics {
        let tiers = [Duration::from_secs(5), Duration::from_secs(60)];
        Topics::try_new("a.", &BTreeMap::new(), &tiers).unwrap()
    }

    /// Three brokers with everything as `topics create` makes it.
    fn good() -> Cluster {
        let mut cluster = Cluster {
            brokers: 3,
            offsets_retention: Some(Duration::from_hours(24 * 30)),
            ..Cluster::default()
        };
        let topics = topics();
        for topic in topics.all() {
            let settings = topic
                .settings(3)
                .into_iter()
                .map(|(name, v)| (name.to_owned(), v));
            let limit = ("max.message.bytes".to_owned(), "1048588".to_owned());
            let seen = SeenTopic {
                partitions: topic.partitions(4),
                leaderless: 0,
                replicas: 3,
                settings: settings.chain([limit]).collect(),
            };
            cluster.topics.insert(topics.name(topic), seen);
        }
        cluster
    }

    fn check(change: impl FnOnce(&mut Cluster), expected: &[&str]) {
        let mut cluster = good();
        change(&mut cluster);
        let found: Vec<_> = findings(&cluster, &topics(), &[])
            .iter()
            .map(|finding| format!("{:?} {finding}", finding.severity))
            .collect();
        assert_eq!(found, expected);
    }

    fn set(topic: &str, setting: &str, value: &str) -> impl FnOnce(&mut Cluster) {
        move |cluster| {
            let seen = cluster.topics.get_mut(topic).unwrap();
            seen.settings.insert(setting.to_owned(), value.to_owned());
        }
    }

    fn partitions(topic: &str, count: i32) -> impl FnOnce(&mut Cluster) {
        move |cluster| cluster.topics.get_mut(topic).unwrap().partitions = count
    }

    #[test]
    fn what_create_makes_is_good() {
        check(|_| (), &[]);
        // Other topics need no equal counts, and finished work may be kept for as long as one likes.
        check(partitions("a.attempts", 1), &[]);
        check(set("a.dlq", "retention.ms", "1000"), &[]);
        check(set("a.deliveries", "retention.ms", "-1"), &[]);
    }

    #[test]
    fn errors_name_topic_and_rule() {
        check(
            |cluster| drop(cluster.topics.remove("a.dlq")),
            &["Error a.dlq: exists is no, wanted yes: `hooktide topics create`"],
        );
        check(
            partitions("a.subscriptions", 4),
            &["Error a.subscriptions: partitions is 4, wanted 1"],
        );
        check(
            partitions("a.retry.1m", 1),
            &["Error a.retry.1m: partitions is 1, wanted 4, as of a.deliveries"],
        );
        check(
            partitions("a.endpoints", 8),
            &["Error a.endpoints: partitions is 8, wanted 4, as of a.deliveries"],
        );
        check(
            set("a.subscriptions", "cleanup.policy", "delete"),
            &["Error a.subscriptions: cleanup.policy is delete, wanted compact"],
        );
        check(
            set("a.deliveries", "cleanup.policy", "compact,delete"),
            &["Error a.deliveries: cleanup.policy is compact,delete, wanted delete"],
        );
        check(
            set("a.retry.5s", "message.timestamp.type", "CreateTime"),
            &["Error a.retry.5s: message.timestamp.type is CreateTime, wanted LogAppendTime"],
        );
        check(
            set("a.retry.5s", "retention.ms", "604804999"),
            &["Error a.retry.5s: retention.ms is 604804999, wanted at least 604805000"],
        );
        check(
            set("a.dlq", "min.insync.replicas", "1"),
            &["Error a.dlq: min.insync.replicas is 1, wanted 2"],
        );
        check(
            set("a.dlq", "unclean.leader.election.enable", "true"),
            &["Error a.dlq: unclean.leader.election.enable is true, wanted false"],
        );
        check(
            set("a.dlq", "max.message.bytes", "1000"),
            &[
                "Error a.dlq: max.message.bytes is 1000, wanted 1048588, equal on deliveries, tiers and dlq",
            ],
        );
    }

    #[test]
    fn tiers_off_the_ladder_are_inspected_too() {
        let add = |cluster: &mut Cluster| {
            let mut seen = cluster.topics["a.retry.5s"].clone();
            seen.partitions = 2;
            cluster.topics.insert("a.retry.2h".into(), seen);
        };
        check(
            add,
            &[
                "Error a.retry.2h: partitions is 2, wanted 4, as of a.deliveries",
                "Error a.retry.2h: retention.ms is 604805000, wanted at least 612000000",
            ],
        );
    }

    #[test]
    fn warnings_do_not_refuse() {
        check(
            set("a.deliveries", "retention.bytes", "1000"),
            &[
                "Warning a.deliveries: retention.bytes is 1000, wanted -1: a backlog would be deleted",
            ],
        );
        check(
            |cluster| {
                let seen = SeenTopic {
                    partitions: 50,
                    replicas: 1,
                    ..SeenTopic::default()
                };
                cluster.topics.insert("__consumer_offsets".into(), seen);
            },
            &["Warning __consumer_offsets: replicas is 1, wanted at least 3"],
        );
        check(
            |cluster| cluster.offsets_retention = Some(Duration::from_mins(10_080)),
            &[
                "Warning cluster: offsets.retention.minutes is 10080, wanted at least 10081, as long as tasks are kept",
            ],
        );
        check(
            |cluster| cluster.topics.get_mut("a.dlq").unwrap().leaderless = 2,
            &["Warning a.dlq: leader is missing on 2 partitions, wanted one for each"],
        );
        let missing = findings(&good(), &topics(), &["orders".to_owned()]);
        assert_eq!(
            missing[0].to_string(),
            "orders: exists is no, wanted yes, or no events come from it"
        );
    }

    #[test]
    fn facts_are_of_what_exists() {
        let mut cluster = good();
        cluster.topics.remove("a.retry.1m");
        let off = cluster.topics["a.retry.5s"].clone();
        cluster.topics.insert("a.retry.2h".into(), off);
        set("a.dlq", "max.message.bytes", "2000")(&mut cluster);
        let facts = ClusterFacts::of(&cluster, &topics()).unwrap();
        assert_eq!((facts.partitions, facts.max_message_bytes), (4, 2_000));
        let tiers: Vec<_> = facts
            .tiers
            .iter()
            .map(|tier| (&*tier.topic, tier.on_ladder))
            .collect();
        assert_eq!(tiers, [("a.retry.5s", true), ("a.retry.2h", false)]);
        cluster.topics.remove("a.deliveries");
        assert_eq!(ClusterFacts::of(&cluster, &topics()), None);
    }
}

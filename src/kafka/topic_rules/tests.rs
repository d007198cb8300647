//! Each rule broken alone, on a cluster that is otherwise as `topics create` makes it.

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
    let found: Vec<_> = findings(&cluster, &topics(), &[], true)
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
fn the_catalogue_may_be_missing_where_nothing_is_checked() {
    let mut cluster = good();
    cluster.topics.remove("a.event_types");
    let found = |checks| findings(&cluster, &topics(), &[], checks);
    assert_eq!(found(false), []);
    let expected = "a.event_types: exists is no, wanted yes: `hooktide topics create`";
    assert_eq!(found(true)[0].to_string(), expected);
    assert_eq!(found(true)[0].severity, Severity::Error);
    check(
        partitions("a.event_types", 4),
        &["Error a.event_types: partitions is 4, wanted 1"],
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
        &["Warning a.deliveries: retention.bytes is 1000, wanted -1: a backlog would be deleted"],
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
    let missing = findings(&good(), &topics(), &["orders".to_owned()], true);
    assert_eq!(
        missing[0].to_string(),
        "orders: exists is no, wanted yes, or no events come from it (`topics create --events` makes it)"
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

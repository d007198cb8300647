//! Which partitions a process reads beside those of its groups, and which its roles alone write.

use std::sync::Arc;

use crate::config::Config;
use crate::kafka::record::TopicPartition;
use crate::kafka::topic_rules::ClusterFacts;
use crate::role::Role;
use crate::topic::Topic;

/// Those of the tables that every process reads. `reads_types`: the one of event types too.
pub(super) fn of_tables(
    config: &Config,
    facts: &ClusterFacts,
    reads_types: bool,
) -> Vec<TopicPartition> {
    partitions(config, Topic::Subscriptions, 1)
        .chain(partitions(config, Topic::Endpoints, facts.partitions))
        .chain(partitions(
            config,
            Topic::EventTypes,
            i32::from(reads_types),
        ))
        .collect()
}

/// Those that only this role writes: where there is something, it has run before.
pub(super) fn written_by(role: Role, config: &Config, facts: &ClusterFacts) -> Vec<TopicPartition> {
    match role {
        Role::Router => partitions(config, Topic::Deliveries, facts.partitions).collect(),
        Role::Dispatcher => {
            let tiers = config.retry.tiers.iter().map(|delay| Topic::Retry(*delay));
            let tiers = tiers.flat_map(|tier| partitions(config, tier, facts.partitions));
            partitions(config, Topic::Attempts, facts.attempts_partitions)
                .chain(tiers)
                .collect()
        }
    }
}

/// The first one of tasks, whose records the broker stamps.
pub(super) fn with_stamps(config: &Config) -> Option<TopicPartition> {
    partitions(config, Topic::Deliveries, 1).next()
}

fn partitions(
    config: &Config,
    topic: Topic,
    count: i32,
) -> impl Iterator<Item = TopicPartition> + use<> {
    let name: Arc<str> = config.topics.name(topic).into();
    (0..count).map(move |partition| TopicPartition {
        topic: Arc::clone(&name),
        partition,
    })
}

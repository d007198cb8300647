//! What a dispatcher is set up with.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::{RunError, limits};
use crate::config::{Config, RecordedAttempts};
use crate::dispatcher::auto_disable::Rule;
use crate::dispatcher::conclusion::Ledger;
use crate::dispatcher::settings::Settings;
use crate::dispatcher::standing;
use crate::kafka::topic_rules::ClusterFacts;
use crate::retry::policy::DEFAULT_JITTER;
use crate::retry::{Ladder, Policy};
use crate::topic::Topic;

/// What the configuration and the cluster say to a dispatcher.
pub(super) fn of(
    config: &Config,
    facts: &ClusterFacts,
    instance: &str,
    user_agent: String,
) -> Result<Settings, RunError> {
    let name = |topic| -> Arc<str> { config.topics.name(topic).into() };
    let ladder = Ladder::try_new(config.retry.tiers.iter().copied())?;
    let deliveries = name(Topic::Deliveries);
    let mut delays: HashMap<Arc<str>, Option<Duration>> = facts
        .tiers
        .iter()
        .map(|tier| (tier.topic.as_str().into(), Some(tier.delay)))
        .collect();
    delays.insert(Arc::clone(&deliveries), None);
    let recorded = config.attempts.record;
    let ledger = Ledger {
        tiers: ladder
            .tiers()
            .iter()
            .map(|tier| name(Topic::Retry(tier.delay())))
            .collect(),
        deliveries,
        dlq: name(Topic::Dlq),
        attempts: name(Topic::Attempts),
        record_deliveries: recorded == RecordedAttempts::All,
        record_failures: recorded != RecordedAttempts::None,
        longest_retry_after: config.http.retry_after_max,
        default_policy: Policy::schedule(config.retry.schedule.clone(), DEFAULT_JITTER)?,
        default_max_age: config.retry.max_age,
        resume_within: config.endpoints.resume_within,
        instance: instance.to_owned(),
    };
    let endpoints = &config.endpoints;
    let standing = standing::Settings {
        rule: Rule {
            is_on: endpoints.auto_disable,
            after: endpoints.disable_after,
            min_attempts: endpoints.disable_min_attempts,
            warn_at: endpoints.warn_at,
        },
        endpoints: name(Topic::Endpoints),
        notices: name(Topic::Notices),
        partitions: facts.partitions,
        window: config.notices.window,
        instance: instance.to_owned(),
    };
    Ok(Settings {
        ladder,
        ledger,
        standing,
        delays,
        attempts_partitions: facts.attempts_partitions,
        endpoints: limits::of(config),
        memory: config.dispatcher.memory.as_len(),
        holes_per_partition: config.dispatcher.holes_per_partition,
        drain: config.shutdown.timeout,
        user_agent,
    })
}

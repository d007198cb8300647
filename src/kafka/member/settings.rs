//! What a member is made of.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::config::ClientConfig;

use super::committer::Substitute;
use super::start::FirstStartRule;
use crate::kafka::log_watch::LogWatch;
use crate::kafka::record::TopicPartition;
use crate::metrics::RoleKafkaMetrics;

/// What a member needs to know.
pub struct Settings {
    /// For log lines: `router` or `dispatcher`.
    pub role: &'static str,
    /// Of the group's consumer.
    pub consumer: ClientConfig,
    /// Of the transactional producer.
    pub producer: ClientConfig,
    /// The consumer's, which also bounds the lease.
    pub session_timeout: Duration,
    /// Where partitions without a committed offset begin.
    pub first_start: FirstStartRule,
    /// A partition that this group does not consume: the membership is confirmed by committing
    /// a position for it.
    pub confirmation: TopicPartition,
    /// Turns a record that can never be written into a reject.
    pub substitute: Substitute,
    /// Counts transactions.
    pub metrics: RoleKafkaMetrics,
    /// Told which partitions are read.
    pub watch: Arc<LogWatch>,
}

//! What a member is made of.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::config::ClientConfig;

use super::committer::Substitute;
use super::lost_offsets::LostOffsets;
use super::start::FirstStartRule;
use crate::kafka::broker_clock::BrokerClock;
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
    /// What only this role writes: a group without offsets has run before if there is something on them.
    pub traces: Vec<TopicPartition>,
    /// What becomes of it then.
    pub lost_offsets: LostOffsets,
    /// A partition that this group does not consume: the membership is confirmed by committing
    /// a position for it.
    pub confirmation: TopicPartition,
    /// Turns a record that can never be written into a reject.
    pub substitute: Substitute,
    /// Counts transactions.
    pub metrics: RoleKafkaMetrics,
    /// Told which partitions are read.
    pub watch: Arc<LogWatch>,
    /// Learns from the stamps of what is written.
    pub clock: BrokerClock,
    /// A partition with stamps of the broker, where it is asked for the time; none: it is not.
    pub clock_at: Option<TopicPartition>,
}

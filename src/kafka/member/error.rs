//! What a member cannot recover from. Everything else it waits out.

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

/// What ends a member for good.
#[derive(Debug, thiserror::Error)]
pub enum MemberError {
    /// Another process runs with this `instance_id`.
    #[error("another process has taken over this instance id (instance_id must be unique): {0}")]
    InstanceFenced(String),
    /// The group has no committed offsets though it has run before.
    #[error(
        "the group has lost its committed offsets ({0}): set them by Kafka's tools, or have all of that done again by `kafka.lost_offsets = \"repeat\"`"
    )]
    OffsetsLost(String),
    /// librdkafka cannot go on.
    #[error("the consumer failed for good: {0}")]
    Fatal(String),
    /// The client could not be made: a configuration error.
    #[error("the Kafka client refuses its configuration: {0}")]
    Client(#[source] KafkaError),
    /// No thread could be started, or it died.
    #[error("the committer's thread is gone")]
    CommitterGone,
    /// Shutdown was asked for before the member was up.
    #[error("stopped before it was up")]
    Stopped,
}

impl MemberError {
    /// What a fatal error of the consumer means.
    pub(super) fn of_consumer(code: RDKafkaErrorCode, reason: String) -> Self {
        if code == RDKafkaErrorCode::FencedInstanceId {
            Self::InstanceFenced(reason)
        } else {
            Self::Fatal(reason)
        }
    }
}

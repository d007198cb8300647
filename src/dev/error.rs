//! Why the demo ended early, or badly.

use super::ledger::Verdict;
use crate::config::ConfigError;
use crate::kafka::client_config::PropertyError;
use crate::kafka::errand::ErrandError;
use crate::kafka::mock::MockError;
use crate::kafka::topic_admin::TopicAdminError;
use crate::kafka::topic_follower::FollowError;
use crate::run::RunError;

/// Why the demo ended early, or badly.
#[derive(Debug, thiserror::Error)]
pub enum DevError {
    /// Settings, the user's or ours.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The user's `kafka.properties`.
    #[error(transparent)]
    Property(#[from] PropertyError),
    /// The mock broker.
    #[error(transparent)]
    Mock(#[from] MockError),
    /// Topics cannot be made or removed.
    #[error(transparent)]
    Topics(#[from] TopicAdminError),
    /// Subscriptions or events cannot be written.
    #[error(transparent)]
    Write(#[from] ErrandError),
    /// Topics cannot be watched.
    #[error(transparent)]
    Follow(#[from] FollowError),
    /// The roles ended by themselves.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The roles' thread is gone.
    #[error("the roles ended without a word")]
    Silent,
    /// The roles have no assignment yet.
    #[error("the roles are not ready after {0} s")]
    NotReady(u64),
    /// Sockets, threads, child processes.
    #[error("cannot play: {0}")]
    Io(#[from] std::io::Error),
    /// A promise was broken.
    #[error("the promise is broken: {0}")]
    Broken(Verdict),
}

impl DevError {
    /// Whether settings are to blame rather than the course of things.
    pub fn is_configuration(&self) -> bool {
        match self {
            Self::Config(_)
            | Self::Property(_)
            | Self::Topics(TopicAdminError::Client(_))
            | Self::Write(ErrandError::Client(_)) => true,
            Self::Run(error) => error.is_configuration(),
            Self::Mock(_)
            | Self::Topics(_)
            | Self::Write(_)
            | Self::Follow(_)
            | Self::Silent
            | Self::NotReady(_)
            | Self::Io(_)
            | Self::Broken(_) => false,
        }
    }
}

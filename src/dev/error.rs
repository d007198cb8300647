//! Why the demo ended early, or badly.

use super::ledger::Verdict;
use crate::installation::InstallationError;
use crate::kafka::errand::ErrandError;
use crate::kafka::mock::MockError;
use crate::kafka::topic_follower::FollowError;
use crate::run::RunError;

/// Why the demo ended early, or badly.
#[derive(Debug, thiserror::Error)]
pub enum DevError {
    /// Settings, the user's or ours, and topics that cannot be made or removed.
    #[error(transparent)]
    Installation(#[from] InstallationError),
    /// The mock broker.
    #[error(transparent)]
    Mock(#[from] MockError),
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
            Self::Installation(error) => error.is_configuration(),
            Self::Write(ErrandError::Client(_)) => true,
            Self::Run(error) => error.is_configuration(),
            Self::Mock(_)
            | Self::Write(_)
            | Self::Follow(_)
            | Self::Silent
            | Self::NotReady(_)
            | Self::Io(_)
            | Self::Broken(_) => false,
        }
    }
}

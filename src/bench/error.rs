//! Why nothing was measured.

use crate::installation::InstallationError;
use crate::kafka::errand::ErrandError;
use crate::kafka::topic_admin::TopicAdminError;

/// Why nothing was measured.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// Settings, or topics that cannot be made or removed.
    #[error(transparent)]
    Installation(#[from] InstallationError),
    /// Subscriptions or events cannot be written.
    #[error(transparent)]
    Write(#[from] ErrandError),
    /// A process of the run said nothing, or something else than was expected.
    #[error("the {0} ended without a word")]
    Silent(&'static str),
    /// A process of the run ended by itself.
    #[error("{name} ended by itself: {status}")]
    Ended {
        /// What it was.
        name: &'static str,
        /// How it ended.
        status: std::process::ExitStatus,
    },
    /// Groups have no members yet.
    #[error("hooktide is not ready after {0} s")]
    NotReady(u64),
    /// Deliveries stopped coming.
    #[error("only {arrived} of {expected} deliveries have arrived, and no more come")]
    Missing {
        /// How many should have come.
        expected: u64,
        /// How many have.
        arrived: u64,
    },
    /// The bare loop.
    #[error("the bare loop failed: {}", caused(.0))]
    BareLoop(#[from] reqwest::Error),
    /// A signal.
    #[error("interrupted")]
    Interrupted,
    /// Sockets, threads, child processes.
    #[error("cannot measure: {0}")]
    Io(#[from] std::io::Error),
}

impl BenchError {
    pub(super) fn topics(error: TopicAdminError) -> Self {
        Self::Installation(error.into())
    }

    /// Whether settings are to blame rather than the course of things.
    pub fn is_configuration(&self) -> bool {
        match self {
            Self::Installation(error) => error.is_configuration(),
            Self::Write(ErrandError::Client(_)) => true,
            Self::Write(_)
            | Self::Silent(_)
            | Self::Ended { .. }
            | Self::NotReady(_)
            | Self::Missing { .. }
            | Self::BareLoop(_)
            | Self::Interrupted
            | Self::Io(_) => false,
        }
    }
}

fn caused(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", caused(source)),
        None => error.to_string(),
    }
}

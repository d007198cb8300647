//! Why a process ends, and whom it is to blame on.

use crate::http::{ClientError, TooFewFiles};
use crate::kafka::member::MemberError;
use crate::kafka::table_reader::TableReaderError;
use crate::kafka::topic_admin::TopicAdminError;
use crate::retry::{LadderError, PolicyError};
use crate::role::Role;
use crate::schema_registry::SchemaRegistryError;
use crate::telemetry::ServerError;

/// Why a process ended other than by being told to.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The topics break a rule: every finding was logged.
    #[error(
        "{0} rule(s) for topics do not hold, see `hooktide topics check`; `hooktide topics create` makes those that are missing"
    )]
    Topics(usize),
    /// A question to the cluster that only a wrong configuration leaves without an answer.
    #[error(transparent)]
    TopicAdmin(#[from] TopicAdminError),
    /// `retry.tiers`.
    #[error("`retry.tiers`: {0}")]
    Ladder(#[from] LadderError),
    /// `retry.schedule`.
    #[error("`retry.schedule`: {0}")]
    Schedule(#[from] PolicyError),
    /// TLS or another setting of the HTTP client.
    #[error("http client: {0}")]
    HttpClient(#[from] ClientError),
    /// The limit of open files is below `dispatcher.max_in_flight`.
    #[error(transparent)]
    TooFewFiles(#[from] TooFewFiles),
    /// A topic that a table is made of cannot be followed.
    #[error(transparent)]
    Table(#[from] TableReaderError),
    /// A member of a group ended for good.
    #[error("{role}: {error}")]
    Member {
        /// Whose.
        role: Role,
        /// Why.
        error: MemberError,
    },
    /// A role ended by a panic.
    #[error("{0} panicked")]
    Panicked(Role),
    /// `telemetry.listen`.
    #[error(transparent)]
    Telemetry(#[from] ServerError),
    /// Threads, signals, the runtime.
    #[error("cannot start: {0}")]
    Io(#[from] std::io::Error),
    /// `schema_registry`.
    #[error(transparent)]
    SchemaRegistry(#[from] SchemaRegistryError),
    /// Two metrics of one name.
    #[error("metrics: {0}")]
    Metrics(#[from] prometheus::Error),
}

impl RunError {
    /// Whether the configuration is to blame (exit code 2) rather than the course of things (1).
    pub fn is_configuration(&self) -> bool {
        match self {
            Self::Topics(_)
            | Self::Ladder(_)
            | Self::Schedule(_)
            | Self::HttpClient(_)
            | Self::SchemaRegistry(_)
            | Self::TooFewFiles(_)
            | Self::Telemetry(_)
            | Self::TopicAdmin(TopicAdminError::Client(_))
            | Self::Member {
                error: MemberError::Client(_),
                ..
            } => true,
            Self::TopicAdmin(_)
            | Self::Table(_)
            | Self::Member { .. }
            | Self::Panicked(_)
            | Self::Io(_)
            | Self::Metrics(_) => false,
        }
    }
}

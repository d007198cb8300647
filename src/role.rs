//! What a process can do: each role is a loop of its own with its own consumer group.

use std::fmt;

/// One of the loops. Its text names groups, transactional ids and metric labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Makes tasks of events.
    Router,
    /// Sends tasks.
    Dispatcher,
}

impl Role {
    /// Every role, in the order in which work flows.
    pub const ALL: [Self; 2] = [Self::Router, Self::Dispatcher];

    /// The text that goes into names.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Router => "router",
            Self::Dispatcher => "dispatcher",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

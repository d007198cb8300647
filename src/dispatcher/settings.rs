//! What bounds a dispatcher, and the names that it needs.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::conclusion::Ledger;
use super::endpoints;
use super::standing;
use crate::retry::Ladder;

/// Bounds and names.
pub struct Settings {
    /// The tiers.
    pub ladder: Ladder,
    /// Where things are written.
    pub ledger: Ledger,
    /// What is written of endpoints, and by which rules.
    pub standing: standing::Settings,
    /// How long records lie on each task topic; none on tier 0. Also tiers taken off the ladder.
    pub delays: HashMap<Arc<str>, Option<Duration>>,
    /// How many partitions the attempts topic has.
    pub attempts_partitions: i32,
    /// What bounds requests, of all endpoints and of each.
    pub endpoints: endpoints::Settings,
    /// The most bytes of tasks and of records to be written in memory.
    pub memory: usize,
    /// The most unfinished offsets of one partition.
    pub holes_per_partition: usize,
    /// How long requests may go on when the process is told to stop.
    pub drain: Duration,
    /// `user-agent` of every request.
    pub user_agent: String,
}

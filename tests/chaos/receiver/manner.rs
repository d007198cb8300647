//! How paths answer when nothing is wrong with the receiver: for each delivery it is decided by its id and
//! the run's seed, so that the same happens however often a delivery is tried.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use serde_json::{Value, json};

/// A manner; its path is named after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// Takes everything at once.
    Good,
    /// Takes everything, after a while.
    Slow,
    /// Refuses two of three deliveries once or twice.
    Flaky,
    /// Never takes one delivery of five.
    Doomed,
    /// Takes one delivery of two, until its subscription is deleted.
    Deleted,
}

impl Manner {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Good,
        Self::Slow,
        Self::Flaky,
        Self::Doomed,
        Self::Deleted,
    ];

    /// Its path.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Slow => "slow",
            Self::Flaky => "flaky",
            Self::Doomed => "doomed",
            Self::Deleted => "deleted",
        }
    }

    /// That of a path; good, where there is none.
    pub fn of(path: &str) -> Self {
        let mut all = Self::ALL.into_iter();
        let found = all.find(|manner| manner.name() == path.trim_matches('/'));
        found.unwrap_or(Self::Good)
    }

    /// When its subscription tries again.
    pub fn retry(self) -> Value {
        let schedule = match self {
            // So long that a bad mood of the receiver does not outlast it.
            Self::Good | Self::Slow | Self::Flaky => {
                json!(["1s", "1s", "2s", "3s", "3s", "5s", "5s", "5s"])
            }
            Self::Doomed => json!(["1s", "2s"]),
            Self::Deleted => json!(["1s", "2s", "3s", "5s", "5s", "5s", "5s", "5s", "5s", "5s"]),
        };
        json!({"schedule": schedule, "jitter": 0})
    }

    /// How long it takes and which status it gives to the next request of a delivery of which it has
    /// answered `before`.
    pub fn answer(self, delivery: &str, before: usize, seed: u64) -> (Duration, u16) {
        let mut hasher = DefaultHasher::new();
        (delivery, seed).hash(&mut hasher);
        let chance = hasher.finish();
        let taken = |is_taken: bool| if is_taken { 204 } else { 503 };
        match self {
            Self::Good => (Duration::ZERO, 204),
            Self::Slow => (Duration::from_millis(100 + chance % 300), 204),
            Self::Flaky => (Duration::ZERO, taken(before as u64 >= chance % 3)),
            Self::Doomed => (Duration::ZERO, taken(!chance.is_multiple_of(5))),
            Self::Deleted => (Duration::ZERO, taken(chance.is_multiple_of(2))),
        }
    }
}

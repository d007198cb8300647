//! Why a task was put off without a request.

use std::str::FromStr;

/// Why a task was put off. It stands in the task's headers and in metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Parked {
    /// Its subscription is paused.
    Paused,
    /// Its subscription's newest record is invalid.
    Invalid,
    /// Its endpoint's circuit breaker is open.
    BreakerOpen,
    /// Its endpoint asked for no requests for a while.
    Throttled,
    /// Its subscription's rate limit.
    RateLimited,
    /// Its endpoint is slower than its tasks come, and has its share of the window.
    Crowded,
    /// An operator has its subscription, host or tenant pause.
    Braked,
}

/// A word that is no such reason: of a newer version, perhaps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownParked;

impl Parked {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Paused,
        Self::Invalid,
        Self::BreakerOpen,
        Self::Throttled,
        Self::RateLimited,
        Self::Crowded,
        Self::Braked,
    ];

    /// Whether it waits until somebody changes something, of which nobody knows when.
    pub const fn is_pause(self) -> bool {
        match self {
            Self::Paused | Self::Invalid | Self::Braked => true,
            Self::BreakerOpen | Self::Throttled | Self::RateLimited | Self::Crowded => false,
        }
    }

    /// Whether it has a place in its endpoint's line.
    pub const fn is_in_line(self) -> bool {
        !self.is_pause()
    }

    /// As headers and metrics have it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Paused => "paused",
            Self::Invalid => "invalid",
            Self::BreakerOpen => "breaker_open",
            Self::Throttled => "throttled",
            Self::RateLimited => "rate_limited",
            Self::Crowded => "crowded",
            Self::Braked => "braked",
        }
    }
}

impl FromStr for Parked {
    type Err = UnknownParked;

    fn from_str(text: &str) -> Result<Self, UnknownParked> {
        let mut all = Self::ALL.into_iter();
        all.find(|one| one.as_str() == text).ok_or(UnknownParked)
    }
}

//! Counts of what was read from the topics. Nothing here comes from counters of the code on show.

use std::fmt;

use super::sighting::Sighting;

/// How much of everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Events that came in.
    pub events: u64,
    /// Records that were no events.
    pub rejected: u64,
    /// Tasks that were made of events.
    pub tasks: u64,
    /// Requests that were made.
    pub requests: u64,
    /// Requests that the endpoint took.
    pub delivered: u64,
    /// Requests that will be repeated.
    pub retries: u64,
    /// Requests that were the last.
    pub given_up: u64,
    /// Tasks that were given up.
    pub dead_letters: u64,
}

impl Totals {
    /// Counts one thing.
    pub fn count(&mut self, sighting: &Sighting) {
        match sighting {
            Sighting::Event { .. } => self.events += 1,
            Sighting::NoEvent { .. } => self.rejected += 1,
            Sighting::Task { .. } => self.tasks += 1,
            Sighting::Request(attempt) => {
                self.requests += 1;
                match attempt.outcome.as_str() {
                    "delivered" => self.delivered += 1,
                    "retry" => self.retries += 1,
                    _ => self.given_up += 1,
                }
            }
            Sighting::DeadLetter { .. } => self.dead_letters += 1,
            Sighting::Nothing => {}
        }
    }

    /// Tasks that have not reached their end.
    pub fn under_way(&self) -> u64 {
        let ended = self.delivered + self.dead_letters;
        self.tasks.saturating_sub(ended)
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "events {}", self.events)?;
        if self.rejected > 0 {
            write!(formatter, " · rejected {}", self.rejected)?;
        }
        write!(
            formatter,
            " · tasks {} = delivered {} + dead letters {} + under way {} · requests {} = delivered {} + to retry {} + given up {}",
            self.tasks,
            self.delivered,
            self.dead_letters,
            self.under_way(),
            self.requests,
            self.delivered,
            self.retries,
            self.given_up,
        )
    }
}

//! The line in front of an endpoint, as far as it stands on Kafka: tasks that were put off hold places
//! in it, one step of time apart. So a million of them come back one after the other, and each is
//! written again a few times and not every few seconds.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::record::Parked;

/// The lines of one endpoint, which say nothing of each other's length. How long a crowded endpoint takes
/// is a guess, and who comes back early by it joins that line again: its end may be hours off for an
/// endpoint that answers the next minute.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lines {
    outage: Line,
    crowd: Line,
    limits: Line,
}

impl Lines {
    /// The line of those who are put off for this reason.
    pub fn of(&mut self, why: Parked) -> &mut Line {
        match why {
            Parked::BreakerOpen => &mut self.outage,
            Parked::Crowded => &mut self.crowd,
            Parked::Throttled
            | Parked::RateLimited
            | Parked::Paused
            | Parked::Braked
            | Parked::Invalid => &mut self.limits,
        }
    }

    /// Whether the last one in each may go.
    pub fn are_over(&self, now: Timestamp) -> bool {
        let all = [self.outage, self.crowd, self.limits];
        all.iter().all(|line| line.is_over(now))
    }

    /// All who stood in them have gone, or may go at once.
    pub fn dissolve(&mut self) {
        *self = Self::default();
    }
}

/// See the module.
#[derive(Clone, Copy, Debug, Default)]
pub struct Line {
    /// When the last one in it is to go, in microseconds.
    end: i64,
}

impl Line {
    /// Takes the next place: not before `earliest`, and one `step` after the one before it.
    pub fn join(&mut self, earliest: Timestamp, step: Duration) -> Timestamp {
        let step = i64::try_from(step.as_micros()).unwrap_or(i64::MAX);
        let earliest = earliest.as_millis().saturating_mul(1_000);
        self.end = self.end.saturating_add(step).max(earliest);
        Timestamp::from_millis(self.end.div_euclid(1_000))
    }

    fn is_over(&self, now: Timestamp) -> bool {
        self.end <= now.as_millis().saturating_mul(1_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_a_step_apart_and_not_before_the_earliest() {
        let mut line = Line::default();
        let mut join = |earliest, step| {
            let at = line.join(
                Timestamp::from_millis(earliest),
                Duration::from_micros(step),
            );
            at.as_millis()
        };
        assert_eq!(join(1_000, 500), 1_000);
        assert_eq!(join(1_000, 500), 1_000);
        assert_eq!(join(1_000, 500), 1_001);
        assert_eq!(join(5_000, 20_000), 5_000);
        assert_eq!(join(1_000, 20_000), 5_020);
    }
}

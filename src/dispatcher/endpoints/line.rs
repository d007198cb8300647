//! The line in front of an endpoint, as far as it stands on Kafka: tasks that were put off hold places
//! in it, one step of time apart. So a million of them come back one after the other, and each is
//! written again a few times and not every few seconds.

use std::time::Duration;

use crate::clock::Timestamp;

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

    /// Whether the last one in it may go.
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.end <= now.as_millis().saturating_mul(1_000)
    }

    /// All who stood in it have gone, or may go at once.
    pub fn dissolve(&mut self) {
        self.end = 0;
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

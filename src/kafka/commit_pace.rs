//! How soon one transaction may follow the other.
//!
//! A transaction costs the brokers about the same whether it carries one record or a thousand: its begin, its
//! end, a commit of offsets and a marker for each partition that it touches. So at small load those that
//! follow each other as fast as they can cost much and bring little. The first after a while begins at once; the
//! next ones leave a time between them, in which their records gather.

use std::time::{Duration, Instant};

/// How long offsets that moved without a record may stay uncommitted.
const IDLE: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Debug)]
pub struct CommitPace {
    /// From the beginning of one transaction to that of the next.
    least: Duration,
    begun: Option<Instant>,
}

impl CommitPace {
    /// Transactions begin no sooner than `least` after each other.
    pub fn new(least: Duration) -> Self {
        Self { least, begun: None }
    }

    /// A transaction begins, or was found to have nothing to say.
    pub fn begins(&mut self, now: Instant) {
        self.begun = Some(now);
    }

    /// The next one need not wait, whatever it carries.
    pub fn hurry(&mut self) {
        self.begun = None;
    }

    /// How long the next one that carries records is still to wait.
    pub fn wait(&self, now: Instant) -> Duration {
        self.rest_of(self.least, now)
    }

    /// Whether one may begin that carries nothing but offsets.
    pub fn is_idle(&self, now: Instant) -> bool {
        self.rest_of(IDLE, now).is_zero()
    }

    fn rest_of(&self, time: Duration, now: Instant) -> Duration {
        let over = self.begun.map(|begun| begun + time);
        over.map_or(Duration::ZERO, |over| over.saturating_duration_since(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_begins_at_once_and_the_next_in_its_time() {
        const LEAST: Duration = Duration::from_millis(5);
        let start = Instant::now();
        let mut pace = CommitPace::new(LEAST);
        assert_eq!(pace.wait(start), Duration::ZERO);
        pace.begins(start);
        assert_eq!(pace.wait(start), LEAST);
        let later = start + Duration::from_millis(2);
        assert_eq!(pace.wait(later), Duration::from_millis(3));
        for late in [LEAST, LEAST * 1_000] {
            assert_eq!(pace.wait(start + late), Duration::ZERO);
        }
        assert!(!pace.is_idle(start + LEAST) && pace.is_idle(start + IDLE));
        pace.hurry();
        assert!(pace.wait(start).is_zero() && pace.is_idle(start));
    }
}

//! Holds requests back while what has become of the last ones cannot be committed.
//!
//! A request whose outcome is not committed is made again after a crash. In good days that is what some
//! tens of milliseconds bring. Where a partition's leader or a coordinator does not answer, it would be what
//! is sent, at full speed if there is a backlog, until the membership's
//! [lease](crate::kafka::member::Lease) ends, and without an end where only transactions stand still, for the
//! membership is confirmed by another coordinator.

use std::mem;
use std::time::Duration;

/// A transaction that takes so many times as long as they usually do holds requests back.
const TIMES: u32 = 4;
/// But not before that: pauses of a broker or of this process are no standstill.
const LEAST: Duration = Duration::from_millis(500);
/// And by then at the latest, however slow the cluster is; by then it is worth a word in the log, too.
const MOST: Duration = Duration::from_secs(3);
/// What one more transaction weighs in what they usually take.
const WEIGHT: u32 = 8;

/// See the module.
#[derive(Debug, Default)]
pub struct CommitBrake {
    /// For how long the transaction under way had been when it was last looked at.
    under_way: Duration,
    /// What they take, smoothed.
    usual: Duration,
    has_told: bool,
}

impl CommitBrake {
    /// Whether no request may start, as the transaction under way has been for so long.
    pub fn holds(&mut self, committing_for: Duration) -> bool {
        self.under_way = committing_for;
        let is_told = mem::replace(&mut self.has_told, committing_for >= MOST);
        match (is_told, self.has_told) {
            (false, true) => {
                tracing::warn!("what was sent cannot be committed: no request starts until it is")
            }
            (true, false) => tracing::info!("no transaction is held up any more, requests go on"),
            (false, false) | (true, true) => {}
        }
        committing_for >= self.patience()
    }

    /// The transaction under way is committed.
    pub fn committed(&mut self) {
        let took = mem::take(&mut self.under_way);
        self.usual = (self.usual * (WEIGHT - 1) + took) / WEIGHT;
    }

    fn patience(&self) -> Duration {
        (self.usual * TIMES).clamp(LEAST, MOST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_holds_from_its_patience_until_the_transaction_is_through() {
        let mut brake = CommitBrake::default();
        let short = LEAST - Duration::from_millis(1);
        let taken = [Duration::ZERO, short, LEAST, MOST * 20, Duration::ZERO];
        let held = taken.map(|committing_for| brake.holds(committing_for));
        assert_eq!(held, [false, false, true, true, false]);
    }

    #[test]
    fn a_slow_cluster_is_given_more_time_up_to_a_bound() {
        let mut brake = CommitBrake::default();
        let mut last = LEAST;
        for took in [Duration::from_millis(600), Duration::from_secs(10)] {
            for _ in 0..100 {
                brake.holds(took);
                brake.committed();
            }
            assert!(brake.patience() > last && brake.patience() <= MOST);
            last = brake.patience();
        }
        assert!(!brake.holds(MOST - Duration::from_millis(1)) && brake.holds(MOST));
        for _ in 0..100 {
            brake.holds(Duration::from_millis(30));
            brake.committed();
        }
        assert_eq!(brake.patience(), LEAST);
    }
}

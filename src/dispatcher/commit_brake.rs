//! Holds requests back while what has become of the last ones cannot be committed.
//!
//! A request whose outcome is not committed is made again after a crash. In good days that is what some
//! tens of milliseconds bring. Where a partition's leader or a coordinator does not answer, it would be what
//! is sent until the membership's [lease](crate::kafka::member::Lease) ends, and without an end where only
//! transactions stand still, for the membership is confirmed by another coordinator.

use std::time::Duration;

/// How long a transaction may be under way before no request starts any more: far longer than one takes on
/// a busy cluster, or while a partition's leader moves in good order.
const PATIENCE: Duration = Duration::from_secs(3);

/// See the module.
#[derive(Debug, Default)]
pub struct CommitBrake {
    is_on: bool,
}

impl CommitBrake {
    /// Whether no request may start, as the transaction under way has been for so long. Says so once.
    pub fn holds(&mut self, committing_for: Duration) -> bool {
        let was_on = std::mem::replace(&mut self.is_on, committing_for >= PATIENCE);
        match (was_on, self.is_on) {
            (false, true) => tracing::warn!(
                seconds = PATIENCE.as_secs(),
                "what was sent cannot be committed: no request starts until it is"
            ),
            (true, false) => tracing::info!("no transaction is held up any more, requests go on"),
            (false, false) | (true, true) => {}
        }
        self.is_on
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_holds_from_its_patience_until_the_transaction_is_through() {
        let mut brake = CommitBrake::default();
        let short = PATIENCE - Duration::from_millis(1);
        let taken = [
            Duration::ZERO,
            short,
            PATIENCE,
            PATIENCE * 20,
            Duration::ZERO,
        ];
        let held = taken.map(|committing_for| brake.holds(committing_for));
        assert_eq!(held, [false, false, true, true, false]);
    }
}

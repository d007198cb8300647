//! A rate limit as the generic cell rate algorithm keeps it (ITU-T I.371): requests at even distances,
//! with a small tolerance for those that come together.
//!
//! The `governor` crate decides by a clock of its own whether something may pass now. Here time is an
//! argument, and what is asked for is when the next request may go, to wait in memory or on a tier until
//! then.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::record::subscription::RateLimit;

/// The share of a period's requests that may come together is one in so many.
const BURST: u32 = 10;

/// A limit, as distances in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// From one request to the next, if they come at even distances.
    pub step: Duration,
    /// How far ahead of that a request may go.
    tolerance: Duration,
}

impl Pace {
    /// Of a limit of so many requests in each period.
    pub fn new(requests: u32, per: Duration) -> Self {
        let step = per / requests.max(1);
        let burst = (requests / BURST).max(1);
        Self {
            step,
            tolerance: step * (burst - 1),
        }
    }
}

impl From<RateLimit> for Pace {
    fn from(limit: RateLimit) -> Self {
        Self::new(limit.requests(), limit.per())
    }
}

/// The state of one endpoint's limit.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rate {
    /// When the next request is expected if they come at even distances, in microseconds.
    expected: i64,
}

impl Rate {
    /// When the next request may go.
    pub fn next(&self, pace: Pace) -> Timestamp {
        let earliest = self.expected.saturating_sub(micros(pace.tolerance));
        // Rounded up: never early.
        Timestamp::from_millis(
            earliest.div_euclid(1_000) + i64::from(earliest.rem_euclid(1_000) > 0),
        )
    }

    /// A request goes.
    pub fn take(&mut self, pace: Pace, now: Timestamp) {
        let now = now.as_millis().saturating_mul(1_000);
        self.expected = self.expected.max(now).saturating_add(micros(pace.step));
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// When `count` requests go that all wait from the beginning.
    fn times(pace: Pace, count: usize) -> Vec<i64> {
        let mut rate = Rate::default();
        let mut now = Timestamp::from_millis(1_000_000);
        (0..count)
            .map(|_| {
                now = now.max(rate.next(pace));
                rate.take(pace, now);
                now.as_millis() - 1_000_000
            })
            .collect()
    }

    #[test]
    fn a_few_go_together_and_the_rest_at_even_distances() {
        let fifty = times(Pace::new(50, Duration::from_secs(1)), 3_200);
        assert_eq!(fifty[..8], [0, 0, 0, 0, 0, 20, 40, 60]);
        // Over a minute within 5 percent.
        let in_a_minute = fifty.iter().filter(|at| **at < 60_000).count();
        assert!((3_000..=3_150).contains(&in_a_minute), "{in_a_minute}");
        let slow = times(Pace::new(3, Duration::from_secs(3_600)), 4);
        assert_eq!(slow, [0, 1_200_000, 2_400_000, 3_600_000]);
    }

    proptest! {
        #[test]
        fn no_period_has_many_more_than_its_requests(
            requests in 1_u32..300,
            per in 1_u64..100_000,
        ) {
            let at = times(Pace::new(requests, Duration::from_millis(per)), 900);
            let most = requests as usize + (requests / BURST).max(1) as usize;
            for (first, start) in at.iter().enumerate() {
                let within = at[first..].iter().take_while(|one| **one - start < per as i64).count();
                // Times are whole milliseconds: one more may fall into a period's last.
                prop_assert!(within <= most + 1 + 1_000 / per as usize * requests as usize, "{within} of {requests}");
            }
        }
    }
}

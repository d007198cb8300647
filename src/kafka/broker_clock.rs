//! What time it is by the brokers' clocks, which stamp the records of tasks: what is due is due by them.
//!
//! The clocks of two processes differ, and a wait that one writes down the other keeps. Kafka says nowhere
//! what time it is, but it does say which stamp it gave to a record: that time lies between the moments at
//! which the record was sent and acknowledged here. So the time is known within two bounds:
//!
//! ```text
//!   earliest ──────── the broker's clock ──────── latest
//!   a wait is over by this        one begins by this
//! ```
//!
//! A wait that begins by the latest and is over by the earliest is never too short, whoever does the
//! one and the other. Before anything is known both are this process's clock. Brokers must agree among
//! themselves: whose stamp it was is not told apart.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::clock::Timestamp;

/// How much faster or slower than a broker's this machine's monotonic clock may go: one part in so many.
/// Crystals are within 100 parts in a million.
const DRIFT: u32 = 10_000;
/// Stamps are cut to milliseconds.
const RESOLUTION: Duration = Duration::from_millis(1);

/// See the module. Clones are the same clock.
#[derive(Clone, Debug, Default)]
pub struct BrokerClock {
    sample: Arc<Mutex<Option<Sample>>>,
    /// Whether it is this process's clock for good.
    is_local: bool,
}

/// A stamp, and when its record was acknowledged.
#[derive(Clone, Copy, Debug)]
struct Sample {
    stamped: Timestamp,
    acknowledged: Instant,
    /// The same by this process's clock, which goes on while the machine is suspended.
    local: Timestamp,
    /// From sending to acknowledgement.
    took: Duration,
}

impl Sample {
    fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.acknowledged)
    }

    fn earliest(&self, now: Instant) -> Timestamp {
        let age = self.age(now);
        self.stamped.after(age - age / DRIFT)
    }

    fn latest(&self, now: Instant) -> Timestamp {
        let age = self.age(now);
        let most = age + age / DRIFT + self.took + RESOLUTION;
        self.stamped.after(most)
    }

    /// Whether it says less than `other` does.
    fn is_worse_than(&self, other: &Self, now: Instant) -> bool {
        let width = |one: &Self| one.latest(now).since(one.earliest(now));
        let contradicts =
            self.latest(now) < other.earliest(now) || self.earliest(now) > other.latest(now);
        contradicts || width(self) >= width(other)
    }
}

impl BrokerClock {
    /// That of a broker whose stamps are no times: librdkafka's mock says 1,234 of every record.
    pub fn of_this_process() -> Self {
        Self {
            is_local: true,
            ..Self::default()
        }
    }

    /// A time that it is already by the brokers' clocks.
    pub fn earliest(&self) -> Timestamp {
        let sample = *self.sample();
        sample.map_or_else(Timestamp::now, |sample| sample.earliest(Instant::now()))
    }

    /// A time that it is not yet by the brokers' clocks.
    pub fn latest(&self) -> Timestamp {
        let sample = *self.sample();
        sample.map_or_else(Timestamp::now, |sample| sample.latest(Instant::now()))
    }

    /// Learns that a record which was sent at `sent` and acknowledged just now has this stamp. A sample that
    /// says more, or contradicts what was known, counts.
    pub fn learn(&self, stamped: Timestamp, sent: Instant) {
        if self.is_local {
            return;
        }
        let now = Instant::now();
        let new = Sample {
            stamped,
            acknowledged: now,
            local: Timestamp::now(),
            took: now.saturating_duration_since(sent),
        };
        let mut sample = self.sample();
        if sample.is_none_or(|known| known.is_worse_than(&new, now)) {
            *sample = Some(new);
        }
    }

    /// Whether nothing has been learnt for so long that it should be asked for.
    pub fn is_vague(&self) -> bool {
        const VAGUE: Duration = Duration::from_mins(5);
        // The machine was suspended, or somebody has set its clock.
        const SUSPICIOUS: Duration = Duration::from_secs(1);
        let sample = *self.sample();
        sample.is_none_or(|sample| {
            let age = sample.age(Instant::now());
            let by_local = Timestamp::now().since(sample.local);
            age > VAGUE || by_local.abs_diff(age) > SUSPICIOUS
        })
    }

    fn sample(&self) -> MutexGuard<'_, Option<Sample>> {
        self.sample.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(stamped: i64, acknowledged: Instant, took: u64) -> Sample {
        Sample {
            stamped: Timestamp::from_millis(stamped),
            acknowledged,
            local: Timestamp::default(),
            took: Duration::from_millis(took),
        }
    }

    fn bounds(sample: &Sample, now: Instant) -> (i64, i64) {
        let (earliest, latest) = (sample.earliest(now), sample.latest(now));
        (earliest.as_millis(), latest.as_millis())
    }

    #[test]
    fn the_bounds_part_as_time_goes_by() {
        let start = Instant::now();
        let sample = sample(1_000_000, start, 5);
        assert_eq!(bounds(&sample, start), (1_000_000, 1_000_006));
        let later = start + Duration::from_secs(100);
        assert_eq!(bounds(&sample, later), (1_099_990, 1_100_016));
    }

    #[test]
    fn what_says_more_or_contradicts_counts() {
        let start = Instant::now();
        let later = start + Duration::from_secs(10);
        let known = sample(1_000, start, 5);
        // Bounds of 11,000 - 1 and 11,000 + 7.
        for (stamped, took, counts) in [
            (11_003, 3, true),
            (11_003, 50, false),
            (11_008, 50, true),
            (10_900, 97, true),
            (10_900, 200, false),
        ] {
            let new = sample(stamped, later, took);
            assert_eq!(known.is_worse_than(&new, later), counts, "{stamped} {took}");
        }
    }

    #[test]
    fn it_is_this_processs_clock_until_something_is_learnt() {
        let clock = BrokerClock::default();
        let near = |time: Timestamp, expected: Timestamp| {
            let apart = time.since(expected).max(expected.since(time));
            assert!(apart < Duration::from_secs(60), "{time} {expected}");
        };
        let local = Timestamp::now();
        assert!(clock.is_vague());
        near(clock.earliest(), local);
        let ahead = local.after(Duration::from_hours(5));
        clock.learn(ahead, Instant::now());
        assert!(!clock.is_vague());
        let deaf = BrokerClock::of_this_process();
        deaf.learn(ahead, Instant::now());
        near(deaf.latest(), local);
        near(clock.earliest(), ahead);
        near(clock.latest(), ahead);
        assert!(clock.earliest() < clock.latest());
    }
}

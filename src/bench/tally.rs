//! What a receiver remembers of the requests that came, and what it says of them.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use super::load::NOBODYS_ID;

/// What the subscriptions of a run wait before a request is made again.
pub(super) const RETRY_WAIT: Duration = Duration::from_secs(5);
/// The longest time that is looked at second by second.
const MOST_SECONDS: usize = 3_600;

/// What has arrived since the last reset. Times in microseconds.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Count {
    /// All requests.
    pub requests: u64,
    /// Different deliveries among them that were taken.
    pub distinct: u64,
    /// Requests that were answered 503, on purpose.
    pub failed: u64,
    /// When the first was taken, and when the last different one, since the Unix epoch.
    pub taken_at: Option<(u64, u64)>,
    /// From produced to arrived, of those whose first request was taken; none where requests do not say
    /// when they were produced.
    pub latency: Option<Percentiles>,
    /// Of those whose first request failed: how long after they were due the second came.
    pub lateness: Option<Percentiles>,
    /// How many of those came before they were due.
    pub early: u64,
    /// Of those too, or of all if none failed: how much younger the youngest was that had come before.
    pub overtaken: Option<Percentiles>,
    /// What was taken besides the slow endpoint's, if there is one. Then latency is theirs alone.
    pub others: Others,
}

/// The 50th, 95th and 99th percentile, and the most.
pub type Percentiles = [u64; 4];

pub(super) struct Tally {
    requests: u64,
    failed: u64,
    distinct: u64,
    early: u64,
    /// By the hashes of delivery ids.
    deliveries: HashMap<u64, Delivery>,
    hasher: RandomState,
    taken_at: Option<(u64, u64)>,
    /// When the youngest was produced that has come.
    youngest: u64,
    latency: Histogram<u64>,
    lateness: Histogram<u64>,
    overtaken: Histogram<u64>,
    /// The share of deliveries whose first request fails.
    pub(super) failing: f64,
    /// Those that were taken besides the slow endpoint's.
    others: Others,
}

/// What was taken besides the slow endpoint's.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Others {
    /// How many.
    pub taken: u64,
    /// How many in each second since the first.
    pub by_second: Vec<u32>,
    /// The longest time in which none came, in microseconds.
    pub longest_gap: u64,
    /// When the first and the last came, in microseconds since the Unix epoch.
    pub taken_at: Option<(u64, u64)>,
}

#[derive(Clone, Copy)]
enum Delivery {
    /// Its second request is due then.
    Due(u64),
    Taken,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            requests: 0,
            failed: 0,
            distinct: 0,
            early: 0,
            deliveries: HashMap::new(),
            hasher: RandomState::new(),
            taken_at: None,
            youngest: 0,
            latency: histogram(),
            lateness: histogram(),
            overtaken: histogram(),
            failing: 0.0,
            others: Others::default(),
        }
    }
}

impl Others {
    fn taken(&mut self, now: u64) {
        let (first, last) = self.taken_at.unwrap_or((now, now));
        self.taken += 1;
        self.longest_gap = self.longest_gap.max(now.saturating_sub(last));
        self.taken_at = Some((first, now));
        let second = usize::try_from(now.saturating_sub(first) / 1_000_000).unwrap_or(MOST_SECONDS);
        if second < MOST_SECONDS {
            if self.by_second.len() <= second {
                self.by_second.resize(second + 1, 0);
            }
            self.by_second[second] += 1;
        }
    }
}

/// Up to an hour, three digits.
fn histogram() -> Histogram<u64> {
    const LONGEST: u64 = 3_600_000_000;
    match Histogram::new_with_max(LONGEST, 3) {
        Ok(histogram) => histogram,
        // Cannot be: the numbers are constants that fit.
        Err(error) => unreachable!("{error}"),
    }
}

impl Tally {
    /// A request has come. False: it is to fail.
    pub(super) fn arrived(
        &mut self,
        id: Option<&[u8]>,
        produced_at: Option<u64>,
        now: u64,
        is_slow: bool,
    ) -> bool {
        if id == Some(NOBODYS_ID) {
            return true;
        }
        self.requests += 1;
        let Some(id) = id.map(|id| self.hasher.hash_one(id)) else {
            return true;
        };
        let before = self.deliveries.get(&id).copied();
        let due = match before {
            Some(Delivery::Taken) => return true,
            Some(Delivery::Due(due)) => Some(due),
            None if is_in(self.failing, id) => {
                self.failed += 1;
                self.deliveries.insert(id, due_after(now));
                return false;
            }
            None => None,
        };
        self.deliveries.insert(id, Delivery::Taken);
        self.distinct += 1;
        let first = self.taken_at.map_or(now, |(first, _)| first);
        self.taken_at = Some((first, now));
        if let Some(due) = due {
            self.early += u64::from(now < due);
            self.lateness.saturating_record(now.saturating_sub(due));
        }
        if !is_slow {
            self.others.taken(now);
        }
        if let Some(produced_at) = produced_at.filter(|_| !is_slow) {
            if due.is_none() {
                self.latency
                    .saturating_record(now.saturating_sub(produced_at));
            }
            if due.is_some() || self.failed == 0 {
                self.overtaken
                    .saturating_record(self.youngest.saturating_sub(produced_at));
                self.youngest = self.youngest.max(produced_at);
            }
        }
        true
    }

    /// A request that fails is answered now.
    pub(super) fn answered(&mut self, id: &[u8], now: u64) {
        let id = self.hasher.hash_one(id);
        if let Some(delivery @ Delivery::Due(_)) = self.deliveries.get_mut(&id) {
            *delivery = due_after(now);
        }
    }

    pub(super) fn count(&self) -> Count {
        Count {
            requests: self.requests,
            distinct: self.distinct,
            failed: self.failed,
            taken_at: self.taken_at,
            latency: percentiles(&self.latency),
            lateness: percentiles(&self.lateness),
            early: self.early,
            overtaken: percentiles(&self.overtaken),
            others: self.others.clone(),
        }
    }
}

/// Whether a hash is among this share of all.
fn is_in(share: f64, hash: u64) -> bool {
    share >= 1.0 || (hash as f64) < share * 2.0_f64.powi(64)
}

fn due_after(answered: u64) -> Delivery {
    let wait = u64::try_from(RETRY_WAIT.as_micros()).unwrap_or(u64::MAX);
    Delivery::Due(answered.saturating_add(wait))
}

fn percentiles(of: &Histogram<u64>) -> Option<Percentiles> {
    let at = |quantile| of.value_at_quantile(quantile);
    (!of.is_empty()).then(|| [at(0.50), at(0.95), at(0.99), of.max()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_are_told_from_deliveries() {
        let mut tally = Tally::default();
        assert!(tally.arrived(Some(b"a"), Some(1_000), 3_000, false));
        assert!(tally.arrived(Some(b"b"), Some(2_000), 3_500, false));
        assert!(tally.arrived(Some(b"a"), Some(1_000), 9_000, false));
        assert!(tally.arrived(Some(NOBODYS_ID), Some(1_000), 9_500, false));
        let count = tally.count();
        assert_eq!((count.requests, count.distinct, count.failed), (3, 2, 0));
        assert_eq!(count.taken_at, Some((3_000, 3_500)));
        assert_eq!(count.latency.map(|it| it[3] / 10), Some(200));
        assert!(count.lateness.is_none());
    }

    #[test]
    fn who_failed_is_late_or_early_and_may_be_overtaken() {
        let mut tally = Tally {
            failing: 1.0,
            ..Tally::default()
        };
        for (id, produced_at) in [(b"a", 1_000), (b"b", 9_000)] {
            assert!(!tally.arrived(Some(id), Some(produced_at), 10_000, false));
            tally.answered(id, 20_000);
        }
        tally.failing = 0.0;
        assert!(tally.arrived(Some(b"b"), Some(9_000), 5_019_999, false));
        assert!(tally.arrived(Some(b"new"), Some(10_000), 5_020_500, false));
        assert!(tally.arrived(Some(b"a"), Some(1_000), 5_021_000, false));
        let count = tally.count();
        assert_eq!((count.requests, count.distinct, count.failed), (5, 3, 2));
        assert_eq!(count.early, 1);
        let rounded = |of: Option<Percentiles>| of.map(|it| it[3] / 1_000);
        assert_eq!(rounded(count.lateness), Some(1));
        assert_eq!(
            rounded(count.overtaken),
            Some(8),
            "by the other one that failed"
        );
        assert_eq!(
            rounded(count.latency).map(|it| it / 100),
            Some(50),
            "of the new one alone"
        );
    }

    #[test]
    fn the_others_of_a_slow_endpoint_are_counted_apart() {
        let mut tally = Tally::default();
        assert!(tally.arrived(Some(b"a"), Some(1_000), 2_000, false));
        assert!(tally.arrived(Some(b"slow"), Some(1_000), 900_000, true));
        assert!(tally.arrived(Some(b"b"), Some(1_000), 2_502_000, false));
        assert!(tally.arrived(Some(b"b"), Some(1_000), 9_000_000, false));
        let count = tally.count();
        assert_eq!((count.requests, count.distinct), (4, 3));
        assert_eq!(count.others.taken, 2);
        assert_eq!(count.others.by_second, [1, 0, 1]);
        assert_eq!(count.others.longest_gap, 2_500_000);
        let longest = count.latency.map(|it| it[3] / 10_000);
        assert_eq!(longest, Some(250), "the slow one's latency is its own");
    }

    #[test]
    fn a_share_of_all_fails() {
        let hasher = RandomState::new();
        let failed = (0..10_000_u32).filter(|id| is_in(0.1, hasher.hash_one(id)));
        assert!((800..1_200).contains(&failed.count()));
        assert!(!is_in(0.0, 0) && is_in(1.0, u64::MAX));
    }
}

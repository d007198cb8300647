//! The ladder: the fixed delays (tiers) through which a task of any waiting time hops, as in a timer
//! wheel. Each tier is a topic; its records are taken when they have lain there for its delay.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::duration_text;

/// How much longer than the remaining wait a tier's delay may be and still be taken: the price of a
/// hop's commit, which would otherwise turn every whole multiple (10 s on a tier of 5 s) into one
/// hop and a rest that fits nowhere. It is also how late a task may become by it
/// (ARCHITECTURE.md, The ladder).
pub const SLACK: Duration = Duration::from_millis(150);

/// The most tiers that a ladder may have: each is a topic with as many partitions as `deliveries`.
pub const MAX_TIERS: usize = 16;
/// The shortest delay that is worth a topic: below it the hop's own transaction dominates.
pub const MIN_DELAY: Duration = Duration::from_millis(100);
/// The longest delay of a tier; longer waits take several hops.
pub const MAX_DELAY: Duration = Duration::from_secs(31 * 24 * 60 * 60);

/// Parking never uses a longer tier than this (if there is a shorter one): a parked task waits for
/// room at its endpoint, which may come at any time.
const MAX_PARK: Duration = Duration::from_secs(10 * 60);

/// One fixed delay of the ladder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tier {
    index: usize,
    delay: Duration,
    name: String,
}

impl Tier {
    /// Its place on the ladder, 0 for the shortest delay.
    pub fn index(&self) -> usize {
        self.index
    }

    /// How long a record lies on it.
    pub fn delay(&self) -> Duration {
        self.delay
    }

    /// The delay in its canonical form (`5s`, `2m`, `6h`; 60 s is `1m`), which names the topic.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// Why a list of delays is no ladder (`retry.tiers`).
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum LadderError {
    /// No tier at all: nothing could ever be retried.
    #[error("a ladder needs at least one tier")]
    Empty,
    /// Every tier is a topic; their number is bounded.
    #[error("{0} tiers are too many: at most {MAX_TIERS}")]
    TooMany(usize),
    /// A name, and with it a topic, cannot say less than a millisecond.
    #[error("tier {0:?} is not a whole number of milliseconds")]
    NotWholeMillis(Duration),
    /// Shorter than [`MIN_DELAY`].
    #[error("tier `{0}` is too short: at least 100ms")]
    TooShort(String),
    /// Longer than [`MAX_DELAY`].
    #[error("tier `{0}` is too long: at most 744h (31 days)")]
    TooLong(String),
    /// The same delay twice, perhaps written differently (`60s`, `1m`).
    #[error("tier `{0}` is there more than once")]
    Duplicate(String),
}

/// What a task does next, given how long it still has to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hop<'ladder> {
    /// It is due: attempt it.
    Now,
    /// It goes to this tier's topic.
    Tier(&'ladder Tier),
    /// The rest is too short for every tier: it waits in memory, an unfinished offset until then.
    WaitInMemory(Duration),
}

/// The tiers, shortest delay first: from 1 to [`MAX_TIERS`], all different.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ladder(Vec<Tier>);

impl Ladder {
    /// From delays in any order.
    ///
    /// # Errors
    /// [`LadderError`] names the tier and the rule: 1 to 16 tiers, each 100 ms to 31 days in whole
    /// milliseconds, none twice.
    pub fn try_new(delays: impl IntoIterator<Item = Duration>) -> Result<Self, LadderError> {
        let mut delays: Vec<Duration> = delays.into_iter().collect();
        delays.sort_unstable();
        if delays.is_empty() {
            return Err(LadderError::Empty);
        }
        if delays.len() > MAX_TIERS {
            return Err(LadderError::TooMany(delays.len()));
        }
        let mut tiers: Vec<Tier> = Vec::with_capacity(delays.len());
        for (index, delay) in delays.into_iter().enumerate() {
            if delay.subsec_nanos() % 1_000_000 != 0 {
                return Err(LadderError::NotWholeMillis(delay));
            }
            let name = duration_text::canonical(delay);
            if delay < MIN_DELAY {
                return Err(LadderError::TooShort(name));
            }
            if delay > MAX_DELAY {
                return Err(LadderError::TooLong(name));
            }
            if tiers.last().is_some_and(|previous| previous.delay == delay) {
                return Err(LadderError::Duplicate(name));
            }
            tiers.push(Tier { index, delay, name });
        }
        Ok(Self(tiers))
    }

    /// The tiers, shortest delay first; never empty.
    pub fn tiers(&self) -> &[Tier] {
        &self.0
    }

    /// The tier with the shortest delay.
    pub fn smallest(&self) -> &Tier {
        &self.0[0] // `try_new` refuses an empty list
    }

    /// Where a task goes that still has to wait for `remaining`: the largest tier whose delay is at
    /// most `remaining` + [`SLACK`].
    ///
    /// Ask when the outcome of an attempt is known, and again each time a tier gives the task back.
    /// With commits that take `c` after each such moment, a task is never early, it is late by at
    /// most `SLACK` + the last hop's `c`, and it takes at most
    /// `⌊(remaining + SLACK) / largest⌋ + Σ (⌈next tier / tier⌉ − 1)` hops: on each tier but the
    /// largest, fewer than would fill the next one.
    pub fn next_hop(&self, remaining: Duration) -> Hop<'_> {
        if remaining.is_zero() {
            return Hop::Now;
        }
        match self.largest_within(remaining.saturating_add(SLACK)) {
            Some(tier) => Hop::Tier(tier),
            None => Hop::WaitInMemory(remaining),
        }
    }

    /// The tier for a task that may not go now and was parked `parks` times before: the smallest
    /// delay, doubled with every park and rounded down to a tier, but no longer than ten minutes
    /// unless the smallest tier is.
    pub fn park_delay(&self, parks: u32) -> &Tier {
        let doubled = self
            .smallest()
            .delay
            .saturating_mul(2_u32.saturating_pow(parks));
        self.largest_within(doubled.min(MAX_PARK))
            .unwrap_or(self.smallest())
    }

    /// The longest that a task may be put off that was put off `parks` times before, where how long it
    /// has to wait is a guess: five times longer with each time, in whole tiers. So it is written a few
    /// times a day at most, and is back within a multiple of the time that its endpoint was slow.
    pub fn longest_guess(&self, parks: u32) -> Duration {
        let longer = self
            .smallest()
            .delay
            .saturating_mul(5_u32.saturating_pow(parks));
        self.whole_tier(longer)
    }

    /// `wait` cut to the largest tier within it, so that it takes one hop: for waits that need not be
    /// exact. At least the smallest tier.
    pub fn whole_tier(&self, wait: Duration) -> Duration {
        self.largest_within(wait.saturating_add(SLACK))
            .unwrap_or(self.smallest())
            .delay()
    }

    fn largest_within(&self, wait: Duration) -> Option<&Tier> {
        self.0.iter().rev().find(|tier| tier.delay <= wait)
    }
}

/// When a record may be taken from a tier: after it has lain there for `delay`. Its task is then
/// due, or hops on, or waits for a short rest in memory, as [`Ladder::next_hop`] says. The delay is
/// an argument, as a topic that was taken off the ladder is still read until it is empty.
pub fn released_at(append: Timestamp, delay: Duration) -> Timestamp {
    append.after(delay)
}

#[cfg(test)]
mod tests {
    use proptest::collection::{btree_set, vec};
    use proptest::prelude::*;

    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    fn ladder(millis: &[u64]) -> Ladder {
        Ladder::try_new(millis.iter().copied().map(MS)).unwrap()
    }

    fn default_ladder() -> Ladder {
        ladder(&[5_000, 30_000, 120_000, 600_000, 3_600_000, 21_600_000])
    }

    #[test]
    fn tiers_are_sorted_and_bear_canonical_names() {
        let tiers = ladder(&[
            21_600_000, 5_000, 90_000, 250, 60_000, 1_500, 7_200_000, 5_400_000,
        ]);
        let names: Vec<_> = tiers.tiers().iter().map(Tier::name).collect();
        assert_eq!(
            names,
            ["250ms", "1500ms", "5s", "1m", "90s", "90m", "2h", "6h"]
        );
        assert!((0..8).all(|index| tiers.tiers()[index].index() == index));
        assert_eq!(tiers.smallest().delay(), MS(250));
        assert_eq!(ladder(&[172_800_000]).smallest().name(), "48h");
    }

    #[test]
    fn refuses_what_is_no_ladder() {
        fn check(delays: Vec<Duration>, expected: LadderError) {
            assert_eq!(Ladder::try_new(delays), Err(expected));
        }
        let second = Duration::from_secs(1);
        check(vec![], LadderError::Empty);
        check(
            (1..=17).map(|n| n * second).collect(),
            LadderError::TooMany(17),
        );
        assert!(Ladder::try_new((1..=16).map(|n| n * second)).is_ok());
        check(vec![second, MS(99)], LadderError::TooShort("99ms".into()));
        check(vec![second, MS(0)], LadderError::TooShort("0s".into()));
        check(
            vec![60 * second, second, MS(60_000)],
            LadderError::Duplicate("1m".into()),
        );
        check(
            vec![MAX_DELAY + second],
            LadderError::TooLong("2678401s".into()),
        );
        let micros = Duration::from_micros(100_001);
        check(vec![micros], LadderError::NotWholeMillis(micros));
        assert!(Ladder::try_new([Duration::MAX]).is_err());
        assert!(Ladder::try_new([MAX_DELAY, MIN_DELAY]).is_ok());
    }

    #[test]
    fn the_next_hop_is_the_largest_tier_that_fits_with_slack() {
        fn check(remaining: u64, expected: &str) {
            let ladder = ladder(&[1_000, 3_000, 10_000]);
            let found = match ladder.next_hop(MS(remaining)) {
                Hop::Now => "now".to_owned(),
                Hop::Tier(tier) => tier.name().to_owned(),
                Hop::WaitInMemory(rest) => format!("wait {rest:?}"),
            };
            assert_eq!(found, expected, "{remaining} ms");
        }
        check(0, "now");
        check(1, "wait 1ms");
        check(849, "wait 849ms");
        check(850, "1s");
        check(2_849, "1s");
        check(2_850, "3s");
        check(7_000, "3s");
        check(9_849, "3s");
        check(9_850, "10s");
        check(u64::MAX, "10s");
        assert!(
            matches!(default_ladder().next_hop(Duration::MAX), Hop::Tier(tier) if tier.name() == "6h")
        );
    }

    #[test]
    fn a_rest_below_the_slack_takes_a_tier_that_is_no_longer_than_the_slack() {
        let ladder = ladder(&[100]);
        assert_eq!(ladder.next_hop(MS(1)), Hop::Tier(ladder.smallest()));
    }

    #[test]
    fn parking_doubles_up_to_ten_minutes() {
        fn check(tiers: &[u64], parks: u32, expected: &str) {
            assert_eq!(ladder(tiers).park_delay(parks).name(), expected, "{parks}");
        }
        let usual = [5_000, 30_000, 120_000, 600_000, 3_600_000];
        for (parks, expected) in [
            (0, "5s"),
            (2, "5s"),
            (3, "30s"),
            (4, "30s"),
            (5, "2m"),
            (6, "2m"),
        ] {
            check(&usual, parks, expected);
        }
        for parks in [7, 8, 31, 32, u32::MAX] {
            check(&usual, parks, "10m");
        }
        check(&[1_000, 601_000], u32::MAX, "1s");
        check(&[3_600_000, 7_200_000], 9, "1h");
    }

    #[test]
    fn guesses_grow_in_whole_tiers() {
        let usual = ladder(&[5_000, 30_000, 120_000, 600_000, 3_600_000, 21_600_000]);
        let seconds = |parks| usual.longest_guess(parks).as_secs();
        let grown: Vec<_> = (0..8).map(seconds).collect();
        assert_eq!(grown, [5, 5, 120, 600, 600, 3_600, 21_600, 21_600]);
        assert_eq!(seconds(u32::MAX), 21_600);
        assert_eq!(ladder(&[1_000, 3_000]).longest_guess(9), MS(3_000));
    }

    /// The bound on hops that [`Ladder::next_hop`] states.
    fn most_hops(ladder: &Ladder, wait: Duration) -> u128 {
        let tiers = ladder.tiers();
        let climb: u128 = tiers
            .windows(2)
            .map(|pair| {
                let (lower, upper) = (pair[0].delay().as_millis(), pair[1].delay().as_millis());
                upper.div_ceil(lower) - 1
            })
            .sum();
        let largest = tiers[tiers.len() - 1].delay().as_millis();
        (wait + SLACK).as_millis() / largest + climb
    }

    proptest! {
        #[test]
        fn any_wait_is_kept_on_any_ladder(
            tiers in btree_set(prop_oneof![100_u64..3_000, 1_000_u64..40_000_000], 1..=6),
            waits in vec(prop_oneof![0_u64..400, 0_u64..60_000, 0_u64..90_000_000], 1..5),
            commits in vec(0_u64..=100, 1..50),
        ) {
            let ladder = Ladder::try_new(tiers.into_iter().map(MS)).unwrap();
            let mut commits = commits.into_iter().cycle().map(MS);
            let mut now = Timestamp::from_millis(1_795_341_600_000);
            for wait in waits.into_iter().map(MS) {
                let not_before = now.after(wait);
                let most = most_hops(&ladder, wait);
                let (mut hops, mut last_commit) = (0, Duration::ZERO);
                loop {
                    match ladder.next_hop(not_before.since(now)) {
                        Hop::Now => break,
                        Hop::Tier(tier) => {
                            hops += 1;
                            prop_assert!(hops <= most, "more than {} hops", most);
                            last_commit = commits.next().unwrap();
                            now = released_at(now.after(last_commit), tier.delay());
                        }
                        Hop::WaitInMemory(rest) => {
                            prop_assert!(rest + SLACK < ladder.smallest().delay());
                            last_commit = Duration::ZERO;
                            now = now.after(rest);
                        }
                    }
                }
                prop_assert!(now >= not_before, "early");
                prop_assert!(now.since(not_before) <= SLACK + last_commit, "late");
            }
        }
    }
}

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

/// The same for tasks that stand in an endpoint's line: less than they may wait in memory for their turn.
const LINE_SLACK: Duration = Duration::from_secs(5);

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

    /// The tier for a task that waits until a pause is over, of which nobody knows when: the next one above
    /// that on which it lay before for the same reason (`last`), but none longer than `most`. So it is written
    /// once for each tier and then as seldom as the longest has it, and after the pause it is back within the
    /// ratio of two tiers times as long as it was paused. Nor is it longer than needed to see that the task's
    /// time is over, which it is in `left`.
    pub fn pause(&self, last: Option<Duration>, most: Duration, left: Duration) -> &Tier {
        let is_next = |tier: &&Tier| last.is_none_or(|last| tier.delay > last);
        let next = self.0.iter().find(is_next).or(self.0.last());
        let next = next.filter(|tier| tier.delay <= most);
        let next = next
            .or_else(|| self.largest_within(most))
            .unwrap_or(self.smallest());
        let to_its_end = self.0.iter().find(|tier| tier.delay >= left);
        to_its_end
            .filter(|tier| tier.delay < next.delay)
            .unwrap_or(next)
    }

    /// As [`Self::next_hop`] for a task in an endpoint's line, where some seconds more are of no account and
    /// hops are: a tier is taken also where it makes the task late by as much as [`LINE_SLACK`], or the
    /// smallest tier. (So the last half minute is not five hops of five seconds.)
    pub fn next_hop_in_line(&self, remaining: Duration) -> Hop<'_> {
        let smallest = self.smallest().delay;
        if remaining < smallest {
            return self.next_hop(remaining);
        }
        let slack = smallest.min(LINE_SLACK).max(SLACK);
        match self.largest_within(remaining.saturating_add(slack)) {
            Some(tier) => Hop::Tier(tier),
            None => Hop::WaitInMemory(remaining),
        }
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
    fn a_pause_takes_a_tier_after_the_other() {
        fn check(last: Option<u64>, most: u64, expected: &str) {
            let ladder = default_ladder();
            let tier = ladder.pause(last.map(MS), MS(most), Duration::MAX);
            assert_eq!(tier.name(), expected, "{last:?} {most}");
        }
        check(None, u64::MAX, "5s");
        check(Some(5_000), u64::MAX, "30s");
        check(Some(600_000), u64::MAX, "1h");
        check(Some(21_600_000), u64::MAX, "6h");
        check(Some(600_000), 3_599_999, "10m");
        check(Some(21_600_000), 1, "5s");
        // Of a tier that is not on the ladder any more.
        check(Some(7_000), u64::MAX, "30s");
        // The end of a task's time is seen soon after it.
        let left = |left| {
            default_ladder()
                .pause(Some(MS(3_600_000)), MS(u64::MAX), MS(left))
                .delay()
        };
        assert_eq!(left(0), MS(5_000));
        assert_eq!(left(30_000), MS(30_000));
        assert_eq!(left(601_000), MS(3_600_000));
        assert_eq!(left(100_000_000), MS(21_600_000));
    }

    #[test]
    fn a_paused_task_is_written_a_few_times_a_day_and_is_soon_back() {
        const DAY: Duration = Duration::from_secs(24 * 3_600);
        let ladder = default_ladder();
        let (mut waited, mut last, mut writes) = (Duration::ZERO, None, 0);
        while waited < DAY {
            let wait = ladder.pause(last, DAY, 9 * DAY).delay();
            // Paused until just now: it comes back at the end of this wait.
            assert!(wait <= 6 * waited + MS(5_000), "{wait:?} after {waited:?}");
            (waited, last, writes) = (waited + wait, Some(wait), writes + 1);
        }
        assert_eq!(writes, 9);
    }

    #[test]
    fn in_a_line_a_hop_may_be_a_little_late() {
        fn check(remaining: u64, expected: &str) {
            let ladder = default_ladder();
            let found = match ladder.next_hop_in_line(MS(remaining)) {
                Hop::Now => "now".to_owned(),
                Hop::Tier(tier) => tier.name().to_owned(),
                Hop::WaitInMemory(_) => "wait".to_owned(),
            };
            assert_eq!(found, expected, "{remaining} ms");
        }
        check(0, "now");
        check(4_800, "wait");
        check(5_000, "5s");
        check(24_999, "5s");
        check(25_000, "30s");
        check(115_000, "2m");
        check(3_594_999, "10m");
        check(3_595_000, "1h");
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
        /// With commits that take no time.
        #[test]
        fn in_a_line_nothing_is_early_and_little_is_late(wait in 0_u64..90_000_000) {
            let (ladder, wait) = (default_ladder(), MS(wait));
            let (mut waited, mut hops) = (Duration::ZERO, 0);
            loop {
                match ladder.next_hop_in_line(wait.saturating_sub(waited)) {
                    Hop::Now => break,
                    Hop::Tier(tier) => (waited, hops) = (waited + tier.delay(), hops + 1),
                    Hop::WaitInMemory(rest) => waited += rest,
                }
            }
            prop_assert!((wait..=wait + LINE_SLACK).contains(&waited), "{waited:?}");
            prop_assert!(hops <= most_hops(&ladder, wait));
        }

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

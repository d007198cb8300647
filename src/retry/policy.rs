//! How long to wait after a failed request, and when to give up.

use std::time::Duration;

/// The longest single wait, before jitter.
pub const LONGEST_WAIT: Duration = Duration::from_secs(31 * 24 * 60 * 60);
/// The most retries that a policy can ask for.
pub const MOST_RETRIES: u32 = 1_000;
/// The share of a wait that may be added where nothing else is said, for [`Policy::standard`] and for
/// growing waits.
pub const DEFAULT_JITTER: f64 = 0.1;
const GREATEST_MULTIPLIER: f64 = 100.0;

/// A subscription's waits between requests. Made by [`Policy::schedule`] or
/// [`Policy::exponential`], which hold every wait to at most [`LONGEST_WAIT`].
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    waits: Waits,
    jitter: f64,
    span: Duration,
}

#[derive(Clone, Debug, PartialEq)]
enum Waits {
    Schedule(Vec<Duration>),
    Exponential(Exponential),
}

/// Waits that grow by a factor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Exponential {
    /// How many requests may follow the first; 0 sends once.
    pub max_retries: u32,
    /// The first wait.
    pub initial: Duration,
    /// What each wait is multiplied by to give the next, 1 to 100.
    pub multiplier: f64,
    /// No wait is longer (before jitter).
    pub max: Duration,
}

/// What a retry policy must keep to.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub enum PolicyError {
    /// `schedule` is too long, or `max_retries` too great.
    #[error("has more than {MOST_RETRIES} retries")]
    TooMany,
    /// A wait of the schedule, `initial` or `max` is too long.
    #[error("has a wait of more than 31 days")]
    TooLong,
    /// `multiplier` is out of range.
    #[error("has a multiplier that is not from 1 to 100")]
    Multiplier,
    /// `max` is shorter than `initial`.
    #[error("has a `max` below its `initial`")]
    MaxBelowInitial,
    /// `jitter` is out of range.
    #[error("has a jitter that is not from 0 to 1")]
    Jitter,
}

impl Policy {
    /// One wait after each failed request, until there are no more. `jitter` is the share of a wait
    /// that may be added to it, 0 to 1.
    pub fn schedule(waits: Vec<Duration>, jitter: f64) -> Result<Self, PolicyError> {
        if waits.len() > MOST_RETRIES as usize {
            return Err(PolicyError::TooMany);
        }
        if waits.iter().any(|wait| *wait > LONGEST_WAIT) {
            return Err(PolicyError::TooLong);
        }
        Self::try_new(Waits::Schedule(waits), jitter)
    }

    /// Waits that grow by a factor. `jitter` as for [`Policy::schedule`].
    pub fn exponential(growth: Exponential, jitter: f64) -> Result<Self, PolicyError> {
        if growth.max_retries > MOST_RETRIES {
            return Err(PolicyError::TooMany);
        }
        if growth.initial > LONGEST_WAIT || growth.max > LONGEST_WAIT {
            return Err(PolicyError::TooLong);
        }
        if !(1.0..=GREATEST_MULTIPLIER).contains(&growth.multiplier) {
            return Err(PolicyError::Multiplier);
        }
        if growth.max < growth.initial {
            return Err(PolicyError::MaxBelowInitial);
        }
        Self::try_new(Waits::Exponential(growth), jitter)
    }

    /// The waits that Standard Webhooks 1.0 advises, over a little more than three days.
    pub fn standard() -> Self {
        const MINUTE: u64 = 60;
        const HOUR: u64 = 60 * MINUTE;
        let seconds = [
            5,
            5 * MINUTE,
            30 * MINUTE,
            2 * HOUR,
            5 * HOUR,
            10 * HOUR,
            14 * HOUR,
            20 * HOUR,
            24 * HOUR,
        ];
        Self::new(
            Waits::Schedule(seconds.map(Duration::from_secs).into()),
            DEFAULT_JITTER,
        )
    }

    fn try_new(waits: Waits, jitter: f64) -> Result<Self, PolicyError> {
        if !(0.0..=1.0).contains(&jitter) {
            return Err(PolicyError::Jitter);
        }
        Ok(Self::new(waits, jitter))
    }

    fn new(waits: Waits, jitter: f64) -> Self {
        let mut policy = Self {
            waits,
            jitter,
            span: Duration::ZERO,
        };
        // At most 1,000 waits of at most 62 days.
        policy.span = (1..)
            .map_while(|failed| policy.wait(failed, 1.0))
            .fold(Duration::ZERO, Duration::saturating_add);
        policy
    }

    /// All waits together, each with all of its jitter.
    pub fn span(&self) -> Duration {
        self.span
    }

    /// How long to wait after the `failed`th failure that was charged (from 1; 0 is taken as 1), or
    /// `None` when the retries are used up. `jitter` is a random number from 0 to 1: where in the
    /// span that the policy's jitter opens the wait ends. Jitter is only ever added.
    pub fn wait(&self, failed: u32, jitter: f64) -> Option<Duration> {
        let retries_used = failed.saturating_sub(1);
        let wait = match &self.waits {
            Waits::Schedule(waits) => *waits.get(usize::try_from(retries_used).ok()?)?,
            Waits::Exponential(growth) => growth.wait(retries_used)?,
        };
        let place = if jitter.is_nan() { 0.0 } else { jitter };
        Some(wait + wait.mul_f64(self.jitter * place.clamp(0.0, 1.0)))
    }

    /// How many requests may follow the first.
    pub fn max_retries(&self) -> u32 {
        match &self.waits {
            Waits::Schedule(waits) => u32::try_from(waits.len()).unwrap_or(MOST_RETRIES),
            Waits::Exponential(growth) => growth.max_retries,
        }
    }
}

impl Exponential {
    fn wait(&self, retries_used: u32) -> Option<Duration> {
        if retries_used >= self.max_retries {
            return None;
        }
        if self.initial.is_zero() {
            return Some(Duration::ZERO);
        }
        // Overflows to infinity, which is above every `max`.
        let millis =
            self.initial.as_secs_f64() * 1_000.0 * self.multiplier.powf(f64::from(retries_used));
        if millis < self.max.as_secs_f64() * 1_000.0 {
            // Whole milliseconds, which is what a task can say.
            Some(Duration::from_millis(millis.round() as u64).min(self.max))
        } else {
            Some(self.max)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn doubling() -> Exponential {
        Exponential {
            max_retries: 5,
            initial: 2 * SECOND,
            multiplier: 2.0,
            max: 10 * SECOND,
        }
    }

    fn seconds(policy: &Policy, jitter: f64) -> Vec<f64> {
        (1..)
            .map_while(|failed| policy.wait(failed, jitter))
            .map(|wait| wait.as_secs_f64())
            .collect()
    }

    #[test]
    fn waits_as_told_and_then_gives_up() {
        let schedule = Policy::schedule(vec![5 * SECOND, 60 * SECOND], 0.1).unwrap();
        assert_eq!(schedule.span(), Duration::from_millis(71_500));
        assert_eq!(seconds(&schedule, 0.0), [5.0, 60.0]);
        assert_eq!(seconds(&schedule, 1.0), [5.5, 66.0]);
        assert_eq!(seconds(&schedule, f64::NAN), [5.0, 60.0]);
        assert_eq!(schedule.wait(0, 0.0), Some(5 * SECOND));
        assert_eq!(schedule.wait(u32::MAX, 0.0), None);
        let growing = Policy::exponential(doubling(), 0.0).unwrap();
        assert_eq!(seconds(&growing, 1.0), [2.0, 4.0, 8.0, 10.0, 10.0]);
        let once = Policy::schedule(Vec::new(), 0.0).unwrap();
        assert_eq!(once.wait(1, 0.0), None);
        assert_eq!(once.max_retries(), 0);
    }

    #[test]
    fn refuses_what_is_out_of_bounds() {
        fn check(change: impl FnOnce(&mut Exponential), expected: PolicyError) {
            let mut growth = doubling();
            change(&mut growth);
            assert_eq!(Policy::exponential(growth, 0.0), Err(expected));
        }
        check(|growth| growth.max_retries = 1_001, PolicyError::TooMany);
        check(
            |growth| growth.max = LONGEST_WAIT + SECOND,
            PolicyError::TooLong,
        );
        check(
            |growth| growth.initial = Duration::MAX,
            PolicyError::TooLong,
        );
        check(|growth| growth.max = SECOND, PolicyError::MaxBelowInitial);
        for multiplier in [0.99, 100.1, f64::NAN, f64::INFINITY, -2.0] {
            check(
                |growth| growth.multiplier = multiplier,
                PolicyError::Multiplier,
            );
        }
        for jitter in [-0.1, 1.1, f64::NAN] {
            assert_eq!(
                Policy::exponential(doubling(), jitter),
                Err(PolicyError::Jitter)
            );
            assert_eq!(Policy::schedule(vec![], jitter), Err(PolicyError::Jitter));
        }
        let schedule = |waits| Policy::schedule(waits, 0.0);
        assert_eq!(schedule(vec![SECOND; 1_001]), Err(PolicyError::TooMany));
        assert_eq!(
            schedule(vec![LONGEST_WAIT + SECOND]),
            Err(PolicyError::TooLong)
        );
        assert!(schedule(vec![LONGEST_WAIT; 1_000]).is_ok());
    }

    #[test]
    fn the_standard_is_what_standard_webhooks_advises() {
        let standard = Policy::standard();
        let waits: Vec<_> = (1..)
            .map_while(|failed| standard.wait(failed, 0.0))
            .map(crate::duration_text::canonical)
            .collect();
        assert_eq!(
            waits,
            ["5s", "5m", "30m", "2h", "5h", "10h", "14h", "20h", "24h"]
        );
        // 75.6 h, and a tenth more.
        assert_eq!(standard.span(), Duration::from_millis(299_315_500));
    }

    proptest! {
        /// At every failure, whatever the form: never shorter than without jitter, and never after
        /// the last retry.
        #[test]
        fn jitter_never_shortens_a_wait(
            waits in prop::collection::vec(0..=LONGEST_WAIT.as_millis() as u64, 0..12),
            share in 0.0..=1.0,
            jitter: f64,
            failed: u32,
        ) {
            let waits: Vec<_> = waits.into_iter().map(Duration::from_millis).collect();
            let count = u32::try_from(waits.len()).unwrap();
            let initial = waits.first().copied().unwrap_or_default();
            let growth = Exponential { max_retries: count, initial, multiplier: 1.5, max: LONGEST_WAIT };
            for policy in [
                Policy::schedule(waits, share).unwrap(),
                Policy::exponential(growth, share).unwrap(),
                Policy::standard(),
            ] {
                for failed in [failed, failed % 13] {
                    let (plain, jittered) = (policy.wait(failed, 0.0), policy.wait(failed, jitter));
                    prop_assert_eq!(plain.is_some(), failed.max(1) <= policy.max_retries());
                    prop_assert!(jittered >= plain && jittered <= policy.wait(failed, 1.0));
                    prop_assert!(jittered.unwrap_or_default() <= policy.span());
                }
            }
        }

        #[test]
        fn jitter_only_adds_and_is_bounded(
            wait in 0..=LONGEST_WAIT.as_millis() as u64,
            share in 0.0..=1.0,
            jitter: f64,
        ) {
            let wait = Duration::from_millis(wait);
            let jittered = Policy::schedule(vec![wait], share).unwrap().wait(1, jitter).unwrap();
            prop_assert!(jittered >= wait);
            prop_assert!(jittered <= wait + wait.mul_f64(share));
        }

        #[test]
        fn exponential_waits_never_shrink_nor_pass_their_bounds(
            max_retries in 0..=MOST_RETRIES,
            millis in (0..=LONGEST_WAIT.as_millis() as u64, 0..=LONGEST_WAIT.as_millis() as u64),
            multiplier in 1.0..=GREATEST_MULTIPLIER,
        ) {
            let initial = Duration::from_millis(millis.0.min(millis.1));
            let max = Duration::from_millis(millis.0.max(millis.1));
            let growth = Exponential { max_retries, initial, multiplier, max };
            let policy = Policy::exponential(growth, 0.0).unwrap();
            let waits: Vec<_> = (1..).map_while(|failed| policy.wait(failed, 0.5)).collect();
            prop_assert_eq!(waits.len(), max_retries as usize);
            prop_assert!(waits.is_sorted());
            prop_assert_eq!(policy.span(), waits.iter().sum::<Duration>());
            prop_assert!(waits.iter().all(|wait| (initial..=max).contains(wait)));
            prop_assert!(waits.first().is_none_or(|first| *first == initial));
        }
    }
}

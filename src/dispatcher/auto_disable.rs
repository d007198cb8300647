//! When an endpoint that fails is told about, and when it is disabled: after long enough, after enough
//! attempts, with no success between, and never without having been told about before.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::record::Failing;

/// How long, and how often.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rule {
    /// Whether it is disabled at all, or only told about.
    pub is_on: bool,
    /// After how long.
    pub after: Duration,
    /// After how many attempts, at least.
    pub min_attempts: u64,
    /// The share of both after which the people behind it are told.
    pub warn_at: f64,
}

/// What follows from a failure for its endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing yet.
    Wait,
    /// Tell the people behind it.
    Warn,
    /// Disable it.
    Disable,
}

impl Rule {
    /// One more failure of an endpoint that failed as in `before`. A success leaves no `before`.
    pub fn failed(&self, before: Option<&Failing>, now: Timestamp) -> (Failing, Step) {
        let mut failing = match before {
            // Nothing was tried for long: two short outages far apart are no long one.
            Some(before) if now.since(before.last_at) > self.after / 2 => Failing {
                since: now,
                last_at: now,
                failures: 1,
                warned_at: before.warned_at,
            },
            Some(before) => Failing {
                last_at: now,
                failures: before.failures.saturating_add(1),
                ..*before
            },
            None => Failing {
                since: now,
                last_at: now,
                failures: 1,
                warned_at: None,
            },
        };
        let lasted = now.since(failing.since);
        if failing.warned_at.is_none() {
            // A share of a count below 2^53 is exact enough.
            #[expect(
                clippy::cast_precision_loss,
                reason = "counts are far below 2^52, and this is a share of one"
            )]
            let (failures, attempts) = (failing.failures as f64, self.min_attempts as f64);
            let is_time = lasted >= self.after.mul_f64(self.warn_at);
            if is_time && failures >= attempts * self.warn_at {
                failing.warned_at = Some(now);
                return (failing, Step::Warn);
            }
        } else if self.is_on && lasted >= self.after && failing.failures >= self.min_attempts {
            return (failing, Step::Disable);
        }
        (failing, Step::Wait)
    }

    /// Whether a failing endpoint is to be written down anew, where `saved` is what was last, and
    /// when. Not each failure: a restart may lose as many as were noted, and an eighth of the time. Not
    /// what has only just begun: one that fails now and then would be written all the time.
    pub fn is_worth_saving(
        &self,
        failing: &Failing,
        saved: Option<(u64, Timestamp)>,
        now: Timestamp,
    ) -> bool {
        const SOON: Duration = Duration::from_mins(1);
        match saved {
            None => {
                failing.failures > 1 && now.since(failing.since) >= (self.after / 100).min(SOON)
            }
            Some((failures, at)) => {
                failing.failures >= failures.saturating_mul(2) || now.since(at) >= self.after / 8
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RULE: Rule = Rule {
        is_on: true,
        after: Duration::from_secs(1_000),
        min_attempts: 10,
        warn_at: 0.5,
    };

    /// The steps of failures at these seconds.
    fn steps(rule: Rule, seconds: impl IntoIterator<Item = i64>) -> Vec<Step> {
        let mut failing = None;
        let each = seconds.into_iter().map(|second| {
            let now = Timestamp::from_millis(second * 1_000);
            let (next, step) = rule.failed(failing.as_ref(), now);
            failing = Some(next);
            step
        });
        each.collect()
    }

    #[test]
    fn both_time_and_attempts_are_needed() {
        let count = |steps: &[Step], wanted| steps.iter().filter(|step| **step == wanted).count();
        // Every 100 s: warned at 500 s with 6 attempts, disabled at 1,000 s with 11.
        let usual = steps(RULE, (0..=10).map(|n| n * 100));
        assert_eq!(usual[5], Step::Warn);
        assert_eq!(usual[10], Step::Disable);
        assert_eq!(count(&usual, Step::Wait), 9);
        // Many in a short time.
        let burst = steps(RULE, (0..499).map(|n| n / 2));
        assert_eq!(count(&burst, Step::Wait), 499);
        // Few in a long time.
        let few = steps(RULE, (0..9).map(|n| n * 499));
        assert_eq!(count(&few, Step::Disable), 0);
        // Two outages with nothing between them: the second is not as long as it seems.
        let apart = steps(RULE, [0, 1, 2].into_iter().chain(600..1_099));
        assert_eq!(count(&apart, Step::Wait), apart.len());
        let off = Rule {
            is_on: false,
            ..RULE
        };
        let told = steps(off, (0..=100).map(|n| n * 100));
        assert_eq!(
            (count(&told, Step::Warn), count(&told, Step::Disable)),
            (1, 0)
        );
    }

    proptest! {
        /// Whatever comes: never disabled on a success, before its time or attempts, or untold.
        #[test]
        fn it_is_never_too_soon(
            attempts in prop::collection::vec((0_i64..200, prop::bool::weighted(0.03)), 1..200),
        ) {
            let (mut now, mut failing) = (Timestamp::from_millis(0), None::<Failing>);
            let (mut since, mut failures, mut is_told) = (None, 0, false);
            for (seconds, accepted) in attempts {
                now = now.after(Duration::from_secs(seconds.unsigned_abs()));
                if accepted {
                    (failing, since, failures, is_told) = (None, None, 0, false);
                    continue;
                }
                let first = *since.get_or_insert(now);
                failures += 1;
                let (next, step) = RULE.failed(failing.as_ref(), now);
                failing = Some(next);
                prop_assert_eq!(next.failures <= failures, true);
                match step {
                    Step::Wait => {}
                    Step::Warn => {
                        prop_assert!(!is_told);
                        prop_assert!(now.since(first) >= RULE.after / 2 && failures >= 5);
                        is_told = true;
                    }
                    Step::Disable => {
                        prop_assert!(is_told);
                        prop_assert!(now.since(first) >= RULE.after && failures >= 10);
                    }
                }
            }
        }

        /// What a restart can lose is bounded, and so is what is written.
        #[test]
        fn little_is_written_and_little_is_lost(gaps in prop::collection::vec(0_u64..100, 2..500)) {
            let (mut now, mut failing, mut saved) = (Timestamp::from_millis(0), None::<Failing>, None);
            let mut written = 0_u32;
            for gap in gaps {
                now = now.after(Duration::from_secs(gap));
                let (next, _) = RULE.failed(failing.as_ref(), now);
                failing = Some(next);
                if RULE.is_worth_saving(&next, saved, now) {
                    saved = Some((next.failures, now));
                    written += 1;
                }
                match saved {
                    Some((failures, at)) => {
                        prop_assert!(next.failures < 2 * failures.max(1));
                        prop_assert!(now.since(at) < RULE.after / 8);
                    }
                    None => prop_assert!(next.failures == 1 || now.since(next.since) < Duration::from_secs(10)),
                }
            }
            let lasted = failing.map_or(Duration::ZERO, |failing| now.since(failing.since));
            let eighths = u32::try_from(lasted.as_secs() / 125).unwrap();
            prop_assert!(written <= eighths + 11, "{written} in {lasted:?}");
        }
    }
}

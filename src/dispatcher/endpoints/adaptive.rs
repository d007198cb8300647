//! How many requests at once an endpoint bears, found out by trying: a little more with each round trip
//! in which all that is allowed was used and went well, much less as soon as something was refused, ran
//! into a timeout, or took far longer than usual.
//!
//! That is additive increase and multiplicative decrease, as TCP has it (Jacobson, "Congestion avoidance
//! and control", 1988): it doubles with each round trip until the first refusal. Near to where that was, it
//! goes on slowly, as CUBIC does, so that few requests are spent on asking again.

use std::time::Duration;

use super::latency::Latency;
use crate::clock::Timestamp;
use crate::dispatcher::heard::Weight;

/// Where an endpoint of which nothing is known begins: what one request takes is where all is compared to.
const START: f64 = 1.0;
/// What a refusal leaves of the limit.
const REFUSED: f64 = 0.75;
/// How much slower it grows where it was refused before, and the least answers that it takes there.
const NEAR: f64 = 8.0;
const NEAR_ANSWERS: f64 = 64.0;
/// How long a limit is remembered that nobody needs.
const REMEMBERED: Duration = Duration::from_hours(1);

/// The limit of one endpoint.
#[derive(Clone, Debug)]
pub struct Adaptive {
    /// At least 1. Only its whole part counts.
    limit: f64,
    /// The most requests that were out at once since the limit was lowered.
    peak: usize,
    /// Whether nothing was refused yet.
    doubles: bool,
    /// The limit at the last refusal.
    refused_at: Option<f64>,
    /// When it was lowered: requests that began before say nothing of the limit as it is.
    lowered_at: Timestamp,
    heard_at: Timestamp,
    latency: Latency,
}

impl Default for Adaptive {
    fn default() -> Self {
        Self {
            limit: START,
            peak: 0,
            doubles: true,
            refused_at: None,
            lowered_at: Timestamp::default(),
            heard_at: Timestamp::default(),
            latency: Latency::default(),
        }
    }
}

impl Adaptive {
    /// How many may be out at once, from 1 to `most`.
    pub fn limit(&self, most: usize) -> usize {
        whole(self.limit).min(most).max(1)
    }

    /// Whether that is fewer than `most`, as more was too much.
    pub fn is_narrowed(&self, most: usize) -> bool {
        !self.doubles && self.limit(most) < most
    }

    /// A request starts: so many are out now, with this one.
    pub fn started(&mut self, out: usize) {
        self.peak = self.peak.max(out);
    }

    /// A request ended that began at `began`. `weight`: whether the endpoint bears as many
    /// ([`crate::dispatcher::heard::Heard::room`]).
    pub fn ended(
        &mut self,
        weight: Weight,
        took: Duration,
        began: Timestamp,
        most: usize,
        now: Timestamp,
    ) {
        self.heard_at = now;
        if began <= self.lowered_at {
            return;
        }
        // It may be more than its subscription allows by now.
        self.limit = self.limit.min(count(most.max(1)));
        match weight {
            Weight::Against => {
                let refused_at = self.limit.min(count(self.peak.max(1)));
                self.refused_at = Some(refused_at);
                self.lower(REFUSED, now);
            }
            Weight::For => {
                let is_used = self.is_used();
                match self.latency.took(took, self.limit) {
                    Some(share) if is_used => self.lower(share, now),
                    Some(_) | None if is_used => self.raise(most),
                    Some(_) | None => {}
                }
            }
            Weight::Nothing => {}
        }
    }

    /// The endpoint was down and is back: what it bears is to be found out anew.
    pub fn begin_anew(&mut self) {
        *self = Self {
            latency: self.latency.clone(),
            heard_at: self.heard_at,
            lowered_at: self.lowered_at,
            ..Self::default()
        };
    }

    /// Whether nothing would be lost by forgetting it.
    pub fn is_forgettable(&self, now: Timestamp) -> bool {
        now.since(self.heard_at) >= REMEMBERED
    }

    /// Whether all was out at once that may be: only then it is known that it goes well. While it doubles,
    /// half is enough: answers that come together have raised it before anything could start.
    fn is_used(&self) -> bool {
        match self.doubles {
            true => 2 * self.peak > whole(self.limit),
            false => self.peak >= whole(self.limit),
        }
    }

    fn raise(&mut self, most: usize) {
        let near = self.refused_at.is_some_and(|then| self.limit >= then - 1.0);
        let out = count(whole(self.limit));
        let step = match near {
            _ if self.doubles => 1.0,
            true => 1.0 / (out * NEAR).max(NEAR_ANSWERS),
            false => 1.0 / out,
        };
        self.limit = (self.limit + step).min(count(most.max(1)));
        if self.refused_at.is_some_and(|then| self.limit > then + 1.0) {
            self.refused_at = None; // It bears more by now.
        }
    }

    /// From what was really out: a limit that nobody had reached says nothing.
    fn lower(&mut self, share: f64, now: Timestamp) {
        let from = self.limit.min(count(self.peak.max(1)));
        self.limit = (from * share).max(1.0);
        (self.peak, self.doubles, self.lowered_at) = (0, false, now);
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "limits are from 1 to 10,000"
)]
fn whole(limit: f64) -> usize {
    /// So many times a third are one.
    const ROUNDING: f64 = 1e-6;
    (limit + ROUNDING) as usize
}

#[expect(clippy::cast_precision_loss, reason = "limits are from 1 to 10,000")]
fn count(requests: usize) -> f64 {
    requests as f64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(1_000_000 + millis)
    }

    /// Round trips of 100 ms in which as many are out as may be and all go well.
    fn rounds(adaptive: &mut Adaptive, from: i64, count: i64, most: usize) -> usize {
        for round in from..from + count {
            let out = adaptive.limit(most);
            let (began, now) = (at(round * 100), at(round * 100 + 99));
            (1..=out).for_each(|out| adaptive.started(out));
            for _ in 0..out {
                adaptive.ended(Weight::For, 99 * MS, began, most, now);
            }
        }
        adaptive.limit(most)
    }

    #[test]
    fn it_doubles_at_first_and_then_grows_by_one() {
        let mut adaptive = Adaptive::default();
        assert_eq!(adaptive.limit(64), 1);
        let grown: Vec<_> = (0..6)
            .map(|round| rounds(&mut adaptive, round, 1, 64))
            .collect();
        assert_eq!(grown, [2, 4, 8, 16, 32, 64]);
        assert_eq!(rounds(&mut adaptive, 6, 1, 64), 64);
        adaptive.ended(Weight::Against, MS, at(6_200), 64, at(6_201));
        assert_eq!(adaptive.limit(64), 48);
        let grown = rounds(&mut adaptive, 63, 10, 64);
        assert!((56..=58).contains(&grown), "{grown}");
    }

    #[test]
    fn one_round_trip_lowers_it_once() {
        let mut adaptive = Adaptive::default();
        rounds(&mut adaptive, 0, 60, 64);
        for _ in 0..64 {
            adaptive.ended(Weight::Against, 9 * MS, at(6_100), 64, at(6_109));
        }
        assert_eq!(adaptive.limit(64), 48);
    }

    #[test]
    fn it_goes_on_slowly_where_it_was_refused() {
        let mut adaptive = Adaptive::default();
        rounds(&mut adaptive, 0, 5, 9);
        assert_eq!(adaptive.limit(64), 9);
        adaptive.ended(Weight::Against, MS, at(600), 64, at(601));
        assert_eq!(adaptive.limit(64), 6);
        assert_eq!(rounds(&mut adaptive, 7, 3, 64), 8);
        assert_eq!(rounds(&mut adaptive, 10, 6, 64), 8);
        assert_eq!(rounds(&mut adaptive, 16, 4, 64), 9);
        // Past that, at its usual pace.
        let grown = rounds(&mut adaptive, 20, 24, 64);
        assert!((20..=30).contains(&grown), "{grown}");
    }

    #[test]
    fn it_is_lowered_from_what_was_out() {
        let mut adaptive = Adaptive::default();
        rounds(&mut adaptive, 0, 60, 64);
        adaptive.ended(Weight::Against, MS, at(6_100), 64, at(6_101));
        (1..=10).for_each(|out| adaptive.started(out));
        adaptive.ended(Weight::Against, MS, at(6_200), 64, at(6_201));
        assert_eq!(adaptive.limit(64), 7);
    }

    #[test]
    fn one_that_was_down_begins_anew() {
        let mut adaptive = Adaptive::default();
        for step in 0..20 {
            adaptive.ended(Weight::Against, MS, at(step * 10), 64, at(step * 10 + 1));
        }
        assert_eq!(adaptive.limit(64), 1);
        adaptive.begin_anew();
        assert!(rounds(&mut adaptive, 10, 5, 64) > 20);
    }

    proptest! {
        /// Whatever comes: from 1 to what is allowed, up only where all was used and by one at most, down to
        /// three tenths at most, and once in a round trip.
        #[test]
        fn it_stays_within_its_bounds(
            steps in prop::collection::vec((0_u8..4, 0_u64..3_000, 1_usize..40, 1_usize..30), 1..400),
        ) {
            let (mut adaptive, mut now) = (Adaptive::default(), at(0));
            for (what, took, out, most) in steps {
                let before = adaptive.clone();
                let took = Duration::from_millis(took);
                let began = now;
                now = now.after(took);
                if what == 3 {
                    adaptive.started(out);
                }
                let weight = [Weight::For, Weight::Against, Weight::Nothing, Weight::For];
                adaptive.ended(weight[usize::from(what)], took, began, most, now);
                let limit = adaptive.limit(most);
                prop_assert!((1..=most).contains(&limit));
                let allowed = before.limit.min(count(most));
                if adaptive.limit > before.limit {
                    let least = whole(before.limit).div_ceil(if before.doubles { 2 } else { 1 });
                    prop_assert!(adaptive.peak >= least, "not used");
                    prop_assert!(adaptive.limit <= before.limit + 1.0);
                    prop_assert!(matches!(what, 0 | 3), "nothing went well");
                } else if adaptive.lowered_at != before.lowered_at {
                    let peak = before.peak.max(if what == 3 { out } else { 0 }).max(1);
                    let from = allowed.min(count(peak));
                    prop_assert!(adaptive.limit >= (from * 0.3).max(1.0) - 1e-9);
                    prop_assert!(began > before.lowered_at, "twice in a round trip");
                }
            }
        }
    }
}

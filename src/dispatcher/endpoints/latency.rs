//! Whether answers take longer than they should, so that requests wait at the endpoint for each other.
//!
//! Judged by rounds of some answers: the mean of one must be twice the usual, and beyond what chance makes
//! of so many, before it says anything. What is usual follows fast answers at once and slow ones hardly (so
//! it does not learn the very queue that it is to show), and anew where requests go out one by one, as they
//! cannot wait for each other. (Compare Vegas, which goes by the least round trip ever seen, and the
//! gradients and deviations of Netflix's concurrency-limits and Vector's adaptive concurrency.)

use std::time::Duration;

/// The least answers in a round.
const LEAST: f64 = 8.0;
/// So many times the usual is too slow.
const TIMES: f64 = 2.0;
/// So many standard errors of a round's mean are not by chance.
const ERRORS: f64 = 5.0;
/// What is not worth a thought: this process and the way to the endpoint take as long at times, in seconds.
const MARGIN: f64 = 0.01;
/// How much of the difference to a faster and to a slower round becomes usual.
const FASTER: f64 = 0.25;
const SLOWER: f64 = 1.0 / 256.0;
/// And of that between its spread and the usual one.
const SPREAD: f64 = 1.0 / 8.0;
/// How many rounds it takes until it is known how much answers differ.
const EARLY: f64 = 8.0;
/// What a round that is too slow leaves of the limit: less than would take what is usual, so that it shows
/// for a while what is usual indeed.
const LEFT: f64 = 0.75;
const LEAST_LEFT: f64 = 0.3;

/// What answers of one endpoint take, in seconds.
#[derive(Clone, Debug, Default)]
pub(super) struct Latency {
    /// What they take while they do not wait for each other.
    usual: f64,
    /// How much those of a round differ: their standard deviation.
    spread: f64,
    /// How many rounds there were.
    rounds: f64,
    round: Round,
}

/// Answers since the last judgement.
#[derive(Clone, Debug, Default)]
struct Round {
    count: f64,
    sum: f64,
    squares: f64,
}

impl Latency {
    /// An answer took so long, while as many as `limit` were allowed. Set at the end of a round that was
    /// too slow: what share of the limit is left.
    pub(super) fn took(&mut self, took: Duration, limit: f64) -> Option<f64> {
        self.round.add(took.as_secs_f64());
        let is_first = self.rounds == 0.0;
        if self.round.count < LEAST.max(limit) && !is_first {
            return None;
        }
        let round = std::mem::take(&mut self.round);
        let mean = round.mean();
        self.rounds += 1.0;
        if self.rounds <= EARLY {
            self.spreads(&round);
        }
        if is_first {
            self.usual = mean;
            return None;
        }
        let by_chance = ERRORS * self.spread / round.count.sqrt();
        let bound = (self.usual * TIMES).max(self.usual + by_chance.max(MARGIN));
        if mean <= bound {
            let share = if mean < self.usual { FASTER } else { SLOWER };
            self.usual += (mean - self.usual) * share;
            if self.rounds > EARLY {
                self.spreads(&round);
            }
            return None;
        }
        if limit < 2.0 {
            self.usual = mean; // Not for the requests of ours.
            self.spreads(&round);
            return None;
        }
        // Where so many wait for each other, that many less would not.
        Some((self.usual / mean * LEFT).max(LEAST_LEFT))
    }

    fn spreads(&mut self, round: &Round) {
        let share = SPREAD.max(1.0 / self.rounds);
        self.spread += (round.deviation() - self.spread) * share;
    }
}

impl Round {
    fn add(&mut self, seconds: f64) {
        self.count += 1.0;
        self.sum += seconds;
        self.squares += seconds * seconds;
    }

    fn mean(&self) -> f64 {
        self.sum / self.count
    }

    fn deviation(&self) -> f64 {
        (self.squares / self.count - self.mean().powi(2))
            .max(0.0)
            .sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Plays answers of so many milliseconds at this limit; what is left of it each time it is too much.
    fn play(latency: &mut Latency, limit: f64, millis: impl IntoIterator<Item = u64>) -> Vec<f64> {
        let each = millis.into_iter().map(Duration::from_millis);
        each.filter_map(|took| latency.took(took, limit)).collect()
    }

    #[test]
    fn answers_that_take_twice_as_long_are_too_slow() {
        let mut latency = Latency::default();
        let once = |millis| vec![millis; 8];
        assert!(play(&mut latency, 1.0, [100]).is_empty());
        assert!(play(&mut latency, 8.0, once(100)).is_empty());
        assert!(play(&mut latency, 8.0, once(190)).is_empty());
        let left = play(&mut latency, 8.0, once(220));
        assert!(left.len() == 1 && (0.3..0.4).contains(&left[0]), "{left:?}");
        // A round is as many as are out at once, at least.
        assert!(play(&mut latency, 40.0, vec![300; 39]).is_empty());
        assert_eq!(play(&mut latency, 40.0, [300]).len(), 1);
    }

    #[test]
    fn what_is_slow_by_a_few_milliseconds_is_not_slow() {
        let mut latency = Latency::default();
        assert!(play(&mut latency, 8.0, vec![1; 32]).is_empty());
        assert!(play(&mut latency, 8.0, vec![9; 32]).is_empty());
        assert!(!play(&mut latency, 8.0, vec![30; 32]).is_empty());
    }

    #[test]
    fn one_by_one_they_do_not_wait_for_each_other() {
        let mut latency = Latency::default();
        assert!(play(&mut latency, 8.0, vec![100; 17]).is_empty());
        assert!(play(&mut latency, 1.5, vec![900; 16]).is_empty());
        assert!(play(&mut latency, 8.0, vec![900; 160]).is_empty());
    }

    #[test]
    fn answers_that_differ_much_are_not_too_slow_for_that() {
        // Three of ten take ten times as long, in no order.
        let mut seed = 1_u64;
        let mut next = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            if (seed >> 33) % 10 < 3 { 200 } else { 20 }
        };
        let mut latency = Latency::default();
        let left = play(&mut latency, 8.0, (0..16_000).map(|_| next()));
        // Of two thousand rounds.
        assert!(left.len() <= 20, "{}", left.len());
        // All of them five times slower is seen all the same.
        let left = play(&mut latency, 8.0, (0..1_600).map(|_| 5 * next()));
        assert!(left.len() >= 150, "{}", left.len());
    }

    #[test]
    fn it_does_not_learn_the_queue() {
        // The limit goes up and down between what the endpoint bears and what is judged too much.
        let (mut latency, mut limit, mut most) = (Latency::default(), 4.0_f64, 0.0_f64);
        for round in 0..20_000 {
            let millis = (100.0 * (limit / 10.0).max(1.0)) as u64;
            let out = limit as usize;
            match play(&mut latency, limit, vec![millis; out.max(8)]).first() {
                Some(left) => limit *= left,
                None => limit += 1.0,
            }
            if round > 100 {
                most = most.max(limit);
            }
        }
        assert!((20.0..=30.0).contains(&most), "{most}");
    }
}

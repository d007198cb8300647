//! How paths answer.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::YOURS;

/// How long the slow path takes.
const SLOW: Duration = Duration::from_secs(2);
/// What the limited path asks for, in seconds.
const LATER: HeaderValue = HeaderValue::from_static("2");

/// How a path answers; it is named after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// Takes everything at once.
    Good,
    /// Fails about every second time.
    Flaky,
    /// Takes two seconds.
    Slow,
    /// Takes only so many requests a second.
    Limited,
}

impl Manner {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Good, Self::Flaky, Self::Slow, Self::Limited];

    /// Its path.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Flaky => "flaky",
            Self::Slow => "slow",
            Self::Limited => "limited",
        }
    }

    fn of(path: &str) -> Option<Self> {
        if path == YOURS {
            return Some(Self::Good);
        }
        Self::ALL.into_iter().find(|manner| manner.name() == path)
    }
}

/// What the manners have to remember.
pub(super) struct Behaviour {
    limit: u32,
    memory: Mutex<Memory>,
}

struct Memory {
    chance: Chance,
    window: Instant,
    in_window: u32,
}

impl Behaviour {
    /// `seed` decides when the flaky path fails, `limit` is what the limited one takes in a second.
    pub(super) fn new(seed: u64, limit: u32) -> Self {
        Self {
            limit,
            memory: Mutex::new(Memory {
                chance: Chance::new(seed),
                window: Instant::now(),
                in_window: 0,
            }),
        }
    }

    /// The answer of a path, without its slashes.
    pub(super) async fn answer(&self, path: &str) -> Response {
        let delivered = StatusCode::NO_CONTENT;
        match Manner::of(path) {
            Some(Manner::Good) => delivered.into_response(),
            Some(Manner::Flaky) => match self.is_unlucky() {
                true => StatusCode::SERVICE_UNAVAILABLE.into_response(),
                false => delivered.into_response(),
            },
            Some(Manner::Slow) => {
                tokio::time::sleep(SLOW).await;
                delivered.into_response()
            }
            Some(Manner::Limited) => match self.is_within_limit(Instant::now()) {
                true => delivered.into_response(),
                false => {
                    let later = [(header::RETRY_AFTER, LATER)];
                    (StatusCode::TOO_MANY_REQUESTS, later).into_response()
                }
            },
            None => StatusCode::NOT_FOUND.into_response(),
        }
    }

    fn is_unlucky(&self) -> bool {
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        memory.chance.is_unlucky()
    }

    fn is_within_limit(&self, now: Instant) -> bool {
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        if now.duration_since(memory.window) >= Duration::from_secs(1) {
            memory.window = now;
            memory.in_window = 0;
        }
        memory.in_window = memory.in_window.saturating_add(1);
        memory.in_window <= self.limit
    }
}

/// Even chances, but for long runs: the first is bad luck, and never more than two in a row are alike.
struct Chance {
    random: SmallRng,
    last: bool,
    in_a_row: u32,
}

impl Chance {
    const LONGEST_RUN: u32 = 2;

    fn new(seed: u64) -> Self {
        Self {
            random: SmallRng::seed_from_u64(seed),
            last: false,
            in_a_row: Self::LONGEST_RUN,
        }
    }

    fn is_unlucky(&mut self) -> bool {
        let is_unlucky = match self.in_a_row {
            Self::LONGEST_RUN.. => !self.last,
            _ => self.random.random_bool(0.5),
        };
        self.in_a_row = match is_unlucky == self.last {
            true => self.in_a_row + 1,
            false => 1,
        };
        self.last = is_unlucky;
        is_unlucky
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn luck_comes_about_every_second_time_and_soon() {
        for seed in 0..50 {
            let mut chance = Chance::new(seed);
            let luck: Vec<bool> = (0..1_000).map(|_| chance.is_unlucky()).collect();
            assert!(luck[0], "{seed}");
            assert!(
                luck.windows(3)
                    .all(|three| three[0] != three[1] || three[1] != three[2])
            );
            let unlucky = luck.iter().filter(|one| **one).count();
            assert!((400..600).contains(&unlucky), "{seed}: {unlucky}");
        }
    }

    #[test]
    fn a_limit_is_for_each_second() {
        let behaviour = Behaviour::new(0, 2);
        let start = Instant::now();
        let later = |millis| start + Duration::from_millis(millis);
        for (at, expected) in [
            (0, true),
            (500, true),
            (900, false),
            (1_100, true),
            (1_200, true),
            (1_300, false),
        ] {
            assert_eq!(behaviour.is_within_limit(later(at)), expected, "{at}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn paths_answer_in_their_manner() {
        let behaviour = Behaviour::new(0, 1);
        for (path, expected) in [
            ("good", 204),
            ("yours", 204),
            ("flaky", 503),
            ("slow", 204),
            ("limited", 204),
            ("limited", 429),
            ("elsewhere", 404),
            ("", 404),
        ] {
            let answer = behaviour.answer(path).await;
            assert_eq!(answer.status(), expected, "{path}");
            let asks = answer.headers().contains_key(header::RETRY_AFTER);
            assert_eq!(asks, expected == 429, "{path}");
        }
    }
}

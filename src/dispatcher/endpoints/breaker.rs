//! A circuit breaker: an endpoint that is down gets no requests but one now and then, to see whether
//! it is back. (Closed: requests pass. Open: none does. Half-open: one, the probe, is out or may go.)

use std::collections::VecDeque;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::dispatcher::heard::Weight;
use crate::record::OpenBreaker;

/// When breakers open, and how they probe.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// The share of failures in the window at which one opens, above 0 up to 1.
    pub failure_ratio: f64,
    /// The least number of outcomes in the window that a judgement needs.
    pub min_requests: u32,
    /// How far back outcomes count.
    pub window: Duration,
    /// How long one is open before the first probe; doubled with each probe that fails.
    pub first_probe: Duration,
    /// The longest time from one probe to the next.
    pub longest_probe: Duration,
}

/// The breaker of one endpoint.
#[derive(Clone, Debug, Default)]
pub struct Breaker {
    state: State,
    window: Window,
    /// Since when nothing has spoken for the endpoint; none while all is well.
    failing_since: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Closed,
    Open {
        /// When the next probe may go.
        until: Timestamp,
        /// How long it was open before that.
        lasted: Duration,
    },
    /// The probe is out.
    HalfOpen {
        /// How long it was open before that.
        lasted: Duration,
    },
}

/// What an outcome has done to a breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing that shows.
    None,
    /// It was closed, and is open now.
    Opened,
    /// A probe failed: it stays open.
    StaysOpen,
    /// It is closed again.
    Closed,
}

/// So long after a probe was due, whoever it concerned is somebody else's, or deleted.
pub const LONG_AGO: Duration = Duration::from_secs(24 * 60 * 60);

impl Breaker {
    /// One that was open when it was written down.
    pub fn restored(open: &OpenBreaker) -> Self {
        Self {
            state: State::Open {
                until: open.until,
                lasted: open.until.since(open.asked_at),
            },
            window: Window::default(),
            failing_since: Some(open.failing_since),
        }
    }

    /// What is to be written down; none while it is closed, or its probe is out.
    pub fn written(&self, revision: i64) -> Option<OpenBreaker> {
        let State::Open { until, lasted } = self.state else {
            return None;
        };
        let asked_at = until.before(lasted);
        Some(OpenBreaker {
            until,
            asked_at,
            failing_since: self.failing_since.unwrap_or(asked_at),
            revision,
        })
    }

    /// What may go.
    pub fn admits(&self, now: Timestamp) -> Admits {
        match self.state {
            State::Closed => Admits::Requests,
            State::Open { until, .. } if until <= now => Admits::Probe,
            State::Open { until, .. } => Admits::NothingBefore(until),
            State::HalfOpen { .. } => Admits::Nothing,
        }
    }

    /// A request starts. If only a probe was admitted, it is the probe.
    pub fn started(&mut self, now: Timestamp) {
        if let State::Open { until, lasted } = self.state
            && until <= now
        {
            self.state = State::HalfOpen { lasted };
        }
    }

    /// A request ended, or was not made after all (which weighs nothing).
    pub fn ended(&mut self, weight: Weight, settings: &Settings, now: Timestamp) -> Change {
        match weight {
            Weight::For => self.failing_since = None,
            Weight::Against => self.failing_since = self.failing_since.or(Some(now)),
            Weight::Nothing => {}
        }
        match (self.state, weight) {
            (State::Closed, Weight::Nothing) => Change::None,
            (State::Closed, weight) => {
                self.window
                    .add(weight == Weight::Against, settings.window, now);
                if !self.window.is_bad(settings) {
                    return Change::None;
                }
                self.open(settings.first_probe, now);
                Change::Opened
            }
            // Of the requests that were out when it opened. One that succeeded is as good as a probe.
            (State::Open { .. }, Weight::For) | (State::HalfOpen { .. }, Weight::For) => {
                self.state = State::Closed;
                self.window = Window::default();
                Change::Closed
            }
            (State::Open { .. }, Weight::Against | Weight::Nothing) => Change::None,
            (State::HalfOpen { lasted, .. }, Weight::Against) => {
                let longer = lasted.saturating_mul(2).min(settings.longest_probe);
                self.open(longer.max(settings.first_probe), now);
                Change::StaysOpen
            }
            // It proved nothing: the next one is the probe.
            (State::HalfOpen { lasted, .. }, Weight::Nothing) => {
                self.state = State::Open { until: now, lasted };
                Change::None
            }
        }
    }

    /// Whether it lets everything pass.
    pub fn is_closed(&self) -> bool {
        self.state == State::Closed
    }

    /// Since when nothing has spoken for the endpoint; none while all is well.
    pub fn failing_since(&self) -> Option<Timestamp> {
        self.failing_since
    }

    /// Whether nothing would be lost by forgetting it.
    pub fn is_forgettable(&self, settings: &Settings, now: Timestamp) -> bool {
        match self.state {
            State::Closed => self.window.is_over(settings.window, now),
            State::Open { until, .. } => now.since(until) >= LONG_AGO,
            State::HalfOpen { .. } => false,
        }
    }

    fn open(&mut self, lasts: Duration, now: Timestamp) {
        self.window = Window::default();
        self.state = State::Open {
            until: now.after(lasts),
            lasted: lasts,
        };
    }
}

/// What a breaker lets pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admits {
    /// Everything.
    Requests,
    /// One request.
    Probe,
    /// Nothing before then.
    NothingBefore(Timestamp),
    /// Nothing until the probe that is out comes back.
    Nothing,
}

/// Outcomes of the last while, in slices of it: exact counts of what is at most a slice too old.
#[derive(Clone, Debug, Default)]
struct Window {
    slices: VecDeque<Slice>,
}

#[derive(Clone, Copy, Debug)]
struct Slice {
    began: Timestamp,
    all: u32,
    failed: u32,
}

impl Window {
    const SLICES: u32 = 10;

    fn add(&mut self, has_failed: bool, length: Duration, now: Timestamp) {
        while self
            .slices
            .front()
            .is_some_and(|oldest| now.since(oldest.began) >= length)
        {
            self.slices.pop_front();
        }
        let is_new = self
            .slices
            .back()
            .is_none_or(|newest| now.since(newest.began) >= length / Self::SLICES);
        if is_new {
            self.slices.push_back(Slice {
                began: now,
                all: 0,
                failed: 0,
            });
        }
        if let Some(newest) = self.slices.back_mut() {
            newest.all = newest.all.saturating_add(1);
            newest.failed = newest.failed.saturating_add(u32::from(has_failed));
        }
    }

    fn is_over(&self, length: Duration, now: Timestamp) -> bool {
        let newest = self.slices.back();
        newest.is_none_or(|newest| now.since(newest.began) >= length)
    }

    fn is_bad(&self, settings: &Settings) -> bool {
        let sum = |count: fn(&Slice) -> u32| {
            self.slices
                .iter()
                .map(|slice| u64::from(count(slice)))
                .sum::<u64>()
        };
        let (all, failed) = (sum(|slice| slice.all), sum(|slice| slice.failed));
        all >= u64::from(settings.min_requests.max(1))
            && failed as f64 >= settings.failure_ratio * all as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: Settings = Settings {
        failure_ratio: 0.5,
        min_requests: 4,
        window: Duration::from_secs(10),
        first_probe: Duration::from_secs(2),
        longest_probe: Duration::from_secs(5),
    };

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    /// Plays steps as `+` (for), `-` (against), `0` (nothing), a number of milliseconds that pass, `s` (a
    /// request starts), and says what came of the last outcome, and what is admitted then.
    #[track_caller]
    fn check(steps: &str, change: Change, admits: Admits) {
        let (mut breaker, mut now, mut last) = (Breaker::default(), 0, Change::None);
        for step in steps.split(' ') {
            let weight = match step {
                "+" => Weight::For,
                "-" => Weight::Against,
                "0" => Weight::Nothing,
                "s" => {
                    breaker.started(at(now));
                    continue;
                }
                millis => {
                    now += millis.parse::<i64>().unwrap();
                    continue;
                }
            };
            last = breaker.ended(weight, &SETTINGS, at(now));
        }
        assert_eq!((last, breaker.admits(at(now))), (change, admits), "{steps}");
    }

    #[test]
    fn it_opens_when_enough_outcomes_are_bad() {
        check("- - -", Change::None, Admits::Requests);
        check("- - - -", Change::Opened, Admits::NothingBefore(at(2_000)));
        check("+ + + - -", Change::None, Admits::Requests);
        check("+ + - -", Change::Opened, Admits::NothingBefore(at(2_000)));
        check("0 0 0 0 0", Change::None, Admits::Requests);
        check("- - - 0", Change::None, Admits::Requests);
    }

    #[test]
    fn what_lies_before_the_window_does_not_count() {
        check(
            "- - - 9999 -",
            Change::Opened,
            Admits::NothingBefore(at(11_999)),
        );
        check("- - - 10000 -", Change::None, Admits::Requests);
        check(
            "+ + + + + 5000 - - - 5001 -",
            Change::Opened,
            Admits::NothingBefore(at(12_001)),
        );
    }

    #[test]
    fn one_probe_at_a_time_decides() {
        check(
            "- - - - 1999",
            Change::Opened,
            Admits::NothingBefore(at(2_000)),
        );
        check("- - - - 2000", Change::Opened, Admits::Probe);
        check("- - - - 2000 s", Change::Opened, Admits::Nothing);
        check("- - - - 2000 s 60000", Change::Opened, Admits::Nothing);
        check("- - - - 2000 s 1 +", Change::Closed, Admits::Requests);
        check("- - - - 2000 s 0", Change::None, Admits::Probe);
        check(
            "- - - - 2000 s 100 -",
            Change::StaysOpen,
            Admits::NothingBefore(at(6_100)),
        );
        check(
            "- - - - 2000 s - 4000 s -",
            Change::StaysOpen,
            Admits::NothingBefore(at(11_000)), // 5 s, not 8
        );
    }

    #[test]
    fn what_was_out_when_it_opened_closes_it_only_by_success() {
        check("- - - - -", Change::None, Admits::NothingBefore(at(2_000)));
        check("- - - - +", Change::Closed, Admits::Requests);
        // And it starts afresh.
        check("- - - - + - - -", Change::None, Admits::Requests);
    }

    #[test]
    fn one_that_was_written_down_goes_on_where_it_was() {
        let mut breaker = Breaker::default();
        for _ in 0..4 {
            breaker.ended(Weight::Against, &SETTINGS, at(100));
        }
        let written = breaker.written(7).unwrap();
        assert_eq!(written.until, at(2_100));
        assert_eq!((written.failing_since, written.revision), (at(100), 7));
        let mut restored = Breaker::restored(&written);
        assert_eq!(restored.admits(at(2_099)), Admits::NothingBefore(at(2_100)));
        // A probe may go at its time, however late that is; the next wait is twice as long.
        assert_eq!(restored.admits(at(9_000)), Admits::Probe);
        restored.started(at(9_000));
        assert_eq!(restored.written(7), None);
        let change = restored.ended(Weight::Against, &SETTINGS, at(9_000));
        assert_eq!(change, Change::StaysOpen);
        assert_eq!(restored.written(7).unwrap().until, at(13_000));
        assert_eq!(restored.failing_since(), Some(at(100)));
    }

    #[test]
    fn it_knows_since_when_nothing_spoke_for_the_endpoint() {
        let mut breaker = Breaker::default();
        let mut step = |weight, now| {
            breaker.ended(weight, &SETTINGS, at(now));
            breaker.failing_since()
        };
        assert_eq!(step(Weight::Nothing, 1), None);
        assert_eq!(step(Weight::Against, 2), Some(at(2)));
        assert_eq!(step(Weight::Against, 3), Some(at(2)));
        assert_eq!(step(Weight::For, 4), None);
    }
}

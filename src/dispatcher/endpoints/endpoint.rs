//! One endpoint: who waits for it, what is out, and what is known of how it does.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use super::adaptive::Adaptive;
use super::breaker::{self, Admits, Breaker};
use super::line::Lines;
use super::queue::Queue;
use super::rate::{Pace, Rate};
use super::turns::Place;
use crate::clock::Timestamp;
use crate::dispatcher::heard::Heard;
use crate::record::{OpenBreaker, Parked, Subscription};

/// What an endpoint's subscription allows, as of now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// The most requests at once.
    pub max_concurrency: usize,
    /// Whether it is to be found out how many of them it bears.
    pub is_adaptive: bool,
    /// The most requests in a time.
    pub pace: Option<Pace>,
    /// Which host it is on (scheme, name and port, hashed): all endpoints of one share a bound.
    pub host: u64,
    /// The offset of the subscription's record: a newer one begins with a closed breaker.
    pub revision: i64,
}

/// What keeps requests to an endpoint back for a time, as it is written down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Restraint {
    /// Its breaker, if that is open.
    pub breaker: Option<OpenBreaker>,
    /// It has asked for no requests before then.
    pub none_before: Option<Timestamp>,
}

impl Terms {
    /// What a subscription says whose record is at `revision`. `is_adaptive`: where it does not say.
    pub fn of(subscription: &Subscription, revision: i64, is_adaptive: bool) -> Self {
        Self {
            max_concurrency: subscription.max_concurrency() as usize,
            is_adaptive: subscription.adaptive_concurrency().unwrap_or(is_adaptive),
            pace: subscription.rate_limit().map(Pace::from),
            host: host_of(subscription),
            revision,
        }
    }
}

/// Which host a subscription's endpoint is on ([`Terms::host`]).
pub fn host_of(subscription: &Subscription) -> u64 {
    let url = subscription.url().expose();
    // Any will do that is the same for the same host.
    let mut host = DefaultHasher::new();
    (url.scheme(), url.host_str(), url.port()).hash(&mut host);
    host.finish()
}

/// How a request has ended.
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    /// By which record of the subscription it was made.
    pub revision: i64,
    /// What it has told.
    pub heard: Heard,
    /// When it began.
    pub began: Timestamp,
    /// How long it took.
    pub took: Duration,
}

/// How much the last answer counts in the mean time that an endpoint takes.
const SHARE_OF_THE_LAST: u32 = 8;
/// From one place in the line to the next, while nothing is known.
const USUAL_STEP: Duration = Duration::from_millis(1);

/// See the module. `T` is a task.
#[derive(Debug)]
pub(super) struct Endpoint<T> {
    pub(super) terms: Terms,
    pub(super) waiting: Queue<T>,
    pub(super) in_flight: usize,
    pub(super) breaker: Breaker,
    pub(super) lines: Lines,
    /// Where it stands among all endpoints.
    pub(super) place: Place,
    rate: Rate,
    adaptive: Adaptive,
    /// It has asked for no requests before then.
    not_before: Timestamp,
    /// How long it takes to answer, on average.
    takes: Duration,
    /// When the task comes back that is to be the next probe.
    scout: Option<Timestamp>,
    /// Whether it is known what was written down of it; others may have written since it was ours.
    pub(super) is_current: bool,
}

impl<T> Endpoint<T> {
    pub(super) fn new(terms: Terms) -> Self {
        Self {
            terms,
            waiting: Queue::default(),
            in_flight: 0,
            breaker: Breaker::default(),
            lines: Lines::default(),
            place: Place::Nowhere,
            rate: Rate::default(),
            adaptive: Adaptive::default(),
            not_before: Timestamp::default(),
            takes: Duration::ZERO,
            scout: None,
            is_current: false,
        }
    }

    /// Learns what is written of it, for requests by `terms`.
    pub(super) fn learn(&mut self, terms: Terms, restraint: Restraint) {
        self.is_current = true;
        let is_new = self.terms.revision != terms.revision;
        if is_new {
            // Perhaps another URL: what the old one asked for is of no interest.
            self.not_before = Timestamp::default();
            self.adaptive = Adaptive::default();
        }
        let asked_for = restraint.none_before.unwrap_or_default();
        self.not_before = self.not_before.max(asked_for);
        if let Some(open) = restraint.breaker {
            self.breaker = Breaker::restored(&open);
        } else if is_new || !self.breaker.is_closed() {
            self.breaker = Breaker::default();
            self.lines.dissolve();
            self.scout_is_back();
        }
    }

    /// What is to be written of it.
    pub(super) fn restraint(&self) -> Restraint {
        Restraint {
            breaker: self.breaker.written(self.terms.revision),
            none_before: (self.not_before > Timestamp::default()).then_some(self.not_before),
        }
    }

    /// Tasks in memory, those on the wire included.
    pub(super) fn held(&self) -> usize {
        self.waiting.len() + self.in_flight
    }

    /// Whether something could go but for times and other endpoints.
    pub(super) fn has_room(&self) -> bool {
        let bound = match self.breaker.is_closed() {
            true => self.bound(),
            false => 1,
        };
        self.in_flight < bound
    }

    /// The most requests at once, while its breaker is closed.
    fn bound(&self) -> usize {
        let most = self.terms.max_concurrency;
        match self.terms.is_adaptive {
            true => self.adaptive.limit(most),
            false => most,
        }
    }

    /// Whether it gets fewer requests at once than its subscription allows, as it has borne no more.
    pub(super) fn is_narrowed(&self) -> bool {
        self.terms.is_adaptive && self.adaptive.is_narrowed(self.terms.max_concurrency)
    }

    /// The earliest time at which a request may go; none while a probe is out.
    pub(super) fn ready_at(&self, now: Timestamp) -> Option<Timestamp> {
        let by_breaker = match self.breaker.admits(now) {
            Admits::Requests | Admits::Probe => now,
            Admits::NothingBefore(then) => then,
            Admits::Nothing => return None,
        };
        let by_rate = self.terms.pace.map_or(now, |pace| self.rate.next(pace));
        Some(by_breaker.max(by_rate).max(self.not_before))
    }

    /// Since or until when it wants nothing, by its own word.
    pub(super) fn asked_for_none_before(&self) -> Timestamp {
        self.not_before
    }

    pub(super) fn starts(&mut self, now: Timestamp) {
        self.in_flight += 1;
        self.adaptive.started(self.in_flight);
        self.breaker.started(now);
        if let Some(pace) = self.terms.pace {
            self.rate.take(pace, now);
        }
    }

    pub(super) fn asks_for_none_before(&mut self, then: Timestamp) {
        self.not_before = self.not_before.max(then);
    }

    /// A request has ended that took so long: what that says about how many it bears at once.
    pub(super) fn adapt(&mut self, ended: &Ended, now: Timestamp) {
        if self.terms.is_adaptive {
            let (room, most) = (ended.heard.room(), self.terms.max_concurrency);
            self.adaptive
                .ended(room, ended.took, ended.began, most, now);
        }
    }

    /// It was down, and is back.
    pub(super) fn recovers(&mut self) {
        self.adaptive.begin_anew();
        self.lines.dissolve();
        self.scout_is_back();
    }

    pub(super) fn took(&mut self, duration: Duration) {
        self.takes = match self.takes.is_zero() {
            true => duration,
            false => (self.takes * (SHARE_OF_THE_LAST - 1) + duration) / SHARE_OF_THE_LAST,
        };
    }

    /// From one request to the next, as far as can be told: what its limits allow and how fast it is.
    pub(super) fn step(&self) -> Duration {
        let at_once = match self.place {
            // Held back by its host, it has only what it has.
            Place::OnHost => self.in_flight,
            // Where the process is what holds it back, waiting elsewhere would be more work for that.
            Place::Starved(_) | Place::Nowhere | Place::InTurn | Place::Timed(_) => self.bound(),
        };
        let at_once = u32::try_from(at_once).unwrap_or(u32::MAX).max(1);
        let by_limits = self.terms.pace.map_or(Duration::ZERO, |pace| pace.step);
        let step = by_limits.max(self.takes / at_once);
        if step.is_zero() { USUAL_STEP } else { step }
    }

    /// How long a task waits in memory that has so many before it.
    pub(super) fn expected_wait(&self, ahead: usize, now: Timestamp) -> Duration {
        let ahead = u32::try_from(ahead).unwrap_or(u32::MAX);
        let ready = self.ready_at(now).unwrap_or(now);
        ready
            .since(now)
            .saturating_add(self.step().saturating_mul(ahead))
    }

    /// When a task should come back that cannot stay, because the breaker is open. One comes back for
    /// the next probe; the others, later the longer the outage has lasted, one after the other.
    pub(super) fn after_outage(
        &mut self,
        round: impl Fn(Duration) -> Duration,
        now: Timestamp,
    ) -> Timestamp {
        /// A scout that is so late does not come any more: its partition is somebody else's.
        const LATE: Duration = Duration::from_secs(60);
        /// How much longer than the outage so far they stay away.
        const TIMES: u32 = 5;

        let probe = self.ready_at(now).unwrap_or(now);
        if self.scout.is_none_or(|due| due.after(LATE) < now) {
            self.scout = Some(probe);
            return probe;
        }
        let lasted = self
            .breaker
            .failing_since()
            .map_or(Duration::ZERO, |since| now.since(since));
        let away = round(lasted.saturating_mul(TIMES).max(probe.since(now)));
        let step = self.terms.pace.map_or(USUAL_STEP, |pace| pace.step);
        self.lines
            .of(Parked::BreakerOpen)
            .join(now.after(away), step)
    }

    /// The one that was to be the probe is here, or somebody else was.
    pub(super) fn scout_is_back(&mut self) {
        self.scout = None;
    }

    /// Whether nothing would be lost by forgetting it.
    pub(super) fn is_forgettable(&self, settings: &breaker::Settings, now: Timestamp) -> bool {
        let by_rate = self.terms.pace.map_or(now, |pace| self.rate.next(pace));
        self.held() == 0
            && by_rate.max(self.not_before) <= now
            && self.lines.are_over(now)
            && (!self.is_narrowed() || self.adaptive.is_forgettable(now))
            && self.breaker.is_forgettable(settings, now)
    }
}

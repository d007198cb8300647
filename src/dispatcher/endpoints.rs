//! Which task may go next, and which must wait elsewhere, so that no endpoint can hurt another.
//!
//! Endpoints take turns, one request each, within the limits of their subscriptions, of their hosts
//! and of the process. A task that would wait here for long, or whose endpoint has its share of the
//! window already, is put off: it goes back to Kafka with a place in the endpoint's line as its due
//! time. That spends no attempt.

pub mod adaptive;
pub mod breaker;
mod company;
pub mod endpoint;
mod latency;
pub mod line;
mod patience;
mod queue;
pub mod rate;
mod turns;

use std::collections::HashMap;
use std::time::Duration;

use super::heard::Weight;
use crate::clock::Timestamp;
use crate::record::{Parked, SubscriptionKey};
use crate::retry::Ladder;
use breaker::Change;
use company::Company;
use endpoint::{Ended, Endpoint, Restraint, Terms};
pub use patience::{Arrival, PutOff};
pub use queue::Origin;
use turns::{Place, Turns};

/// What bounds all endpoints.
#[derive(Clone, Debug)]
pub struct Settings {
    /// When breakers open, and how they probe.
    pub breaker: breaker::Settings,
    /// The most requests at once, of all endpoints.
    pub max_in_flight: usize,
    /// The most requests at once to one host.
    pub max_per_host: usize,
    /// Whether it is found out how many requests an endpoint bears whose subscription does not say.
    pub is_adaptive: bool,
}

/// How long a task waits for its saturated endpoint before it makes room where something is full.
const STUCK: Duration = Duration::from_secs(1);
/// The same for its host, if nobody is known whom that would help.
const STUCK_WITH_ITS_HOST: Duration = Duration::from_secs(5);

/// What is full, so that a task that is stuck should make room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// The window of its lane.
    Lane(usize),
    /// The memory for all tasks.
    Memory,
}

impl Full {
    /// What is full of a lane's, for each of them: `lanes` says which are.
    pub fn of(is_memory_full: bool, lanes: Vec<bool>) -> impl Fn(usize) -> Option<Self> {
        move |lane| match lanes.get(lane) {
            _ if is_memory_full => Some(Self::Memory),
            Some(true) => Some(Self::Lane(lane)),
            Some(false) | None => None,
        }
    }
}

/// All endpoints that anything is known of. `T` is a task.
#[derive(Debug)]
pub struct Endpoints<T> {
    settings: Settings,
    /// Tells tasks that come for the first time from those that come back.
    origin: fn(&T) -> Origin,
    /// Outages are waited out on its tiers.
    ladder: Ladder,
    by_key: HashMap<SubscriptionKey, Endpoint<T>>,
    turns: Turns,
    /// Whose tasks come through each lane.
    lanes: HashMap<usize, Company>,
    waiting: usize,
    put_off: Vec<PutOff<T>>,
    open_breakers: usize,
    narrowed: usize,
    /// Nothing can go, whomever it is for: it all waits where it is.
    is_held: bool,
}

impl<T> Endpoints<T> {
    /// None yet. `origin` tells tasks that come for the first time from those that come back.
    pub fn new(settings: Settings, ladder: Ladder, origin: fn(&T) -> Origin) -> Self {
        Self {
            turns: Turns::new(settings.max_in_flight, settings.max_per_host),
            settings,
            origin,
            ladder,
            by_key: HashMap::new(),
            lanes: HashMap::new(),
            waiting: 0,
            put_off: Vec::new(),
            open_breakers: 0,
            narrowed: 0,
            is_held: false,
        }
    }

    /// Whether all is known of an endpoint that is written down, as of this record of its subscription. If
    /// not: [`Self::learn`] before a task is admitted.
    pub fn knows(&self, key: &SubscriptionKey, revision: i64) -> bool {
        let endpoint = self.by_key.get(key);
        endpoint.is_some_and(|one| one.is_current && one.terms.revision == revision)
    }

    /// What is written down of an endpoint: a predecessor's work, or nothing of a newer subscription.
    pub fn learn(
        &mut self,
        key: &SubscriptionKey,
        terms: Terms,
        restraint: Restraint,
        now: Timestamp,
    ) {
        let endpoint = self
            .by_key
            .entry(key.clone())
            .or_insert_with(|| Endpoint::new(terms));
        let was_open = !endpoint.breaker.is_closed();
        endpoint.learn(terms, restraint);
        let is_open = !endpoint.breaker.is_closed();
        self.open_breakers =
            (self.open_breakers + usize::from(is_open)).saturating_sub(usize::from(was_open));
        self.take_terms(key, terms, now);
        self.place(key, now);
    }

    /// Whether an endpoint that was ours before is to be learnt anew before anything is heard of it.
    pub fn has_forgotten(&self, key: &SubscriptionKey, revision: i64) -> bool {
        let endpoint = self.by_key.get(key);
        endpoint.is_some_and(|one| !one.is_current && one.terms.revision == revision)
    }

    /// What is to be written down of an endpoint; none of another record of its subscription.
    pub fn restraint(&self, key: &SubscriptionKey, revision: i64) -> Option<Restraint> {
        let endpoint = self.by_key.get(key);
        let endpoint = endpoint.filter(|one| one.terms.revision == revision);
        endpoint.map(Endpoint::restraint)
    }

    /// Takes a task that is due, to be sent by `terms` in its turn, or puts it off
    /// ([`Self::take_put_off`]). `arrival`: it comes from Kafka just now, and may go back there.
    pub fn admit(
        &mut self,
        key: &SubscriptionKey,
        terms: Terms,
        arrival: Option<Arrival>,
        task: T,
        now: Timestamp,
    ) {
        if let Some(arrival) = arrival {
            let company = self.lanes.entry(arrival.lane);
            let company = company.or_insert_with(|| Company::of(key, terms.host));
            company.came(key, terms.host, now);
        }
        self.by_key
            .entry(key.clone())
            .or_insert_with(|| Endpoint::new(terms));
        self.take_terms(key, terms, now);
        let Some(endpoint) = self.by_key.get_mut(key) else {
            return;
        };
        let company = arrival.and_then(|arrival| self.lanes.get(&arrival.lane));
        let by_host = endpoint.place == Place::OnHost;
        let is_shared = company.is_some_and(|company| company.is_shared(by_host, now));
        match endpoint.must_stay_away(endpoint.waiting.len(), arrival, is_shared, now) {
            Some(why) if !self.is_held => {
                let until = endpoint.return_of(why, &self.ladder, now);
                self.put_off.push(PutOff { task, until, why });
            }
            Some(_) | None => {
                endpoint.waiting.push((self.origin)(&task), task);
                self.waiting += 1;
                self.place(key, now);
            }
        }
    }

    /// Gives endpoints their turn that waited for a time.
    pub fn wake(&mut self, now: Timestamp) {
        while let Some(key) = self.turns.next_due(now) {
            self.stands_nowhere(&key);
            self.place(&key, now);
        }
    }

    /// The next task that may go; counts as being out from now on, until [`Self::ended`].
    pub fn start_next(&mut self, now: Timestamp) -> Option<T> {
        while let Some(key) = self.turns.next() {
            self.stands_nowhere(&key);
            let Some(endpoint) = self.by_key.get_mut(&key) else {
                continue;
            };
            if !endpoint.may_take_a_turn(now) {
                let host = endpoint.terms.host;
                self.place(&key, now);
                self.pass_on_a_place_at(host, now);
                continue;
            }
            if let Some(place) = self
                .turns
                .held_up(&key, endpoint.terms.host, endpoint.in_flight)
            {
                endpoint.place = place;
                continue;
            }
            let Some(task) = endpoint.waiting.pop() else {
                continue;
            };
            endpoint.starts(now);
            self.turns.started(endpoint.terms.host);
            self.waiting -= 1;
            self.place(&key, now);
            return Some(task);
        }
        None
    }

    /// A request is off the wire, or was not made after all. What came of it: [`Self::heard`].
    pub fn ended(&mut self, key: &SubscriptionKey, now: Timestamp) {
        let Some(endpoint) = self.by_key.get_mut(key) else {
            return;
        };
        endpoint.in_flight = endpoint.in_flight.saturating_sub(1);
        let host = endpoint.terms.host;
        self.turns.ended(host);
        self.place(key, now);
        self.pass_on_a_place_at(host, now);
    }

    /// What a request has told about its endpoint.
    pub fn heard(&mut self, key: &SubscriptionKey, ended: Ended, now: Timestamp) -> Change {
        let heard = ended.heard;
        let Some(endpoint) = self.by_key.get_mut(key) else {
            return Change::None;
        };
        if endpoint.terms.revision != ended.revision {
            self.place(key, now);
            return Change::None; // Of what may have been another URL.
        }
        if heard.answered().is_some() {
            endpoint.took(ended.took);
        }
        let was_narrowed = endpoint.is_narrowed();
        endpoint.adapt(&ended, now);
        if let Some(wait) = heard.retry_after() {
            endpoint.asks_for_none_before(now.after(wait));
        }
        let change = endpoint
            .breaker
            .ended(heard.breaker(), &self.settings.breaker, now);
        match change {
            Change::Opened => self.open_breakers += 1,
            Change::Closed => {
                self.open_breakers = self.open_breakers.saturating_sub(1);
                endpoint.recovers();
            }
            Change::StaysOpen => endpoint.scout_is_back(),
            Change::None => {}
        }
        let is_narrowed = usize::from(endpoint.is_narrowed());
        self.narrowed = (self.narrowed + is_narrowed).saturating_sub(usize::from(was_narrowed));
        if !self.is_held {
            self.waiting -= endpoint.send_away(&self.ladder, &mut self.put_off, now);
        }
        self.place(key, now);
        change
    }

    /// A request was not made, or nothing is known of how it ended.
    pub fn unheard(&mut self, key: &SubscriptionKey, now: Timestamp) {
        if let Some(endpoint) = self.by_key.get_mut(key) {
            let settings = &self.settings.breaker;
            endpoint.breaker.ended(Weight::Nothing, settings, now);
            self.place(key, now);
        }
    }

    /// Whether nothing can go, whomever it is for. As long as that is so, no task is put off: going
    /// elsewhere would help nobody.
    pub fn hold(&mut self, is_held: bool) {
        self.is_held = is_held;
    }

    /// Tasks that are to wait elsewhere, since the last call.
    pub fn take_put_off(&mut self) -> Vec<PutOff<T>> {
        std::mem::take(&mut self.put_off)
    }

    /// When an endpoint may send that waits for its time.
    pub fn next_time(&self) -> Option<Timestamp> {
        self.turns.next_time()
    }

    /// Whether a task waits for the next probe of an open breaker that this is true of.
    pub fn any_behind_a_breaker(&self, is_it: impl Fn(&T) -> bool) -> bool {
        let mut open = self.by_key.values().filter(|one| !one.breaker.is_closed());
        open.any(|one| one.waiting.any(&is_it))
    }

    /// How many tasks wait.
    pub fn waiting(&self) -> usize {
        self.waiting
    }

    /// How many breakers are not closed.
    pub fn open_breakers(&self) -> usize {
        self.open_breakers
    }

    /// How many endpoints get fewer requests at once than their subscriptions allow, as they bear no more.
    pub fn narrowed(&self) -> usize {
        self.narrowed
    }

    /// Puts off waiting tasks of endpoints that cannot send now whatever else happens: others behind them
    /// must not wait. `stuck` says of a task what is full, and since when it waits.
    pub fn put_off_stuck(
        &mut self,
        stuck: impl Fn(&T) -> Option<(Full, Timestamp)>,
        now: Timestamp,
    ) {
        if self.is_held {
            return;
        }
        for endpoint in self.by_key.values_mut() {
            let by_host = endpoint.place == Place::OnHost;
            if endpoint.may_take_a_turn(now) && !by_host {
                continue;
            }
            let is_known_to_hinder = |full| match full {
                // The host's other endpoints would only wait elsewhere as well.
                Full::Lane(lane) if by_host => {
                    let company = self.lanes.get(&lane);
                    company.is_some_and(|company| company.is_shared(by_host, now))
                }
                Full::Lane(_) | Full::Memory => true,
            };
            let must_go = |(full, since)| {
                let patience = match is_known_to_hinder(full) {
                    true => STUCK,
                    false => STUCK_WITH_ITS_HOST,
                };
                now.since(since) >= patience
            };
            let out = endpoint
                .waiting
                .take_if(|task| stuck(task).is_some_and(must_go));
            self.waiting -= out.len();
            for task in out {
                let why = Parked::Crowded;
                let until = endpoint.return_of(why, &self.ladder, now);
                self.put_off.push(PutOff { task, until, why });
            }
        }
    }

    /// Forgets all tasks that wait. What is out stays counted, and what is known of endpoints stays
    /// known.
    pub fn clear_waiting(&mut self) {
        self.turns.clear();
        self.lanes.clear();
        self.put_off.clear();
        self.waiting = 0;
        for endpoint in self.by_key.values_mut() {
            endpoint.waiting.clear();
            endpoint.place = Place::Nowhere;
            endpoint.scout_is_back();
            endpoint.is_current = false;
        }
    }

    /// Forgets endpoints of which nothing is known that matters. To be called now and then.
    pub fn forget(&mut self, now: Timestamp) {
        let breaker = &self.settings.breaker;
        self.by_key
            .retain(|_, endpoint| !endpoint.is_forgettable(breaker, now));
        let kept = || self.by_key.values();
        self.open_breakers = kept().filter(|one| !one.breaker.is_closed()).count();
        self.narrowed = kept().filter(|one| one.is_narrowed()).count();
    }

    /// An endpoint's subscription allows this from now on.
    fn take_terms(&mut self, key: &SubscriptionKey, terms: Terms, now: Timestamp) {
        let Some(endpoint) = self.by_key.get_mut(key) else {
            return;
        };
        let before = std::mem::replace(&mut endpoint.terms, terms);
        if before.host != terms.host && endpoint.in_flight > 0 {
            let in_flight = endpoint.in_flight;
            for waited in self.turns.moved(before.host, terms.host, in_flight) {
                self.stands_nowhere(&waited);
                self.place(&waited, now);
            }
        }
    }

    /// Gives a free place at a host to the first who waits there and can use it.
    fn pass_on_a_place_at(&mut self, host: u64, now: Timestamp) {
        while let Some(key) = self.turns.next_of_host(host) {
            self.stands_nowhere(&key);
            self.place(&key, now);
            let endpoint = self.by_key.get(&key);
            if endpoint.is_some_and(|one| one.place == Place::InTurn) {
                return;
            }
        }
    }

    fn stands_nowhere(&mut self, key: &SubscriptionKey) {
        if let Some(endpoint) = self.by_key.get_mut(key) {
            endpoint.place = Place::Nowhere;
        }
    }

    /// Finds the place of an endpoint about which something has changed.
    fn place(&mut self, key: &SubscriptionKey, now: Timestamp) {
        let Some(endpoint) = self.by_key.get_mut(key) else {
            return;
        };
        if !self.turns.leave(endpoint.place) {
            return; // Its place brings it up by itself.
        }
        let ready = endpoint.ready_at(now);
        endpoint.place = match ready {
            _ if endpoint.waiting.is_empty() || !endpoint.has_room() => Place::Nowhere,
            None => Place::Nowhere,
            Some(then) if then > now => self.turns.wait_until(then, key),
            Some(_) => self.turns.take_turn(key),
        };
    }
}

#[cfg(test)]
mod tests;

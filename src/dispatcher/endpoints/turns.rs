//! Endpoints in the order in which they may send, and those that wait for something else than their
//! turn: a time, a free place at their host, a free place in the process.
//!
//! The process's places are shared by a dynamic threshold (Choudhury and Hahne, "Dynamic queue length
//! thresholds for shared-memory packet switches", 1998): an endpoint may have as many requests out as
//! places are free. So one alone may have half of them, N greedy ones have equal shares, and a share is
//! always free for one that comes anew.

use std::collections::{BTreeMap, HashMap, VecDeque};

use crate::clock::Timestamp;
use crate::record::SubscriptionKey;

/// Where an endpoint stands. It stands in one place at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In none: nothing waits for it, or one of its own requests must end first.
    Nowhere,
    /// It may send when its turn comes.
    InTurn,
    /// Until a time.
    Timed((Timestamp, u64)),
    /// Until a request to its host ends.
    OnHost,
    /// Until as many places are free as it has requests out.
    Starved((usize, u64)),
}

#[derive(Debug)]
pub(super) struct Turns {
    turns: VecDeque<SubscriptionKey>,
    timed: BTreeMap<(Timestamp, u64), SubscriptionKey>,
    starved: BTreeMap<(usize, u64), SubscriptionKey>,
    hosts: HashMap<u64, Host>,
    /// Tells equal times apart.
    number: u64,
    in_flight: usize,
    most_in_flight: usize,
    most_per_host: usize,
}

#[derive(Debug, Default)]
struct Host {
    in_flight: usize,
    waiting: VecDeque<SubscriptionKey>,
}

impl Turns {
    pub(super) fn new(most_in_flight: usize, most_per_host: usize) -> Self {
        Self {
            turns: VecDeque::new(),
            timed: BTreeMap::new(),
            starved: BTreeMap::new(),
            hosts: HashMap::new(),
            number: 0,
            in_flight: 0,
            most_in_flight,
            most_per_host,
        }
    }

    /// Whose turn it is. It stands nowhere from now on.
    pub(super) fn next(&mut self) -> Option<SubscriptionKey> {
        let free = self.free();
        if let Some(entry) = self.starved.first_entry()
            && entry.key().0 < free
        {
            return Some(entry.remove());
        }
        self.turns.pop_front()
    }

    pub(super) fn take_turn(&mut self, key: &SubscriptionKey) -> Place {
        self.turns.push_back(key.clone());
        Place::InTurn
    }

    pub(super) fn wait_until(&mut self, then: Timestamp, key: &SubscriptionKey) -> Place {
        self.number += 1;
        let at = (then, self.number);
        self.timed.insert(at, key.clone());
        Place::Timed(at)
    }

    /// Where an endpoint that may send otherwise has to wait; none: nowhere.
    pub(super) fn held_up(
        &mut self,
        key: &SubscriptionKey,
        host: u64,
        in_flight: usize,
    ) -> Option<Place> {
        let at_host = self.hosts.entry(host).or_default();
        if at_host.in_flight >= self.most_per_host {
            at_host.waiting.push_back(key.clone());
            return Some(Place::OnHost);
        }
        if in_flight < self.free() {
            return None;
        }
        self.number += 1;
        let at = (in_flight, self.number);
        self.starved.insert(at, key.clone());
        Some(Place::Starved(at))
    }

    /// Leaves a place that has to do with what has just changed: the endpoint will be placed anew.
    pub(super) fn leave(&mut self, place: Place) -> bool {
        match place {
            Place::Nowhere => true,
            Place::Timed(at) => self.timed.remove(&at).is_some(),
            Place::Starved(at) => self.starved.remove(&at).is_some(),
            Place::InTurn | Place::OnHost => false,
        }
    }

    /// The next of those whose time has come.
    pub(super) fn next_due(&mut self, now: Timestamp) -> Option<SubscriptionKey> {
        let first = self.timed.first_entry()?;
        (first.key().0 <= now).then(|| first.remove())
    }

    /// When the next of them comes.
    pub(super) fn next_time(&self) -> Option<Timestamp> {
        self.timed.first_key_value().map(|((then, _), _)| *then)
    }

    pub(super) fn started(&mut self, host: u64) {
        self.in_flight += 1;
        self.hosts.entry(host).or_default().in_flight += 1;
    }

    /// A request to this host ended.
    pub(super) fn ended(&mut self, host: u64) {
        self.in_flight = self.in_flight.saturating_sub(1);
        if let Some(at_host) = self.hosts.get_mut(&host) {
            at_host.in_flight = at_host.in_flight.saturating_sub(1);
        }
    }

    /// Who waits for a place at this host and may have one now: it stands nowhere from now on.
    pub(super) fn next_of_host(&mut self, host: u64) -> Option<SubscriptionKey> {
        let at_host = self.hosts.get_mut(&host)?;
        if at_host.in_flight >= self.most_per_host {
            return None;
        }
        let next = at_host.waiting.pop_front();
        if at_host.in_flight == 0 && at_host.waiting.is_empty() {
            self.hosts.remove(&host);
        }
        next
    }

    /// Requests that are out count for another host from now on, as their endpoint's URL has changed: they
    /// are taken off there when they end. Who waited at the old one stands nowhere.
    pub(super) fn moved(
        &mut self,
        from: u64,
        to: u64,
        in_flight: usize,
    ) -> VecDeque<SubscriptionKey> {
        self.hosts.entry(to).or_default().in_flight += in_flight;
        let Some(mut old) = self.hosts.remove(&from) else {
            return VecDeque::new();
        };
        let waiting = std::mem::take(&mut old.waiting);
        old.in_flight = old.in_flight.saturating_sub(in_flight);
        if old.in_flight > 0 {
            self.hosts.insert(from, old);
        }
        waiting
    }

    /// All places are left, but for what is out.
    pub(super) fn clear(&mut self) {
        self.turns.clear();
        self.timed.clear();
        self.starved.clear();
        self.hosts.retain(|_, host| {
            host.waiting.clear();
            host.in_flight > 0
        });
    }

    fn free(&self) -> usize {
        self.most_in_flight.saturating_sub(self.in_flight)
    }
}

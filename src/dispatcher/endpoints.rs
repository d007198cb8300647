//! Whose turn it is: tasks that may go wait here for a place at their endpoint.
//!
//! Endpoints take turns, one request each, so that a long queue for one does not keep the others
//! waiting. Within an endpoint tasks go in the order they came.

use std::collections::{HashMap, VecDeque};

use crate::record::SubscriptionKey;

/// Tasks `T` waiting for their endpoints.
#[derive(Debug)]
pub struct Endpoints<T> {
    by_key: HashMap<SubscriptionKey, Endpoint<T>>,
    /// Endpoints with something to send and room to send it, each once.
    turns: VecDeque<SubscriptionKey>,
    waiting: usize,
}

#[derive(Debug)]
struct Endpoint<T> {
    waiting: VecDeque<T>,
    in_flight: usize,
    limit: usize,
    has_turn: bool,
}

impl<T> Endpoint<T> {
    fn may_send(&self) -> bool {
        !self.waiting.is_empty() && self.in_flight < self.limit
    }
}

impl<T> Default for Endpoints<T> {
    fn default() -> Self {
        Self {
            by_key: HashMap::new(),
            turns: VecDeque::new(),
            waiting: 0,
        }
    }
}

impl<T> Endpoints<T> {
    /// Adds a task. `limit` is how many requests its endpoint may have open, as of now.
    pub fn push(&mut self, key: &SubscriptionKey, limit: usize, task: T) {
        let endpoint = self.entry(key);
        endpoint.limit = limit;
        endpoint.waiting.push_back(task);
        self.waiting += 1;
        self.give_turn(key);
    }

    /// The next task that may go; counts as open from now on, until [`Self::ended`].
    pub fn start_next(&mut self) -> Option<T> {
        while let Some(key) = self.turns.pop_front() {
            let Some(endpoint) = self.by_key.get_mut(&key) else {
                continue;
            };
            endpoint.has_turn = false;
            if !endpoint.may_send() {
                continue;
            }
            let task = endpoint.waiting.pop_front()?;
            endpoint.in_flight += 1;
            self.waiting -= 1;
            self.give_turn(&key);
            return Some(task);
        }
        None
    }

    /// A request ended, or was not sent after all.
    pub fn ended(&mut self, key: &SubscriptionKey) {
        let Some(endpoint) = self.by_key.get_mut(key) else {
            return;
        };
        endpoint.in_flight = endpoint.in_flight.saturating_sub(1);
        if endpoint.in_flight == 0 && endpoint.waiting.is_empty() {
            self.by_key.remove(key);
        } else {
            self.give_turn(key);
        }
    }

    /// How many tasks wait.
    pub fn waiting(&self) -> usize {
        self.waiting
    }

    /// Takes out the tasks of saturated endpoints for which `stuck` holds: those that cannot go
    /// whatever else does.
    pub fn take_stuck(&mut self, mut stuck: impl FnMut(&T) -> bool) -> Vec<T> {
        let mut taken = Vec::new();
        for endpoint in self.by_key.values_mut() {
            if endpoint.in_flight < endpoint.limit {
                continue;
            }
            let (out, rest): (Vec<T>, Vec<T>) =
                endpoint.waiting.drain(..).partition(|task| stuck(task));
            endpoint.waiting = rest.into();
            taken.extend(out);
        }
        self.waiting -= taken.len();
        taken
    }

    /// Forgets all tasks that wait; open requests stay counted.
    pub fn clear_waiting(&mut self) {
        self.turns.clear();
        self.waiting = 0;
        self.by_key.retain(|_, endpoint| {
            endpoint.waiting.clear();
            endpoint.has_turn = false;
            endpoint.in_flight > 0
        });
    }

    fn entry(&mut self, key: &SubscriptionKey) -> &mut Endpoint<T> {
        self.by_key.entry(key.clone()).or_insert_with(|| Endpoint {
            waiting: VecDeque::new(),
            in_flight: 0,
            limit: 0,
            has_turn: false,
        })
    }

    fn give_turn(&mut self, key: &SubscriptionKey) {
        if let Some(endpoint) = self.by_key.get_mut(key)
            && !endpoint.has_turn
            && endpoint.may_send()
        {
            endpoint.has_turn = true;
            self.turns.push_back(key.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(id: &str) -> SubscriptionKey {
        SubscriptionKey::try_new("t", id).unwrap()
    }

    #[test]
    fn endpoints_take_turns_and_keep_their_limits() {
        let mut endpoints = Endpoints::default();
        for number in 0..4 {
            endpoints.push(&key("a"), 2, format!("a{number}"));
        }
        endpoints.push(&key("b"), 1, "b0".to_owned());
        endpoints.push(&key("b"), 1, "b1".to_owned());
        let mut started = Vec::new();
        while let Some(task) = endpoints.start_next() {
            started.push(task);
        }
        assert_eq!(started, ["a0", "b0", "a1"]);
        assert_eq!(endpoints.waiting(), 3);
        endpoints.ended(&key("b"));
        assert_eq!(endpoints.start_next().as_deref(), Some("b1"));
        assert_eq!(endpoints.start_next(), None);
    }

    #[test]
    fn only_tasks_of_saturated_endpoints_are_stuck() {
        let mut endpoints = Endpoints::default();
        for number in 0..3 {
            endpoints.push(&key("slow"), 1, number);
        }
        assert_eq!(endpoints.start_next(), Some(0));
        endpoints.push(&key("free"), 8, 10);
        assert_eq!(endpoints.take_stuck(|_| true), [1, 2]);
        assert_eq!(endpoints.waiting(), 1);
        assert_eq!(endpoints.start_next(), Some(10));
    }

    #[test]
    fn what_is_open_stays_counted_when_all_that_waits_is_forgotten() {
        let mut endpoints = Endpoints::default();
        endpoints.push(&key("a"), 1, 0);
        endpoints.push(&key("a"), 1, 1);
        assert_eq!(endpoints.start_next(), Some(0));
        endpoints.clear_waiting();
        endpoints.push(&key("a"), 1, 2);
        assert_eq!(endpoints.start_next(), None);
        endpoints.ended(&key("a"));
        assert_eq!(endpoints.start_next(), Some(2));
    }
}

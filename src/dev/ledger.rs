//! Whether anything was lost or doubled, judged from outside: by what was produced, what the topics
//! hold and what the receiver saw. Pure.
//!
//! A delivery ends when its success or its dead letter is on the topics. A request that no attempt was
//! recorded for is a double; one is explained if it was open, or answered but not yet committed, when
//! a dispatcher was killed.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::fmt;
use std::time::Duration;

use super::sighting::Sighting;
use crate::clock::Timestamp;
use crate::receiver::Seen;
use crate::record::RecordedAttempt;

/// How long an ended delivery is kept: what its kills may have doubled has come by then.
const QUIET: Duration = Duration::from_secs(15);
/// How far apart the clocks of a request's two sides may be.
const SLACK: Duration = Duration::from_millis(200);
/// How long after a kill a request of the killed may still arrive: it was in a socket's buffer.
const STRAGGLE: Duration = Duration::from_secs(1);
/// The longest that an answer may wait for its commit: `kafka.transaction_timeout`.
const LONGEST_COMMIT: Duration = Duration::from_secs(10);
/// Pieces of evidence that are kept.
const MOST_EVIDENCE: usize = 20;
/// Ids of deliveries that are closed; the oldest are forgotten.
const REMEMBERED: usize = 100_000;

/// The books.
#[derive(Default)]
pub struct Ledger {
    /// Subscriptions that each event's task has not been seen for.
    owed: HashMap<String, BTreeSet<String>>,
    deliveries: HashMap<String, Delivery>,
    closed: HashSet<String>,
    closed_in_order: VecDeque<String>,
    kills: VecDeque<Timestamp>,
    verdict: Verdict,
    /// What is known of that which speaks against us.
    evidence: Vec<String>,
}

/// What is known of one delivery.
#[derive(Default)]
struct Delivery {
    /// Whether its task was owed.
    is_ours: bool,
    requests: Vec<Request>,
    attempts: Vec<RecordedAttempt>,
    is_delivered: bool,
    is_dead: bool,
    /// When something was last heard of it.
    touched: Timestamp,
}

struct Request {
    number: u64,
    arrived: Timestamp,
    answered: Option<(Timestamp, u16)>,
}

/// The sums.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Deliveries that reached their end.
    pub ended: u64,
    /// Deliveries that never came to their end, or did without the receiver having taken them.
    pub lost: u64,
    /// Requests that came again.
    pub doubled: u64,
    /// Those of them that no kill explains, and tasks that were made twice.
    pub unexplained: u64,
    /// Dispatchers that were killed.
    pub kills: u64,
}

impl Verdict {
    /// Whether everything promised holds.
    pub fn is_good(&self) -> bool {
        self.lost == 0 && self.unexplained == 0
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            lost,
            doubled,
            unexplained,
            ended,
            kills,
        } = self;
        write!(formatter, "lost {lost} · doubled {doubled}")?;
        match (doubled, unexplained) {
            (0, 0) => {}
            (_, 0) => formatter.write_str(" (all in flight)")?,
            (_, more) => write!(formatter, " ({more} NOT in flight)")?,
        }
        write!(formatter, " · {ended} deliveries ended · {kills} kills")
    }
}

impl Ledger {
    /// An event is about to be produced, for these subscriptions.
    pub fn owe(&mut self, event_id: String, subscriptions: BTreeSet<String>) {
        if !subscriptions.is_empty() {
            self.owed.insert(event_id, subscriptions);
        }
    }

    /// A dispatcher was killed.
    pub fn killed(&mut self, at: Timestamp) {
        self.verdict.kills += 1;
        self.kills.push_back(at);
    }

    /// Takes what was seen on the topics.
    pub fn take(&mut self, sighting: &Sighting, now: Timestamp) {
        match sighting {
            Sighting::Task {
                event_id,
                delivery_id,
                subscription,
                ..
            } => self.task(event_id, delivery_id, subscription, now),
            Sighting::Request(attempt) => {
                let delivery = self.delivery(&attempt.delivery_id, now);
                delivery.is_delivered |= attempt.outcome == "delivered";
                delivery.attempts.push(attempt.clone());
            }
            Sighting::DeadLetter { delivery_id, .. } => {
                self.delivery(delivery_id, now).is_dead = true;
            }
            Sighting::Event { .. } | Sighting::NoEvent { .. } | Sighting::Nothing => {}
        }
    }

    /// Takes what the receiver saw.
    pub fn seen(&mut self, seen: &Seen) {
        match seen {
            Seen::Arrived(arrival) => {
                let requests = &mut self.delivery(&arrival.id, arrival.at).requests;
                requests.push(Request {
                    number: arrival.number,
                    arrived: arrival.at,
                    answered: None,
                });
            }
            Seen::Answered {
                arrival,
                at,
                status,
            } => {
                let requests = &mut self.delivery(&arrival.id, *at).requests;
                let mut requests = requests.iter_mut();
                if let Some(request) = requests.find(|one| one.number == arrival.number) {
                    request.answered = Some((*at, *status));
                }
            }
        }
    }

    /// Closes what ended a while ago, so that the books stay small.
    pub fn close_old(&mut self, now: Timestamp) {
        let is_old = |delivery: &Delivery| now.since(delivery.touched) >= QUIET;
        let old = self.deliveries.iter().filter(|(_, delivery)| {
            is_old(delivery) && (delivery.has_ended() || !delivery.is_ours)
        });
        for id in old.map(|(id, _)| id.clone()).collect::<Vec<_>>() {
            self.close(id);
        }
        // A delivery that is open can still have been doubled by a kill of long ago; the ladder and
        // the time to recover from kills are far shorter than this.
        const LONG: Duration = Duration::from_mins(10);
        while self.kills.front().is_some_and(|at| now.since(*at) > LONG) {
            self.kills.pop_front();
        }
    }

    /// Whether every event has its tasks and every task its end.
    pub fn is_settled(&self) -> bool {
        let mut ours = self.deliveries.values().filter(|one| one.is_ours);
        self.owed.is_empty() && ours.all(Delivery::has_ended)
    }

    /// How many tasks are owed or have no end yet.
    pub fn open(&self) -> usize {
        let ours = self.deliveries.values().filter(|one| one.is_ours);
        let owed: usize = self.owed.values().map(BTreeSet::len).sum();
        owed + ours.filter(|one| !one.has_ended()).count()
    }

    /// The sums of what is closed.
    pub fn so_far(&self) -> Verdict {
        self.verdict
    }

    /// Closes everything: what has no end by now is lost. With the sums comes what is known of that
    /// which speaks against us.
    pub fn conclude(mut self) -> (Verdict, Vec<String>) {
        for id in self.deliveries.keys().cloned().collect::<Vec<_>>() {
            self.close(id);
        }
        for (event, owed) in std::mem::take(&mut self.owed) {
            self.verdict.lost += owed.len() as u64;
            self.testify(format!("lost: {event} has no task for {owed:?}"));
        }
        (self.verdict, self.evidence)
    }

    fn task(&mut self, event_id: &str, delivery_id: &str, subscription: &str, now: Timestamp) {
        let owed = self.owed.get_mut(event_id);
        let is_owed = owed.is_some_and(|owed| owed.remove(subscription));
        if self.owed.get(event_id).is_some_and(BTreeSet::is_empty) {
            self.owed.remove(event_id);
        }
        let known = self.deliveries.get(delivery_id);
        let is_second = known.is_some_and(|one| one.is_ours) || self.closed.contains(delivery_id);
        if is_second {
            self.verdict.unexplained += 1;
            self.testify(format!("task made twice: {event_id} to {subscription}"));
        } else {
            self.delivery(delivery_id, now).is_ours = is_owed;
        }
    }

    fn testify(&mut self, text: String) {
        if self.evidence.len() < MOST_EVIDENCE {
            self.evidence.push(text);
        }
    }

    fn delivery(&mut self, id: &str, now: Timestamp) -> &mut Delivery {
        let delivery = self.deliveries.entry(id.to_owned()).or_default();
        delivery.touched = delivery.touched.max(now);
        delivery
    }

    fn close(&mut self, id: String) {
        let Some(delivery) = self.deliveries.remove(&id) else {
            return;
        };
        let was_closed = self.closed.contains(&id);
        if !delivery.is_ours && !was_closed {
            return; // Somebody else's, from a second terminal.
        }
        let unrecorded = delivery.unrecorded();
        self.verdict.doubled += unrecorded.len() as u64;
        for request in unrecorded {
            let is_explained = |kill: &Timestamp| request.was_under_way(*kill);
            if !self.kills.iter().any(is_explained) {
                self.verdict.unexplained += 1;
                let kills: Vec<String> = self.kills.iter().map(Timestamp::to_string).collect();
                let kills = kills.join(" ");
                self.testify(format!(
                    "doubled: {request} of {id}, {delivery} kills: {kills}"
                ));
            }
        }
        if was_closed {
            return;
        }
        if delivery.is_kept() {
            self.verdict.ended += 1;
        } else {
            self.verdict.lost += 1;
            self.testify(format!("lost: {id}, {delivery}"));
        }
        self.closed.insert(id.clone());
        self.closed_in_order.push_back(id);
        if self.closed_in_order.len() > REMEMBERED
            && let Some(oldest) = self.closed_in_order.pop_front()
        {
            self.closed.remove(&oldest);
        }
    }
}

impl Delivery {
    fn has_ended(&self) -> bool {
        self.is_delivered || self.is_dead
    }

    /// Whether it ended, and a success is one in the receiver's eyes too.
    fn is_kept(&self) -> bool {
        let taken = |request: &Request| {
            request
                .answered
                .is_some_and(|(_, status)| (200..300).contains(&status))
        };
        self.is_dead || (self.is_delivered && self.requests.iter().any(taken))
    }

    /// Requests that no recorded attempt stands for.
    fn unrecorded(&self) -> Vec<&Request> {
        let mut left: Vec<&Request> = self.requests.iter().collect();
        for attempt in &self.attempts {
            let from = attempt.started_at.as_millis() - SLACK.as_millis() as i64;
            let until = attempt.ended_at().after(SLACK).as_millis();
            let nearest = left
                .iter()
                .enumerate()
                .filter(|(_, request)| (from..=until).contains(&request.arrived.as_millis()))
                .min_by_key(|(_, one)| {
                    one.arrived
                        .as_millis()
                        .abs_diff(attempt.started_at.as_millis())
                })
                .map(|(index, _)| index);
            if let Some(index) = nearest {
                left.swap_remove(index);
            }
        }
        left
    }
}

impl Request {
    /// Whether it was open, or answered and maybe not committed, at a kill.
    fn was_under_way(&self, kill: Timestamp) -> bool {
        let had_come = self.arrived <= kill.after(STRAGGLE);
        let was_fresh = self
            .answered
            .is_none_or(|(at, _)| at.after(LONGEST_COMMIT) >= kill);
        had_come && was_fresh
    }
}

impl fmt::Display for Delivery {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("requests:")?;
        for request in &self.requests {
            write!(formatter, " [{request}]")?;
        }
        formatter.write_str(" attempts:")?;
        for one in &self.attempts {
            let (from, until) = (one.started_at, one.ended_at());
            write!(
                formatter,
                " [{} to {}: {from}",
                one.attempt, one.subscription
            )?;
            write!(formatter, " until {until}, {}]", one.outcome)?;
        }
        if self.is_dead {
            formatter.write_str(" dead-lettered")?;
        }
        Ok(())
    }
}

impl fmt::Display for Request {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "came {}", self.arrived)?;
        match self.answered {
            Some((at, status)) => write!(formatter, ", answered {status} {at}"),
            None => formatter.write_str(", not answered"),
        }
    }
}

#[cfg(test)]
mod tests;

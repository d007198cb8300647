//! Whether what is promised held in a run: the invariants of ARCHITECTURE.md over what was seen. Pure.
//!
//! A request is *in the books* when an attempt was recorded for it, and *repeated* otherwise: its
//! outcome was lost, so its task was sent again. A repeat is explained by a strike that hit the process
//! which sent it, between it and its successor, while it was open or answered but not yet committed.

mod matching;
pub mod tests;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use hooktide::clock::Timestamp;
use serde::{Deserialize, Serialize};

use crate::record::{Attempt, End, Letter, Outcome, Record, Request, Strike};
use matching::Matching;

/// How long after a process is gone a request of it may still arrive: it was in a socket's buffer.
const STRAGGLE: Duration = Duration::from_secs(2);
/// How much later than the receiver a process may take note of an answer on a machine that is busy:
/// two answers that are closer may be committed in the other order.
const UNORDERED: Duration = Duration::from_secs(1);
/// Violations that are told; all are counted.
const MOST_TOLD: usize = 40;

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// Events on their topic.
    pub events: u64,
    /// Tasks that were made of them.
    pub deliveries: u64,
    /// Of these: delivered.
    pub delivered: u64,
    /// Of these: dead-lettered.
    pub dead_lettered: u64,
    /// Of these: cancelled, as their subscription was deleted.
    pub cancelled: u64,
    /// Requests that the receiver saw.
    pub requests: u64,
    /// Requests that came again within one attempt, as the receiver broke the connection.
    pub sent_again: u64,
    /// Events without a task, tasks without an end.
    pub lost: u64,
    /// Requests whose outcome was lost, so that they were repeated.
    pub doubled: u64,
    /// Those of them that no strike explains.
    pub unexplained: u64,
    /// All violations, those above included.
    pub violations: u64,
    /// By fault.
    pub faults: BTreeMap<String, Toll>,
    /// The first violations.
    pub evidence: Vec<String>,
}

/// What one kind of fault has cost.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Toll {
    /// How often.
    pub strikes: u64,
    /// Whether it was inflicted, rather than a consequence.
    pub is_fault: bool,
    /// Requests that were open, or answered since the last commit: the most that may come again.
    pub in_flight: u64,
    /// Requests that came again.
    pub doubled: u64,
    /// The longest from the restart of the instance to a request that came again by it.
    pub slowest_after_restart: Option<u64>,
    /// The longest from the fault to a request that came again by another process.
    pub slowest_takeover: Option<u64>,
    /// Of a fault that hits no process: the longest around it in which a process committed no attempt, and
    /// did so before and after, in milliseconds.
    #[serde(default)]
    pub longest_standstill: Option<u64>,
    /// How much of such a time was left, at most, when the fault was over.
    #[serde(default)]
    pub slowest_recovery: Option<u64>,
}

impl Verdict {
    /// Whether everything that is promised held.
    pub fn is_good(&self) -> bool {
        self.violations == 0
    }

    fn violation(&mut self, told: impl FnOnce() -> String) {
        self.violations += 1;
        if self.evidence.len() < MOST_TOLD {
            self.evidence.push(told());
        }
    }
}

/// Judges a run.
pub fn judge(record: &Record) -> Verdict {
    let mut judge = Judge::new(record);
    judge.tasks();
    judge.ends();
    judge.strangers();
    judge.repeats();
    judge.tolls();
    for incident in &record.incidents {
        judge.verdict.violation(|| incident.clone());
    }
    judge.verdict
}

/// All that is known of one delivery; requests and attempts as indices.
#[derive(Default)]
struct Delivery<'a> {
    subscriber: &'a str,
    is_made: bool,
    attempts: Vec<usize>,
    letters: Vec<&'a Letter>,
    requests: Vec<usize>,
}

struct Judge<'a> {
    record: &'a Record,
    deliveries: HashMap<&'a str, Delivery<'a>>,
    matching: Matching<'a>,
    /// Of each instance, in order: when an attempt was put into a transaction, and the latest end of those
    /// until then.
    commits: HashMap<&'a str, Vec<(Timestamp, Timestamp)>>,
    verdict: Verdict,
}

impl<'a> Judge<'a> {
    fn new(record: &'a Record) -> Self {
        let mut deliveries: HashMap<&str, Delivery<'_>> = HashMap::new();
        let mut commits: HashMap<&str, Vec<(Timestamp, Timestamp)>> = HashMap::new();
        for (at, attempt) in record.attempts.iter().enumerate() {
            let delivery = deliveries.entry(&attempt.delivery).or_default();
            delivery.attempts.push(at);
            let ends = commits.entry(&attempt.instance).or_default();
            ends.push((attempt.recorded, attempt.ended));
        }
        for ends in commits.values_mut() {
            ends.sort_unstable();
            let mut latest = Timestamp::default();
            for (_, end) in ends {
                latest = latest.max(*end);
                *end = latest;
            }
        }
        for (at, request) in record.requests.iter().enumerate() {
            let delivery = deliveries.entry(&request.delivery).or_default();
            delivery.requests.push(at);
        }
        for letter in &record.letters {
            let delivery = deliveries.entry(&letter.delivery).or_default();
            delivery.letters.push(letter);
        }
        let mut matching = Matching::new(record);
        for delivery in deliveries.values_mut() {
            delivery
                .attempts
                .sort_by_key(|at| (record.attempts[*at].number, record.attempts[*at].started));
            let requests = &record.requests;
            delivery.requests.sort_by_key(|at| requests[*at].arrived);
        }
        // First where there is no doubt, so that it is known whose connections are whose.
        for is_plain in [true, false] {
            for delivery in deliveries.values() {
                if (delivery.attempts.len() == delivery.requests.len()) == is_plain {
                    matching.add(&delivery.attempts, &delivery.requests);
                }
            }
        }
        Self {
            record,
            deliveries,
            matching,
            commits,
            verdict: Verdict::default(),
        }
    }

    /// Each event has one task for each subscriber: none is lost, none is made twice.
    fn tasks(&mut self) {
        let verdict = &mut self.verdict;
        let events: HashSet<&str> = self.record.events.iter().map(String::as_str).collect();
        verdict.events = events.len() as u64;
        if events.len() < self.record.events.len() {
            verdict.violation(|| "the test has produced an event twice".to_owned());
        }
        let mut made: HashSet<(&str, &str)> = HashSet::new();
        for task in &self.record.tasks {
            verdict.deliveries += 1;
            let delivery = self.deliveries.entry(&task.delivery).or_default();
            let is_new = made.insert((&task.subscriber, &task.event));
            if !is_new || delivery.is_made {
                verdict.violation(|| format!("made twice: {task:?}"));
            }
            if !events.contains(task.event.as_str()) {
                verdict.violation(|| format!("made of no event: {task:?}"));
            }
            delivery.is_made = true;
            delivery.subscriber = &task.subscriber;
        }
        let staying = self.record.subscribers.iter().filter(|one| !one.is_deleted);
        for subscriber in staying {
            for event in &events {
                if !made.contains(&(subscriber.key.as_str(), *event)) {
                    verdict.lost += 1;
                    verdict
                        .violation(|| format!("lost: no task for {event} to {}", subscriber.key));
                }
            }
        }
    }

    /// Each task has one chain of requests, with one end, none of them early.
    fn ends(&mut self) {
        let deleted: HashSet<&str> = {
            let all = self.record.subscribers.iter();
            all.filter(|one| one.is_deleted)
                .map(|one| one.key.as_str())
                .collect()
        };
        for (id, delivery) in self.deliveries.iter().filter(|(_, one)| one.is_made) {
            let verdict = &mut self.verdict;
            let chain: Vec<&Attempt> = delivery
                .attempts
                .iter()
                .map(|at| &self.record.attempts[*at])
                .collect();
            for (place, attempt) in chain.iter().enumerate() {
                if attempt.number as usize != place + 1 || attempt.source != chain[0].source {
                    verdict.violation(|| format!("a chain was started twice: {id}: {chain:?}"));
                    break;
                }
            }
            for pair in chain.windows(2) {
                if pair[0].outcome != Outcome::Retry {
                    verdict.violation(|| format!("went on after its end: {id}: {chain:?}"));
                }
                if pair[0].next.is_none_or(|due| pair[1].started < due) {
                    verdict.violation(|| format!("early: {id}: {pair:?}"));
                }
            }
            let taken = delivery.requests.iter().any(|at| {
                let end = self.record.requests[*at].end;
                matches!(end, Some((_, End::Answered(200..=299))))
            });
            let letters = &delivery.letters;
            let last = chain.last().map(|attempt| attempt.outcome);
            match (last, letters.as_slice()) {
                (Some(Outcome::Delivered), []) if taken => verdict.delivered += 1,
                (Some(Outcome::Delivered), []) => {
                    verdict.lost += 1;
                    verdict.violation(|| format!("delivered, but the receiver has not taken {id}"));
                }
                (Some(Outcome::Dead), [letter])
                    if letter.requests as usize == chain.len() && letter.reason == "exhausted" =>
                {
                    verdict.dead_lettered += 1;
                }
                (None | Some(Outcome::Retry), []) if deleted.contains(delivery.subscriber) => {
                    verdict.cancelled += 1;
                }
                (None | Some(Outcome::Retry), []) => {
                    verdict.lost += 1;
                    verdict.violation(|| format!("lost: {id} has no end: {chain:?}"));
                }
                (_, letters) => {
                    verdict.violation(|| format!("ends do not agree: {id}: {chain:?} {letters:?}"));
                }
            }
        }
    }

    /// Nothing is sent or recorded that no task is known of.
    fn strangers(&mut self) {
        self.verdict.requests = self.record.requests.len() as u64;
        for (id, delivery) in &self.deliveries {
            if !delivery.is_made {
                let seen = (delivery.attempts.len(), delivery.requests.len());
                self.verdict
                    .violation(|| format!("of no task: {id}, attempts and requests {seen:?}"));
            }
        }
    }

    /// Each request that is not in the books is explained.
    fn repeats(&mut self) {
        for delivery in self.deliveries.values() {
            for (place, at) in delivery.requests.iter().enumerate() {
                if self.matching.attempt_of(*at).is_some() {
                    continue;
                }
                if self.matching.was_sent_again(*at, &delivery.requests) {
                    self.verdict.sent_again += 1;
                    continue;
                }
                self.verdict.doubled += 1;
                let request = &self.record.requests[*at];
                let next = delivery.requests.get(place + 1);
                let next = next.map(|at| (*at, &self.record.requests[*at]));
                let sender = self.matching.sender(request);
                let strikes = self.record.strikes.iter();
                let explaining = strikes.filter(|strike| {
                    self.explains(strike, request, sender, next.map(|(_, next)| next))
                });
                // One that found it in flight rather than one that is near, and a fault rather than the
                // rebalance that followed from it.
                let explanation = explaining
                    .map(|strike| (!self.was_in_flight(strike, request), strike))
                    .min_by_key(|(is_near, strike)| (*is_near, !strike.is_fault, strike.from));
                match explanation {
                    Some((is_near, strike)) => {
                        let toll = self.verdict.faults.entry(strike.fault.clone()).or_default();
                        toll.doubled += 1;
                        // Of a process that was gone when it was read: it was open.
                        toll.in_flight += u64::from(is_near);
                        if let Some((at, next)) = next {
                            let by = self.matching.attempt_of(at).map(|one| &one.instance);
                            let is_same = by.is_some() && by == strike.hits.as_ref();
                            let back = strike.restarted.unwrap_or(strike.from);
                            let is_struck_again = self.record.strikes.iter().any(|other| {
                                let time = back..next.arrived;
                                other.is_fault && time.contains(&other.from)
                            });
                            if !is_struck_again {
                                toll.returned(strike, next.arrived, is_same);
                            }
                        }
                    }
                    None => {
                        self.verdict.unexplained += 1;
                        let all: Vec<_> = {
                            let requests = delivery.requests.iter();
                            requests.map(|at| &self.record.requests[*at]).collect()
                        };
                        let attempts: Vec<_> = {
                            let attempts = delivery.attempts.iter();
                            attempts.map(|at| &self.record.attempts[*at]).collect()
                        };
                        self.verdict.violation(|| {
                            format!(
                                "doubled, and not in flight at any fault: {request:?} of {sender:?}; \
                                 requests {all:?}; attempts {attempts:?}"
                            )
                        });
                    }
                }
            }
        }
    }

    fn explains(
        &self,
        strike: &Strike,
        request: &Request,
        sender: Option<&str>,
        next: Option<&Request>,
    ) -> bool {
        let Some(hit) = &strike.hits else {
            return false;
        };
        let is_hit = sender.is_none_or(|sender| sender == hit);
        let is_between = request.arrived <= strike.until.after(STRAGGLE)
            && next.is_none_or(|next| next.arrived >= strike.from);
        let answered = match request.end {
            Some((at, End::Answered(_))) => Some(at),
            Some((_, End::Cut | End::Left)) | None => None,
        };
        let last_commit = self.last_commit(hit, strike.noticed);
        let was_committed_past = answered
            .zip(last_commit)
            .is_some_and(|(answered, commit)| answered.after(UNORDERED) < commit);
        let was_waited_for = answered
            .zip(strike.drains_until.map(|at| at.min(strike.until)))
            .is_some_and(|(answered, drained)| answered.after(UNORDERED) < drained);
        is_hit && is_between && !was_committed_past && !was_waited_for
    }

    /// Whether a request was open, or answered since the last commit.
    fn was_in_flight(&self, strike: &Strike, request: &Request) -> bool {
        let Some(hit) = &strike.hits else {
            return false;
        };
        let last_commit = self.last_commit(hit, strike.noticed);
        request.arrived <= strike.until
            && request
                .end
                .zip(last_commit)
                .is_none_or(|((end, _), commit)| end >= commit)
    }

    /// The latest end of a request of this instance that was in a transaction by `at`, and is in the books.
    /// One that ended before and was adopted after is none.
    fn last_commit(&self, instance: &str, at: Timestamp) -> Option<Timestamp> {
        let commits = self.commits.get(instance)?;
        let until = commits.partition_point(|(recorded, _)| *recorded <= at);
        until.checked_sub(1).map(|last| commits[last].1)
    }

    /// What each strike found in flight.
    fn tolls(&mut self) {
        let record = self.record;
        let mut earlier = None;
        for strike in &record.strikes {
            let toll = self.verdict.faults.entry(strike.fault.clone()).or_default();
            toll.strikes += 1;
            toll.is_fault = strike.is_fault;
            if strike.is_fault && strike.hits.is_none() {
                for commits in self.commits.values() {
                    toll.stood_still(strike, commits, earlier);
                }
            }
            if strike.is_fault {
                earlier = earlier.max(Some(strike.until));
            }
        }
        for (at, request) in record.requests.iter().enumerate() {
            let sender = self.matching.sender(request);
            for strike in &record.strikes {
                let is_hit = sender.is_none_or(|sender| Some(sender) == strike.hits.as_deref());
                let attempt = self.matching.attempt_of(at);
                let is_in_books = attempt.is_some_and(|one| one.recorded <= strike.noticed);
                if is_hit && !is_in_books && self.was_in_flight(strike, request) {
                    let toll = self.verdict.faults.entry(strike.fault.clone()).or_default();
                    toll.in_flight += 1;
                }
            }
        }
    }
}

fn in_millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl Toll {
    fn returned(&mut self, strike: &Strike, at: Timestamp, by_the_same: bool) {
        let (slowest, since) = match (strike.restarted, by_the_same) {
            (Some(restarted), true) => (&mut self.slowest_after_restart, restarted),
            _ => (&mut self.slowest_takeover, strike.from),
        };
        let took = in_millis(at.since(since));
        *slowest = Some(slowest.unwrap_or_default().max(took));
    }

    /// Looks for the times in which a process committed nothing, with this strike in them. One that began before
    /// all `earlier` faults were over is counted for those.
    fn stood_still(
        &mut self,
        strike: &Strike,
        commits: &[(Timestamp, Timestamp)],
        earlier: Option<Timestamp>,
    ) {
        let before = commits.partition_point(|(recorded, _)| *recorded <= strike.from);
        let after = commits.partition_point(|(recorded, _)| *recorded <= strike.until);
        let around = &commits[before.saturating_sub(1)..commits.len().min(after + 1)];
        for pair in around.windows(2) {
            let (last, next) = (pair[0].0, pair[1].0);
            if earlier.is_none_or(|until| last > until) {
                let longest = Some(in_millis(next.since(last)));
                self.longest_standstill = self.longest_standstill.max(longest);
                let recovery = Some(in_millis(next.since(strike.until)));
                self.slowest_recovery = self.slowest_recovery.max(recovery);
            }
        }
    }

    /// Adds what was found in another run.
    pub fn add(&mut self, other: &Self) {
        self.strikes += other.strikes;
        self.is_fault |= other.is_fault;
        self.in_flight += other.in_flight;
        self.doubled += other.doubled;
        self.slowest_after_restart = self.slowest_after_restart.max(other.slowest_after_restart);
        self.slowest_takeover = self.slowest_takeover.max(other.slowest_takeover);
        self.longest_standstill = self.longest_standstill.max(other.longest_standstill);
        self.slowest_recovery = self.slowest_recovery.max(other.slowest_recovery);
    }
}

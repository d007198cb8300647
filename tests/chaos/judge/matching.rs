//! Which request of the receiver's record each attempt in the books is, and which process sent what.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use hooktide::clock::Timestamp;

use crate::record::{Attempt, End, Record, Request};

/// Two readings of one clock, each cut to milliseconds.
const ROUNDING: Duration = Duration::from_millis(2);

/// See the module.
pub(super) struct Matching<'a> {
    record: &'a Record,
    /// The attempt of each request.
    attempts: Vec<Option<usize>>,
    senders: HashMap<u64, &'a str>,
    /// Attempts that are known to have sent their request twice.
    sent_twice: HashSet<usize>,
}

impl<'a> Matching<'a> {
    pub(super) fn new(record: &'a Record) -> Self {
        Self {
            record,
            attempts: vec![None; record.requests.len()],
            senders: HashMap::new(),
            sent_twice: HashSet::new(),
        }
    }

    /// Matches those of one delivery, in their orders.
    pub(super) fn add(&mut self, attempts: &[usize], requests: &[usize]) {
        for (place, at) in attempts.iter().enumerate() {
            let attempt = &self.record.attempts[*at];
            let successor = attempts.get(place + 1);
            let until = successor.map(|next| self.record.attempts[*next].started);
            let is_meant = |request: &Request| {
                let is_in_time = until.is_none_or(|until| request.arrived < until);
                may_be(attempt, request) && is_in_time
            };
            // Of several that could be meant, one of the same process, and of those the last: what the
            // receiver broke off before it was sent again.
            let free = requests.iter().copied();
            let found = free
                .filter(|request| self.attempts[*request].is_none())
                .map(|at| (at, &self.record.requests[at]))
                .filter(|(_, request)| is_meant(request))
                .max_by_key(|(_, request)| {
                    let sender = self.sender(request);
                    (sender == Some(&*attempt.instance), request.arrived)
                });
            if let Some((at_request, request)) = found {
                self.attempts[at_request] = Some(*at);
                let sender = self.senders.entry(request.connection);
                sender.or_insert(&attempt.instance);
            }
        }
    }

    /// What the books say about a request.
    pub(super) fn attempt_of(&self, request: usize) -> Option<&'a Attempt> {
        self.attempts[request].map(|at| &self.record.attempts[at])
    }

    /// Which process sent it, if that is known.
    pub(super) fn sender(&self, request: &Request) -> Option<&'a str> {
        self.senders.get(&request.connection).copied()
    }

    /// Whether an attempt that is in the books sent a request twice, as the receiver broke the connection
    /// of the first. Each attempt may do so once.
    pub(super) fn was_sent_again(&mut self, request: usize, all: &[usize]) -> bool {
        let one = &self.record.requests[request];
        if !is_broken(one) {
            return false;
        }
        let sent_both = all.iter().find_map(|other| {
            let attempt = self.attempts[*other]?;
            let (of, other) = (
                &self.record.attempts[attempt],
                &self.record.requests[*other],
            );
            let is_within = of.started <= one.arrived.after(ROUNDING) && one.arrived <= of.recorded;
            let is_first_broken = one.arrived <= other.arrived || is_broken(other);
            (is_within && is_first_broken).then_some(attempt)
        });
        sent_both.is_some_and(|attempt| self.sent_twice.insert(attempt))
    }
}

fn is_broken(request: &Request) -> bool {
    matches!(request.end, Some((_, End::Cut)))
}

/// What comes first on one side comes first on the other: nothing arrives before it is sent, and no
/// answer is heard before it is given.
fn may_be(attempt: &Attempt, request: &Request) -> bool {
    let is_after = |later: Timestamp, earlier: Timestamp| later.after(ROUNDING) >= earlier;
    let ended_as_said = match (attempt.status, request.end) {
        (Some(status), Some((_, End::Answered(given)))) => status == given,
        (Some(_), _) => false,
        // It gave up before it heard an answer, or the receiver broke off.
        (None, _) => true,
    };
    // What was given up may be read after that.
    let came_in_time = attempt.status.is_none() || is_after(attempt.recorded, request.arrived);
    is_after(request.arrived, attempt.started) && came_in_time && ended_as_said
}

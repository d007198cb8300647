//! What follows from the end of a request or from a decision: records to be written, and one
//! terminal state for the task's offset. All of it goes into one transaction.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::deadline;
use super::heard::Heard;
use super::held_task::HeldTask;
use super::outcome::{Death, Outcome, classify};
use super::request;
use crate::clock::Timestamp;
use crate::http::{ErrorClass, Exchange};
use crate::kafka::record::{Incoming, Outgoing};
use crate::record::subscription::RedactedUrl;
use crate::record::{
    Attempt, AttemptOutcome, DeadLetter, Headers, Parked, Reason, Subscription, TaskHeaders,
};
use crate::retry::{Hop, Ladder, Policy, Tier};
use crate::subscription_table::Compiled;

/// The least wait after a fault of our own: nothing ends those, so a schedule of zeros would turn at full
/// speed.
const OWN_FAULT_PAUSE: Duration = Duration::from_secs(1);

/// Where things are written, and how much is said about each request.
#[derive(Clone, Debug)]
pub struct Ledger {
    /// Full name of tier 0.
    pub deliveries: Arc<str>,
    /// Full names of the ladder's tiers, in its order.
    pub tiers: Vec<Arc<str>>,
    /// Full name of the dead-letter topic.
    pub dlq: Arc<str>,
    /// Full name of the attempts topic.
    pub attempts: Arc<str>,
    /// Whether a request that delivered gets a record there.
    pub record_deliveries: bool,
    /// Whether any other does.
    pub record_failures: bool,
    /// The longest `Retry-After` that is followed.
    pub longest_retry_after: Duration,
    /// The policy of subscriptions that have none.
    pub default_policy: Policy,
    /// How old an event may be and still be sent, for subscriptions that do not say.
    pub default_max_age: Duration,
    /// The longest that a paused task lies on a tier.
    pub resume_within: Duration,
    /// Who writes, for the attempt record.
    pub instance: String,
}

/// A task whose request came back, and what it was sent by.
#[derive(Clone, Copy, Debug)]
pub struct Sent<'a> {
    /// The task.
    pub task: &'a HeldTask,
    /// The subscription as it was when the request left.
    pub compiled: &'a Compiled,
    /// The offset of its record.
    pub revision: i64,
    /// When the request left.
    pub started_at: Timestamp,
    /// A time by which it had ended, whatever is not known of the clock: waits begin with it.
    pub ended_by: Timestamp,
    /// What came back.
    pub exchange: &'a Exchange,
}

/// How a request ended its task's stay at this offset.
#[derive(Debug)]
pub struct Conclusion {
    /// What is to be written.
    pub records: Vec<Outgoing>,
    /// In the words of the contract.
    pub outcome: AttemptOutcome,
    /// Set when the task was given up.
    pub dead: Option<Reason>,
    /// What the exchange says about the endpoint, whatever became of the task.
    pub heard: Heard,
}

impl Ledger {
    /// Concludes a request. `now` is when its end became known, `jitter` is a random number from 0
    /// up to 1. `is_ours` is asked whether what the exchange says is to be laid to our own way out.
    pub fn conclude(
        &self,
        sent: Sent<'_>,
        ladder: &Ladder,
        now: Timestamp,
        jitter: f64,
        is_ours: impl FnOnce(Heard) -> bool,
    ) -> Conclusion {
        let was = &sent.task.headers;
        let mut spent = Spent {
            attempt: was.attempt.saturating_add(1),
            charged: was.charged,
        };
        let subscription = &sent.compiled.subscription;
        let judged = classify(
            &sent.exchange.result,
            subscription.answers(),
            now,
            self.longest_retry_after,
        );
        let (outcome, heard) = match is_ours(judged.1) {
            true => (Outcome::OwnFault, Heard::OwnFault),
            false => judged,
        };
        let next = match self.next(outcome, &mut spent, was.parks, subscription, ladder, jitter) {
            Next::Retry(wait) if !self.is_in_time(was, subscription, now.after(wait)) => {
                Next::Dead(Reason::Expired)
            }
            // Whoever tries it out sees what has come of it, and tries again.
            Next::Retry(_) if was.is_test => Next::Dead(Reason::Exhausted),
            next => next,
        };
        let mut records = Vec::with_capacity(2);
        let (outcome, dead, next_attempt_at) = match next {
            Next::Delivered => (AttemptOutcome::Delivered, None, None),
            Next::Dead(reason) => {
                let (last_status, last_error) = last(sent.exchange);
                let letter = DeadLetter {
                    reason,
                    last_status,
                    last_error,
                    dead_at: now,
                };
                let headers = letter.headers(&spent.on(was));
                records.push(moved(sent.task, &self.dlq, headers));
                (AttemptOutcome::Dead, Some(reason), None)
            }
            Next::Retry(wait) => {
                let due = sent.ended_by.after(wait);
                let headers = TaskHeaders {
                    not_before: Some(due),
                    parked: None,
                    ..spent.on(was)
                };
                // A wait that is too short for any tier is written to tier 0 and rests in memory
                // once it is read from there: the count of attempts must survive a crash.
                let topic = match ladder.next_hop(due.since(sent.ended_by)) {
                    Hop::Tier(tier) => self.tier(tier),
                    Hop::Now | Hop::WaitInMemory(_) => &self.deliveries,
                };
                records.push(moved(sent.task, topic, headers.encode()));
                (AttemptOutcome::Retry, None, Some(due))
            }
        };
        if was.is_test || self.is_recorded(outcome) {
            records.push(self.attempt(sent, spent.attempt, outcome, next_attempt_at));
        }
        Conclusion {
            records,
            outcome,
            dead,
            heard,
        }
    }

    /// What becomes of a task after a request, and what it is charged.
    fn next(
        &self,
        outcome: Outcome,
        spent: &mut Spent,
        parks: u32,
        subscription: &Subscription,
        ladder: &Ladder,
        jitter: f64,
    ) -> Next {
        let policy = subscription.retry().unwrap_or(&self.default_policy);
        // What is not charged waits like the failure before it, and exhausts nothing.
        let uncharged = spent.attempt.saturating_sub(spent.charged);
        let as_before = policy.wait(spent.charged.max(1), jitter);
        match outcome {
            Outcome::Delivered => Next::Delivered,
            Outcome::Dead(Death::Gone) => Next::Dead(Reason::Gone),
            Outcome::Dead(Death::Rejected) => Next::Dead(Reason::Rejected),
            Outcome::Dead(Death::Refused) => Next::Dead(Reason::Refused),
            Outcome::Retry { retry_after } => {
                spent.charged = spent.charged.saturating_add(1);
                match policy.wait(spent.charged, jitter) {
                    Some(wait) => Next::Retry(wait.max(retry_after.unwrap_or_default())),
                    None => Next::Dead(Reason::Exhausted),
                }
            }
            // A policy without retries means one request, and this was it.
            Outcome::Throttled { .. } if policy.max_retries() == 0 => {
                spent.charged = spent.charged.saturating_add(1);
                Next::Dead(Reason::Exhausted)
            }
            // Longer each time: what is not charged could go on for days.
            Outcome::Throttled { retry_after } => {
                let longer = ladder.park_delay(uncharged.saturating_sub(1)).delay();
                let wait = as_before.unwrap_or_default().max(longer);
                Next::Retry(wait.max(retry_after.unwrap_or_default()))
            }
            Outcome::OwnFault => {
                let wait = as_before.unwrap_or_else(|| ladder.park_delay(parks).delay());
                Next::Retry(wait.max(OWN_FAULT_PAUSE))
            }
        }
    }

    /// Whether a request may still start then.
    fn is_in_time(
        &self,
        headers: &TaskHeaders,
        subscription: &Subscription,
        at: Timestamp,
    ) -> bool {
        at <= deadline::of(headers, Some(subscription), self.default_max_age)
    }

    /// Moves a task on towards its due time.
    pub fn hop(&self, task: &HeldTask, tier: &Tier) -> Outgoing {
        moved(task, self.tier(tier), task.headers.encode())
    }

    /// Puts a task off without spending an attempt, for as long as a record lies on `tier`; `until`, if
    /// it is to stay away for longer.
    pub fn park(
        &self,
        task: &HeldTask,
        tier: &Tier,
        until: Option<Timestamp>,
        why: Parked,
    ) -> Outgoing {
        let mut headers = task.headers.clone();
        headers.parks = headers.parks.saturating_add(1);
        headers.parked = Some(why);
        headers.not_before = until.or(headers.not_before);
        moved(task, self.tier(tier), headers.encode())
    }

    /// Gives a task up without a request.
    pub fn give_up(
        &self,
        task: &HeldTask,
        reason: Reason,
        message: &str,
        now: Timestamp,
    ) -> Outgoing {
        let letter = DeadLetter {
            reason,
            last_status: None,
            last_error: Some(message),
            dead_at: now,
        };
        moved(task, &self.dlq, letter.headers(&task.headers))
    }

    /// Keeps a record of a task topic that is not a task.
    pub fn not_a_task(&self, record: &Incoming, message: &str, now: Timestamp) -> Outgoing {
        let mut headers = record.headers.clone();
        DeadLetter {
            reason: Reason::Undeliverable,
            last_status: None,
            last_error: Some(message),
            dead_at: now,
        }
        .mark(&mut headers);
        Outgoing {
            topic: Arc::clone(&self.dlq),
            partition: None,
            key: record.key.clone(),
            value: record.value.clone(),
            headers,
            cause: record.at.clone(),
        }
    }

    fn tier(&self, tier: &Tier) -> &Arc<str> {
        self.tiers.get(tier.index()).unwrap_or(&self.deliveries)
    }

    fn is_recorded(&self, outcome: AttemptOutcome) -> bool {
        match outcome {
            AttemptOutcome::Delivered => self.record_deliveries,
            AttemptOutcome::Retry | AttemptOutcome::Dead => self.record_failures,
        }
    }

    fn attempt(
        &self,
        sent: Sent<'_>,
        number: u32,
        outcome: AttemptOutcome,
        next_attempt_at: Option<Timestamp>,
    ) -> Outgoing {
        let headers = &sent.task.headers;
        let (status, error, message, response) = match &sent.exchange.result {
            Ok(answer) => (
                Some(answer.status),
                answer.cut.then_some(ErrorClass::ResponseTooLarge.as_str()),
                None,
                Some(String::from_utf8_lossy(&answer.body)),
            ),
            Err(failure) => (
                failure.status,
                Some(failure.class.as_str()),
                Some(failure.message.as_str()),
                None,
            ),
        };
        let attempt = Attempt {
            delivery_id: headers.delivery_id,
            event_id: &headers.event_id,
            event_type: &headers.event_type,
            subscription: &sent.task.subscription,
            revision: sent.revision,
            attempt: number,
            started_at: sent.started_at,
            duration: sent.exchange.duration,
            outcome,
            status,
            error,
            message,
            response,
            url: shown_url(headers.target.as_deref(), &sent.compiled.subscription),
            next_attempt_at,
            source: &headers.source,
            instance: &self.instance,
        };
        Outgoing {
            topic: Arc::clone(&self.attempts),
            partition: None,
            key: Some(sent.task.key.clone()),
            value: attempt.encode().ok().map(Bytes::from),
            headers: Headers::new(),
            cause: sent.task.at.clone(),
        }
    }
}

/// Where the request went; where it would have gone, if it could not be made.
fn shown_url(target: Option<&str>, subscription: &Subscription) -> RedactedUrl {
    request::url(target, subscription)
        .map_or_else(|_| subscription.url().redacted(), |url| url.redacted())
}

/// What a task has had once its request has ended. A task that was delivered is not copied for it.
struct Spent {
    /// As in [`TaskHeaders`].
    attempt: u32,
    charged: u32,
}

impl Spent {
    /// The headers of the task's next record.
    fn on(&self, headers: &TaskHeaders) -> TaskHeaders {
        TaskHeaders {
            attempt: self.attempt,
            charged: self.charged,
            ..headers.clone()
        }
    }
}

enum Next {
    Delivered,
    /// After so long.
    Retry(Duration),
    Dead(Reason),
}

/// The task's record once more, elsewhere: key and value as they are.
fn moved(task: &HeldTask, topic: &Arc<str>, headers: Headers) -> Outgoing {
    Outgoing {
        topic: Arc::clone(topic),
        partition: None,
        key: Some(task.key.clone()),
        value: Some(task.body.clone()),
        headers,
        cause: task.at.clone(),
    }
}

/// The last answer's status, or the class of what kept it from coming.
fn last(exchange: &Exchange) -> (Option<u16>, Option<&str>) {
    match &exchange.result {
        Ok(answer) => (Some(answer.status), None),
        Err(failure) => (failure.status, Some(failure.class.as_str())),
    }
}

#[cfg(test)]
mod tests;

//! What becomes of a task before its next request: looked up when it could go, never when it was
//! made, so a changed URL applies to pending retries and a deletion cancels them.

use std::sync::Arc;
use std::time::Duration;

use super::deadline;
use crate::clock::Timestamp;
use crate::record::subscription::State;
use crate::record::{DisabledReason, Parked, Reason, Subscription, TaskHeaders};
use crate::retry::{Hop, Ladder, Tier};
use crate::subscription_table::{Compiled, Entry};

/// What to do with a task.
#[derive(Debug)]
pub enum Decision<'ladder> {
    /// Send it, by this subscription.
    Send {
        /// The subscription.
        compiled: Arc<Compiled>,
        /// The offset of its record.
        revision: i64,
    },
    /// Keep it in memory until then: the rest is too short for any tier.
    Rest(Timestamp),
    /// Move it to this tier; its due time stays.
    Hop(&'ladder Tier),
    /// Put it off without spending an attempt.
    Park(Parked),
    /// Give it up.
    DeadLetter(Reason, &'static str),
    /// The subscription was deleted.
    Cancel,
    /// The table is older than the task: ask again when it has caught up.
    AwaitTable,
}

/// How far the subscriptions table is.
#[derive(Clone, Copy, Debug)]
pub struct TableState {
    /// Everything below this offset is in it; -1: it is being read, and says nothing.
    pub position: i64,
    /// Whether it has reached the topic's end as asked after the task arrived.
    pub caught_up: bool,
}

/// Decides on one task. `default_max_age` is for subscriptions that have none.
pub fn decide<'ladder>(
    task: &TaskHeaders,
    entry: Option<&Entry>,
    table: TableState,
    now: Timestamp,
    ladder: &'ladder Ladder,
    default_max_age: Duration,
) -> Decision<'ladder> {
    let is_ahead = task.revision >= table.position;
    if is_ahead && !table.caught_up {
        return Decision::AwaitTable;
    }
    let Some(entry) = entry else {
        // Absence means deletion only where the table has passed the revision.
        return if is_ahead {
            Decision::DeadLetter(
                Reason::Undeliverable,
                "the subscription is not on its topic, which ends before the task's revision: it was made anew",
            )
        } else {
            Decision::Cancel
        };
    };
    let subscription = entry.content.as_ref().ok();
    let subscription = subscription.map(|compiled| &compiled.subscription);
    let state = subscription.map(Subscription::state);
    if state == Some(State::Disabled) {
        return Decision::DeadLetter(Reason::Disabled, "the subscription is disabled");
    }
    // Before anything is put off, so that nothing waits for ever; and for what is due too late, so
    // that nothing waits in vain.
    let due = task.not_before.map_or(now, |due| due.max(now));
    if due > deadline::of(task, subscription, default_max_age) {
        return Decision::DeadLetter(Reason::Expired, "its time to be delivered is over");
    }
    let Ok(compiled) = &entry.content else {
        return Decision::Park(Parked::Invalid);
    };
    if state == Some(State::Paused) {
        return Decision::Park(Parked::Paused);
    }
    let is_in_line = task.parked.is_some_and(Parked::is_in_line);
    let hop = match is_in_line {
        true => ladder.next_hop_in_line(due.since(now)),
        false => ladder.next_hop(due.since(now)),
    };
    match hop {
        Hop::Now => Decision::Send {
            compiled: Arc::clone(compiled),
            revision: entry.revision,
        },
        Hop::WaitInMemory(_) => Decision::Rest(due),
        Hop::Tier(tier) => Decision::Hop(tier),
    }
}

impl Decision<'_> {
    /// The same for an endpoint that is disabled, or that an operator has pause. What has come to an
    /// end has done so all the same; what waits for its time goes on waiting.
    #[must_use]
    pub fn subject_to(self, disabled: Option<DisabledReason>, is_braked: bool) -> Self {
        match (self, disabled) {
            (ended @ (Self::DeadLetter(..) | Self::Cancel | Self::AwaitTable), _) => ended,
            (_, Some(DisabledReason::Gone)) => {
                Self::DeadLetter(Reason::Gone, "the endpoint answered 410 before")
            }
            (_, Some(DisabledReason::Failing)) => Self::DeadLetter(
                Reason::Disabled,
                "the endpoint is disabled, as it failed for too long",
            ),
            (_, Some(DisabledReason::Operator)) => {
                Self::DeadLetter(Reason::Disabled, "an operator has disabled the endpoint")
            }
            (Self::Send { .. }, None) if is_braked => Self::Park(Parked::Braked),
            (decision, None) => decision,
        }
    }
}

#[cfg(test)]
mod tests;

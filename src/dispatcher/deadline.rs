//! Until when a task may be sent. It counts from when the event's record was written to Kafka, which
//! travels with the task (`hooktide-first-seen`) and which no retry, park or restart moves. The
//! event's own `timestamp` is its producer's word on when something happened, often long before it
//! was told: by it a late import would die unsent.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::record::{Subscription, TaskHeaders};

/// How much longer than a policy's waits its tasks may take, where no `max_age` says otherwise: for
/// the requests themselves, and for time spent parked.
const BEYOND_THE_WAITS: Duration = Duration::from_hours(24);

/// A task that tries a subscription out is of no use to anybody later.
const OF_A_TEST: Duration = Duration::from_mins(5);

/// The last moment at which a request for this task may start. A subscription that gives a `max_age`
/// has that, though its policy reaches further. One that gives none has the installation's, or what
/// its own policy takes, whichever is longer: nobody asks for retries that are never made.
pub fn of(
    task: &TaskHeaders,
    subscription: Option<&Subscription>,
    default_max_age: Duration,
) -> Timestamp {
    let max_age = match subscription {
        None => default_max_age,
        Some(subscription) => subscription.max_age().unwrap_or_else(|| {
            let own = subscription.retry().map(|policy| policy.span());
            let own = own.map(|span| span.saturating_add(BEYOND_THE_WAITS));
            default_max_age.max(own.unwrap_or_default())
        }),
    };
    let most = if task.is_test { OF_A_TEST } else { max_age };
    task.first_seen.after(max_age.min(most))
}

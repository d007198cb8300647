//! When a task's time is over, whatever it waits for.

use super::*;
use crate::record::subscription::Rules;
use crate::record::{DeliveryId, EventKey, Headers};
use crate::subscription_table::SubscriptionTable;

const SEEN: Timestamp = Timestamp::from_millis(1_000_000);
const HOUR: Duration = Duration::from_hours(1);

fn task(not_before: Option<Timestamp>) -> TaskHeaders {
    TaskHeaders {
        delivery_id: DeliveryId::derive("acme", "events", EventKey::Id("e"), "s1"),
        event_id: "e".into(),
        event_type: "order.created".into(),
        attempt: 1,
        charged: 1,
        parks: 0,
        parked: None,
        first_seen: SEEN,
        not_before,
        source: "events/0/0".parse().unwrap(),
        revision: 0,
        content_type: None,
        method: None,
        target: None,
        is_test: false,
        passthrough: Headers::new(),
    }
}

/// What becomes of a task that is `age` old and due in `due`, in one word. The installation's
/// `max_age` is an hour.
fn decided(record: &str, age: Duration, due: Option<Duration>) -> &'static str {
    let mut table = SubscriptionTable::new(Rules::default());
    table.apply(Some(b"acme/s1"), Some(record.as_bytes()), 0);
    let entry = table.get(&"acme/s1".parse().unwrap());
    let now = SEEN.after(age);
    let task = task(due.map(|due| now.after(due)));
    let ladder = Ladder::try_new([5, 600].map(Duration::from_secs)).unwrap();
    let state = TableState {
        position: 1,
        caught_up: true,
    };
    match decide(&task, entry, state, now, &ladder, HOUR) {
        Decision::Send { .. } => "send",
        Decision::Rest(_) => "rest",
        Decision::Hop(_) => "hop",
        Decision::Park(why) => why.as_str(),
        Decision::DeadLetter(reason, _) => reason.as_str(),
        Decision::Cancel => "cancel",
        Decision::AwaitTable => "await table",
    }
}

fn subscription(members: &str) -> String {
    format!(r#"{{"url":"https://example.com/","events":["*"],"signatures":[]{members}}}"#)
}

#[test]
fn what_is_too_old_expires_whatever_it_waits_for() {
    fn check(record: &str, expected: &str) {
        let later = HOUR + Duration::from_millis(1);
        assert_eq!(decided(record, HOUR, None), expected, "{record}");
        assert_eq!(decided(record, later, None), "expired", "{record}");
    }
    check(&subscription(""), "send");
    check(&subscription(r#","state":"paused""#), "paused");
    check("{}", "invalid");
    // The more telling reason first; a deletion leaves nothing to tell.
    let disabled = subscription(r#","state":"disabled""#);
    assert_eq!(decided(&disabled, 2 * HOUR, None), "disabled");
}

#[test]
fn what_would_be_due_too_late_does_not_wait_in_vain() {
    fn check(age: Duration, due: Duration, expected: &str) {
        let record = subscription(r#","max_age":"30m""#);
        assert_eq!(
            decided(&record, age, Some(due)),
            expected,
            "{age:?} {due:?}"
        );
    }
    const MINUTE: Duration = Duration::from_mins(1);
    check(29 * MINUTE, MINUTE, "hop");
    check(29 * MINUTE, 2 * MINUTE, "expired");
    check(30 * MINUTE, Duration::ZERO, "send");
    check(30 * MINUTE, Duration::from_millis(1), "expired");
}

/// The subscription's own word, else the installation's, else what its own policy takes.
#[test]
fn a_subscription_decides_how_long_its_events_live() {
    fn check(members: &str, lives: Duration) {
        let record = subscription(members);
        let over = lives + Duration::from_millis(1);
        assert_eq!(decided(&record, lives, None), "send", "{members}");
        assert_eq!(decided(&record, over, None), "expired", "{members}");
    }
    check(r#","max_age":"3h""#, 3 * HOUR);
    check(r#","max_age":"1m""#, Duration::from_mins(1));
    let day = 24 * HOUR;
    check(
        r#","retry":{"schedule":["2h","10h"],"jitter":0.5}"#,
        18 * HOUR + day,
    );
    check(r#","retry":{"schedule":["2h"]},"max_age":"1h""#, HOUR);
}

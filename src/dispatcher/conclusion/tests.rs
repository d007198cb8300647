//! What a request is charged, when the task goes again, and why it is given up.

use proptest::prelude::*;

use super::*;
use crate::http::{Answer, Failure};
use crate::record::subscription::Rules;
use crate::record::{DeliveryId, EventKey};
use crate::subscription_table::SubscriptionTable;

const NOW: Timestamp = Timestamp::from_millis(1_000_000);
const SECOND: Duration = Duration::from_secs(1);

fn ledger() -> Ledger {
    Ledger {
        deliveries: "deliveries".into(),
        tiers: ["retry.1s", "retry.1m"].map(Into::into).into(),
        dlq: "dlq".into(),
        attempts: "attempts".into(),
        record_deliveries: false,
        record_failures: false,
        longest_retry_after: Duration::from_mins(10),
        default_policy: Policy::schedule(vec![2 * SECOND, 20 * SECOND], 0.0).unwrap(),
        default_max_age: Duration::from_hours(1),
        resume_within: Duration::from_hours(6),
        instance: "i".into(),
    }
}

fn task(attempt: u32, charged: u32, age: Duration) -> HeldTask {
    let headers = TaskHeaders {
        delivery_id: DeliveryId::derive("acme", "events", EventKey::Id("e"), "s1"),
        event_id: "e".into(),
        event_type: "order.created".into(),
        attempt,
        charged,
        parks: 0,
        parked: None,
        first_seen: Timestamp::from_millis(NOW.as_millis() - age.as_millis() as i64),
        not_before: None,
        source: "events/0/0".parse().unwrap(),
        revision: 0,
        content_type: None,
        method: None,
        target: None,
        is_test: false,
        passthrough: Headers::new(),
    };
    let record = Incoming {
        at: "deliveries/0/0".parse().unwrap(),
        timestamp: Some(NOW),
        key: Some(Bytes::from_static(b"acme/s1")),
        value: Some(Bytes::from_static(b"{}")),
        headers: headers.encode(),
    };
    HeldTask::read(&record, 0).unwrap()
}

fn answered(status: u16, retry_after: Option<&str>) -> Exchange {
    Exchange {
        duration: SECOND,
        result: Ok(Answer {
            status,
            retry_after: retry_after.map(str::to_owned),
            ..Answer::default()
        }),
    }
}

fn own_fault() -> Exchange {
    Exchange {
        duration: SECOND,
        result: Err(Failure::new(ErrorClass::Internal, "")),
    }
}

fn concluded(members: &str, task: &HeldTask, exchange: &Exchange, jitter: f64) -> Conclusion {
    let mut table = SubscriptionTable::new(Rules::default());
    let value =
        format!(r#"{{"url":"https://example.com/","events":["*"],"signatures":[]{members}}}"#);
    table.apply(Some(b"acme/s1"), Some(value.as_bytes()), 0);
    let entry = table.get(&task.subscription).unwrap();
    let sent = Sent {
        task,
        compiled: entry.content.as_ref().unwrap(),
        revision: 0,
        started_at: NOW,
        ended_by: NOW,
        exchange,
    };
    let ladder = Ladder::try_new([SECOND, 60 * SECOND]).unwrap();
    ledger().conclude(sent, &ladder, NOW, jitter, |_| false)
}

/// The wait until the next request, and what the task has been charged then.
fn next(conclusion: &Conclusion) -> Option<(Duration, u32)> {
    let record = conclusion.records.first()?;
    let headers = TaskHeaders::decode(&record.headers).unwrap();
    (&*record.topic != "dlq").then(|| {
        let due = headers.not_before.unwrap();
        (due.since(NOW), headers.charged)
    })
}

#[test]
fn only_what_failed_is_charged() {
    fn check(members: &str, before: (u32, u32), exchange: Exchange, expected: (u64, u32)) {
        let task = task(before.0, before.1, Duration::ZERO);
        let conclusion = concluded(members, &task, &exchange, 0.0);
        let (seconds, charged) = expected;
        assert_eq!(
            next(&conclusion),
            Some((Duration::from_secs(seconds), charged)),
            "{members} {before:?} {exchange:?}"
        );
        assert_eq!(conclusion.dead, None);
    }
    check("", (0, 0), answered(500, None), (2, 1));
    check("", (1, 1), answered(503, None), (20, 2));
    check("", (0, 0), answered(503, Some("7")), (7, 1));
    check("", (0, 0), answered(503, Some("1")), (2, 1));
    check("", (0, 0), answered(503, Some("86400")), (600, 1));
    // A task that is throttled waits like the failure before it, and longer each time.
    check("", (0, 0), answered(429, None), (2, 0));
    check("", (0, 0), answered(429, Some("7")), (7, 0));
    check("", (1, 0), answered(429, None), (2, 0));
    check("", (5, 0), answered(429, None), (2, 0));
    check("", (6, 0), answered(429, None), (60, 0));
    check("", (40, 0), answered(429, Some("3")), (60, 0));
    check("", (2, 2), answered(429, None), (20, 2));
    check("", (9, 1), answered(500, None), (20, 2));
    // Our own fault waits as before too.
    check("", (0, 0), own_fault(), (2, 0));
    check("", (9, 2), own_fault(), (20, 2));
    let once = r#","retry":{"max_retries":0}"#;
    check(once, (0, 0), own_fault(), (1, 0));
}

#[test]
fn what_is_given_up_says_why() {
    fn check(members: &str, age: u64, exchange: Exchange, expected: Option<Reason>) {
        let task = task(0, 0, Duration::from_secs(age));
        let conclusion = concluded(members, &task, &exchange, 1.0);
        assert_eq!(conclusion.dead, expected, "{members} {age} {exchange:?}");
        let is_letter = conclusion
            .records
            .iter()
            .any(|record| &*record.topic == "dlq");
        assert_eq!(is_letter, expected.is_some());
    }
    let answers = r#","answers":{"delivered":[409],"final":["4xx"],"retry":[404,410]}"#;
    check(answers, 0, answered(400, None), Some(Reason::Rejected));
    check(answers, 0, answered(409, None), None);
    check(answers, 0, answered(404, None), None);
    check(answers, 0, answered(410, None), None);
    check("", 0, answered(410, None), Some(Reason::Gone));
    let once = r#","retry":{"max_retries":0}"#;
    check(once, 0, answered(500, None), Some(Reason::Exhausted));
    check(once, 0, answered(429, None), Some(Reason::Exhausted));
    // The next request would come after 3,600 s.
    check("", 3_598, answered(500, None), None);
    check("", 3_599, answered(500, None), Some(Reason::Expired));
    check("", 3_599, own_fault(), Some(Reason::Expired));
    check("", 3_599, answered(200, None), None);
    check("", 3_590, answered(429, Some("10")), None);
    check("", 3_590, answered(429, Some("11")), Some(Reason::Expired));
    let minute = r#","max_age":"1m","retry":{"schedule":["30s"],"jitter":1}"#;
    check(minute, 0, answered(500, None), None);
    check(minute, 1, answered(500, None), Some(Reason::Expired));
    check(minute, 9_999, answered(410, None), Some(Reason::Gone));
}

#[test]
fn the_endpoint_is_heard_whatever_becomes_of_the_task() {
    let task = task(0, 0, Duration::ZERO);
    let heard = |members, exchange| concluded(members, &task, &exchange, 0.0).heard;
    let retry_after = Some(7 * SECOND);
    let once = r#","retry":{"max_retries":0}"#;
    assert_eq!(
        heard(once, answered(429, Some("7"))),
        Heard::Throttled { retry_after }
    );
    let last = r#","answers":{"final":[503]}"#;
    assert_eq!(
        heard(last, answered(503, Some("7"))),
        Heard::Unavailable { retry_after }
    );
    assert_eq!(heard("", own_fault()), Heard::OwnFault);
}

#[test]
fn a_test_is_sent_once_and_always_recorded() {
    let check = |exchange: Exchange, expected: (AttemptOutcome, Option<Reason>)| {
        let mut task = task(0, 0, Duration::ZERO);
        task.headers.is_test = true;
        let conclusion = concluded(r#","retry":"standard""#, &task, &exchange, 0.0);
        assert_eq!((conclusion.outcome, conclusion.dead), expected);
        let last = conclusion.records.last().unwrap();
        assert_eq!(&*last.topic, "attempts");
    };
    let dead = |reason| (AttemptOutcome::Dead, Some(reason));
    check(answered(204, None), (AttemptOutcome::Delivered, None));
    check(answered(500, None), dead(Reason::Exhausted));
    check(answered(429, Some("7")), dead(Reason::Exhausted));
    check(answered(410, None), dead(Reason::Gone));
    check(own_fault(), dead(Reason::Exhausted));
}

proptest! {
    /// Never before the policy's wait and the endpoint's own wish, never after the deadline.
    #[test]
    fn a_retry_is_neither_early_nor_after_the_deadline(
        status in 300..=599_u16,
        retry_after in prop::option::of(0..2_000_u64),
        (charged, uncharged) in (0..4_u32, 0..20_u32),
        age in 0..4_000_u64,
        jitter in 0.0..1.0,
    ) {
        let task = task(charged + uncharged, charged, Duration::from_secs(age));
        let wish = retry_after.map(|seconds| seconds.to_string());
        let exchange = answered(status, wish.as_deref());
        let members = r#","max_age":"1h","retry":{"schedule":["2s","20s"],"jitter":1}"#;
        let conclusion = concluded(members, &task, &exchange, jitter);
        prop_assert_eq!(next(&conclusion).is_none(), conclusion.dead.is_some());
        if let Some((wait, charged)) = next(&conclusion) {
            let least = [2, 2, 20].get(charged as usize).copied().unwrap_or_default();
            prop_assert!(wait >= Duration::from_secs(least));
            let asked = conclusion.heard.retry_after().unwrap_or_default();
            prop_assert!(wait >= asked && asked <= Duration::from_mins(10));
            prop_assert!(Duration::from_secs(age) + wait <= Duration::from_hours(1));
        }
    }
}

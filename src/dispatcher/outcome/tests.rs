//! The classification, as tables: every status, every failure, every override.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::record::Subscription;
use crate::record::subscription::Rules;

const NOW: Timestamp = Timestamp::from_millis(1_445_412_480_000); // 2015-10-21T07:28:00Z
const MAX: Duration = Duration::from_secs(3_600);
const GONE: Outcome = Outcome::Dead(Death::Gone);
const THROTTLED: Heard = Heard::Throttled { retry_after: None };
const UNAVAILABLE: Heard = Heard::Unavailable { retry_after: None };

fn answer(status: u16, retry_after: Option<&str>) -> Result<Answer, Failure> {
    Ok(Answer {
        status,
        retry_after: retry_after.map(str::to_owned),
        ..Answer::default()
    })
}

fn answers(value: &Value) -> Answers {
    let subscription = json!({
        "url": "https://example.com/", "events": ["*"], "signatures": [], "answers": value,
    });
    let bytes = subscription.to_string().into_bytes();
    let key = "acme/shop".parse().unwrap();
    let parsed = Subscription::parse(&key, &bytes, &Rules::default());
    parsed.unwrap().answers().clone()
}

fn judged(status: u16, answers: &Answers) -> (Outcome, Heard) {
    classify(&answer(status, None), answers, NOW, MAX)
}

#[test]
fn every_status_has_one_outcome() {
    for status in 100..=999 {
        let expected = match status {
            200..=299 => (Outcome::Delivered, Heard::Accepted),
            410 => (GONE, Heard::Gone),
            429 => (Outcome::Throttled { retry_after: None }, THROTTLED),
            502..=504 => (FAILED, UNAVAILABLE),
            100..=499 => (FAILED, Heard::Declined),
            _ => (FAILED, Heard::Broken),
        };
        assert_eq!(judged(status, &Answers::default()), expected, "{status}");
    }
}

#[test]
fn every_failure_has_one_outcome() {
    fn check(class: ErrorClass, outcome: Outcome, heard: Heard) {
        let own = answers(&json!({"delivered": ["4xx"], "final": ["5xx"]}));
        for status in [None, Some(200), Some(410), Some(500)] {
            let mut failure = Failure::new(class, "");
            failure.status = status;
            let found = classify(&Err(failure), &own, NOW, MAX);
            assert_eq!(found, (outcome, heard), "{class:?}");
        }
    }
    let refused = Outcome::Dead(Death::Refused);
    check(ErrorClass::RefusedAddress, refused, Heard::NotAsked);
    check(ErrorClass::InvalidRequest, FAILED, Heard::NotAsked);
    check(ErrorClass::Resolver, Outcome::OwnFault, Heard::OwnFault);
    check(ErrorClass::Proxy, Outcome::OwnFault, Heard::OwnFault);
    check(ErrorClass::NoRoute, Outcome::OwnFault, Heard::OwnFault);
    check(ErrorClass::Resources, Outcome::OwnFault, Heard::OwnFault);
    check(ErrorClass::Internal, Outcome::OwnFault, Heard::OwnFault);
    check(ErrorClass::Dns, FAILED, Heard::NoAnswer);
    check(ErrorClass::Connect, FAILED, Heard::NoAnswer);
    check(ErrorClass::Tls, FAILED, Heard::NoAnswer);
    check(ErrorClass::TimeoutConnect, FAILED, Heard::NoAnswer);
    check(ErrorClass::Reset, FAILED, Heard::NoAnswer);
    check(ErrorClass::Timeout, FAILED, Heard::TimedOut);
    check(ErrorClass::Protocol, FAILED, Heard::Broken);
    check(ErrorClass::ResponseTooLarge, FAILED, Heard::Broken);
}

#[test]
fn a_subscription_has_its_own_word_on_statuses() {
    fn check(own: Value, status: u16, outcome: Outcome, heard: Heard) {
        assert_eq!(
            judged(status, &answers(&own)),
            (outcome, heard),
            "{own} {status}"
        );
    }
    let own = || json!({"delivered": [409, 304], "final": ["4xx", 501], "retry": [404]});
    check(own(), 409, Outcome::Delivered, Heard::Accepted);
    check(own(), 304, Outcome::Delivered, Heard::Accepted);
    check(own(), 302, FAILED, Heard::Declined);
    check(own(), 400, REJECTED, Heard::Declined);
    check(own(), 404, FAILED, Heard::Declined);
    check(own(), 501, REJECTED, Heard::Broken);
    check(own(), 500, FAILED, Heard::Broken);
    // A class leaves alone what has a meaning of its own.
    check(own(), 410, GONE, Heard::Gone);
    let throttled = Outcome::Throttled { retry_after: None };
    check(own(), 429, throttled, THROTTLED);
    check(json!({"final": ["5xx"]}), 503, FAILED, UNAVAILABLE);
    check(json!({"retry": ["4xx"]}), 410, GONE, Heard::Gone);
    // Which can be named.
    let named = || json!({"final": [429, 503], "retry": [410]});
    check(named(), 429, REJECTED, THROTTLED);
    check(named(), 503, REJECTED, UNAVAILABLE);
    check(named(), 410, FAILED, Heard::Declined);
    check(json!({"final": [410]}), 410, REJECTED, Heard::Declined);
    check(json!({"retry": [429]}), 429, throttled, THROTTLED);
    let delivered = || json!({"delivered": [410, 500]});
    check(delivered(), 410, Outcome::Delivered, Heard::Accepted);
    check(delivered(), 500, Outcome::Delivered, Heard::Accepted);
    // A 2xx is not open to it.
    let all = json!({"final": ["3xx", "4xx", "5xx"]});
    check(all, 202, Outcome::Delivered, Heard::Accepted);
}

#[test]
fn retry_after_is_heard_where_it_throttles() {
    fn check(status: u16, header: &str, expected: Option<u64>) {
        let result = answer(status, Some(header));
        let (outcome, heard) = classify(&result, &Answers::default(), NOW, MAX);
        let expected = expected.map(Duration::from_secs);
        let found = match outcome {
            Outcome::Retry { retry_after } | Outcome::Throttled { retry_after } => retry_after,
            Outcome::Delivered | Outcome::OwnFault | Outcome::Dead(_) => panic!("{outcome:?}"),
        };
        assert_eq!(found, expected, "{status} {header:?}");
        assert_eq!(heard.retry_after(), expected, "{status} {header:?}");
    }
    for status in [429, 502, 503, 504] {
        check(status, "120", Some(120));
    }
    for status in [301, 400, 404, 500, 501, 505] {
        check(status, "120", None);
    }
    check(503, " 0 ", Some(0));
    check(503, "3601", Some(3_600));
    check(503, "99999999999999999999999999", Some(3_600));
    check(503, "Wed, 21 Oct 2015 07:28:30 GMT", Some(30));
    check(503, "Wednesday, 21-Oct-15 07:28:30 GMT", Some(30));
    check(503, "Wed Oct 21 07:28:30 2015", Some(30));
    check(503, "Wed, 21 Oct 2015 07:27:00 GMT", Some(0));
    check(503, "Thu, 01 Jan 1970 00:00:00 GMT", Some(0));
    check(503, "Fri, 31 Dec 9999 23:59:59 GMT", Some(3_600));
    check(503, "", None);
    check(503, "-1", None);
    check(503, "1.5", None);
    check(503, "+5", None);
    check(503, "٣", None);
    check(503, "soon", None);
    check(503, "Wed, 99 Oct 2015 07:28:00 GMT", None);
}

/// Statuses and classes, each in at most one of the three lists.
fn any_answers() -> impl Strategy<Value = Value> {
    let status = (300..=599_u16).prop_map(|status| json!(status));
    let class = prop::sample::select(vec!["3xx", "4xx", "5xx"]).prop_map(|class| json!(class));
    let entry = prop_oneof![4 => status, 1 => class];
    let lists = prop::collection::vec((entry, 0..3_usize), 0..20);
    lists.prop_map(|entries| {
        let mut taken = Vec::new();
        let mut lists = [Vec::new(), Vec::new(), Vec::new()];
        for (entry, list) in entries {
            if !taken.contains(&entry) {
                taken.push(entry.clone());
                lists[list].push(entry);
            }
        }
        let [delivered, last, retry] = lists;
        json!({"delivered": delivered, "final": last, "retry": retry})
    })
}

proptest! {
    /// What a subscription names decides, and nothing else is changed by it.
    #[test]
    fn overrides_decide_what_they_name(own in any_answers(), status in 100..=999_u16) {
        let (outcome, heard) = judged(status, &answers(&own));
        let listed = |name: &str, entry: Value| own[name].as_array().unwrap().contains(&entry);
        let class = json!(format!("{}xx", status / 100));
        let is_open = ![410, 429, 502, 503, 504].contains(&status);
        let by_itself = ["delivered", "final", "retry"]
            .into_iter()
            .find(|name| listed(name, json!(status)));
        let by_class = ["delivered", "final", "retry"]
            .into_iter()
            .find(|name| is_open && listed(name, class.clone()));
        match by_itself.or(by_class) {
            Some("delivered") => {
                prop_assert_eq!((outcome, heard), (Outcome::Delivered, Heard::Accepted));
            }
            Some("final") => prop_assert_eq!(outcome, REJECTED),
            Some(_retry) => {
                let is_retry = matches!(outcome, Outcome::Retry { .. } | Outcome::Throttled { .. });
                prop_assert!(is_retry, "{:?}", outcome);
            }
            None => {
                prop_assert_eq!((outcome, heard), judged(status, &Answers::default()));
            }
        }
    }
}

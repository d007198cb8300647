//! What is written is read back the same, and what is no task is refused by header and rule.

use proptest::prelude::*;

use super::*;
use crate::record::EventKey;

pub(in crate::record) fn task() -> TaskHeaders {
    let mut passthrough = Headers::new();
    passthrough.push("traceparent", Some(b"00-1-2-01"));
    passthrough.push("x", None);
    passthrough.push("x", Some(b"\xff"));
    TaskHeaders {
        delivery_id: DeliveryId::derive("acme", "events", EventKey::Id("evt_1"), "shop"),
        event_id: "evt_1".to_owned(),
        event_type: "order.created".to_owned(),
        attempt: 3,
        charged: 3,
        parks: 1,
        parked: Some(Parked::Crowded),
        first_seen: Timestamp::from_millis(1_795_341_600_000),
        not_before: None,
        source: "events/0/7".parse().unwrap(),
        revision: 12,
        content_type: None,
        method: None,
        target: None,
        is_test: false,
        passthrough,
    }
}

#[test]
fn writes_the_headers_of_the_contract() {
    let headers = task().encode();
    let shown: Vec<_> = headers
        .iter()
        .map(|(name, value)| (name, value.map(String::from_utf8_lossy)))
        .collect();
    let expected = [
        (DELIVERY_ID, Some("msg_X3Qf2P7v04jVikk7HYun88sbbDD")),
        (EVENT_ID, Some("evt_1")),
        (EVENT_TYPE, Some("order.created")),
        (ATTEMPT, Some("3")),
        (PARKS, Some("1")),
        (PARKED, Some("crowded")),
        (FIRST_SEEN, Some("1795341600000")),
        (SOURCE, Some("events/0/7")),
        (REVISION, Some("12")),
        ("traceparent", Some("00-1-2-01")),
        ("x", None),
        ("x", Some("\u{fffd}")),
    ]
    .map(|(name, value)| (name, value.map(Into::into)));
    assert_eq!(shown, expected);
}

#[test]
fn names_header_and_rule() {
    fn check(name: &'static str, value: Option<&'static [u8]>, rule: TaskRule) {
        let mut headers = task().encode();
        headers.remove(name);
        headers.push(name, value);
        let error = TaskHeaders::decode(&headers).unwrap_err();
        assert_eq!(error, TaskError { name, rule }, "{value:?}");
    }
    for name in KNOWN {
        check(name, None, TaskRule::Null);
        check(name, Some(b"\xff"), TaskRule::NotUtf8);
    }
    for name in [
        ATTEMPT, CHARGED, PARKS, FIRST_SEEN, NOT_BEFORE, REVISION, VERSION,
    ] {
        for wrong in [
            &b""[..],
            b"+1",
            b"01",
            b"1.0",
            b" 1",
            b"-0",
            b"99999999999999999999",
        ] {
            check(name, Some(wrong), TaskRule::NotANumber);
        }
    }
    for name in [ATTEMPT, CHARGED, PARKS, REVISION] {
        check(name, Some(b"-1"), TaskRule::NotANumber);
    }
    for name in [EVENT_ID, EVENT_TYPE, CONTENT_TYPE, METHOD, TARGET] {
        check(name, Some(b""), TaskRule::NotPlainText);
        check(name, Some(b"a\r\nb"), TaskRule::NotPlainText);
        check(name, Some(&[b'a'; 4_096]), TaskRule::NotPlainText);
    }
    check(DELIVERY_ID, Some(b"msg_1"), TaskRule::NotADeliveryId);
    check(SOURCE, Some(b"events/0"), TaskRule::NotCoordinates);
    check(VERSION, Some(b"0"), TaskRule::NewerVersion);
    check(VERSION, Some(b"2"), TaskRule::NewerVersion);
}

#[test]
fn a_version_need_not_be_said() {
    let mut headers = task().encode();
    assert_eq!(headers.get(VERSION), None);
    headers.push(VERSION, Some(b"1"));
    assert_eq!(TaskHeaders::decode(&headers), Ok(task()));
}

#[test]
fn refuses_missing_and_repeated_headers() {
    for name in [
        DELIVERY_ID,
        EVENT_ID,
        EVENT_TYPE,
        ATTEMPT,
        PARKS,
        FIRST_SEEN,
        SOURCE,
        REVISION,
    ] {
        let mut headers = task().encode();
        let value = headers.get(name).map(<[u8]>::to_vec);
        headers.push(name, value.as_deref());
        let error = TaskHeaders::decode(&headers).unwrap_err();
        assert_eq!((error.name, error.rule), (name, TaskRule::Repeated));
        headers.remove(name);
        let error = TaskHeaders::decode(&headers).unwrap_err();
        assert_eq!((error.name, error.rule), (name, TaskRule::Missing));
    }
}

#[test]
fn what_passes_through_cannot_take_our_names() {
    let mut forged = task();
    forged.passthrough.push(ATTEMPT, Some(b"0"));
    forged.passthrough.push(NOT_BEFORE, Some(b"0"));
    assert_eq!(TaskHeaders::decode(&forged.encode()), Ok(task()));
}

fn any_headers() -> impl Strategy<Value = Headers> {
    let value = prop::option::of(prop::collection::vec(any::<u8>(), 0..8));
    prop::collection::vec(("[a-z]{0,3}", value), 0..5).prop_map(|pairs| {
        let mut headers = Headers::new();
        for (name, value) in pairs {
            headers.push(&name, value.as_deref());
        }
        headers
    })
}

proptest! {
    #[test]
    fn round_trips(
        counts in any::<(u32, u32, u32)>(),
        first_seen in any::<i64>(),
        not_before in any::<Option<i64>>(),
        texts in ("[^\\p{Cc}]{1,40}", "[^\\p{Cc}]{1,40}"),
        rest in prop::array::uniform3(prop::option::of("[ -~]{1,40}")),
        (partition, offset, revision) in (0..=i32::MAX, 0..=i64::MAX, 0..=i64::MAX),
        passthrough in any_headers(),
        is_test in any::<bool>(),
    ) {
        let [content_type, method, target] = rest;
        let task = TaskHeaders {
            event_id: texts.0,
            event_type: texts.1,
            attempt: counts.0,
            charged: counts.1,
            parks: counts.2,
            parked: Parked::ALL.get(counts.2 as usize).copied(),
            first_seen: Timestamp::from_millis(first_seen),
            not_before: not_before.map(Timestamp::from_millis),
            source: Coordinates { topic: "t".into(), partition, offset },
            revision,
            content_type,
            method,
            target,
            is_test,
            passthrough,
            ..task()
        };
        prop_assert_eq!(TaskHeaders::decode(&task.encode()), Ok(task));
    }
}

//! What the code writes against the JSON Schemas: each example is rebuilt by the code from what it
//! says, and comes out the same.

use std::collections::BTreeSet;
use std::time::Duration;

use hooktide::clock::Timestamp;
use hooktide::record::subscription::TargetUrl;
use hooktide::record::{
    Attempt, AttemptOutcome, DeadLetter, EndpointState, EndpointWish, Headers, Notice,
    NoticeDetails, NoticeKind, Reason, Reject, SubscriptionKey, TaskHeaders,
};
use serde_json::{Map, Value};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::package::{examples, json};
use crate::schemas::{headers, validator};

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

fn time(value: &Value) -> Timestamp {
    let time = OffsetDateTime::parse(value.as_str().unwrap(), &Rfc3339).unwrap();
    Timestamp::from_millis(i64::try_from(time.unix_timestamp_nanos() / 1_000_000).unwrap())
}

fn key(value: &Value) -> SubscriptionKey {
    SubscriptionKey::try_new(&text(&value["tenant"]), &text(&value["subscription"])).unwrap()
}

/// The names of a schema's members equal those of a value, so that neither has more.
fn has_the_members_of(record: &str, written: &Value) {
    let schema = json(&format!("schemas/{record}.schema.json"));
    let known: BTreeSet<_> = schema["properties"].as_object().unwrap().keys().collect();
    let written: BTreeSet<_> = written.as_object().unwrap().keys().collect();
    assert_eq!(known, written, "{record}");
}

#[test]
fn attempts() {
    const OUTCOMES: [AttemptOutcome; 3] = [
        AttemptOutcome::Delivered,
        AttemptOutcome::Retry,
        AttemptOutcome::Dead,
    ];
    for (name, example) in examples("attempt") {
        let optional = |member: &str| example[member].as_str().map(str::to_owned);
        let url = text(&example["url"])
            .replace("[redacted]@", "u:p@")
            .replace("[redacted]", "a=1");
        let attempt = Attempt {
            delivery_id: text(&example["delivery_id"]).parse().unwrap(),
            event_id: &text(&example["event_id"]),
            event_type: &text(&example["event_type"]),
            subscription: &key(&example),
            revision: example["revision"].as_i64().unwrap(),
            attempt: u32::try_from(example["attempt"].as_u64().unwrap()).unwrap(),
            started_at: time(&example["started_at"]),
            duration: Duration::from_millis(example["duration_ms"].as_u64().unwrap()),
            outcome: *OUTCOMES
                .iter()
                .find(|known| example["outcome"] == known.as_str())
                .unwrap(),
            status: example["status"]
                .as_u64()
                .map(|status| u16::try_from(status).unwrap()),
            error: optional("error").map(|class| &*class.leak()),
            message: example["message"].as_str(),
            response: example["response"].as_str().map(Into::into),
            url: TargetUrl::parse(&url).unwrap().redacted(),
            next_attempt_at: optional("next_attempt_at").map(|at| time(&at.into())),
            source: &text(&example["source"]).parse().unwrap(),
            instance: &text(&example["instance"]),
        };
        let written: Value = serde_json::from_slice(&attempt.encode().unwrap()).unwrap();
        assert_eq!(written, example, "{name}");
        has_the_members_of("attempt", &written);
        for outcome in OUTCOMES {
            let other = Attempt {
                outcome,
                ..attempt.clone()
            };
            let written = serde_json::from_slice(&other.encode().unwrap()).unwrap();
            assert!(validator("attempt").is_valid(&written), "{written}");
        }
    }
}

#[test]
fn dead_letters() {
    for (name, example) in examples("dead_letter") {
        let in_headers = &example["headers"];
        let task = TaskHeaders::decode(&headers(in_headers).unwrap()).unwrap();
        let number = |header: &str| {
            in_headers[header]
                .as_str()
                .map(|text| text.parse().unwrap())
        };
        let letter = DeadLetter {
            reason: Reason::ALL
                .into_iter()
                .find(|reason| in_headers["hooktide-reason"] == reason.as_str())
                .unwrap(),
            last_status: number("hooktide-last-status")
                .map(|status: i64| u16::try_from(status).unwrap()),
            last_error: in_headers["hooktide-last-error"].as_str(),
            dead_at: Timestamp::from_millis(number("hooktide-dead-at").unwrap()),
        };
        let mut written = example.clone();
        written["headers"] = shown(&letter, &task);
        assert_eq!(written, example, "{name}");
        for reason in Reason::ALL {
            let letter = DeadLetter {
                reason,
                ..letter.clone()
            };
            written["headers"] = shown(&letter, &task);
            assert!(validator("dead_letter").is_valid(&written), "{written}");
        }
    }
}

/// The headers of a dead letter as the schema describes them.
fn shown(letter: &DeadLetter<'_>, task: &TaskHeaders) -> Value {
    let written = letter.headers(task);
    let mut object = Map::new();
    for (name, value) in written.iter() {
        let value = value.map(|bytes| str::from_utf8(bytes).unwrap());
        let repeated = object.insert(name.to_owned(), value.into());
        assert_eq!(repeated, None, "{name}");
    }
    object.into()
}

#[test]
fn notices() {
    let schema = json("schemas/notice.schema.json");
    let kinds = NoticeKind::ALL.map(NoticeKind::as_str);
    assert_eq!(
        schema["properties"]["type"]["examples"],
        serde_json::json!(kinds)
    );
    for (name, example) in examples("notice") {
        let data = &example["data"];
        let optional = |member: &str| data[member].as_str().map(str::to_owned);
        let notice = Notice {
            kind: *NoticeKind::ALL
                .iter()
                .find(|kind| example["type"] == kind.as_str())
                .unwrap(),
            subscription: SubscriptionKey::try_new(
                &text(&example["tenant"]),
                &text(&data["subscription"]),
            )
            .unwrap(),
            revision: data["revision"].as_i64().unwrap(),
            at: time(&example["timestamp"]),
            message: text(&data["message"]),
            instance: text(&data["instance"]),
            details: NoticeDetails {
                reason: optional("reason"),
                since: optional("since").map(|at| time(&at.into())),
                failures: data["failures"].as_u64(),
                count: data["count"].as_u64(),
                last_status: data["last_status"]
                    .as_u64()
                    .map(|status| u16::try_from(status).unwrap()),
                last_error: optional("last_error"),
            },
        };
        let written: Value = serde_json::from_slice(&notice.encode().unwrap()).unwrap();
        assert_eq!(written, example, "{name}");
        has_the_members_of("notice", &written);
        for kind in NoticeKind::ALL {
            let other = Notice {
                kind,
                ..notice.clone()
            };
            let written = serde_json::from_slice(&other.encode().unwrap()).unwrap();
            assert!(validator("notice").is_valid(&written), "{written}");
        }
    }
}

#[test]
fn what_is_known_and_wished_of_endpoints() {
    for (name, example) in examples("endpoint_state") {
        let state = EndpointState::decode(example.to_string().as_bytes()).unwrap();
        let written: Value = serde_json::from_slice(&state.encode().unwrap()).unwrap();
        assert_eq!(written, example, "{name}");
        has_the_members_of("endpoint_state", &written);
    }
    for (name, example) in examples("endpoint_wish") {
        let wish = EndpointWish::decode(example.to_string().as_bytes()).unwrap();
        let written: Value = serde_json::from_slice(&wish.encode().unwrap()).unwrap();
        assert_eq!(written, example, "{name}");
    }
}

#[test]
fn rejects() {
    let mut came_with = Headers::new();
    came_with.push("own", Some(b"1"));
    came_with.push("large", Some(&[b'x'; 64 * 1_024]));
    let rejected = Reject {
        reason: "not_json",
        error: "the value is not JSON",
        source: &"events/0/7".parse().unwrap(),
        value: Some(b"abc"),
        headers: &came_with,
        rejected_at: Timestamp::from_millis(1_795_341_600_007),
    };
    let headers = rejected.headers();
    let shown: Vec<_> = headers
        .iter()
        .map(|(name, value)| (name, str::from_utf8(value.unwrap()).unwrap()))
        .collect();
    let expected = [
        ("own", "1"),
        ("hooktide-reason", "not_json"),
        ("hooktide-error", "the value is not JSON"),
        ("hooktide-source", "events/0/7"),
        (
            "hooktide-sha256",
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        ),
        ("hooktide-original-bytes", "3"),
        ("hooktide-rejected-at", "1795341600007"),
        ("hooktide-headers-dropped", "1"),
    ];
    assert_eq!(shown, expected);
}

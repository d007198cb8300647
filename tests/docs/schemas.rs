//! JSON Schemas against the code that reads: for each example and for a great many damaged copies of
//! it, both come to the same verdict.

use std::collections::BTreeSet;

use hooktide::clock::Timestamp;
use hooktide::record::subscription::Rules;
use hooktide::record::{
    EndpointState, EndpointWish, Event, EventType, Headers, TaskHeaders, type_of_key,
};
use hooktide::subscription_table::{Change, SubscriptionTable};
use jsonschema::Validator;
use serde_json::{Map, Value, json};

use crate::package::{RECORDS, examples, json as read};

pub(crate) fn validator(record: &str) -> Validator {
    jsonschema::options()
        .should_validate_formats(true)
        .build(&read(&format!("schemas/{record}.schema.json")))
        .unwrap_or_else(|error| panic!("{record}: {error}"))
}

/// What the code says to a record; `None` where it reads no such record.
fn code_accepts(record: &str, value: &Value) -> Option<bool> {
    match record {
        "event" => {
            let at = "events/0/7".parse().unwrap();
            let bytes = value.to_string().into_bytes();
            Some(Event::parse(&bytes, &at, Timestamp::from_millis(0)).is_ok())
        }
        "subscription" => {
            let mut table = SubscriptionTable::new(Rules::default());
            let value = value.to_string();
            let change = table.apply(Some(b"acme/shop"), Some(value.as_bytes()), 0);
            Some(change == Change::Put)
        }
        "dead_letter" => Some(TaskHeaders::decode(&headers(&value["headers"])?).is_ok()),
        "endpoint_state" => Some(EndpointState::decode(value.to_string().as_bytes()).is_ok()),
        "endpoint_wish" => Some(EndpointWish::decode(value.to_string().as_bytes()).is_ok()),
        "event_type" => {
            let event_type = value["type"].as_str().unwrap_or("order.created");
            let is_type = type_of_key(event_type.as_bytes()).is_ok();
            Some(is_type && EventType::parse(event_type, value.to_string().as_bytes()).is_ok())
        }
        "attempt" | "notice" => None,
        other => panic!("{other} is not a record"),
    }
}

/// Headers as JSON has them; `None` for values that no header can have.
pub(crate) fn headers(object: &Value) -> Option<Headers> {
    let mut headers = Headers::new();
    for (name, value) in object.as_object()? {
        let value = match value {
            Value::String(text) => Some(text.as_bytes()),
            Value::Null => None,
            _ => return None,
        };
        headers.push(name, value);
    }
    Some(headers)
}

#[test]
fn examples_are_valid_and_read() {
    for record in RECORDS {
        let validator = validator(record);
        for (name, example) in examples(record) {
            let errors: Vec<_> = validator
                .iter_errors(&example)
                .map(|error| format!("{}: {error}", error.instance_path()))
                .collect();
            assert!(errors.is_empty(), "{name}: {errors:#?}");
            assert_ne!(code_accepts(record, &example), Some(false), "{name}");
        }
    }
}

/// So every member that a schema knows is accepted: the test above reads all examples.
#[test]
fn examples_show_every_member_that_the_schemas_know() {
    for record in RECORDS {
        let mut known = BTreeSet::new();
        members_of_schema(&read(&format!("schemas/{record}.schema.json")), &mut known);
        let mut shown = BTreeSet::new();
        for (_, example) in examples(record) {
            members_of_value(&example, &mut shown);
        }
        let missing: Vec<_> = known.difference(&shown).collect();
        assert!(missing.is_empty(), "{record}: {missing:?} in no example");
    }
}

/// The names below every `properties`.
pub(crate) fn members_of_schema(schema: &Value, found: &mut BTreeSet<String>) {
    each(schema, &mut |value| {
        if let Some(Value::Object(properties)) = value.get("properties") {
            // Conditions repeat some names, to say more about them.
            if properties
                .values()
                .any(|known| known.get("description").is_some())
            {
                found.extend(properties.keys().cloned());
            }
        }
    });
}

fn members_of_value(value: &Value, found: &mut BTreeSet<String>) {
    each(value, &mut |value| {
        found.extend(value.as_object().into_iter().flat_map(Map::keys).cloned());
    });
}

fn each(value: &Value, visit: &mut impl FnMut(&Value)) {
    visit(value);
    match value {
        Value::Object(members) => members.values().for_each(|member| each(member, visit)),
        Value::Array(entries) => entries.iter().for_each(|entry| each(entry, visit)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn schemas_and_code_judge_damaged_examples_alike() {
    let read = [
        "event",
        "subscription",
        "dead_letter",
        "endpoint_state",
        "endpoint_wish",
        "event_type",
    ];
    for record in read {
        let validator = validator(record);
        let (mut accepted, mut refused) = (0, 0);
        let mut disagreed = Vec::new();
        for (name, example) in examples(record) {
            for (damage, damaged) in damaged(&example) {
                match (
                    judged(record, &damage, &damaged),
                    validator.is_valid(&damaged),
                ) {
                    (None, _) => {}
                    (Some(true), true) => accepted += 1,
                    (Some(false), false) => refused += 1,
                    (Some(by_code), _) => {
                        disagreed.push(format!("{name} {damage}: code {by_code}"))
                    }
                }
            }
        }
        assert!(disagreed.is_empty(), "{disagreed:#?}");
        assert!(
            accepted > 20 && refused > 20,
            "{record}: {accepted} {refused}"
        );
    }
}

/// The code's verdict, where a schema could come to the same.
fn judged(record: &str, damage: &str, damaged: &Value) -> Option<bool> {
    // A schema knows nothing of the record's key, which `id` and `tenant` must equal, and cannot
    // compare durations: `max` must not be below `initial`. Nor does it read expressions, or how many lists
    // the paths of a mapping lead through.
    const BEYOND_SCHEMAS: [&str; 5] = [
        "/id = \"",
        "/tenant = \"",
        "/retry/max = \"0s\"",
        "/where = \"",
        "/mapping/lines[*].article = \"",
    ];
    let is_beyond = |start: &&str| damage.starts_with(start);
    if record == "subscription" && BEYOND_SCHEMAS.iter().any(is_beyond) {
        return None;
    }
    // The code reads those headers of a dead letter that it is replayed by, and not why it died.
    let is_read = |header: &str| damage.starts_with(&format!("/headers/{header} "));
    if record == "dead_letter" && !TASK_HEADERS.iter().any(|header| is_read(header)) {
        return None;
    }
    code_accepts(record, damaged)
}

const TASK_HEADERS: [&str; 15] = [
    "hooktide-delivery-id",
    "hooktide-event-id",
    "hooktide-event-type",
    "hooktide-attempt",
    "hooktide-charged",
    "hooktide-parks",
    "hooktide-parked",
    "hooktide-first-seen",
    "hooktide-not-before",
    "hooktide-source",
    "hooktide-subscription-revision",
    "hooktide-content-type",
    "hooktide-method",
    "hooktide-target",
    "hooktide-test",
];

/// Copies of a value, each with one thing wrong or at least different, and what that is.
fn damaged(example: &Value) -> Vec<(String, Value)> {
    let replacements = [
        json!(null),
        json!(true),
        json!(0),
        json!(-1),
        json!(1.5),
        json!(4_294_967_296_u64),
        json!(""),
        json!("x"),
        json!("01"),
        json!("-1"),
        json!("0s"),
        json!("a\nb"),
        json!([]),
        json!(["x"]),
        json!([null]),
        json!({}),
    ];
    let mut copies = Vec::new();
    for pointer in pointers(example) {
        let changed = |change: &dyn Fn(&mut Value)| {
            let mut copy = example.clone();
            change(copy.pointer_mut(&pointer).unwrap());
            copy
        };
        for replacement in &replacements {
            let copy = changed(&|value| *value = replacement.clone());
            copies.push((format!("{pointer} = {replacement}"), copy));
        }
        for unknown in [json!(1), json!("text")] {
            let copy = changed(&|value| {
                if let Some(members) = value.as_object_mut() {
                    members.insert("unknown".to_owned(), unknown.clone());
                }
            });
            copies.push((format!("{pointer} with an unknown member"), copy));
        }
        if let Some((parent, name)) = pointer.rsplit_once('/') {
            let mut copy = example.clone();
            if let Some(Value::Object(members)) = copy.pointer_mut(parent) {
                members.remove(name);
            }
            copies.push((format!("{pointer} removed"), copy));
        }
    }
    copies
}

/// JSON pointers to a value and to all in it; no name in the examples needs escapes.
fn pointers(value: &Value) -> Vec<String> {
    let inner: Vec<(String, &Value)> = match value {
        Value::Object(members) => members.iter().map(|(name, v)| (name.clone(), v)).collect(),
        Value::Array(entries) => {
            let numbered = entries.iter().enumerate();
            numbered.map(|(index, v)| (index.to_string(), v)).collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    };
    let mut found = vec![String::new()];
    for (name, value) in inner {
        found.extend(pointers(value).iter().map(|rest| format!("/{name}{rest}")));
    }
    found
}

/// A minimal subscription with these members.
fn subscription(with: Value) -> Value {
    let mut value = json!({
        "url": "https://example.com/hooks", "events": ["*"],
        "secrets": ["whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX"],
    });
    if let (Some(members), Value::Object(with)) = (value.as_object_mut(), with) {
        members.extend(with);
    }
    value
}

#[test]
fn schemas_and_code_judge_combinations_alike() {
    fn check(record: &str, value: &Value, expected: bool) {
        assert_eq!(code_accepts(record, value), Some(expected), "code: {value}");
        assert_eq!(
            validator(record).is_valid(value),
            expected,
            "schema: {value}"
        );
    }
    let time = "2026-11-22T10:00:00Z";
    let both = json!({"type": "a", "data": 1, "timestamp": time, "time": time});
    check("event", &both, false);
    check(
        "event",
        &json!({"type": "a", "data": 1, "tenant": ".a"}),
        false,
    );
    check("event", &json!({"type": "t".repeat(257), "data": 1}), false);
    check(
        "event",
        &json!({"type": "a", "data": 1, "id": "i".repeat(513)}),
        false,
    );
    let key = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX";
    for (with, expected) in [
        (json!({"version": 2}), false),
        (json!({"secrets": [{"key": key, "env": "A"}]}), false),
        (json!({"secrets": [{"not_after": time}]}), false),
        (json!({"secrets": [{"sealed": "age..."}]}), false),
        (json!({"secrets": [{"env": "1A"}]}), false),
        (json!({"secrets": []}), false),
        (json!({"secrets": [], "signatures": []}), true),
        (json!({"secrets": ["whsec_AAEC"]}), false),
        (
            json!({"secrets": [key.trim_start_matches("whsec_")]}),
            false,
        ),
        (json!({"signatures": ["standard", "standard"]}), false),
        (json!({"signatures": ["other"]}), false),
        (json!({"signatures": ["standard", "hex-body"]}), true),
        (
            json!({"signatures": ["hex-body"], "secrets": ["0123456789abcdef"]}),
            true,
        ),
        (
            json!({"signatures": ["hex-body"], "secrets": ["short"]}),
            false,
        ),
        (json!({"signatures": [{"preset": "hex-body"}]}), true),
        (json!({"signatures": [{}]}), false),
        (json!({"signatures": [{"header": "X A"}]}), false),
        (
            json!({"signatures": [{"header": "X-A", "content": "{id}"}]}),
            false,
        ),
        (
            json!({"signatures": [{"header": "X-A", "content": "{id}:{data}:{body}"}]}),
            false,
        ),
        (
            json!({"signatures": [{"header": "X-A", "start": "t={timestamp}"}]}),
            false,
        ),
        (
            json!({"signatures": [{"header": "X-A", "algorithm": "ed25519", "key": "text"}]}),
            false,
        ),
        (json!({"events": []}), false),
        (json!({"events": ["a.*.b"]}), false),
        (json!({"events": ["*.a"]}), false),
        (json!({"events": [".*"]}), false),
        (json!({"events": ["a.b.*"]}), true),
        (json!({"url": "ftp://example.com"}), false),
        (json!({"url": "https://example.com/#a"}), false),
        (json!({"url": "https:///hooks"}), false),
        (json!({"url": "HTTPS://example.com"}), true),
        (json!({"state": "invalid"}), false),
        (json!({"headers": {"a b": "x"}}), false),
        (json!({"headers": {"a": "\u{e9}"}}), false),
        (json!({"timeout": "1.5s"}), false),
        (json!({"retry": {}}), false),
        (json!({"retry": {"schedule": [], "max_retries": 1}}), false),
        (json!({"retry": {"max_retries": 1}}), false),
        (
            json!({"retry": {"max_retries": 1_001, "initial": "1s"}}),
            false,
        ),
        (
            json!({"retry": {"max_retries": 1, "initial": "1s", "multiplier": 0.5}}),
            false,
        ),
        (json!({"retry": {"schedule": [], "jitter": 1.1}}), false),
        (json!({"retry": "standard"}), true),
        (json!({"retry": "exponential"}), false),
        (json!({"max_age": "0s"}), false),
        (json!({"max_age": "90m"}), true),
        (json!({"answers": {"final": [299]}}), false),
        (json!({"answers": {"final": [600]}}), false),
        (json!({"answers": {"final": ["404"]}}), false),
        (json!({"answers": {"final": ["2xx"]}}), false),
        (json!({"answers": {"final": [404, 404]}}), false),
        (json!({"answers": {"gone": [404]}}), false),
        (json!({"answers": {"retry": [404], "final": ["4xx"]}}), true),
        (json!({"rate_limit": {"requests": 1}}), false),
        (json!({"max_concurrency": 10_001}), false),
        (
            json!({"filters": [{"field": "a", "operator": "in", "value": "a"}]}),
            false,
        ),
        (
            json!({"filters": [{"field": "a", "operator": "exists", "value": 1}]}),
            false,
        ),
        (
            json!({"filters": [{"field": "a", "operator": "less_than", "value": true}]}),
            false,
        ),
        (
            json!({"filters": [{"field": "a", "operator": "ends_with", "value": 1}]}),
            false,
        ),
        (
            json!({"filters": [{"field": "a", "operator": "equals"}]}),
            false,
        ),
        (json!({"filters": [{"all": [], "any": []}]}), false),
        (json!({"filters": [{"all": []}, {"any": []}]}), true),
        (json!({"fields": ["a..b"]}), false),
        (json!({"fields": ["a[0]", "a[*].b", "a[*][*]"]}), true),
        (json!({"fields": ["a[01]"]}), false),
        (json!({"fields": ["a[]"]}), false),
        (json!({"fields": ["[0]"]}), false),
        (json!({"where": "data.a > 1"}), true),
        (json!({"where": " "}), false),
        (
            json!({"mapping": {"a.b": "data.c[0]", "d[*].e": "data.f[*].g"}}),
            true,
        ),
        (json!({"mapping": {"a[0]": "data.c"}}), false),
        (json!({"mapping": {"a": "data..c"}}), false),
        (json!({"mapping": {}}), false),
        (json!({"mapping": {"a": "data"}, "body": "event"}), false),
        (json!({"mapping": {"a": "data"}, "fields": ["data"]}), false),
        (json!({"body": "standard", "fields": ["data"]}), true),
        (json!({"body": "raw", "fields": ["data"]}), false),
        (
            json!({"body": {"template": "x"}, "fields": ["data"]}),
            false,
        ),
        (json!({"body": "cloudevents", "content_type": "a/b"}), false),
        (json!({"body": "other"}), false),
        (json!({"body": {"template": " "}}), false),
        (json!({"content_type": "a/b; c=d"}), true),
        (json!({"content_type": "a b/c"}), false),
        (json!({"content_type": "a"}), false),
        (json!({"method": "GET"}), false),
        (json!({"method": "DELETE"}), true),
        (
            json!({"url": "https://e.com/{{ data.a }}?b={{ data.b }}"}),
            true,
        ),
        (json!({"url": "https://e.com/{{ data.a"}), false),
    ] {
        check("subscription", &subscription(with), expected);
    }
}

#[test]
fn every_operator_of_the_schema_is_the_codes() {
    let schema = read("schemas/subscription.schema.json");
    let operators = &schema["$defs"]["condition"]["properties"]["operator"]["enum"];
    for operator in operators.as_array().unwrap() {
        let values = [json!("a"), json!(["a"]), json!(true)];
        let accepted = values.into_iter().any(|value| {
            let filter = json!({"field": "a", "operator": operator, "value": value});
            code_accepts("subscription", &subscription(json!({"filters": [filter]}))) == Some(true)
        });
        assert!(accepted, "{operator}");
    }
    let named = crate::sources::byte_string_arms("src/router/filter/parse.rs", "fn named");
    let listed: BTreeSet<_> = operators
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect();
    assert_eq!(named, listed);
}

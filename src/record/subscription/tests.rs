//! What makes a subscription valid, and how each invalid one is named.

use serde_json::{Value, json};

use super::*;
use crate::clock::Timestamp;
use crate::secret::KeyForm;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

pub(super) fn parse(value: &[u8]) -> Result<Subscription, SubscriptionError> {
    Subscription::parse(&"acme/shop".parse().unwrap(), value, &Rules::default())
}

fn minimal() -> Value {
    json!({"url": "https://example.com/hooks", "events": ["*"], "secrets": [SECRET]})
}

/// The minimal subscription with one member set, or taken away by `null`.
pub(super) fn with(name: &str, value: Value) -> Result<Subscription, SubscriptionError> {
    let mut subscription = minimal();
    let members = subscription.as_object_mut().unwrap();
    match value {
        Value::Null => members.remove(name),
        value => members.insert(name.to_owned(), value),
    };
    parse(subscription.to_string().as_bytes())
}

pub(super) fn check(name: &str, value: Value, expected: &str) {
    let error = with(name, value.clone()).unwrap_err().to_string();
    assert_eq!(error, expected, "{name} = {value}");
}

#[test]
fn reads_every_member() {
    let subscription = parse(
        br#"{"version":1, "id":"shop", "tenant":"acme",
            "url":"https://user:pass@example.com/hooks?token=1",
            "events":["order.*","invoice.paid"],
            "state":"paused",
            "secrets":["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
                {"key":"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw","not_after":"1970-01-01T00:00:02Z"},
                {"env":"SHOP_SECRET"}, {"file":"/run/secrets/shop"}],
            "signatures":["standard"],
            "headers":{"X-Team":"billing"},
            "timeout":"15s",
            "retry":{"schedule":["5s","1m","10m"]},
            "max_age":"12h",
            "answers":{"delivered":[409],"final":["4xx",501],"retry":[404]},
            "max_concurrency":16,
            "adaptive_concurrency":true,
            "rate_limit":{"requests":100,"per":"1s"},
            "filters":[{"field":"data.amount","operator":"greater_than","value":1.10}],
            "fields":["data.id","data.amount"],
            "description":"...", "labels":{"owner":"ops"}}"#,
    )
    .unwrap();
    assert_eq!(subscription.url().expose().password(), Some("pass"));
    let patterns: Vec<_> = subscription
        .events()
        .iter()
        .map(EventPattern::as_str)
        .collect();
    assert_eq!(patterns, ["order.*", "invoice.paid"]);
    assert_eq!(subscription.state(), State::Paused);
    assert_eq!(subscription.signatures(), [SignatureScheme::standard()]);
    assert_eq!(subscription.headers()["x-team"], "billing");
    assert_eq!(subscription.timeout(), Duration::from_secs(15));
    assert_eq!(
        subscription.retry().unwrap().wait(3, 1.0),
        Some(Duration::from_secs(600))
    );
    assert_eq!(subscription.max_age(), Some(Duration::from_hours(12)));
    let answers = subscription.answers();
    assert_eq!(answers.meaning(409), Some(Meaning::Delivered));
    assert_eq!(answers.meaning(501), Some(Meaning::Final));
    assert_eq!(answers.meaning(404), Some(Meaning::Retry));
    assert_eq!(answers.meaning(500), None);
    assert_eq!(subscription.max_concurrency(), 16);
    assert_eq!(subscription.adaptive_concurrency(), Some(true));
    let limit = subscription.rate_limit().unwrap();
    assert_eq!(
        (limit.requests(), limit.per()),
        (100, Duration::from_secs(1))
    );
    assert!(
        subscription
            .filters()
            .unwrap()
            .get()
            .ends_with("\"value\":1.10}]")
    );
    assert_eq!(subscription.fields().unwrap(), ["data.id", "data.amount"]);
    assert_eq!(subscription.description(), Some("..."));
    assert_eq!(subscription.labels()["owner"], "ops");

    let [plain, ending, env, file] = subscription.secrets() else {
        panic!("four secrets");
    };
    assert!(matches!(plain.source(), SecretSource::Key(key) if key.key(KeyForm::Base64).is_ok()));
    assert_eq!(ending.not_after(), Some(Timestamp::from_millis(2_000)));
    assert!(ending.is_live(Timestamp::from_millis(2_000)));
    assert!(!ending.is_live(Timestamp::from_millis(2_001)));
    assert!(matches!(env.source(), SecretSource::Env(name) if name == "SHOP_SECRET"));
    assert!(matches!(file.source(), SecretSource::File(path) if path == "/run/secrets/shop"));
}

#[test]
fn has_the_defaults_of_the_contract() {
    let subscription = parse(minimal().to_string().as_bytes()).unwrap();
    assert_eq!(subscription.state(), State::Active);
    assert_eq!(subscription.signatures(), [SignatureScheme::standard()]);
    assert_eq!(subscription.timeout(), Duration::from_secs(30));
    assert_eq!(subscription.max_concurrency(), 64);
    assert_eq!(subscription.adaptive_concurrency(), None);
    assert!(subscription.retry().is_none() && subscription.rate_limit().is_none());
    assert_eq!(subscription.max_age(), None);
    assert_eq!(subscription.answers(), &Answers::default());
    assert!(subscription.filters().is_none() && subscription.fields().is_none());
    assert!(subscription.headers().is_empty() && subscription.labels().is_empty());
    let unsigned = parse(br#"{"url":"http://a/","events":["*"],"signatures":[]}"#).unwrap();
    assert!(unsigned.secrets().is_empty() && unsigned.signatures().is_empty());
}

#[test]
fn names_the_field_and_the_rule() {
    check("url", Value::Null, "`url`: is missing");
    check("events", Value::Null, "`events`: is missing");
    check("secrets", Value::Null, "`secrets`: is missing");
    check("evnets", json!(["*"]), "`evnets`: is not known here");
    check(
        "version",
        json!(2),
        "`version`: is newer than 1, which is what this version reads",
    );
    check("version", json!(0), "`version`: must be from 1 to 1");
    check(
        "version",
        json!("1"),
        "`version`: must be a whole number of at most 32 bits",
    );
    check("id", json!("other"), "`id`: differs from the record's key");
    check(
        "tenant",
        json!("Acme"),
        "`tenant`: differs from the record's key",
    );
    check(
        "url",
        json!("ftp://a"),
        "`url`: must begin with `https://` or `http://`",
    );
    check("events", json!("*"), "`events`: must be a list");
    check("events", json!([]), "`events`: must not be empty");
    check("events", json!(["a", 1]), "`events[1]`: must be a string");
    check(
        "events",
        json!([""]),
        "`events[0]`: an event pattern must not be empty",
    );
    check(
        "events",
        json!(vec!["*"; 1_001]),
        "`events`: must not have more than 1000 entries",
    );
    check(
        "state",
        json!("Active"),
        "`state`: must be `active`, `paused` or `disabled`",
    );
    check(
        "timeout",
        json!("0s"),
        "`timeout`: must be more than 0s and at most 2m",
    );
    check(
        "timeout",
        json!("121s"),
        "`timeout`: must be more than 0s and at most 2m",
    );
    check("timeout", json!(30), "`timeout`: must be a string");
    check(
        "max_concurrency",
        json!(0),
        "`max_concurrency`: must be from 1 to 10000",
    );
    check(
        "max_concurrency",
        json!(10_001),
        "`max_concurrency`: must be from 1 to 10000",
    );
    check(
        "adaptive_concurrency",
        json!("yes"),
        "`adaptive_concurrency`: must be true or false",
    );
    check(
        "rate_limit",
        json!({"requests":1}),
        "`rate_limit.per`: is missing",
    );
    check(
        "rate_limit",
        json!({"requests":1,"per":"0s"}),
        "`rate_limit.per`: must be more than 0s and at most 24h",
    );
    check(
        "rate_limit",
        json!({"requests":0,"per":"1s"}),
        "`rate_limit.requests`: must be from 1 to 1000000",
    );
    check("rate_limit", json!([1]), "`rate_limit`: must be an object");
    check("filters", json!({}), "`filters`: must be a list");
    check("fields", json!([""]), "`fields[0]`: must not be empty");
    check(
        "description",
        json!(["a"]),
        "`description`: must be a string",
    );
    check("labels", json!({"a": 1}), "`labels.a`: must be a string");
    check(
        "labels",
        json!({"a": "x".repeat(257)}),
        "`labels.a`: must not be longer than 256 bytes",
    );
}

#[test]
fn a_deadline_is_a_span_of_at_most_a_year() {
    let age = "`max_age`: must be more than 0s and at most 8784h";
    check("max_age", json!("0s"), age);
    check("max_age", json!("367d"), age);
    check("max_age", json!(3_600), "`max_age`: must be a string");
    check("answers", json!([404]), "`answers`: must be an object");
}

#[test]
fn names_what_is_wrong_with_secrets() {
    check("secrets", json!([]), "`secrets`: must not be empty");
    check("secrets", json!(SECRET), "`secrets`: must be a list");
    check(
        "secrets",
        json!([SECRET, "hush"]),
        "`secrets[1]`: a secret must begin with `whsec_`",
    );
    check("secrets", json!([1]), "`secrets[0]`: must be an object");
    check(
        "secrets",
        json!([{}]),
        "`secrets[0]`: must have exactly one of `key`, `env` and `file`",
    );
    check(
        "secrets",
        json!([{"key":SECRET,"env":"A"}]),
        "`secrets[0]`: must have exactly one of `key`, `env` and `file`",
    );
    check(
        "secrets",
        json!([{"sealed":"age1"}]),
        "`secrets[0].sealed`: sealed secrets are not supported yet",
    );
    check(
        "secrets",
        json!([{"key":SECRET,"not_after":"soon"}]),
        "`secrets[0].not_after`: must be an RFC 3339 time",
    );
    check(
        "secrets",
        json!([{"key":SECRET,"nbf":1}]),
        "`secrets[0].nbf`: is not known here",
    );
    // A secret in a name's place is not repeated either.
    check(
        "secrets",
        json!([{SECRET: 1}]),
        "`secrets[0].whsec_...`: is not known here",
    );
    for name in ["", "1A", "A-B", "A=B"] {
        check(
            "secrets",
            json!([{"env": name}]),
            "`secrets[0].env`: must be letters, digits and `_`, not beginning with a digit",
        );
    }
    for path in ["", "../secret", "/run/../etc/shadow", "a\u{0}b"] {
        check(
            "secrets",
            json!([{"file": path}]),
            "`secrets[0].file`: must be a path without `..` and control characters",
        );
    }
    check(
        "signatures",
        json!(["standard", "standard"]),
        "`signatures[1]`: is given twice",
    );
}

#[test]
fn names_what_is_wrong_with_headers() {
    for name in [
        "Webhook-Id",
        "webhook-anything",
        "HOST",
        "Content-Length",
        "Content-Type",
        "Connection",
        "Transfer-Encoding",
        "TE",
        "Trailer",
        "Upgrade",
        "Keep-Alive",
        "Proxy-Authorization",
        "Expect",
    ] {
        check(
            "headers",
            json!({name: "a"}),
            &format!("`headers.{name}`: is reserved"),
        );
    }
    for name in ["", "a b", "a:", "\u{e9}"] {
        check(
            "headers",
            json!({name: "a"}),
            &format!("`headers.{name}`: is not the name of an HTTP header"),
        );
    }
    for value in ["a\r\nX: b", "a\u{0}", "\u{7f}", "\u{e9}"] {
        check(
            "headers",
            json!({"a": value}),
            "`headers.a`: has a value with characters other than visible ASCII, space and tab",
        );
    }
    check(
        "headers",
        json!({"a\r\nb": "1"}),
        "`headers.a\u{fffd}\u{fffd}b`: is not the name of an HTTP header",
    );
    check("headers", json!({"a": 1}), "`headers.a`: must be a string");
    check(
        "headers",
        json!({"X-A": "1", "x-a": "2"}),
        "`headers.x-a`: is given twice, in other case",
    );
    check(
        "headers",
        json!({"a": "x".repeat(8_188)}),
        "`headers`: all headers together must not be longer than 8192 bytes",
    );
    assert!(with("headers", json!({"a": "x".repeat(8_187)})).is_ok());
    let error = parse(br#"{"url":"http://u:p@a/","events":["*"],"signatures":[],"headers":{"Authorization":"x"}}"#);
    assert_eq!(
        error.unwrap_err().to_string(),
        "`headers`: the URL already has user and password"
    );
}

#[test]
fn refuses_what_is_not_an_object() {
    fn check(value: &[u8], expected: &str) {
        assert_eq!(parse(value).unwrap_err().to_string(), expected);
    }
    check(b"", "the value is not JSON (line 1, column 0)");
    check(b"[]", "the value is not a JSON object");
    check(b"{\"url\":\"\xff\"}", "the value is not UTF-8 (byte 8)");
    check(br#"{"url":"a","url":"b"}"#, "`url` is given twice");
    check(
        br#"{"labels":{"a":"1","\u0061":"2"},"url":"http://a/","events":["*"],"signatures":[]}"#,
        "`labels.a`: is given twice",
    );
    let deep = format!("{{\"filters\":{}{}}}", "[".repeat(1_000), "]".repeat(1_000));
    check(deep.as_bytes(), "the value nests deeper than 128 levels");
}

#[test]
fn debug_output_and_errors_hold_no_secret() {
    let hidden = "hush4711";
    let url = format!("https://{hidden}:{hidden}@example.com/?{hidden}");
    let subscription = with("headers", json!({"X-Key": hidden})).unwrap();
    assert!(!format!("{subscription:?}").contains(hidden));
    assert!(!format!("{subscription:?}").contains("MfKQ9r8G"));
    assert!(!format!("{:?}", with("url", json!(url)).unwrap()).contains(hidden));
    for (name, value) in [
        ("url", json!(format!("{url}#"))),
        ("secrets", json!(hidden)),
        ("secrets", json!([hidden])),
        ("secrets", json!([{"key": hidden}])),
        ("secrets", json!([{"key": SECRET, "not_after": hidden}])),
        ("headers", json!({"X-Key": format!("{hidden}\n")})),
        ("headers", json!(hidden)),
        ("retry", json!(hidden)),
    ] {
        let error = with(name, value).unwrap_err();
        assert!(!format!("{error} {error:?}").contains(hidden), "{error}");
    }
}

//! Signatures by golden vectors, by the reference implementation, and as their receivers find them.

use proptest::prelude::*;
use serde_json::{Value, json};
use standardwebhooks::Webhook;

use super::*;
use crate::secret::KeyForm;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OTHER: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX";
const TEXT: &str = "a secret of an older system";
/// RFC 8032, 7.1, test 1.
const PRIVATE: &str = "whsk_nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=";
const AT: Timestamp = Timestamp::from_millis(1_614_265_330_123);
const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
const BODY: &[u8] = br#"{"type":"order.created","data": {"amount":1.10, "a":"\u00e9"} ,"id":"1"}"#;

fn secrets(texts: &[&str]) -> Vec<Secret> {
    texts
        .iter()
        .map(|text| Secret::parse(text).unwrap())
        .collect()
}

fn signed(
    schemes: Value,
    secrets: &[Secret],
    message: &Message<'_>,
) -> Result<Vec<String>, SignatureError> {
    let schemes: Vec<_> = schemes
        .as_array()
        .unwrap()
        .iter()
        .map(|scheme| match scheme {
            Value::String(name) => SignatureScheme::parse(name).unwrap(),
            object => SignatureScheme::parse(&object.to_string()).unwrap(),
        })
        .collect();
    let mut lines: Vec<_> = headers(&schemes, secrets, message)?
        .into_iter()
        .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
        .collect();
    lines.sort();
    Ok(lines)
}

fn message(body: &[u8]) -> Message<'_> {
    Message {
        id: ID,
        event_type: "order.created",
        at: AT,
        body,
    }
}

#[track_caller]
fn check(schemes: Value, texts: &[&str], expected: &[&str]) {
    let lines = signed(schemes.clone(), &secrets(texts), &message(BODY)).unwrap();
    assert_eq!(lines, expected, "{schemes}");
}

#[test]
fn agrees_with_the_vector_of_the_specification() {
    let message = message(br#"{"test": 2432232314}"#);
    let lines = signed(json!(["standard"]), &secrets(&[SECRET]), &message).unwrap();
    assert_eq!(
        lines,
        ["webhook-signature: v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="]
    );
}

/// Made by Node's `crypto`, and never to change: receivers have written code against each.
#[test]
fn golden_vectors_of_every_preset() {
    const STANDARD: &str = "webhook-signature: v1,BajJHaNWplMtvCaZf0VN41zDVaDwgJvSzU86M6J6opQ=";
    check(json!(["standard"]), &[SECRET], &[STANDARD]);
    let pair = "v1a,uhOrAduV25wTmo1fxqnX863OxuNC9ysSOnAWcSEq0S8IMLqCIeoRAPwkkfdvqdU4+8+YufKjBFR7gbubIWDYCw==";
    check(
        json!(["v1a"]),
        &[PRIVATE],
        &[&format!("webhook-signature: {pair}")],
    );
    let hex = "10f5e378af099007d520ee2ced2e387b4b2babfb7b17023a72d3ff54e7bbe88a";
    let (id, kind) = (
        "x-webhook-id: msg_p5jXN8AQM9LWM0D4loKWxJek",
        "x-event-type: order.created",
    );
    let time = "x-webhook-timestamp: 1614265330";
    let of = |value: &str| format!("x-webhook-signature: {value}");
    check(
        json!(["sha256-body"]),
        &[TEXT],
        &[&of(&format!("sha256={hex}")), time],
    );
    check(json!(["hex-body"]), &[TEXT], &[kind, id, &of(hex)]);
    // The prefix is part of the text: a receiver that was given it uses it as it is.
    let prefixed = of("331bd0c5b7059e5413d328d86926200e8b940947fe80176e5c7d8cd9af8bf571");
    check(json!(["hex-body"]), &[SECRET], &[kind, id, &prefixed]);
    let data = of("cbb2c67d16a88f16e4bb1863d439b3b0c4dc21c65012c69e2cbfebda86dd2e28");
    check(json!(["hex-data"]), &[TEXT], &[kind, id, &data]);
    let timed = "5c274bff0edcc3349d0a9fa426d05adbbb4d8ecd8145b991bad48a959303eb84";
    check(json!(["hex-timestamp-body"]), &[TEXT], &[&of(timed), time]);
    let base64 = of("EPXjeK8JkAfVIO4s7S44e0srq/t7FwI6ctP/VOe76Io=");
    check(json!(["base64-body"]), &[TEXT], &[&base64]);
    let combined = format!("x-signature: t=1614265330,v1={timed}");
    check(json!(["combined"]), &[TEXT], &[&combined]);
}

#[test]
fn objects_say_what_is_signed_and_how() {
    check(
        json!([{"header": "X-Sig", "prefix": "v0=", "algorithm": "sha512", "encoding": "base64",
                "content": "v0:{timestamp}:{type}:{body}", "timestamp": {"header": "X-Time", "unit": "rfc3339"}}]),
        &[TEXT],
        &[
            "x-sig: v0=UukwemNhjAjQ3nwh7a4fuMUJOlfPDeJCkUdqBASn2I1gGghK2PaE7adCWLSabmabgxLn/c6On+4yBJJ9igiJXg==",
            "x-time: 2021-02-25T15:02:10.123Z",
        ],
    );
    check(
        json!([{"preset": "hex-timestamp-body", "header": "X-Careem-Signature",
                "timestamp": {"header": "X-Careem-Timestamp", "unit": "milliseconds"}}]),
        &[TEXT],
        &[
            "x-careem-signature: fc906216d4b4438b362bfd7689ce8dc5658f1a2e9dd199eb1072c74ed9433c57",
            "x-careem-timestamp: 1614265330123",
        ],
    );
}

#[test]
fn every_live_key_signs_where_there_is_room_and_the_newest_where_not() {
    check(
        json!(["standard"]),
        &[OTHER, SECRET],
        &[
            "webhook-signature: v1,50QCE1uNM+uNFEtf32gpZqSe/lUbJksYheHLxL7rdAM= v1,BajJHaNWplMtvCaZf0VN41zDVaDwgJvSzU86M6J6opQ=",
        ],
    );
    check(
        json!(["combined"]),
        &[OTHER, SECRET],
        &[
            "x-signature: t=1614265330,v1=b1c5c23df08fdce4baecadb56acddf069017e81d408aa8cf3f3169fdd9e9a6cc,v1=afd8122415cd6f47b99bf4f32524f50fd1cd1dee630d1a102eb3019c0e4c519b",
        ],
    );
    check(
        json!(["base64-body"]),
        &[TEXT, SECRET],
        &["x-webhook-signature: EPXjeK8JkAfVIO4s7S44e0srq/t7FwI6ctP/VOe76Io="],
    );
}

#[test]
fn schemes_take_the_secrets_that_are_theirs() {
    check(
        json!(["standard", "v1a", "base64-body"]),
        &[TEXT, PRIVATE, SECRET],
        &[
            "webhook-signature: v1,BajJHaNWplMtvCaZf0VN41zDVaDwgJvSzU86M6J6opQ= v1a,uhOrAduV25wTmo1fxqnX863OxuNC9ysSOnAWcSEq0S8IMLqCIeoRAPwkkfdvqdU4+8+YufKjBFR7gbubIWDYCw==",
            "x-webhook-signature: EPXjeK8JkAfVIO4s7S44e0srq/t7FwI6ctP/VOe76Io=",
        ],
    );
    assert_eq!(signed(json!([]), &[], &message(BODY)), Ok(vec![]));
}

#[test]
fn what_cannot_be_signed_is_named() {
    fn check(schemes: Value, texts: &[&str], message: &Message<'_>, expected: &str) {
        let error = signed(schemes, &secrets(texts), message).unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
    let none = "the signature `hex-data` is over the body's member `data`, and the body has none";
    for body in [&b"{}"[..], b"[]", b"text", b"\xff", b""] {
        check(json!(["hex-data"]), &[TEXT], &message(body), none);
    }
    let odd = Message {
        event_type: "a
b",
        ..message(BODY)
    };
    check(
        json!(["hex-body"]),
        &[TEXT],
        &odd,
        "x-event-type must be visible ASCII characters",
    );
    check(
        json!(["v1a"]),
        &[SECRET],
        &message(BODY),
        "no secret is one for the signature `v1a`",
    );
    check(
        json!(["standard"]),
        &[],
        &message(BODY),
        "no secret is one for the signature `standard`",
    );
}

/// Verifies as a receiver does, by the reference implementation, which has a clock of its own.
fn verifies(key: &[u8], id: &str, timestamp: i64, body: &[u8], signature: &HeaderValue) -> bool {
    let mut headers = http::HeaderMap::new();
    headers.insert("webhook-id", id.parse().unwrap());
    headers.insert("webhook-timestamp", timestamp.into());
    headers.insert("webhook-signature", signature.clone());
    Webhook::from_bytes(key.to_vec())
        .unwrap()
        .verify(body, &headers)
        .is_ok()
}

fn standard(keys: &[&[u8]], at: Timestamp, body: &[u8]) -> HeaderValue {
    let texts: Vec<_> = keys.iter().map(|key| Secret::text_of_new(key)).collect();
    let texts: Vec<_> = texts.iter().map(String::as_str).collect();
    let message = Message {
        at,
        ..message(body)
    };
    let schemes = [SignatureScheme::standard()];
    headers(&schemes, &secrets(&texts), &message)
        .unwrap()
        .remove(0)
        .1
}

#[test]
fn each_live_key_verifies_while_keys_are_rotated() {
    let (new, old, other) = ([1; 32], [2; 24], [3; 32]);
    let body = br#"{"a":1.10}"#;
    let now = Timestamp::now();
    let (secs, signature) = (now.as_secs(), standard(&[&new, &old], now, body));
    assert!(verifies(&new, ID, secs, body, &signature));
    assert!(verifies(&old, ID, secs, body, &signature));
    assert!(!verifies(&other, ID, secs, body, &signature));
    assert!(!verifies(&new, "msg_2", secs, body, &signature));
    assert!(!verifies(&new, ID, secs + 1, body, &signature));
    assert!(!verifies(&new, ID, secs, br#"{"a":1.1}"#, &signature));
}

proptest! {
    #[test]
    fn any_body_verifies(
        key in proptest::collection::vec(any::<u8>(), 24..=64),
        body in "\\PC*", // the reference takes UTF-8 only
    ) {
        let now = Timestamp::now();
        let signature = standard(&[&key], now, body.as_bytes());
        prop_assert!(verifies(&key, ID, now.as_secs(), body.as_bytes(), &signature));
    }

    /// Whatever a subscription says, and whatever an event is called, a header stays one header.
    #[test]
    fn nothing_can_add_a_header(
        prefix in "\\PC{0,8}|[ -~\r\n]{0,8}", header in "[ -~\r\n]{0,8}", kind in "[ -~\r\n\u{80}-\u{ff}]{0,8}",
    ) {
        let object = json!({"preset": "hex-body", "header": header, "prefix": prefix}).to_string();
        if let Ok(scheme) = SignatureScheme::parse(&object) {
            let message = Message { event_type: &kind, ..message(BODY) };
            if let Ok(headers) = headers(&[scheme], &secrets(&[TEXT]), &message) {
                prop_assert_eq!(headers.len(), 3);
                for (_, value) in headers {
                    prop_assert!(!value.as_bytes().iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)));
                }
            }
        }
    }
}

#[test]
fn keys_of_another_kind_sign_nothing() {
    let signed = Signed {
        id: ID,
        timestamp: "1",
        event_type: "",
        body: b"",
        data: b"",
    };
    let (shared, pair) = (
        Secret::parse(SECRET).unwrap(),
        Secret::parse(PRIVATE).unwrap(),
    );
    let (shared, pair) = (
        shared.key(KeyForm::Base64).unwrap(),
        pair.key(KeyForm::Ed25519).unwrap(),
    );
    for (name, key) in [("standard", pair), ("v1a", shared)] {
        let scheme = SignatureScheme::preset(name).unwrap();
        assert!(signature(&scheme, key, &signed).is_none(), "{name}");
    }
}

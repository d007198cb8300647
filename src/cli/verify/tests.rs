//! What is said of requests that hold and of those that do not.

use std::fmt::Write as _;

use proptest::prelude::*;

use super::verdict::Verdict;
use super::*;
use crate::dispatcher::signature::{Message, headers};
use crate::secret::KeyPair;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OTHER: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX";
const BODY: &[u8] = br#"{"type":"order.created","data":{"amount":1.10},"id":"1"}"#;
const AT: Timestamp = Timestamp::from_millis(1_795_341_600_007);

/// Headers of a request as the dispatcher makes them.
fn sent(scheme: &str, secret: &str, body: &[u8]) -> String {
    let message = Message {
        id: "msg_1",
        event_type: "order.created",
        at: AT,
        body,
    };
    let schemes = [SignatureScheme::parse(scheme).unwrap()];
    let signed = headers(&schemes, &[Secret::parse(secret).unwrap()], &message).unwrap();
    let mut text = format!("webhook-id: msg_1\nwebhook-timestamp: {}\n", AT.as_secs());
    for (name, value) in signed {
        writeln!(text, "{name}: {}", value.to_str().unwrap()).unwrap();
    }
    text
}

/// What is said by one scheme, or by all presets where none is named.
fn said(scheme: &str, secrets: &[&str], headers: &str, body: &[u8], now: Timestamp) -> Verdict {
    let schemes: Vec<_> = match scheme {
        "" => SignatureScheme::presets().collect(),
        scheme => vec![SignatureScheme::parse(scheme).unwrap()],
    };
    let verifier = |text: &&str| match PublicKey::parse(text) {
        Some(key) => Verifier::Public(key),
        None => Verifier::Secret(Secret::parse(text).unwrap()),
    };
    let verifiers: Vec<_> = secrets.iter().map(verifier).collect();
    let terms = Terms {
        verifiers: &verifiers,
        now,
        tolerance: Duration::from_secs(300),
    };
    let request = Request::read(headers.as_bytes(), body.to_vec()).unwrap();
    judge(&schemes, &request, &terms)
}

#[track_caller]
fn invalid(verdict: &Verdict, problem: &str, explanation: &str) {
    assert!(!verdict.valid);
    let found = (
        verdict.problem.unwrap(),
        verdict.explanation.as_deref().unwrap(),
    );
    assert_eq!(found, (problem, explanation));
}

#[test]
fn what_is_sent_by_a_preset_holds_by_it_alone() {
    let pair = KeyPair::from_seed(&[7; 32]).unwrap();
    let (private, public) = (pair.text_of_new(), pair.public().to_string());
    for preset in SignatureScheme::presets() {
        let secret = match preset.name() {
            "v1a" => &private,
            _ => SECRET,
        };
        let headers = sent(preset.name(), secret, BODY);
        let verdict = said("", &[OTHER, secret], &headers, BODY, AT);
        assert!(verdict.valid, "{preset}: {:?}", verdict.explanation);
        assert_eq!((&*verdict.scheme, verdict.secret), (preset.name(), Some(2)));
        assert_eq!(verdict.signed_at.is_none(), preset.signs_no_time());
        assert_eq!(verdict.explanation.is_some(), preset.signs_no_time());
    }
    let headers = sent("v1a", &private, BODY);
    assert!(said("", &[&public], &headers, BODY, AT).valid);
}

#[test]
fn own_schemes_hold_too() {
    let scheme = r#"{"header":"X-Sig","start":"t={timestamp};","prefix":"s=","separator":";","algorithm":"sha512",
        "encoding":"base64","content":"{id}:{timestamp}:{type}:{data}","type_header":"X-Type","id_header":"X-Id",
        "timestamp":{"unit":"rfc3339"}}"#;
    let headers = sent(scheme, SECRET, BODY);
    let verdict = said(scheme, &[SECRET], &headers, BODY, AT);
    assert!(verdict.valid, "{:?}", verdict.explanation);
    assert_eq!(verdict.signed_at.unwrap(), AT.to_string());
    assert_eq!(verdict.scheme, "x-sig: t={timestamp};s=<base64>");
}

#[test]
fn what_is_missing_or_misshapen_is_named() {
    let check = |scheme: &str, headers: &str, problem: &str, explanation: &str| {
        invalid(
            &said(scheme, &[SECRET], headers, BODY, AT),
            problem,
            explanation,
        );
    };
    let missing = "missing_header";
    check(
        "standard",
        "a: b",
        missing,
        "there is no header `webhook-signature`",
    );
    check(
        "",
        "x-shop-hmac: 00\nx-signed-by: me",
        missing,
        "there is no header `webhook-signature`; there is `x-shop-hmac`, `x-signed-by`: describe its scheme with --scheme",
    );
    let standard = sent("standard", SECRET, BODY);
    let without_id = standard.replace("webhook-id", "x-id");
    check(
        "standard",
        &without_id,
        missing,
        "there is no header `webhook-id`",
    );
    let now = standard.replace(&AT.as_secs().to_string(), "now");
    check(
        "standard",
        &now,
        "form",
        "`webhook-timestamp` must be Unix seconds",
    );
    let v2 = standard.replace("v1,", "v2,");
    check(
        "standard",
        &v2,
        "form",
        "`webhook-signature` has no entry that begins with `v1,`",
    );
    let sha256 = sent("sha256-body", SECRET, BODY);
    let bare = sha256.replace("sha256=", "");
    check(
        "sha256-body",
        &bare,
        "form",
        "`x-webhook-signature` must begin with `sha256=`",
    );
    let base64 = sent("base64-body", SECRET, BODY);
    check(
        "hex-body",
        &base64,
        "form",
        "`x-webhook-signature` must hold 32 bytes in hexadecimal, and is in base64",
    );
    check(
        "hex-body",
        "x-webhook-signature: abcd",
        "form",
        "`x-webhook-signature` must hold 32 bytes in hexadecimal",
    );
    let odd = sent("combined", SECRET, BODY).replace("t=", "");
    check(
        "combined",
        &odd,
        "form",
        "`x-signature` must begin with `t={timestamp},`",
    );
    let data = said(
        "hex-data",
        &[SECRET],
        &sent("hex-body", SECRET, b"{}"),
        b"{}",
        AT,
    );
    invalid(
        &data,
        "no_data",
        "the body is no JSON object with a member `data`, which the scheme signs",
    );
    let key = said(
        "standard",
        &["a text of an older system"],
        &standard,
        BODY,
        AT,
    );
    invalid(&key, "no_key", "a secret must begin with `whsec_`");
}

#[test]
fn the_clock_is_told_from_the_rest() {
    fn check(now: i64, expected: Option<&str>) {
        for preset in ["standard", "combined", "hex-timestamp-body"] {
            let headers = sent(preset, SECRET, BODY);
            let now = Timestamp::from_millis(AT.as_secs() * 1_000 + now);
            let verdict = said("", &[SECRET], &headers, BODY, now);
            match expected {
                None => assert!(verdict.valid),
                Some(off) => invalid(
                    &verdict,
                    "clock",
                    &format!(
                        "the signature is right, but its time is {off} the clock; 5m are tolerated"
                    ),
                ),
            }
        }
    }
    check(300_000, None);
    check(-300_000, None);
    check(301_000, Some("5m 1s behind"));
    check(-7_200_000, Some("2h ahead of"));
    check(90_061_000, Some("1day 1h behind"));
}

#[test]
fn usual_mistakes_are_found_out() {
    #[track_caller]
    fn check(
        signed_by: &str,
        secret: &str,
        signed: &[u8],
        checked_by: &str,
        body: &[u8],
        expected: &str,
    ) {
        let verdict = said(
            checked_by,
            &[OTHER, SECRET],
            &sent(signed_by, secret, signed),
            body,
            AT,
        );
        invalid(&verdict, "signature", expected);
    }
    let ended = [BODY, b"\n"].concat();
    let windows = b"{\r\n\"a\":1}\r\n";
    let changed = br#"{"type":"order.created","data":{"amount":1.1},"id":"1"}"#;
    let spaced = br#"{"type": "order.created", "data": {"amount": 1.10}, "id": "1"}"#;
    for preset in ["standard", "hex-body", "base64-body", "combined"] {
        let check = |signed: &[u8], body: &[u8], expected: &str| {
            check(preset, SECRET, signed, preset, body, expected)
        };
        check(
            BODY,
            &ended,
            "it was made over the body without the line end at its end",
        );
        check(
            &ended,
            BODY,
            "it was made over the body with a line end at its end",
        );
        check(
            b"{\n\"a\":1}\n",
            windows,
            "it was made over the body with `\\n`, where it has `\\r\\n`",
        );
        check(
            BODY,
            spaced,
            "it was made over the body without the white space between its values: it was read and written again",
        );
    }
    let none = "no key made this signature over `{id}.{timestamp}.{body}`: the secret is another one, or the body was changed";
    check("standard", SECRET, BODY, "", changed, none);
    check(
        "standard",
        "whsec_GBkaGxwdHh8gISIjJCUmJygpKissLS4v",
        BODY,
        "",
        BODY,
        none,
    );

    check(
        "hex-body",
        SECRET,
        BODY,
        r#"{"preset":"hex-body","key":"base64"}"#,
        BODY,
        "it was made with the secret's text as the key, not decoded from base64",
    );
    check(
        r#"{"preset":"hex-body","key":"base64"}"#,
        SECRET,
        BODY,
        "hex-body",
        BODY,
        "it was made with the key that the secret holds in base64, not its text",
    );
    check(
        "hex-body",
        &SECRET[6..],
        BODY,
        "hex-body",
        BODY,
        "it was made with the text behind `whsec_` as the key",
    );
    check(
        "hex-timestamp-body",
        SECRET,
        BODY,
        "hex-body",
        BODY,
        "it was made over `{timestamp}.{body}`",
    );
    check(
        "hex-data",
        SECRET,
        BODY,
        "hex-body",
        BODY,
        "it was made over the body's member `data` alone",
    );
    check(
        r#"{"preset":"hex-timestamp-body","key":"base64"}"#,
        SECRET,
        BODY,
        "hex-body",
        &ended,
        "it was made over `{timestamp}.{body}`, and with the key that the secret holds in base64, not its text, \
         and over the body without the line end at its end",
    );
}

#[test]
fn nothing_that_was_typed_is_printed() {
    let typed = Typed::from("hush");
    assert_eq!(format!("{typed:?}"), "[redacted]");
}

/// Schemes of every make.
fn any_scheme() -> impl Strategy<Value = String> {
    use prop::sample::select;
    let start = select(vec![
        "",
        "t={timestamp},",
        "{timestamp}:",
        "a b ",
        "t={timestamp}-",
    ]);
    let prefix = select(vec!["", "v1=", "sha512 ", "x"]);
    let separator = select(vec!["", ",", "; ", " ", "|"]);
    let algorithm = select(vec!["sha256", "sha512"]);
    let encoding = select(vec!["hex", "base64"]);
    let content = select(vec![
        "{body}",
        "{data}",
        "{timestamp}.{body}",
        "{id}{type}{data}\u{7e}",
    ]);
    let unit = select(vec!["seconds", "milliseconds", "rfc3339"]);
    let key = select(vec!["text", "base64"]);
    let parts = (
        start, prefix, separator, algorithm, encoding, content, unit, key,
    );
    parts.prop_map(|(start, prefix, separator, algorithm, encoding, content, unit, key)| {
        let mut object = serde_json::json!({
            "header": "X-A", "id_header": "X-B", "type_header": "X-C", "start": start, "prefix": prefix,
            "algorithm": algorithm, "encoding": encoding, "content": content, "key": key,
            "timestamp": {"header": "X-D", "unit": unit},
        });
        if !separator.is_empty() && !prefix.contains(separator) {
            object["separator"] = separator.into();
        }
        object.to_string()
    })
}

proptest! {
    #[test]
    fn every_scheme_holds_by_what_it_says(scheme in any_scheme()) {
        let headers = sent(&scheme, SECRET, BODY);
        let verdict = said(&scheme, &[OTHER, SECRET], &headers, BODY, AT);
        prop_assert!(verdict.valid, "{:?}", verdict.explanation);
        let other = said(&scheme, &[OTHER], &headers, BODY, AT);
        prop_assert_eq!(other.problem, Some("signature"));
    }

    /// Whatever is signed holds, and with one byte changed it does not.
    #[test]
    fn what_is_signed_holds(
        body in proptest::collection::vec(any::<u8>(), 1..200), at in 0_usize..200, preset in 2_usize..8,
    ) {
        let preset = SignatureScheme::presets().nth(preset).unwrap();
        prop_assume!(preset.name() != "hex-data");
        let headers = sent(preset.name(), SECRET, &body);
        prop_assert!(said(preset.name(), &[SECRET], &headers, &body, AT).valid);
        let mut changed = body.clone();
        let length = changed.len();
        changed[at % length] ^= 1;
        prop_assert!(!said(preset.name(), &[SECRET], &headers, &changed, AT).valid);
    }
}

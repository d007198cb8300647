//! What schemes a subscription may have, and how each wrong one is named.

use serde_json::{Value, json};

use super::*;
use crate::record::Subscription;
use crate::record::subscription::Rules;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const TEXT: &str = "a secret of an older system";
/// RFC 8032, 7.1, test 1: the seed alone.
const PRIVATE: &str = "whsk_nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=";

fn subscription(members: Value) -> Result<Subscription, String> {
    let mut value =
        json!({"url": "https://example.com/hooks", "events": ["*"], "secrets": [SECRET]});
    for (name, member) in members.as_object().unwrap() {
        value[name] = member.clone();
    }
    let key = "acme/shop".parse().unwrap();
    Subscription::parse(&key, value.to_string().as_bytes(), &Rules::default())
        .map_err(|error| error.to_string())
}

fn schemes(signatures: Value) -> Result<Vec<SignatureScheme>, String> {
    subscription(json!({"signatures": signatures})).map(|read| read.signatures().to_vec())
}

/// One object alone.
fn scheme(object: Value) -> SignatureScheme {
    schemes(json!([object])).unwrap().remove(0)
}

#[track_caller]
fn refuses(object: Value, expected: &str) {
    let error = schemes(json!([object])).unwrap_err();
    assert_eq!(error, format!("`signatures[0]{expected}"));
}

#[test]
fn presets_are_what_they_would_be_written_out() {
    fn check(name: &str, object: Value) {
        let preset = SignatureScheme::preset(name).unwrap();
        let mut written = (*scheme(object)).clone();
        written.preset = Some(name.to_owned().leak());
        assert_eq!(*preset, written, "{name}");
        assert_eq!(SignatureScheme::parse(name).unwrap(), preset);
        let object = json!({"preset": name}).to_string();
        assert_eq!(SignatureScheme::parse(&object).unwrap(), preset);
    }
    check(
        "sha256-body",
        json!({"header": "X-Webhook-Signature", "prefix": "sha256=",
               "timestamp": {"header": "X-Webhook-Timestamp"}}),
    );
    let names = json!({"header": "X-Webhook-Signature", "id_header": "X-Webhook-ID",
                       "type_header": "X-Event-Type"});
    check("hex-body", names.clone());
    let mut of_data = names;
    of_data["content"] = json!("{data}");
    check("hex-data", of_data);
    check(
        "hex-timestamp-body",
        json!({"header": "X-Webhook-Signature", "content": "{timestamp}.{body}",
               "timestamp": {"header": "X-Webhook-Timestamp", "unit": "seconds"}}),
    );
    check(
        "base64-body",
        json!({"header": "X-Webhook-Signature", "encoding": "base64"}),
    );
    check(
        "combined",
        json!({"header": "X-Signature", "start": "t={timestamp},", "prefix": "v1=", "separator": ",",
               "algorithm": "sha256", "encoding": "hex", "content": "{timestamp}.{body}", "key": "text"}),
    );
}

#[test]
fn a_preset_can_be_had_with_other_names() {
    let own = scheme(json!({"preset": "hex-body", "header": "X-My-Signature"}));
    assert_eq!(
        (own.header.as_str(), own.name()),
        ("x-my-signature", "x-my-signature")
    );
    assert_eq!(own.id_header.as_ref().unwrap(), "x-webhook-id");
    let own = scheme(
        json!({"preset": "hex-timestamp-body", "header": "X-Careem-Signature",
                            "timestamp": {"header": "X-Careem-Timestamp", "unit": "milliseconds"}}),
    );
    assert_eq!(own.timestamp_header.as_ref().unwrap(), "x-careem-timestamp");
    assert_eq!(own.timestamp_unit, TimestampUnit::Milliseconds);
    // The names that another sender of Standard Webhooks has.
    let own = scheme(
        json!({"preset": "standard", "header": "svix-signature", "id_header": "svix-id",
                            "timestamp": {"header": "svix-timestamp"}}),
    );
    let standard = SignatureScheme::standard();
    assert_eq!(
        (&own.prefix, &own.content, own.key),
        (&standard.prefix, &standard.content, standard.key)
    );
}

#[test]
fn the_key_follows_from_the_algorithm_where_that_leaves_no_choice() {
    let key = |object: Value| {
        let signatures = json!({"signatures": [object], "secrets": [PRIVATE]});
        subscription(signatures).map(|read| read.signatures()[0].key)
    };
    assert_eq!(
        key(json!({"header": "X-A", "algorithm": "ed25519"})),
        Ok(KeyForm::Ed25519)
    );
    let own = scheme(json!({"preset": "v1a", "header": "X-A", "algorithm": "sha512"}));
    assert_eq!(own.key, KeyForm::Base64);
    assert_eq!(scheme(json!({"header": "X-A"})).key, KeyForm::Text);
    assert_eq!(
        scheme(json!({"header": "X-A", "key": "base64"})).key,
        KeyForm::Base64
    );
    refuses(
        json!({"header": "X-A", "algorithm": "ed25519", "key": "text"}),
        ".key`: does not go with `ed25519`, whose key is that of a `whsk_` secret",
    );
}

#[test]
fn names_the_member_and_the_rule() {
    let presets = "`standard`, `v1a`, `sha256-body`, `hex-body`, `hex-data`, `hex-timestamp-body`, \
                   `base64-body`, `combined`";
    for wrong in [json!("md5"), json!(""), json!(1), json!(null), json!([])] {
        refuses(
            wrong,
            &format!("`: must be an object, or a preset: {presets}"),
        );
    }
    refuses(
        json!({"preset": "v2"}),
        &format!(".preset`: must be an object, or a preset: {presets}"),
    );
    refuses(json!({}), ".header`: is missing");
    refuses(
        json!({"header": "X-A", "hash": "md5"}),
        ".hash`: is not known here",
    );
    for (member, value, rule) in [
        ("header", json!("x a"), "is not the name of an HTTP header"),
        (
            "header",
            json!("x:\r\ny"),
            "is not the name of an HTTP header",
        ),
        ("header", json!(""), "is not the name of an HTTP header"),
        (
            "header",
            json!("x".repeat(129)),
            "must not be longer than 128 bytes",
        ),
        ("id_header", json!("Host"), "is reserved"),
        ("type_header", json!("User-Agent"), "is reserved"),
        (
            "prefix",
            json!("a\r\nb"),
            "must be visible ASCII characters, not beginning with a space, without `{` and `}`",
        ),
        (
            "prefix",
            json!(" a"),
            "must be visible ASCII characters, not beginning with a space, without `{` and `}`",
        ),
        (
            "prefix",
            json!("{body}"),
            "must be visible ASCII characters, not beginning with a space, without `{` and `}`",
        ),
        (
            "prefix",
            json!("x".repeat(65)),
            "must not be longer than 64 bytes",
        ),
        (
            "separator",
            json!(""),
            "must be 1 to 8 visible ASCII characters or spaces, one of which no signature holds",
        ),
        (
            "separator",
            json!("=="),
            "must be 1 to 8 visible ASCII characters or spaces, one of which no signature holds",
        ),
        (
            "start",
            json!("t={timestamp}0,"),
            "may have `{timestamp}` once, with text behind it that begins with no digit",
        ),
        (
            "separator",
            json!("\n"),
            "must be 1 to 8 visible ASCII characters or spaces, one of which no signature holds",
        ),
        (
            "algorithm",
            json!("md5"),
            "must be `sha256`, `sha512` or `ed25519`",
        ),
        ("encoding", json!("base32"), "must be `hex` or `base64`"),
        ("key", json!("hex"), "must be `base64` or `text`"),
        (
            "content",
            json!("{timestamp}"),
            "must have exactly one of `{body}` and `{data}`, once",
        ),
        (
            "content",
            json!("{body}{body}"),
            "must have exactly one of `{body}` and `{data}`, once",
        ),
        (
            "content",
            json!("{payload}"),
            "must be visible ASCII characters, spaces, and in braces only `{id}`, `{timestamp}`, `{type}`, `{body}` and `{data}`",
        ),
        (
            "start",
            json!("t={now},"),
            "must be visible ASCII characters, spaces, and in braces only `{timestamp}`",
        ),
        (
            "start",
            json!("t={timestamp}"),
            "may have `{timestamp}` once, with text behind it that begins with no digit",
        ),
        (
            "start",
            json!("t={body},"),
            "may have `{timestamp}` once, with text behind it that begins with no digit",
        ),
        (
            "start",
            json!(" t={timestamp},"),
            "must be visible ASCII characters, not beginning with a space, without `{` and `}`",
        ),
        ("timestamp", json!("seconds"), "must be an object"),
    ] {
        refuses(
            json!({"preset": "hex-body", member: value}),
            &format!(".{member}`: {rule}"),
        );
    }
    let in_prefix = "must be such that `prefix` does not hold the `separator`";
    refuses(
        json!({"preset": "combined", "prefix": "v1,"}),
        &format!(".prefix`: {in_prefix}"),
    );
    refuses(
        json!({"header": "X-A", "prefix": "a;b=", "separator": ";"}),
        &format!(".separator`: {in_prefix}"),
    );
    for name in [
        "Webhook-Signature",
        "webhook-id",
        "Content-Length",
        "Transfer-Encoding",
        "Connection",
        "Proxy-Authorization",
        "User-Agent",
    ] {
        refuses(json!({"header": name}), ".header`: is reserved");
        refuses(
            json!({"header": "X-A", "timestamp": {"header": name}}),
            ".timestamp.header`: is reserved",
        );
    }
    refuses(
        json!({"header": "X-A", "timestamp": {"unit": "hours"}}),
        ".timestamp.unit`: must be `seconds`, `milliseconds` or `rfc3339`",
    );
    refuses(
        json!({"header": "X-A", "timestamp": {"form": "x"}}),
        ".timestamp.form`: is not known here",
    );
    refuses(
        json!({"header": "X-A", "content": "{timestamp}.{body}", "timestamp": {"unit": "rfc3339"}}),
        ".timestamp`: is signed in a unit other than seconds, so it must be sent: give it a `header`",
    );
    assert_eq!(
        schemes(json!(vec!["hex-body"; 9])).unwrap_err(),
        "`signatures`: must not have more than 8 entries"
    );
}

#[test]
fn several_stand_side_by_side() {
    let moving =
        json!(["standard", "sha256-body", {"preset": "hex-body", "header": "X-Signature"}]);
    assert_eq!(schemes(moving).unwrap().len(), 3);
    // One list of signatures, told apart by what stands before each.
    let both = json!([{"preset": "combined"}, {"preset": "combined", "prefix": "v2=", "algorithm": "sha512"}]);
    assert_eq!(schemes(both).unwrap().len(), 2);
    // Both may say the same thing in the same header.
    let same = json!(["sha256-body", {"preset": "hex-timestamp-body", "header": "X-Other"}]);
    assert_eq!(schemes(same).unwrap().len(), 2);
}

#[test]
fn nothing_is_written_over() {
    #[track_caller]
    fn check(members: Value, expected: &str) {
        assert_eq!(subscription(members).unwrap_err(), expected);
    }
    let signatures = |list: Value| json!({"signatures": list});
    check(
        signatures(json!(["standard", "hex-body", "base64-body"])),
        "`signatures[2]`: writes `x-webhook-signature`, which `signatures[1]` writes too",
    );
    check(
        signatures(json!(["hex-body", {"preset": "hex-body"}])),
        "`signatures[1]`: is given twice",
    );
    let twice =
        json!([{"preset": "combined", "header": "X-A"}, {"preset": "combined", "header": "x-a"}]);
    check(signatures(twice), "`signatures[1]`: is given twice");
    let units = json!(["sha256-body", {"header": "X-B", "timestamp": {"header": "X-Webhook-Timestamp", "unit": "milliseconds"}}]);
    check(
        signatures(units),
        "`signatures[1]`: writes `x-webhook-timestamp`, which `signatures[0]` writes too",
    );
    let starts = json!(["combined", {"preset": "combined", "prefix": "v2=", "timestamp": {"unit": "milliseconds"}}]);
    check(
        signatures(starts),
        "`signatures[1]`: writes `x-signature`, which `signatures[0]` writes too",
    );
    check(
        signatures(json!([{"header": "X-A", "id_header": "X-A"}])),
        "`signatures[0]`: writes `x-a`, which another of its members writes too",
    );
    let own = json!({"signatures": ["hex-body"], "headers": {"X-Event-Type": "a"}});
    check(
        own,
        "`signatures[0]`: writes `x-event-type`, which `headers` writes too",
    );
    let credentials = json!({"signatures": [{"header": "Authorization", "prefix": "HMAC "}], "url": "https://u:p@example.com"});
    check(
        credentials,
        "`signatures[0]`: writes `authorization`, which the user and password of `url` writes too",
    );
}

#[test]
fn each_scheme_needs_a_secret_and_each_secret_a_scheme() {
    #[track_caller]
    fn check(signatures: Value, secrets: Value, expected: Result<usize, &str>) {
        let found = subscription(json!({"signatures": signatures, "secrets": secrets}));
        assert_eq!(
            found.map(|read| read.secrets().len()),
            expected.map_err(str::to_owned)
        );
    }
    check(json!(["standard", "hex-body"]), json!([SECRET]), Ok(1));
    check(json!(["hex-body"]), json!([TEXT]), Ok(1));
    check(
        json!(["standard", "hex-body"]),
        json!([TEXT, SECRET]),
        Ok(2),
    );
    check(json!(["standard", "v1a"]), json!([SECRET, PRIVATE]), Ok(2));
    check(json!(["v1a"]), json!([PRIVATE]), Ok(1));
    check(json!([]), json!([TEXT, SECRET, PRIVATE]), Ok(3));
    // Seen when it is read.
    check(json!(["v1a"]), json!([{"env": "KEY"}]), Ok(1));

    check(
        json!(["standard", "v1a"]),
        json!([SECRET]),
        Err(
            "`secrets`: has none for the signature `v1a`: a secret for `v1a` must begin with `whsk_`",
        ),
    );
    check(
        json!(["standard", "hex-body"]),
        json!([TEXT]),
        Err("`secrets`: has none for the signature `standard`: a secret must begin with `whsec_`"),
    );
    check(
        json!(["standard"]),
        json!([SECRET, TEXT]),
        Err("`secrets[1]`: a secret must begin with `whsec_`"),
    );
    check(
        json!(["v1a"]),
        json!([PRIVATE, SECRET]),
        Err("`secrets[1]`: a secret for `v1a` must begin with `whsk_`"),
    );
    check(
        json!(["hex-body"]),
        json!(["too short"]),
        Err("`secrets[0]`: a secret must have 16 to 256 bytes of text"),
    );
    check(
        json!(["hex-body"]),
        json!([PRIVATE]),
        Err("`secrets[0]`: a secret that begins with `whsk_` is for `v1a` alone"),
    );
    check(
        json!(["v1a"]),
        json!(["whpk_11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="]),
        Err("`secrets[0]`: what begins with `whpk_` is a public key: it verifies and cannot sign"),
    );
    check(
        json!([]),
        json!(["hush"]),
        Err("`secrets[0]`: a secret must begin with `whsec_`"),
    );
}

#[test]
fn secrets_of_every_kind_stay_secret() {
    let secrets = json!([SECRET, TEXT, PRIVATE]);
    let signatures = json!(["standard", "hex-body", "v1a"]);
    let read = subscription(json!({"signatures": signatures, "secrets": secrets})).unwrap();
    let shown = format!("{read:?} {read:#?}");
    for secret in [SECRET, TEXT, PRIVATE] {
        assert!(!shown.contains(&secret[8..20]), "{shown}");
    }
    // Where it is refused, too.
    for (signatures, secret) in [("standard", TEXT), ("standard", PRIVATE), ("v1a", TEXT)] {
        let members = json!({"signatures": [signatures], "secrets": [secret]});
        let error = subscription(members).unwrap_err();
        assert!(!error.contains(&secret[8..20]), "{error}");
    }
}

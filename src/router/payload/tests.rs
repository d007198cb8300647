//! What the tests of bodies stand on, and a body of every kind, byte by byte.

use std::cell::OnceCell;
use std::sync::LazyLock;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

static RAW: Bytes = Bytes::from_static(b"{ \"raw\" : 1.0 }");

/// What an event of these members says otherwise.
pub(crate) fn facts<'a>(document: &'a Document<'a>) -> Facts<'a> {
    Facts {
        document,
        event_type: "order.created",
        tenant: "acme",
        id: "evt_1",
        timestamp: "2026-11-22T10:00:00Z",
        source: "orders",
        raw: &RAW,
        raw_content_type: None,
        values: OnceCell::new(),
    }
}

/// JSON with few names, so that paths find something.
pub(crate) fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(Value::from),
        (0..9).prop_map(Value::from),
        "[a-c\"\\\\]{0,3}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-c]", inner, 0..4)
                .prop_map(|members| members.into_iter().collect()),
        ]
    })
}

/// Where the event and its bodies are.
const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden");

static EVENT: LazyLock<String> =
    LazyLock::new(|| std::fs::read_to_string(format!("{GOLDEN}/event.json")).unwrap());

/// A body for a subscription with these members, or why there is none.
fn body(event: &str, members: &str) -> Result<String, String> {
    let subscription = subscription(members);
    let shape = shape(&subscription).map_err(|error| error.to_string())?;
    let document = Document::parse(event.as_bytes()).unwrap();
    let raw = Bytes::copy_from_slice(event.as_bytes());
    let facts = Facts {
        raw: &raw,
        ..facts(&document)
    };
    let made = render(&facts, shape.as_deref(), recipient(&subscription));
    made.map(|body| String::from_utf8(body.to_vec()).unwrap())
        .map_err(|error| error.to_string())
}

fn shape(subscription: &Subscription) -> Result<Option<Box<Shape>>, ShapeError> {
    Shape::compile(subscription, &Rules::default(), &mut Programs::default())
}

fn key() -> &'static SubscriptionKey {
    static KEY: LazyLock<SubscriptionKey> = LazyLock::new(|| "acme/sub_1".parse().unwrap());
    &KEY
}

fn subscription(members: &str) -> Subscription {
    let value = format!(
        r#"{{"url":"https://e.com/","events":["*"],"signatures":[],"labels":{{"owner":"ops"}}{members}}}"#
    );
    Subscription::parse(key(), value.as_bytes(), &Rules::default()).unwrap()
}

fn recipient(subscription: &Subscription) -> Recipient<'_> {
    static ID: LazyLock<DeliveryId> = LazyLock::new(|| {
        DeliveryId::derive(
            "acme",
            "orders",
            crate::record::EventKey::Id("evt_1"),
            "sub_1",
        )
    });
    Recipient {
        key: key(),
        subscription,
        delivery_id: &ID,
    }
}

#[test]
fn bodies_are_the_golden_ones() {
    let check = |name: &str, members: &str| {
        let body = body(&EVENT, members).unwrap();
        let path = format!("{GOLDEN}/bodies/{name}");
        if std::env::var_os("HOOKTIDE_BLESS").is_some() {
            std::fs::write(&path, &body).unwrap();
        }
        let golden = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(body, golden, "{name}");
    };
    for preset in BodyPreset::ALL {
        let name = preset.as_str();
        check(&format!("{name}.json"), &format!(r#","body":"{name}""#));
    }
    check(
        "envelope.fields.json",
        r#","body":"envelope","fields":["data.items[*].sku","data.total"]"#,
    );
    check(
        "mapping.json",
        r#","mapping":{"external_id":"data.orderId","customer.email":"data.customerEmail",
            "lines[*].article":"data.items[*].sku","lines[*].quantity":"data.items[*].qty",
            "skus":"data.items[*].sku","kind":"type"}"#,
    );
    check(
        "template.json",
        r#","body":{"template":"{\"text\":\"Order {{ data.orderId }} of {{ data.customerEmail }}\",\"total\":{{ source('data.total') }},\n \"items\":[{% for item in data.items %}{{ item.sku | tojson }}{% if not loop.last %},{% endif %}{% endfor %}],\n \"raw\":{{ data.items | tojson }},\"for\":\"{{ subscription.id }}/{{ subscription.labels.owner }}\",\"id\":\"{{ delivery_id }}\"}"}"#,
    );
    check(
        "template.txt",
        r#","content_type":"text/plain","body":{"template":"{{ type }} at {{ timestamp }}: {{ data.customerEmail }} owes {{ source('data.total') }}\n"}"#,
    );
}

#[test]
fn the_content_type_follows_the_body() {
    fn check(members: &str, raw: Option<&str>, expected: Option<&str>) {
        let subscription = subscription(members);
        let shape = shape(&subscription).unwrap().unwrap();
        let document = Document::parse(EVENT.as_bytes()).unwrap();
        let facts = Facts {
            raw_content_type: raw,
            ..facts(&document)
        };
        assert_eq!(shape.content_type(&facts), expected, "{members}");
    }
    check(
        r#","body":"cloudevents""#,
        None,
        Some("application/cloudevents+json"),
    );
    check(r#","body":"raw""#, None, None);
    check(
        r#","body":"raw""#,
        Some("application/avro"),
        Some("application/avro"),
    );
    check(
        r#","body":"raw","content_type":"text/x""#,
        Some("a/b"),
        Some("text/x"),
    );
    check(r#","body":"envelope""#, Some("a/b"), None);
    check(r#","content_type":"application/json""#, None, None);
    check(
        r#","content_type":"application/hal+json""#,
        None,
        Some("application/hal+json"),
    );
}

#[test]
fn equal_wishes_share_a_body() {
    fn check(left: &str, right: &str, expected: Option<bool>) {
        let compiled = |members| shape(&subscription(members)).unwrap();
        let (left, right) = (compiled(left), compiled(right));
        let (left, right) = (key_of(left.as_deref()), key_of(right.as_deref()));
        assert_eq!(left.zip(right).map(|(left, right)| left == right), expected);
    }
    fn key_of(shape: Option<&Shape>) -> Option<Key<'_>> {
        super::key(shape)
    }
    check("", r#","method":"PUT""#, Some(true));
    check(
        "",
        r#","body":"standard","content_type":"text/x""#,
        Some(true),
    );
    check(
        r#","fields":["data.a","data.b"]"#,
        r#","fields":["data.b","data.a"]"#,
        Some(true),
    );
    check(
        r#","fields":["data.a"]"#,
        r#","fields":["data.b"]"#,
        Some(false),
    );
    check(r#","body":"event""#, r#","body":"event""#, Some(true));
    check(r#","body":"event""#, r#","body":"data""#, Some(false));
    let template = r#","body":{"template":"{\"a\":{{ data.a }} }"}"#;
    check(template, template, Some(true));
    let as_text = format!(r#"{template},"content_type":"text/plain""#);
    check(template, &as_text, Some(false));
    // Bodies that name the subscription are its own.
    check(r#","body":"envelope""#, r#","body":"envelope""#, None);
    let own = r#","body":{"template":"{{ delivery_id | tojson }}"}"#;
    check(own, own, None);
}

#[test]
fn what_makes_no_sense_together_is_refused() {
    fn check(members: &str, expected: &str) {
        let value =
            format!(r#"{{"url":"https://e.com/","events":["*"],"signatures":[]{members}}}"#);
        let parsed = Subscription::parse(key(), value.as_bytes(), &Rules::default());
        assert_eq!(parsed.unwrap_err().to_string(), expected, "{members}");
    }
    let mapping = r#","mapping":{"a":"data.a"}"#;
    check(
        &format!(r#"{mapping},"body":"event""#),
        "`body`: cannot be given beside mapping",
    );
    check(
        &format!(r#"{mapping},"fields":["data"]"#),
        "`fields`: cannot be given beside mapping",
    );
    check(
        r#","body":{"template":"x"},"fields":["data"]"#,
        "`fields`: cannot be given beside a template",
    );
    check(
        r#","body":"raw","fields":["data"]"#,
        "`fields`: cannot be given beside `raw`",
    );
    check(
        r#","body":"cloudevents","content_type":"a/b""#,
        "`content_type`: cannot be given beside `cloudevents`, which has its own",
    );
    check(r#","mapping":{}"#, "`mapping`: must not be empty");
    check(r#","mapping":{"a":1}"#, "`mapping.a`: must be a string");
    check(r#","where":" ""#, "`where`: must not be empty");
    check(
        r#","body":{"template":"x","more":1}"#,
        "`body.more`: is not known here",
    );
    check(r#","body":{}"#, "`body.template`: is missing");
    check(
        r#","method":"GET""#,
        "`method`: must be `POST`, `PUT`, `PATCH` or `DELETE`",
    );
    for wrong in [
        "text",
        "text/",
        "/x",
        "text/plain\\r\\nx: y",
        "te xt/plain",
        "text/\u{e9}",
    ] {
        check(
            &format!(r#","content_type":"{wrong}""#),
            "`content_type`: must be a media type in visible ASCII characters",
        );
    }
    let body = body_names();
    check(r#","body":"none""#, &format!("`body`: {body}"));
}

fn body_names() -> String {
    let names = BodyPreset::ALL.map(|preset| format!("`{}`", preset.as_str()));
    let (last, others) = names.split_last().unwrap();
    format!(
        "must be {} or {last}, or an object with a `template`",
        others.join(", ")
    )
}

proptest! {
    #[test]
    fn selecting_adds_nothing(
        data in any_json(),
        paths in prop::collection::vec("data(\\.[a-c]|\\[\\*\\]|\\[[01]\\]){0,4}", 0..6),
    ) {
        let fields = Fields::parse(&paths).unwrap();
        let event = format!(r#"{{"type":"t","data":{data}}}"#);
        let document = Document::parse(event.as_bytes()).unwrap();
        let mut selected = Vec::new();
        standard::data(&facts(&document), Some(&fields), &mut selected);
        let selected: Value = serde_json::from_slice(&selected).unwrap();
        prop_assert!(selected == json!({}) || is_part(&selected, &data), "{selected} of {data}");
        // And what one path leads to is there.
        for path in &paths {
            let path: Path = path.parse().unwrap();
            let count = |document: &Document<'_>| {
                let mut found = 0;
                document.any(&path, |_| { found += 1; false });
                found
            };
            let shown = format!(r#"{{"data":{selected}}}"#);
            let shown = Document::parse(shown.as_bytes()).unwrap();
            if !path.to_string().contains("[1]") {
                prop_assert!(count(&shown) >= count(&document).min(1), "{path} of {data}: {selected}");
            }
        }
    }
}

/// Whether it is the other with members and elements left out.
fn is_part(part: &Value, whole: &Value) -> bool {
    match (part, whole) {
        (Value::Object(part), Value::Object(whole)) => part
            .iter()
            .all(|(name, value)| whole.get(name).is_some_and(|other| is_part(value, other))),
        (Value::Array(part), Value::Array(whole)) => {
            let mut rest = whole.iter();
            part.iter()
                .all(|element| rest.any(|other| is_part(element, other)))
        }
        (part, whole) => part == whole,
    }
}

/// Every kind of body, for what no event should be.
const KINDS: [&str; 10] = [
    r#","body":"standard""#,
    r#","body":"cloudevents""#,
    r#","body":"raw""#,
    r#","body":"data""#,
    r#","body":"envelope""#,
    r#","body":"event""#,
    r#","body":"hook""#,
    r#","fields":["data.a[*].b","data.c[1]","data.c[*]"]"#,
    r#","mapping":{"x[*].y":"data.a[*].b","z":"data.c[*]","w":"data.c"}"#,
    r#","body":{"template":"{\"a\":{{ data.a | tojson }},\"c\":\"{{ data.s | default('') }}\"}"}"#,
];

#[test]
fn hostile_events_make_bounded_bodies_or_a_named_error() {
    let long = "x".repeat(10_000_000);
    let deep = format!("{}1{}", "[".repeat(120), "]".repeat(120));
    let many = vec!["{\"b\":1}"; 100_000].join(",");
    let hostile = [
        format!(r#"{{"type":"t","data":{{"a":[],"s":"{long}","c":["{long}"]}}}}"#),
        format!(r#"{{"type":"t","data":{{"a":{deep},"c":{deep}}}}}"#),
        format!(r#"{{"type":"t","data":{{"a":[{many}],"c":[{many}]}}}}"#),
        r#"{"type":"t","data":{"a":1,"a":[{"b":1,"b":2}],"c":[1],"c":{"c":2}}}"#.to_owned(),
        r#"{"type":"t","data":{"a":"\ud800","s":"\u0000\r\nX: y\u2028","c":null}}"#.to_owned(),
        r#"{"type":"t","data":"{{ data }}"}"#.to_owned(),
        r#"{"type":"t\r\nX: y","data":[]}"#.to_owned(),
    ];
    for event in &hostile {
        for kind in KINDS {
            match body(event, kind) {
                Ok(body) => {
                    assert!(
                        body.len() <= 2 * event.len() + 1_000,
                        "{kind}: {}",
                        body.len()
                    );
                    let parsed = serde_json::from_str::<serde::de::IgnoredAny>(&body);
                    assert!(parsed.is_ok(), "{kind}: {parsed:?}");
                }
                Err(error) => {
                    assert!(kind.contains("template"), "{kind}: {error}");
                    assert!(error.len() < 1_000, "{error}");
                }
            }
        }
    }
    // Of a repeated name the last counts.
    let twice = &hostile[3];
    let members = r#","mapping":{"a":"data.a[*].b","c":"data.c"}"#;
    assert_eq!(
        body(twice, members).as_deref(),
        Ok(r#"{"a":[2],"c":{"c":2}}"#)
    );
    let members = r#","body":"data","fields":["data.a[*].b"]"#;
    assert_eq!(body(twice, members).as_deref(), Ok(r#"{"a":[{"b":2}]}"#));
    let template = r#","body":{"template":"[{{ data.a[0].b }},{{ data.c.c }}]"}"#;
    assert_eq!(body(twice, template).as_deref(), Ok("[2,2]"));
}

#[test]
fn what_nobody_asks_for_takes_no_room() {
    // Each subscription of the table has one of each.
    assert!(std::mem::size_of::<Option<Box<Shape>>>() == 8);
    let whole = std::mem::size_of::<crate::subscription_table::Compiled>();
    assert!(whole <= 640, "{whole}");
    let plain = shape(&subscription("")).unwrap();
    assert!(plain.is_none());
}

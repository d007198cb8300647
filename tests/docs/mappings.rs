//! The recipes of `docs/events.md` are settings, and do to records what the page says.

use hooktide::clock::Timestamp;
use hooktide::config::Config;
use hooktide::record::Headers;
use hooktide::router::event_form::EventForm;
use hooktide::router::event_form::mapping::{Mapping, Source};
use serde_json::{Value, json};

use crate::package::text;

/// The mappings of the recipe whose paragraph begins with these words.
fn recipe(words: &str) -> Vec<Mapping> {
    let page = text("docs/events.md");
    let (_, behind) = page.split_once(&format!("**{words}**")).unwrap();
    let block = behind.split("```toml\n").nth(1).unwrap();
    let settings = block.split("```").next().unwrap();
    let mut file = tempfile::NamedTempFile::new().unwrap();
    std::io::Write::write_all(&mut file, settings.as_bytes()).unwrap();
    let config = Config::load(Some(file.path()), std::iter::empty());
    config
        .unwrap_or_else(|error| panic!("{words}: {error}"))
        .events
        .mappings
}

/// Type, tenant, id (or place), time and data.
fn check(words: &str, topic: &str, headers: &[(&str, &str)], value: &str, expected: [Value; 5]) {
    let mappings = recipe(words);
    let mapping = Mapping::of(&mappings, topic);
    assert!(mapping.is_some(), "{words}: {topic}");
    let mut all = Headers::new();
    for (name, value) in headers {
        all.push(name, Some(value.as_bytes()));
    }
    let source = Source {
        topic,
        key: None,
        headers: &all,
    };
    let form = EventForm::of_source(mapping, source, value.as_bytes()).unwrap();
    let decoded = form.decode(&all, None).unwrap();
    let at = format!("{topic}/0/7").parse().unwrap();
    let (event, document) = decoded.read(&at, Timestamp::from_millis(0)).unwrap();
    let data: Value = serde_json::from_str(document.member("data").unwrap().text()).unwrap();
    let found = [
        json!(event.event_type()),
        json!(event.tenant()),
        json!(event.id_or_position()),
        json!(event.timestamp()),
        data,
    ];
    assert_eq!(found, expected, "{words}");
}

#[test]
fn recipes_do_what_they_say() {
    let time = "2026-11-22T10:00:00.000Z";
    let none = "1970-01-01T00:00:00.000Z";
    let row = json!({"id": 1, "tenant_id": "acme"});
    let change = json!({"before": row, "after": null, "op": "d", "ts_ms": 1_795_341_600_123_i64,
        "source": {"table": "orders", "ts_ms": 1_795_341_600_000_i64}});
    check(
        "Change data capture.",
        "shop.public.orders",
        &[],
        &change.to_string(),
        [
            json!("orders.deleted"),
            json!("acme"),
            json!("shop.public.orders/0/7"),
            json!(time),
            json!({"before": row, "after": null}),
        ],
    );
    let headers = [
        ("id", "4d47"),
        ("eventType", "order.placed"),
        ("tenant", "acme"),
    ];
    for value in [r#""{\"id\":1}""#, r#"{"id":1}"#] {
        check(
            "Outbox",
            "outbox.event.order",
            &headers,
            value,
            [
                json!("order.placed"),
                json!("acme"),
                json!("4d47"),
                json!(none),
                json!({"id": 1}),
            ],
        );
    }
    check(
        "Headers alone",
        "measurements",
        &[("kind", "Heat.Measured"), ("taken-at", "1795341600000")],
        "\0\u{1}",
        [
            json!("heat.measured"),
            json!("default"),
            json!("measurements/0/7"),
            json!(time),
            json!("AAE="),
        ],
    );
    let customer = json!({"name": "Ada", "changed_at": time});
    check(
        "Plain domain topics",
        "acme.customers",
        &[],
        &customer.to_string(),
        [
            json!("customer.changed"),
            json!("acme"),
            json!("acme.customers/0/7"),
            json!(time),
            customer,
        ],
    );
    let flat = json!({"id": 1, "__op": "u"});
    check(
        "Codes",
        "orders",
        &[],
        &flat.to_string(),
        [
            json!("order.updated"),
            json!("default"),
            json!("orders/0/7"),
            json!(none),
            flat,
        ],
    );
}

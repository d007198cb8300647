//! The examples of `docs/filters.md` and `docs/payloads.md`, read as subscriptions have them.

use std::collections::BTreeSet;

use hooktide::record::subscription::{BodyPreset, Rules};
use hooktide::subscription_table::Compiled;
use serde_json::{Value, json};

use crate::package::{files, text};
use crate::sources::captures;

/// The blocks of JSON on a page, but for bodies.
fn examples(page: &str) -> Vec<Value> {
    let page = text(page);
    let blocks = page.split("```json\n").skip(1);
    blocks
        .map(|block| serde_json::from_str(block.split("```").next().unwrap()).unwrap())
        .filter(|example: &Value| example.get("external_id").is_none())
        .collect()
}

#[test]
fn examples_are_parts_of_subscriptions() {
    for page in ["docs/filters.md", "docs/payloads.md"] {
        let examples = examples(page);
        assert!(examples.len() > 3, "{page}");
        for example in examples {
            let mut value = json!({"url": "https://e.com/", "events": ["*"], "signatures": []});
            let members = value.as_object_mut().unwrap();
            members.extend(example.as_object().unwrap().clone());
            let key = "acme/shop".parse().unwrap();
            let compiled = Compiled::parse(&key, value.to_string().as_bytes(), &Rules::default());
            assert!(compiled.is_ok(), "{page}: {value}: {:?}", compiled.err());
        }
    }
}

#[test]
fn every_preset_is_described_and_has_a_golden_file() {
    let names: BTreeSet<String> = BodyPreset::ALL
        .map(|preset| preset.as_str().to_owned())
        .into();
    let page = text("docs/payloads.md");
    let table = page
        .split("## Presets")
        .nth(1)
        .unwrap()
        .split("## ")
        .next()
        .unwrap();
    assert_eq!(captures(r"(?m)^\| `([a-z]+)` \|", table), names);
    let golden = files("tests/golden/bodies", ".json");
    for name in names {
        let file = format!("tests/golden/bodies/{name}.json");
        assert!(golden.contains(&file), "{file} is not among {golden:?}");
    }
}

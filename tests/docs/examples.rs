//! `examples/`: what is in them is valid, whole, and told on their pages.

use std::collections::BTreeSet;

use hooktide::clock::Timestamp;
use hooktide::record::Event;
use hooktide::record::subscription::Rules;
use hooktide::subscription_table::Compiled;
use serde_json::Value;

use crate::package::{files, json, path, text};
use crate::schemas::validator;

/// Each with all types of events that its system has.
const EXAMPLES: [(&str, &[&str]); 3] = [
    (
        "integration-hub",
        &[
            "orders/create",
            "orders/updated",
            "payment.authorized",
            "payment.captured",
            "payment.failed",
            "products/update",
            "sms.delivered",
            "sms.replied",
            "sms.sent",
        ],
    ),
    (
        "business-directory",
        &[
            "api.quota_warning",
            "api.rate_limit_exceeded",
            "business.created",
            "business.deleted",
            "business.updated",
            "business.verified",
            "review.created",
            "review.moderated",
            "review.responded",
            "review.updated",
            "user.registered",
            "user.subscription_changed",
        ],
    ),
    (
        "inventory",
        &[
            "item-checkin",
            "item-checkout",
            "item-created",
            "item-deleted",
            "item-updated",
            "low-stock-alert",
            "transfer-approval-needed",
            "transfer-approved",
            "transfer-rejected",
            "user-login",
            "user-logout",
        ],
    ),
];

/// The subscriptions of an example by `tenant/id`, which is where they lie.
fn subscriptions(example: &str) -> Vec<(String, String)> {
    let folder = format!("examples/{example}/subscriptions");
    let found = files(&folder, ".json");
    assert!(!found.is_empty(), "{folder}");
    let key = |file: &String| file[folder.len() + 1..file.len() - ".json".len()].to_owned();
    found.iter().map(|file| (key(file), file.clone())).collect()
}

#[test]
fn every_folder_is_checked() {
    let mut known = BTreeSet::new();
    for entry in std::fs::read_dir(path("examples")).unwrap() {
        let entry = entry.unwrap();
        if entry.path().is_dir() {
            known.insert(entry.file_name().into_string().unwrap());
        }
    }
    let checked = EXAMPLES.map(|(example, _)| example.to_owned());
    assert_eq!(known, checked.into());
}

#[test]
fn subscriptions_are_valid() {
    let validator = validator("subscription");
    for (example, _) in EXAMPLES {
        for (key, file) in subscriptions(example) {
            let compiled = Compiled::parse(
                &key.parse().unwrap(),
                text(&file).as_bytes(),
                &Rules::default(),
            );
            assert!(compiled.is_ok(), "{file}: {:?}", compiled.err());
            let value = json(&file);
            assert!(validator.is_valid(&value), "{file}");
            // So that `put FILE` needs nothing besides.
            let named = format!(
                "{}/{}",
                value["tenant"].as_str().unwrap(),
                value["id"].as_str().unwrap()
            );
            assert_eq!(named, key, "{file}");
        }
    }
}

#[test]
fn there_is_an_event_of_every_type() {
    let validator = validator("event");
    for (example, types) in EXAMPLES {
        let (mut seen, mut ids) = (BTreeSet::new(), BTreeSet::new());
        for line in text(&format!("examples/{example}/events.ndjson")).lines() {
            let at = "events/0/7".parse().unwrap();
            let event = Event::parse(line.as_bytes(), &at, Timestamp::from_millis(0));
            assert!(event.is_ok(), "{example}: {line}: {:?}", event.err());
            let value: Value = serde_json::from_str(line).unwrap();
            assert!(validator.is_valid(&value), "{example}: {line}");
            seen.insert(value["type"].as_str().unwrap().to_owned());
            assert!(ids.insert(value["id"].to_string()), "{example}: {line}");
        }
        let types = types.iter().map(|name| (*name).to_owned());
        assert_eq!(seen, types.collect(), "{example}");
    }
}

/// What arrives is compared where it arrives, in `tests/it/examples.rs`.
#[test]
fn pages_and_golden_requests_are_of_what_there_is() {
    let index = text("examples/README.md");
    for (example, types) in EXAMPLES {
        assert!(
            index.contains(&format!("({example}/README.md)")),
            "{example}"
        );
        let page = text(&format!("examples/{example}/README.md"));
        for name in types {
            assert!(page.contains(&format!("`{name}`")), "{example}: {name}");
        }
        let keys: BTreeSet<_> = subscriptions(example)
            .into_iter()
            .map(|(key, _)| key)
            .collect();
        for key in &keys {
            assert!(page.contains(&format!("`{key}`")), "{example}: {key}");
        }
        let folder = format!("examples/{example}/expected");
        for file in files(&folder, "") {
            let key = file[folder.len() + 1..].strip_suffix(".http").unwrap();
            assert!(keys.contains(key), "{file} is of no subscription");
        }
        for receiver in ["receiver.js", "receiver.py"] {
            assert!(path(&format!("examples/{example}/{receiver}")).exists());
            assert!(
                page.contains(&format!("({receiver})")),
                "{example}: {receiver}"
            );
        }
    }
}

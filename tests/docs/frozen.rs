//! Subscriptions as released versions have written them, in JSON and in Avro: they say the same for ever.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use apache_avro::Schema;
use apache_avro::writer::datum::GenericDatumWriter;
use hooktide::record::avro::AvroSchema;
use hooktide::record::subscription::{Body, BodyPreset, Rules, SecretSource, State};
use hooktide::record::{Subscription, SubscriptionKey};
use hooktide::retry::Policy;
use hooktide::retry::policy::Exponential;
use hooktide::subscription_table::Compiled;
use serde_json::Value;

use crate::avro::{named, to_avro};
use crate::package::{files, json as read, path, text};

const FOLDER: &str = "tests/frozen/subscription";

/// The JSON that an Avro record stands for. It was written with the schema of its version, frozen
/// beside it.
fn decoded(name: &str) -> Vec<u8> {
    let (version, _) = name.split_once('.').unwrap();
    let writer = text(&format!("{FOLDER}/{version}.avsc"));
    let bytes = fs::read(path(&format!("{FOLDER}/{name}.avro"))).unwrap();
    let schema = AvroSchema::parse(&writer, &[]).unwrap();
    schema.to_json_without_nulls(&bytes).unwrap().into_bytes()
}

/// What a frozen record is, in both forms.
fn frozen(name: &str) -> [Subscription; 2] {
    let key: SubscriptionKey = "acme/shop".parse().unwrap();
    let in_json = text(&format!("{FOLDER}/{name}.json")).into_bytes();
    let in_avro = decoded(name);
    let parse = |value: &[u8]| {
        let compiled = Compiled::parse(&key, value, &Rules::default());
        compiled
            .unwrap_or_else(|error| panic!("{name}: {error}"))
            .subscription
    };
    [parse(&in_json), parse(&in_avro)]
}

#[test]
fn every_record_is_the_same_in_both_forms() {
    let names = files(FOLDER, ".json");
    assert!(names.len() >= 3, "{names:?}");
    let mut members = BTreeSet::new();
    for file in names {
        let in_json = read(&file);
        let name = file
            .rsplit('/')
            .next()
            .unwrap()
            .strip_suffix(".json")
            .unwrap();
        let in_avro: Value = serde_json::from_slice(&decoded(name)).unwrap();
        assert_eq!(in_avro, in_json, "{name}");
        frozen(name);
        members.extend(in_json.as_object().unwrap().keys().cloned());
    }
    let known: BTreeSet<_> = Subscription::MEMBERS
        .iter()
        .map(|&name| name.to_owned())
        .collect();
    assert_eq!(members, known, "each member is in a frozen record");
}

#[test]
fn version_1_with_fields_says_what_it_said() {
    for subscription in frozen("v1.fields") {
        assert_eq!(
            subscription.url().expose().as_str(),
            "https://user:word@example.com/hooks?a=1"
        );
        let events: Vec<_> = subscription
            .events()
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(events, ["order.*", "invoice.paid", "*"]);
        assert_eq!(subscription.state(), State::Paused);
        let secrets = subscription.secrets();
        assert_eq!(secrets.len(), 4);
        assert!(matches!(secrets[0].source(), SecretSource::Key(_)));
        let until = |index: usize| secrets[index].not_after().map(|time| time.to_string());
        assert_eq!(until(1).as_deref(), Some("2026-12-01T00:00:00.000Z"));
        assert!(matches!(secrets[2].source(), SecretSource::Env(name) if name == "SHOP_KEY"));
        assert!(
            matches!(secrets[3].source(), SecretSource::File(name) if name == "/run/secrets/shop")
        );
        assert_eq!(until(3).as_deref(), Some("2026-12-02T00:00:00.250Z"));
        assert_eq!(subscription.signatures().len(), 3);
        assert_eq!(subscription.headers()["x-team"], "billing");
        assert_eq!(subscription.timeout(), Duration::from_secs(15));
        assert_eq!(subscription.max_age(), Some(Duration::from_hours(12)));
        let waits = [5, 60, 600].map(Duration::from_secs).to_vec();
        let policy = Policy::schedule(waits, 0.25).unwrap();
        assert_eq!(subscription.retry(), Some(&policy));
        assert_eq!(subscription.max_concurrency(), 16);
        assert_eq!(subscription.adaptive_concurrency(), Some(true));
        let limit = subscription.rate_limit().unwrap();
        assert_eq!(
            (limit.requests(), limit.per()),
            (100, Duration::from_secs(1))
        );
        let filters: Value = serde_json::from_str(subscription.filters().unwrap().get()).unwrap();
        assert_eq!(
            filters,
            read(&format!("{FOLDER}/v1.fields.json"))["filters"]
        );
        let fields = subscription.fields().unwrap();
        assert_eq!(fields, ["data.id", "data.items[*].sku"]);
        let shaping = subscription.shaping().unwrap();
        assert_eq!(shaping.condition.as_deref(), Some("data.total > 100.0"));
        assert_eq!(shaping.body, Some(Body::Preset(BodyPreset::Envelope)));
        assert_eq!(
            shaping.method.as_ref().map(|method| method.as_str()),
            Some("PUT")
        );
        assert_eq!(
            shaping.content_type.as_deref(),
            Some("application/vnd.shop+json")
        );
        assert_eq!(
            subscription.description(),
            Some("Orders for the billing team")
        );
        assert_eq!(subscription.labels()["on"], "no");
    }
}

#[test]
fn version_1_with_a_body_of_its_own_says_what_it_said() {
    for subscription in frozen("v1.mapping") {
        let mapping = &subscription.shaping().unwrap().mapping;
        let pair = ("external_id".to_owned(), "data.id".to_owned());
        assert_eq!(mapping.as_deref(), Some(&[pair][..]));
        assert!(subscription.signatures().is_empty() && subscription.secrets().is_empty());
        assert_eq!(subscription.state(), State::Active);
        let growth = Exponential {
            max_retries: 5,
            initial: Duration::from_secs(2),
            multiplier: 1.5,
            max: Duration::from_hours(1),
        };
        let policy = Policy::exponential(growth, 0.5).unwrap();
        assert_eq!(subscription.retry(), Some(&policy));
    }
    for subscription in frozen("v1.template") {
        let body = &subscription.shaping().unwrap().body;
        let template = r#"{"id": {{ data.id | tojson }}}"#.to_owned();
        assert_eq!(*body, Some(Body::Template(template)));
        assert_eq!(subscription.signatures().len(), 1);
        assert_eq!(subscription.retry(), Some(&Policy::standard()));
    }
}

/// Freezes the Avro form of records that have none yet: those that are there are never touched.
#[test]
fn new_records_are_frozen_when_that_is_asked_for() {
    if std::env::var_os("HOOKTIDE_BLESS").is_none() {
        return;
    }
    for file in files(FOLDER, ".json") {
        let name = file
            .rsplit('/')
            .next()
            .unwrap()
            .strip_suffix(".json")
            .unwrap();
        let (version, _) = name.split_once('.').unwrap();
        let frozen = path(&format!("{FOLDER}/{name}.avro"));
        if frozen.exists() {
            continue;
        }
        let schema_file = path(&format!("{FOLDER}/{version}.avsc"));
        if !schema_file.exists() {
            fs::write(&schema_file, text("schemas/subscription.avsc")).unwrap();
        }
        let source: Value =
            serde_json::from_str(&fs::read_to_string(&schema_file).unwrap()).unwrap();
        let schema = Schema::parse(&source).unwrap();
        let value = to_avro(&read(&file), &source, &named(&source)).unwrap();
        let writer = GenericDatumWriter::builder(&schema).build().unwrap();
        fs::write(frozen, writer.write_value_to_vec(value).unwrap()).unwrap();
    }
}

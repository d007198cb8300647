//! A subscription's record. First byte even: JSON. Odd: Avro, written with the schema of `schemas/`. One that is read is
//! the same without white space, and compiles or says why not.
#![no_main]

use std::sync::{Arc, LazyLock};

use hooktide::record::avro::AvroSchema;
use hooktide::record::json_text::{Document, Node, minify};
use hooktide::record::subscription::Rules;
use hooktide::record::{Framed, Schema, SchemaId, Subscription, SubscriptionKey};
use hooktide::router::event_form::{WriterSchema, table_record};
use hooktide::router::payload::Shape;
use hooktide::router::programs::Programs;
use libfuzzer_sys::fuzz_target;

static SCHEMA: LazyLock<WriterSchema> = LazyLock::new(|| {
    let avsc = include_str!("../../schemas/subscription.avsc");
    let avro = AvroSchema::parse(avsc, &[]).expect("a schema");
    WriterSchema::Known(Arc::new(Schema::Avro(avro)))
});

fuzz_target!(|input: &[u8]| match input.split_first() {
    Some((kind, value)) if kind % 2 == 0 => read(value),
    Some((_, payload)) => {
        let schema = SchemaId::Id(1);
        if let Ok(value) = table_record(Framed { schema, payload }, &SCHEMA) {
            read(&value);
        }
    }
    None => {}
});

fn read(value: &[u8]) {
    let key: SubscriptionKey = "acme/sub_1".parse().expect("a key");
    let rules = Rules::default();
    let parsed = Subscription::parse(&key, value, &rules);
    drop(Subscription::signatures_of(value));
    let Ok(document) = Document::parse(value) else {
        assert!(parsed.is_err());
        return;
    };
    drop(document);
    let Ok(node) = Node::parse(value) else { return };
    let smaller = minify(node.text());
    let again = Subscription::parse(&key, smaller.as_bytes(), &rules);
    match (parsed, again) {
        (Ok(parsed), Ok(again)) => {
            assert_eq!(shown(&parsed), shown(&again));
            let filters = |of: &Subscription| of.filters().map(|raw| minify(raw.get()));
            assert_eq!(filters(&parsed), filters(&again));
            let compiled = Shape::compile(&parsed, &rules, &mut Programs::default());
            let same = Shape::compile(&again, &rules, &mut Programs::default());
            assert_eq!(compiled.map(|_| ()), same.map(|_| ()));
        }
        (Err(parsed), Err(again)) => assert_eq!(parsed.to_string(), again.to_string()),
        (parsed, again) => panic!("{:?} {:?}", parsed.map(|_| ()), again.map(|_| ())),
    }
}

/// All of it that has no text of its own.
fn shown(of: &Subscription) -> String {
    format!(
        "{:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?}",
        of.url(),
        of.events(),
        of.state(),
        of.secrets(),
        of.signatures(),
        of.headers(),
        of.timeout(),
        of.retry(),
        of.max_age(),
        of.answers(),
        of.max_concurrency(),
        of.adaptive_concurrency(),
        of.rate_limit(),
        of.fields(),
        of.description(),
        of.labels(),
    )
}

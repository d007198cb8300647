//! A record that was written with a schema: the first byte says with which, the second how many bytes of the rest are
//! the header `__value_schema_id` (none: the framing is in front of the value).
#![no_main]

use std::sync::{Arc, LazyLock};

use hooktide::clock::Timestamp;
use hooktide::record::avro::{AvroSchema, LONGEST_JSON};
use hooktide::record::json_text::Node;
use hooktide::record::{Framed, Headers, Schema};
use hooktide::router::event_form::{EventForm, WriterSchema};
use libfuzzer_sys::fuzz_target;

/// The longest JSON that is looked at, in bytes.
const SHOWN: usize = 64 * 1024;

/// Every type, logical ones too, and one that holds itself.
const EVERYTHING: &str = r#"{"type":"record","name":"Event","fields":[
  {"name":"type","type":"string"},
  {"name":"data","type":{"type":"record","name":"Data","fields":[
    {"name":"bool","type":"boolean"},{"name":"int","type":"int"},{"name":"long","type":"long"},
    {"name":"float","type":"float"},{"name":"double","type":"double"},{"name":"bytes","type":"bytes"},
    {"name":"fixed","type":{"type":"fixed","name":"F4","size":4}},
    {"name":"enum","type":{"type":"enum","name":"Suit","symbols":["A","B","C"]}},
    {"name":"list","type":{"type":"array","items":["null","int"]}},
    {"name":"map","type":{"type":"map","values":"string"}},
    {"name":"json","type":"string","json":true},
    {"name":"decimal","type":{"type":"bytes","logicalType":"decimal","precision":20,"scale":4}},
    {"name":"fixed_decimal","type":{"type":"fixed","name":"F8","size":8,"logicalType":"decimal","precision":10,"scale":2}},
    {"name":"big","type":{"type":"bytes","logicalType":"big-decimal"}},
    {"name":"uuid","type":{"type":"string","logicalType":"uuid"}},
    {"name":"date","type":{"type":"int","logicalType":"date"}},
    {"name":"time","type":{"type":"long","logicalType":"time-micros"}},
    {"name":"at","type":{"type":"long","logicalType":"timestamp-nanos"}},
    {"name":"local","type":{"type":"long","logicalType":"local-timestamp-millis"}},
    {"name":"span","type":{"type":"fixed","name":"F12","size":12,"logicalType":"duration"}},
    {"name":"inner","type":["null","Data"]}]}}]}"#;

/// Lists in lists. Not of nulls, a few bytes of which make the longest JSON: that is for the tests beside the
/// code, or there would be time for nothing else here.
const NESTED: &str = r#"{"type":"record","name":"Node","fields":[
  {"name":"flags","type":{"type":"array","items":"boolean"}},
  {"name":"more","type":{"type":"array","items":"Node"}}]}"#;

static SCHEMAS: LazyLock<Vec<WriterSchema>> = LazyLock::new(|| {
    let avro = [EVERYTHING, NESTED, include_str!("../../schemas/event.avsc")];
    let avro = avro.map(|text| Schema::Avro(AvroSchema::parse(text, &[]).expect("a schema")));
    let all = avro.into_iter().chain([Schema::Json]);
    all.map(|schema| WriterSchema::Known(Arc::new(schema)))
        .collect()
});

fuzz_target!(|input: &[u8]| {
    let [which, header, rest @ ..] = input else {
        return;
    };
    let (header, value) = rest.split_at(rest.len().min(usize::from(*header)));
    let mut headers = Headers::new();
    if !header.is_empty() {
        headers.push("__value_schema_id", Some(header));
    }
    if let Ok(Some(framed)) = Framed::find(&headers, value) {
        assert!(value.ends_with(framed.payload));
    }
    let Ok(form) = EventForm::of(&headers, value) else {
        return;
    };
    let schema = &SCHEMAS[usize::from(*which) % SCHEMAS.len()];
    if let (EventForm::Framed(framed), WriterSchema::Known(schema)) = (form, schema)
        && let Schema::Avro(schema) = &**schema
        && let Ok(json) = schema.to_json(framed.payload)
    {
        assert!(json.len() <= LONGEST_JSON);
        if json.len() > SHOWN {
            return; // More of the same.
        }
        // A text that stands for JSON may nest too deep on its own; nothing else makes what is not JSON.
        assert!(Node::parse_str(&json).is_ok() || json.len() > 128, "{json}");
    }
    let Ok(decoded) = form.decode(&headers, Some(schema)) else {
        return;
    };
    let at = "events/0/7".parse().expect("coordinates");
    drop(decoded.read(&at, Timestamp::from_millis(0)));
});

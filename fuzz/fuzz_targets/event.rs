//! A record with an event in any form: lines `name=value` for its headers, an empty line, its value. The first byte says
//! which schema the registry has for it. An event that is read can be said in the plain form, and is the same then.
#![no_main]

use std::sync::{Arc, LazyLock};

use hooktide::clock::Timestamp;
use hooktide::record::avro::AvroSchema;
use hooktide::record::json_text::Node;
use hooktide::record::{Headers, Schema};
use hooktide::router::event_form::{EventForm, WriterSchema};
use hooktide_fuzz::headers;
use libfuzzer_sys::fuzz_target;
use serde_json::{json, value::RawValue};

static SCHEMAS: LazyLock<[WriterSchema; 5]> = LazyLock::new(|| {
    let avro = AvroSchema::parse(include_str!("../../schemas/event.avsc"), &[]).expect("a schema");
    let known = |schema| WriterSchema::Known(Arc::new(schema));
    [
        WriterSchema::NoRegistry,
        WriterSchema::Unknown,
        known(Schema::Avro(avro)),
        known(Schema::Json),
        known(Schema::Protobuf),
    ]
});

fuzz_target!(|input: &[u8]| {
    let Some((which, record)) = input.split_first() else {
        return;
    };
    let (given, value) = match record.windows(2).position(|pair| pair == b"\n\n") {
        Some(end) => (headers(&record[..end]), &record[end + 2..]),
        None => (Headers::new(), record),
    };
    let Ok(form) = EventForm::of(&given, value) else {
        return;
    };
    let schema = form
        .schema()
        .map(|_| &SCHEMAS[usize::from(*which) % SCHEMAS.len()]);
    let (at, now) = (
        "events/0/7".parse().expect("coordinates"),
        Timestamp::from_millis(1),
    );
    let Ok(decoded) = form.decode(&given, schema) else {
        return;
    };
    let Ok((event, document)) = decoded.read(&at, now) else {
        return;
    };
    let mut plain = json!({
        "type": event.event_type(), "tenant": event.tenant(), "timestamp": event.timestamp(),
    });
    if let Some(id) = event.id() {
        plain["id"] = id.into();
    }
    let data = document.member("data").map_or("null", |data| data.text());
    assert!(Node::parse_str(data).is_ok(), "{data}");
    let head = plain.to_string();
    let plain = format!("{},\"data\":{data}}}", head.trim_end_matches('}'));
    assert!(
        serde_json::from_str::<&RawValue>(&plain).is_ok() || data.len() > 128,
        "{plain}"
    );

    let none = Headers::new();
    let form = EventForm::of(&none, plain.as_bytes()).expect("plain JSON");
    let decoded = form.decode(&none, None).expect("plain JSON");
    // One level of nesting more than `data` alone may be one too many.
    let Ok((again, document)) = decoded.read(&at, now) else {
        assert!(data.len() > 128, "{plain}");
        return;
    };
    assert_eq!(document.member("data").map(|data| data.text()), Some(data));
    assert_eq!(
        (
            again.event_type(),
            again.tenant(),
            again.timestamp(),
            again.id()
        ),
        (
            event.event_type(),
            event.tenant(),
            event.timestamp(),
            event.id()
        ),
    );
});

//! Every form gives the same event; hostile input is bounded and named.

use std::cell::OnceCell;

use bytes::Bytes;

use super::*;
use crate::record::avro::AvroSchema;
use crate::router::payload::{self, Facts};

/// As a confluent serializer frames it.
fn framed(id: u32, payload: &[u8]) -> Vec<u8> {
    [&[0], &id.to_be_bytes()[..], payload].concat()
}

fn headers(all: &[(&str, &str)]) -> Headers {
    let mut headers = Headers::new();
    for (name, value) in all {
        headers.push(name, Some(value.as_bytes()));
    }
    headers
}

fn avro(text: &str) -> WriterSchema {
    let schema = AvroSchema::parse(text, &[]).unwrap();
    WriterSchema::Known(Arc::new(Schema::Avro(schema)))
}

/// The body without a selection, the tenant, and the source for the delivery id.
fn rendered(
    headers: &Headers,
    value: &[u8],
    schema: Option<&WriterSchema>,
) -> Result<(String, String, String), FormError> {
    let at = "events/3/42".parse().unwrap();
    let decoded = EventForm::of(headers, value)?.decode(headers, schema)?;
    let (event, document) = decoded.read(&at, Timestamp::from_millis(1_795_341_600_007))?;
    let facts = Facts {
        document: &document,
        event_type: event.event_type(),
        tenant: event.tenant(),
        id: &event.id_or_position(),
        timestamp: event.timestamp(),
        source: event.origin(),
        raw: &Bytes::copy_from_slice(value),
        raw_content_type: None,
        values: OnceCell::new(),
    };
    let body = payload::usual(&facts);
    let body = String::from_utf8(body.to_vec()).unwrap();
    Ok((body, event.tenant().to_owned(), event.origin().to_owned()))
}

const BODY: &str = r#"{"type":"order.created","timestamp":"2026-11-22T10:00:00.000Z","data":{"total":12.50,"note":null},"id":"evt_1"}"#;

const AVRO_EVENT: &str = r#"{"type":"record","name":"Event","fields":[
    {"name":"id","type":["null","string"]},
    {"name":"type","type":"string"},
    {"name":"tenant","type":["null","string"]},
    {"name":"timestamp","type":["null",{"type":"long","logicalType":"timestamp-millis"}]},
    {"name":"data","type":{"type":"record","name":"Data","fields":[
        {"name":"total","type":{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}},
        {"name":"note","type":["null","string"]}]}}]}"#;

const AVRO_DATA: &str = r#"{"type":"record","name":"Data","fields":[
    {"name":"total","type":{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}},
    {"name":"note","type":["null","string"]}]}"#;

/// 12.50 and no note.
const DATA_BYTES: &[u8] = &[4, 0x04, 0xe2, 0];

#[test]
fn every_form_gives_the_same_body() {
    fn check(all: &[(&str, &str)], value: &[u8], schema: Option<WriterSchema>, origin: &str) {
        let expected = (BODY.to_owned(), "acme".to_owned(), origin.to_owned());
        let found = rendered(&headers(all), value, schema.as_ref());
        assert_eq!(found, Ok(expected), "{all:?}");
    }
    let plain = br#"{"id":"evt_1","type":"order.created","tenant":"acme","timestamp":"2026-11-22T10:00:00.000Z","data":{"total":12.50,"note":null}}"#;
    check(&[], plain, None, "events");
    check(
        &[("content-type", "application/json")],
        plain,
        None,
        "events",
    );
    let structured = br#"{"specversion":"1.0","source":"/shop","id":"evt_1","type":"order.created","tenant":"acme","time":"2026-11-22T10:00:00.000Z","data":{"total":12.50,"note":null}}"#;
    check(&[], structured, None, "/shop");
    let media = "application/cloudevents+json; charset=UTF-8";
    check(&[("content-type", media)], structured, None, "/shop");
    let base64 = br#"{"specversion":"1.0","source":"/shop","id":"evt_1","type":"order.created","tenant":"acme","timestamp":"an extension","time":"2026-11-22T10:00:00.000Z","data_base64":"eyJ0b3RhbCI6MTIuNTAsIm5vdGUiOm51bGx9"}"#;
    check(&[], base64, None, "/shop");
    let binary = [
        ("ce_specversion", "1.0"),
        ("ce_source", "/shop"),
        ("ce_id", "evt_1"),
        ("ce_type", "order.created"),
        ("ce_tenant", "acme"),
        ("ce_time", "2026-11-22T10:00:00.000Z"),
        ("content-type", "application/json"),
    ];
    check(&binary, br#"{"total":12.50,"note":null}"#, None, "/shop");
    check(
        &binary[..6],
        br#"{"total":12.50,"note":null}"#,
        None,
        "/shop",
    );
    check(
        &binary,
        &framed(7, DATA_BYTES),
        Some(avro(AVRO_DATA)),
        "/shop",
    );
    let mut with_avro = binary;
    with_avro[6].1 = "application/vnd.confluent.avro";
    check(
        &with_avro,
        &framed(7, DATA_BYTES),
        Some(avro(AVRO_DATA)),
        "/shop",
    );

    let time = [0x80, 0x94, 0x96, 0xab, 0xc0, 0x68];
    let event = [
        &[2, 10],
        &b"evt_1"[..],
        &[26],
        b"order.created",
        &[2, 8],
        b"acme",
        &[2],
        &time,
        DATA_BYTES,
    ]
    .concat();
    with_avro[6].1 = "application/octet-stream";
    let mut beside = headers(&with_avro);
    beside.push("__value_schema_id", Some(&[0, 0, 0, 0, 7]));
    let found = rendered(&beside, DATA_BYTES, Some(&avro(AVRO_DATA)));
    let expected = (BODY.to_owned(), "acme".to_owned(), "/shop".to_owned());
    assert_eq!(found, Ok(expected));
    let json = || WriterSchema::Known(Arc::new(Schema::Json));
    check(&[], &framed(1, &event), Some(avro(AVRO_EVENT)), "events");
    check(&[], &framed(1, plain), Some(json()), "events");
    check(&[], &framed(1, structured), Some(json()), "/shop");
    let mut guid = Headers::new();
    guid.push("__value_schema_id", Some(&[1; 17]));
    let expected = (BODY.to_owned(), "acme".to_owned(), "events".to_owned());
    let found = rendered(&guid, &event, Some(&avro(AVRO_EVENT)));
    assert_eq!(found, Ok(expected));
}

#[test]
fn what_is_absent_is_filled_in() {
    let nothing = &[0, 26][..];
    let event = [nothing, b"order.created", &[0, 0], DATA_BYTES].concat();
    let (body, tenant, _) =
        rendered(&Headers::new(), &framed(1, &event), Some(&avro(AVRO_EVENT))).unwrap();
    let expected = r#"{"type":"order.created","timestamp":"2026-11-22T10:00:00.007Z","data":{"total":12.50,"note":null},"id":"events/3/42"}"#;
    assert_eq!((body.as_str(), tenant.as_str()), (expected, "default"));

    let cloud_event = br#"{"specversion":"1.0","source":"s","id":"1","type":"t"}"#;
    let (body, ..) = rendered(&Headers::new(), cloud_event, None).unwrap();
    let expected = r#"{"type":"t","timestamp":"2026-11-22T10:00:00.007Z","data":null,"id":"1"}"#;
    assert_eq!(body, expected);
}

#[test]
fn what_cannot_be_used_is_named() {
    fn check(all: &[(&str, &str)], value: &[u8], schema: Option<WriterSchema>, reason: &str) {
        let refused = rendered(&headers(all), value, schema.as_ref()).unwrap_err();
        assert_eq!(refused.reason(), reason, "{all:?}: {refused}");
    }
    let known = |schema| Some(WriterSchema::Known(Arc::new(schema)));
    let media = |media| [("content-type", media)];
    let batch = "cloudevents_batch_not_supported";
    check(
        &media("application/cloudevents-batch+json"),
        b"[]",
        None,
        batch,
    );
    let format = "cloudevents_format_not_supported";
    check(&media("application/cloudevents+avro"), b"", None, format);
    check(&media("application/cloudevents"), b"", None, format);
    let plain = br#"{"type":"a","data":1}"#;
    check(
        &media("application/cloudevents+json"),
        plain,
        None,
        "bad_specversion",
    );
    check(&[("ce_specversion", "0.3")], b"1", None, "bad_specversion");
    check(&[("ce_specversion", "1.0")], b"1", None, "bad_source");
    check(&[("ce_specversion", "1.0")], b"{", None, "not_json");

    check(&[], b"\x00\x00\x00", None, "truncated_framing");
    check(
        &[("__value_schema_id", "7")],
        b"x",
        None,
        "bad_schema_header",
    );
    check(&[], &framed(1, b""), None, "no_schema_registry");
    check(
        &[],
        &framed(1, b""),
        Some(WriterSchema::NoRegistry),
        "no_schema_registry",
    );
    check(
        &[],
        &framed(1, b""),
        Some(WriterSchema::Unknown),
        "unknown_schema",
    );
    check(
        &[],
        &framed(1, b""),
        known(Schema::Protobuf),
        "protobuf_not_supported",
    );
    let unusable = known(Schema::Unusable("?".to_owned()));
    check(&[], &framed(1, b""), unusable, "unusable_schema");
    check(&[], &framed(1, b"{"), known(Schema::Json), "not_json");
    check(&[], &framed(1, b""), Some(avro(AVRO_EVENT)), "not_avro");
    check(
        &[],
        &framed(1, DATA_BYTES),
        Some(avro(AVRO_DATA)),
        "no_type",
    );
    check(
        &[],
        &framed(1, &[2]),
        Some(avro(r#""int""#)),
        "not_an_object",
    );
    let nulls = r#"{"type":"array","items":"null"}"#;
    let many = [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
    check(&[], &framed(1, &many), Some(avro(nulls)), "too_large");

    let deep = |depth: usize| {
        format!(
            r#"{{"type":"a","data":{}{}}}"#,
            "[".repeat(depth),
            "]".repeat(depth)
        )
    };
    check(&[], deep(1_000_000).as_bytes(), None, "too_deep");
    let long = "x".repeat(10_000_000);
    let value = format!(r#"{{"type":"{long}","data":1}}"#);
    check(&[], value.as_bytes(), None, "bad_type");
    let twice = br#"{"type":"a","data":1,"d\u0061ta":2}"#;
    check(&[], twice, None, "duplicate_member");
    let value = format!(r#"{{"type":"a","data":"{long}"}}"#);
    let (body, ..) = rendered(&Headers::new(), value.as_bytes(), None).unwrap();
    assert!(body.len() > long.len());
}

#[test]
fn opaque_data_may_begin_with_anything() {
    let all = [
        ("ce_specversion", "1.0"),
        ("ce_source", "s"),
        ("ce_id", "1"),
        ("ce_type", "t"),
        ("content-type", "image/png"),
    ];
    let (body, ..) = rendered(&headers(&all), b"\x00\x00\x00\x00\x07x", None).unwrap();
    assert!(body.contains(r#""data":"AAAAAAd4""#), "{body}");
}

proptest::proptest! {
    /// Whatever comes, it is an event whose body is JSON, or an error of a fixed set.
    #[test]
    fn any_record_is_an_event_or_an_error(
        names in proptest::collection::vec(
            proptest::sample::select(vec![
                "ce_specversion", "ce_id", "ce_source", "ce_type", "ce_time", "ce_data", "ce_\"",
                "content-type", "__value_schema_id",
            ]),
            0..8,
        ),
        texts in proptest::collection::vec(
            proptest::sample::select(vec![
                &b"1.0"[..], b"a", b"\"", b"\xff", b"text/plain", b"image/png", b"\x00\x00\x00\x00\x01",
                b"application/cloudevents+json", b"2026-11-22T10:00:00Z",
            ]),
            8,
        ),
        value in proptest::sample::select(vec![
            &b""[..], b"1", b"{", b"\"\\ud800\"", b"\x00\x00\x00\x00\x01\x02a\x04", b"\xff",
            br#"{"specversion":"1.0","id":"1","source":"s","type":"t","data_base64":"AP8="}"#,
            br#"{"type":"a","data":"\ud800","time":"2026-11-22T10:00:00Z"}"#,
        ]),
        has_schema: bool,
    ) {
        let mut headers = Headers::new();
        for (name, text) in names.into_iter().zip(texts) {
            headers.push(name, Some(text));
        }
        let schema = avro(r#"{"type":"record","name":"R","fields":[
            {"name":"type","type":"string"},{"name":"data","type":"int"}]}"#);
        if let Ok((body, ..)) = rendered(&headers, value, has_schema.then_some(&schema)) {
            proptest::prop_assert!(Node::parse(body.as_bytes()).is_ok(), "{}", body);
        }
    }
}

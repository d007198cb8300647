//! Values of every type, hostile bytes, and the library's own writer.

use apache_avro::Schema as Parsed;
use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;
use proptest::prelude::*;

use super::*;

fn schema(text: &str) -> AvroSchema {
    AvroSchema::parse(text, &[]).unwrap()
}

fn logical(base: &str, name: &str, more: &str) -> String {
    format!(r#"{{"type":{base},"logicalType":"{name}"{more}}}"#)
}

#[track_caller]
fn check(schema_text: &str, bytes: &[u8], expected: &str) {
    let json = schema(schema_text).to_json(bytes);
    assert_eq!(json.as_deref(), Ok(expected), "{schema_text} {bytes:?}");
}

#[track_caller]
fn refused(schema_text: &str, bytes: &[u8], expected: AvroError) {
    let json = schema(schema_text).to_json(bytes);
    assert_eq!(json, Err(expected), "{schema_text} {bytes:?}");
}

/// Zigzag, variable length.
fn long(number: i64) -> Vec<u8> {
    let mut zigzag = ((number << 1) ^ (number >> 63)) as u64;
    let mut bytes = Vec::new();
    while zigzag > 0x7f {
        bytes.push((zigzag & 0x7f) as u8 | 0x80);
        zigzag >>= 7;
    }
    bytes.push(zigzag as u8);
    bytes
}

fn counted(bytes: &[u8]) -> Vec<u8> {
    [long(bytes.len() as i64), bytes.to_vec()].concat()
}

#[test]
fn primitives() {
    check(r#""null""#, b"", "null");
    check(r#""boolean""#, &[0], "false");
    check(r#""boolean""#, &[1], "true");
    check(r#""int""#, &long(-1), "-1");
    check(r#""long""#, &long(i64::MIN), "-9223372036854775808");
    check(r#""long""#, &long(i64::MAX), "9223372036854775807");
    check(r#""float""#, &0.1_f32.to_le_bytes(), "0.1");
    check(r#""double""#, &0.1_f64.to_le_bytes(), "0.1");
    check(r#""double""#, &100_f64.to_le_bytes(), "100.0");
    check(r#""double""#, &(-0.0_f64).to_le_bytes(), "-0.0");
    check(r#""float""#, &f32::NAN.to_le_bytes(), r#""NaN""#);
    check(r#""double""#, &f64::INFINITY.to_le_bytes(), r#""Infinity""#);
    check(
        r#""double""#,
        &f64::NEG_INFINITY.to_le_bytes(),
        r#""-Infinity""#,
    );
    check(r#""bytes""#, &counted(&[0, 255]), r#""AP8=""#);
    check(
        r#""string""#,
        &counted("\"\n\u{e9}".as_bytes()),
        "\"\\\"\\u000a\u{e9}\"",
    );
}

#[test]
fn named_and_nested() {
    check(
        r#"{"type":"fixed","name":"F","size":2}"#,
        &[0, 255],
        r#""AP8=""#,
    );
    check(
        r#"{"type":"enum","name":"E","symbols":["A","B"]}"#,
        &long(1),
        r#""B""#,
    );
    check(r#"["null","string"]"#, &long(0), "null");
    check(
        r#"["null","string"]"#,
        &[long(1), counted(b"a")].concat(),
        r#""a""#,
    );
    check(
        r#"{"type":"array","items":"int"}"#,
        &[4, 2, 4, 2, 6, 0],
        "[1,2,3]",
    );
    // A block with its size in bytes in front.
    check(
        r#"{"type":"array","items":"int"}"#,
        &[3, 4, 2, 4, 0],
        "[1,2]",
    );
    check(
        r#"{"type":"map","values":"int"}"#,
        &[4, 2, b'b', 2, 2, b'a', 4, 0],
        r#"{"b":1,"a":2}"#,
    );
    check(r#"{"type":"record","name":"R","fields":[]}"#, b"", "{}");
    // A name that means itself, and one from the namespace around it.
    let list = r#"{"type":"record","name":"Node","namespace":"shop","fields":[
        {"name":"kind","type":{"type":"enum","name":"Kind","symbols":["X","Y"]}},
        {"name":"other","type":"Kind"},
        {"name":"next","type":["null","Node"]}]}"#;
    check(
        list,
        &[0, 2, 2, 2, 0, 0],
        r#"{"kind":"X","other":"Y","next":{"kind":"Y","other":"X","next":null}}"#,
    );
}

#[test]
fn a_string_may_be_json() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/schemas/event.avsc");
    let event = &std::fs::read_to_string(file).unwrap();
    let of = |data: &str| {
        let parts = [
            vec![0],
            counted(b"t"),
            vec![0, 0],
            counted(data.as_bytes()),
            vec![0],
        ];
        parts.concat()
    };
    let expected = r#"{"id":null,"type":"t","tenant":null,"timestamp":null,"data":{"a" : 1.10},"metadata":null}"#;
    check(event, &of(r#" {"a" : 1.10} "#), expected);
    for wrong in ["", "{", r#"1,"type":"forged""#] {
        refused(
            event,
            &of(wrong),
            AvroError::Invalid("a text that should be JSON"),
        );
    }
    refused(
        event,
        &of(&("[".repeat(129) + &"]".repeat(129))),
        AvroError::TooDeep,
    );
}

#[test]
fn references_are_resolved() {
    let address = r#"{"type":"record","name":"shop.Address","fields":[{"name":"country","type":"shop.Country"}]}"#;
    let country = r#"{"type":"enum","name":"shop.Country","symbols":["AE","SA"]}"#;
    let order =
        r#"{"type":"record","name":"shop.Order","fields":[{"name":"to","type":"Address"}]}"#;
    let references = [address.to_owned(), country.to_owned()];
    let schema = AvroSchema::parse(order, &references).unwrap();
    assert_eq!(schema.to_json(&[2]).unwrap(), r#"{"to":{"country":"SA"}}"#);
    for text in [order, "{", r#""no-such-type""#, r#"{"type":"record"}"#] {
        assert!(AvroSchema::parse(text, &[]).is_err(), "{text}");
    }
}

#[test]
fn decimals_have_exactly_their_digits() {
    fn check_decimal(unscaled: &[u8], scale: usize, expected: &str) {
        let more = format!(r#","precision":60,"scale":{scale}"#);
        let text = logical(r#""bytes""#, "decimal", &more);
        check(&text, &counted(unscaled), expected);
    }
    check_decimal(&[], 2, "0.00");
    check_decimal(&[0], 0, "0");
    check_decimal(&[0x04, 0xe2], 2, "12.50");
    check_decimal(&[0xff], 2, "-0.01");
    check_decimal(&[0x85], 3, "-0.123");
    check_decimal(&[0x7f; 16], 0, "169473963133173273960190490760135540607");
    check_decimal(&[0x7f; 16], 30, "169473963.133173273960190490760135540607");
    let fixed = r#"{"type":"fixed","name":"D","size":2}"#;
    let text = logical(fixed, "decimal", r#","precision":4,"scale":2"#);
    // The logical type stands beside the fixed's own members.
    let text = text.replace(
        &format!(r#""type":{fixed}"#),
        r#""type":"fixed","name":"D","size":2"#,
    );
    check(&text, &[0x04, 0xe2], "12.50");

    let big = logical(r#""bytes""#, "big-decimal", "");
    let of = |unscaled: &[u8], scale| counted(&[counted(unscaled), long(scale)].concat());
    check(&big, &of(&[0x04, 0xe2], 2), "12.50");
    check(&big, &of(&[0x05], -3), "5000");
    check(&big, &of(&[0], -3), "0");
    let no_number = AvroError::Invalid("a decimal of more digits than can be used");
    refused(&big, &of(&[1], 1_000_000_000), no_number);
    refused(&big, &of(&[1], i64::MIN), no_number);
    let text = logical(r#""bytes""#, "decimal", r#","precision":4,"scale":2"#);
    refused(&text, &counted(&[1; 2_000]), no_number);
    let text = logical(
        r#""bytes""#,
        "decimal",
        r#","precision":99999,"scale":99999"#,
    );
    let refused = AvroSchema::parse(&text, &[]).unwrap_err();
    assert!(matches!(refused, SchemaError::Scale(99_999)), "{refused}");
}

#[test]
fn times_are_rfc_3339() {
    fn check_time(base: &str, name: &str, count: i64, expected: &str) {
        let text = logical(&format!("\"{base}\""), name, "");
        check(&text, &long(count), &format!("\"{expected}\""));
    }
    check_time("int", "date", 0, "1970-01-01");
    check_time("int", "date", -1, "1969-12-31");
    check_time("int", "date", 20_779, "2026-11-22");
    check_time("int", "time-millis", 36_000_001, "10:00:00.001");
    check_time("long", "time-micros", 86_399_999_999, "23:59:59.999999");
    let instant = 1_795_341_600_007;
    check_time(
        "long",
        "timestamp-millis",
        instant,
        "2026-11-22T10:00:00.007Z",
    );
    check_time("long", "timestamp-millis", -1, "1969-12-31T23:59:59.999Z");
    check_time(
        "long",
        "timestamp-micros",
        instant * 1_000,
        "2026-11-22T10:00:00.007000Z",
    );
    check_time(
        "long",
        "timestamp-nanos",
        instant * 1_000_000 + 1,
        "2026-11-22T10:00:00.007000001Z",
    );
    check_time(
        "long",
        "local-timestamp-millis",
        instant,
        "2026-11-22T10:00:00.007",
    );
    check_time(
        "long",
        "local-timestamp-micros",
        1,
        "1970-01-01T00:00:00.000001",
    );

    let no_time = AvroError::Invalid("a time outside of the years 0 to 9999, or of a day");
    for (base, name, count) in [
        ("int", "date", i64::from(i32::MAX)),
        ("int", "date", i64::from(i32::MIN)),
        ("int", "time-millis", 86_400_000),
        ("int", "time-millis", -1),
        ("long", "timestamp-millis", i64::MAX),
        ("long", "timestamp-millis", i64::MIN),
        ("long", "timestamp-micros", i64::MAX),
    ] {
        let text = logical(&format!("\"{base}\""), name, "");
        refused(&text, &long(count), no_time);
    }
    let text = r#"{"type":"fixed","name":"D","size":12,"logicalType":"duration"}"#;
    let bytes = [1, 0, 0, 0, 2, 0, 0, 0, 0xbc, 0x0b, 0, 0];
    check(text, &bytes, r#""P1M2DT3.004S""#);
}

#[test]
fn uuids() {
    let text = logical(r#""string""#, "uuid", "");
    let uuid = "00112233-4455-6677-8899-AABBCCDDEEFF";
    let expected = r#""00112233-4455-6677-8899-aabbccddeeff""#;
    check(&text, &counted(uuid.as_bytes()), expected);
    let no_uuid = AvroError::Invalid("a uuid that is none");
    refused(
        &text,
        &counted(b"\"0112233-4455-6677-8899-AABBCCDDEEFF"),
        no_uuid,
    );
    refused(&text, &counted(b""), no_uuid);
    let fixed = r#"{"type":"fixed","name":"U","size":16,"logicalType":"uuid"}"#;
    let bytes: Vec<u8> = (0..16).map(|index| index * 0x11).collect();
    check(fixed, &bytes, expected);
}

#[test]
fn hostile_bytes_are_named() {
    for text in [
        r#""boolean""#,
        r#""string""#,
        r#"["null","int"]"#,
        r#""double""#,
    ] {
        refused(text, b"", AvroError::Truncated);
    }
    refused(r#""int""#, &[0, 0, 0], AvroError::Trailing(2));
    refused(
        r#""string""#,
        &[long(i64::MAX), vec![b'a']].concat(),
        AvroError::Truncated,
    );
    refused(
        r#""string""#,
        &long(-1),
        AvroError::Invalid("a length below 0"),
    );
    refused(
        r#""string""#,
        &counted(b"\xff"),
        AvroError::Invalid("a string that is not UTF-8"),
    );
    refused(
        r#""long""#,
        &[0xff; 11],
        AvroError::Invalid("a long of more than 64 bits"),
    );
    refused(
        r#""int""#,
        &long(1 << 40),
        AvroError::Invalid("an int of more than 32 bits"),
    );
    refused(
        r#"["null","int"]"#,
        &long(2),
        AvroError::Invalid("a union without such a branch"),
    );
    refused(
        r#"{"type":"enum","name":"E","symbols":["A"]}"#,
        &long(-1),
        AvroError::Invalid("an enum without such a symbol"),
    );
    // A count that only nulls could fill, and one that nothing does.
    let nulls = r#"{"type":"array","items":"null"}"#;
    refused(nulls, &long(i64::MAX), AvroError::TooLarge);
    refused(
        nulls,
        &[long(i64::MIN), long(0)].concat(),
        AvroError::TooLarge,
    );
    let empty = r#"{"type":"array","items":{"type":"record","name":"R","fields":[]}}"#;
    refused(empty, &long(i64::MAX), AvroError::TooLarge);
    refused(
        r#"{"type":"array","items":"int"}"#,
        &long(i64::MAX),
        AvroError::Truncated,
    );
    refused(
        r#"{"type":"map","values":"null"}"#,
        &long(i64::MAX),
        AvroError::Truncated,
    );
    // As deep as its bytes say, and one that needs no bytes to be deep.
    let list = r#"{"type":"record","name":"N","fields":[{"name":"n","type":["null","N"]}]}"#;
    let levels = |count: usize| [vec![2; count - 1], vec![0]].concat();
    assert!(schema(list).to_json(&levels(128)).is_ok());
    refused(list, &levels(129), AvroError::TooDeep);
    refused(list, &levels(10_000_000), AvroError::TooDeep);
    let endless = r#"{"type":"record","name":"N","fields":[{"name":"n","type":"N"}]}"#;
    refused(endless, b"", AvroError::TooDeep);
}

proptest! {
    /// No bytes can do worse than an error, and what becomes JSON is JSON.
    #[test]
    fn any_bytes_become_json_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let text = r#"{"type":"record","name":"R","fields":[
            {"name":"a","type":["null","string","double",{"type":"map","values":"bytes"}]},
            {"name":"b","type":{"type":"array","items":["int","R",{"type":"long","logicalType":"timestamp-micros"}]}},
            {"name":"c","type":{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}}]}"#;
        if let Ok(json) = schema(text).to_json(&bytes) {
            prop_assert!(serde_json::from_str::<serde_json::Value>(&json).is_ok(), "{}", json);
        }
    }

    /// What the library writes comes back.
    #[test]
    fn values_of_the_library_come_back(
        number in any::<i64>(), text in any::<String>(), items in prop::collection::vec(any::<i32>(), 0..9),
    ) {
        let schema_text = r#"{"type":"record","name":"R","fields":[
            {"name":"number","type":"long"},{"name":"text","type":["null","string"]},
            {"name":"items","type":{"type":"array","items":"int"}}]}"#;
        let parsed = Parsed::parse_str(schema_text).unwrap();
        let value = Value::Record(vec![
            ("number".to_owned(), Value::Long(number)),
            ("text".to_owned(), Value::Union(1, Box::new(Value::String(text.clone())))),
            ("items".to_owned(), Value::Array(items.iter().copied().map(Value::Int).collect())),
        ]);
        let writer = GenericDatumWriter::builder(&parsed).build().unwrap();
        let bytes = writer.write_value_to_vec(value).unwrap();
        let json: serde_json::Value = serde_json::from_str(&schema(schema_text).to_json(&bytes).unwrap()).unwrap();
        prop_assert_eq!(json, serde_json::json!({"number": number, "text": text, "items": items}));
    }
}

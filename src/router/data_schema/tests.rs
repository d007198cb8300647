//! Schemas that say yes and no, and schemas that would take all the time there is.

use std::time::{Duration, Instant};

use serde_json::json;

use super::*;

fn judge(schema: &Value, data: &str) -> Result<(), Mismatch> {
    let schema = DataSchema::compile(&schema.to_string()).unwrap();
    schema.check(Node::parse_str(data).unwrap())
}

#[test]
fn the_message_names_path_and_rule_and_no_value() {
    fn check(schema: Value, data: &str, expected: &str) {
        match judge(&schema, data) {
            Err(Mismatch::Violation { message }) => assert_eq!(message, expected),
            other => panic!("{schema} {data}: {other:?}"),
        }
    }
    check(
        json!({"required": ["id"]}),
        "{}",
        r#"data: "id" is a required property (rule /required)"#,
    );
    check(
        json!({"properties": {"items": {"items": {"properties": {"sku": {"type": "string"}}}}}}),
        r#"{"items":[{"sku":"a"},{"sku":12345}]}"#,
        r#"data.items[1].sku: value is not of type "string" (rule /properties/items/items/properties/sku/type)"#,
    );
    check(
        json!({"$defs": {"n": {"minimum": 1}}, "properties": {"n": {"$ref": "#/$defs/n"}}}),
        r#"{"n":0}"#,
        "data.n: value is less than the minimum of 1 (rule /$defs/n/minimum)",
    );
    check(
        json!({"properties": {"at": {"format": "date-time"}}}),
        r#"{"at":"yesterday"}"#,
        r#"data.at: value is not a "date-time" (rule /properties/at/format)"#,
    );
    check(
        json!({"type": "string"}),
        r#""\ud800""#,
        "data holds half of a surrogate pair, or a number beyond any bounds",
    );
    let recursive = json!({"properties": {"next": {"$ref": "#"}}, "required": ["id"]});
    check(
        recursive.clone(),
        r#"{"id":1,"next":{}}"#,
        "data does not satisfy the schema (it is recursive, so the place is not looked for)",
    );
    assert_eq!(judge(&recursive, r#"{"id":1,"next":{"id":2}}"#), Ok(()));
    let unexpected = format!(r#"{{"{}\n":1}}"#, "x".repeat(2_000));
    match judge(&json!({"additionalProperties": false}), &unexpected) {
        Err(Mismatch::Violation { message }) => {
            assert!(message.len() <= 512 && !message.contains('\n'), "{message}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn each_dialect_is_read() {
    let tuple =
        |schema: &str, keyword: &str| json!({"$schema": schema, keyword: [{"type": "integer"}]});
    for (schema, keyword) in [
        ("http://json-schema.org/draft-06/schema#", "items"),
        ("http://json-schema.org/draft-07/schema#", "items"),
        ("https://json-schema.org/draft/2019-09/schema", "items"),
        (
            "https://json-schema.org/draft/2020-12/schema",
            "prefixItems",
        ),
    ] {
        let schema = tuple(schema, keyword);
        assert_eq!(judge(&schema, "[1]"), Ok(()), "{schema}");
        assert!(judge(&schema, r#"["a"]"#).is_err(), "{schema}");
    }
}

#[test]
fn what_cannot_be_used_is_refused() {
    fn check(schema: Value, expected: &str) {
        let error = DataSchema::compile(&schema.to_string()).unwrap_err();
        assert!(error.to_string().contains(expected), "{schema}: {error}");
    }
    check(json!({"type": "text"}), "schema: `/type`");
    check(json!({"pattern": "("}), "pattern");
    // Look-around needs backtracking.
    check(json!({"pattern": "(?=a)b"}), "pattern");
    check(json!({"pattern": "(a{1000}){1000}"}), "pattern");
    for foreign in [
        "https://e.com/s.json",
        "other.json",
        "file:///etc/passwd",
        "#name",
    ] {
        check(
            json!({"items": {"$ref": foreign}}),
            "no other document is read",
        );
    }
    check(json!({"$ref": "#/$defs/none"}), "leads nowhere");
    check(
        json!({"not": {"$dynamicRef": "#a"}}),
        "`$dynamicRef` is not supported",
    );
    check(
        json!({"not": {"$anchor": "a"}}),
        "`$anchor` is not supported",
    );
    check(json!({"not": {"$id": "urn:a"}}), "at the top only");
    check(
        json!({"$schema": "http://json-schema.org/draft-04/schema#"}),
        "draft 6",
    );
    check(json!({"$schema": "https://e.com/2020-12"}), "draft 6");
    let deep = (0..60).fold(json!(true), |inner, _| json!({"not": inner}));
    check(deep, "48 deep");
    let patterns: Map = (0..501).map(|n| (format!("^{n}"), json!(true))).collect();
    check(json!({"patternProperties": patterns}), "500 patterns");
    assert!(DataSchema::compile("[").is_err());
}

type Map = serde_json::Map<String, Value>;

/// A property may be called like a keyword.
#[test]
fn names_of_members_are_no_keywords() {
    let schema = json!({
        "$id": "urn:shop:order",
        "properties": {"$id": true, "$ref": {"type": "string"}, "$anchor": true, "enum": true},
        "const": {"$ref": "nowhere"},
    });
    assert_eq!(judge(&schema, r#"{"$ref":"nowhere"}"#), Ok(()));
}

/// Schemas that take exponential time where nothing bounds them.
#[test]
fn bombs_do_not_go_off() {
    let mut defs = Map::new();
    for n in 0..20 {
        let next = json!({"$ref": format!("#/$defs/n{}", n + 1)});
        defs.insert(format!("n{n}"), json!({"allOf": [next, next]}));
    }
    defs.insert("n20".to_owned(), json!({"type": "integer"}));
    let doubling = json!({"$defs": defs, "$ref": "#/$defs/n0"}).to_string();
    let refused = DataSchema::compile(&doubling).unwrap_err();
    assert_eq!(refused, SchemaError::Survey(SurveyError::TooLarge));
    let nested = (0..20).fold(
        json!({"properties": {"a": true}}),
        |inner, _| json!({"allOf": [inner], "unevaluatedProperties": false}),
    );
    let refused = DataSchema::compile(&nested.to_string()).unwrap_err();
    assert_eq!(refused, SchemaError::Survey(SurveyError::TooLarge));

    let began = Instant::now();
    let both = json!({"properties": {"a": {"$ref": "#"}}});
    let branching = json!({"anyOf": [both, both], "properties": {"b": {"type": "integer"}}});
    let deep = (0..60).fold(r#"{"b":"x"}"#.to_owned(), |inner, _| {
        format!(r#"{{"a":{inner}}}"#)
    });
    assert!(matches!(
        judge(&branching, &deep),
        Err(Mismatch::Violation { .. })
    ));
    assert_eq!(judge(&json!({"$ref": "#"}), "1"), Ok(()));
    let wide = json!({"items": {"enum": (0..10_000).collect::<Vec<_>>()}});
    let long = format!("[{}]", vec!["1"; 100_000].join(","));
    assert_eq!(judge(&wide, &long), Err(Mismatch::TooComplex));
    assert!(
        began.elapsed() < Duration::from_secs(20),
        "{:?}",
        began.elapsed()
    );
}

/// On as little of a stack as any thread of ours has.
#[test]
fn the_deepest_that_is_judged_fits_onto_a_stack() {
    fn on_small_stack(schema: Value, data: String) -> Result<(), Mismatch> {
        std::thread::Builder::new()
            .stack_size(2 << 20)
            .spawn(move || judge(&schema, &data))
            .unwrap()
            .join()
            .unwrap()
    }
    let recursion = |levels: usize| {
        let leaf = json!({"properties": {"a": {"$ref": "#"}}});
        (0..levels).fold(leaf, |inner, _| json!({"allOf": [inner]}))
    };
    let data =
        |levels: usize| (0..levels).fold("1".to_owned(), |inner, _| format!(r#"{{"a":{inner}}}"#));
    for (schema, levels) in [(40, 24), (14, 64), (5, 120)] {
        let judged = on_small_stack(recursion(schema), data(levels));
        assert_eq!(judged, Ok(()), "{schema} {levels}");
    }
    let judged = on_small_stack(recursion(40), data(30));
    assert_eq!(judged, Err(Mismatch::TooComplex));
}

#[test]
fn depth_counts_what_is_no_text() {
    fn check(text: &str, expected: usize) {
        assert_eq!(depth(text), expected, "{text}");
    }
    check("1", 0);
    check("[]", 1);
    check(r#"{"a":[{"[{":"\"[\\"}],"b":[]}"#, 3);
}

//! The contract's `filters`, operator by operator, and against a naive reading of it.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::record::json_text;

const EVENT: &str = r#"{"id":"evt_1","type":"order.created","tenant":"acme","data":{
    "amount":1.10,"big":12345678901234567890123,"name":"J\u00fcrgen","tags":["a",1.0,{"k":[1]}],
    "nothing":null,"paid":true,"o":{"x":1,"y":"z"},"lone":"a\ud800b","twice":1,"twice":2},
    "metadata":{"region":"eu"}}"#;

fn filter(text: &str) -> Result<Filter, FilterError> {
    Filter::parse(serde_json::from_str(text).unwrap())
}

fn holds(text: &str) -> bool {
    let event = Document::parse(EVENT.as_bytes()).unwrap();
    filter(text).unwrap().matches(&event)
}

fn leaf(field: &str, operator: &str, value: &str) -> String {
    format!(r#"{{"field":"{field}","operator":"{operator}","value":{value}}}"#)
}

#[test]
fn operators_do_as_the_contract_says() {
    fn check(field: &str, operator: &str, value: &str, expected: bool) {
        let text = leaf(field, operator, value);
        assert_eq!(holds(&text), expected, "{text}");
        if ["equals", "contains", "in"].contains(&operator) {
            let opposite = leaf(field, &format!("not_{operator}"), value);
            assert_eq!(holds(&opposite), !expected, "{opposite}");
        }
    }
    check("type", "equals", r#""order.created""#, true);
    check("tenant", "equals", r#""acme""#, true);
    check("id", "starts_with", r#""evt_""#, true);
    check("metadata.region", "in", r#"["us","eu"]"#, true);
    check("data.amount", "equals", "1.1", true);
    check("data.amount", "equals", "11e-1", true);
    check("data.amount", "equals", r#""1.10""#, false);
    check("data.big", "equals", "12345678901234567890123", true);
    check("data.big", "equals", "12345678901234567890124", false);
    check("data.name", "equals", r#""Jürgen""#, true);
    check("data.nothing", "equals", "null", true);
    check("data.missing", "equals", "null", false);
    check("data.o", "equals", r#"{"y":"z","x":1e0}"#, true);
    check("data.twice", "equals", "2", true);
    check("data.twice", "equals", "1", false);

    check("data.name", "contains", r#""\u00fcr""#, true);
    check("data.name", "contains", r#""""#, true);
    check("data.name", "contains", r#""x""#, false);
    check("data.tags", "contains", r#""a""#, true);
    check("data.tags", "contains", "1", true);
    check("data.tags", "contains", r#"{"k":[1]}"#, true);
    check("data.tags", "contains", r#""k""#, false);
    check("data.amount", "contains", "1", false);
    check("data.name", "contains", "1", false);
    check("data.o", "contains", r#""x""#, false);
    check("data.lone", "contains", r#""\ud800""#, true);
    check("data.lone", "contains", r#""\ud801""#, false);
    check("data.lone", "contains", r#""b""#, true);
    check("data.lone", "contains", r#""""#, true);
    check("data.name", "contains", r#""\ud800""#, false);

    check("data.amount", "in", "[1,1.1]", true);
    check("data.amount", "in", "[]", false);
    check("data.missing", "in", "[null]", false);

    check("data.nothing", "exists", "true", true);
    check("data.nothing", "exists", "false", false);
    check("data.missing", "exists", "true", false);
    check("data.missing", "exists", "false", true);
    check("data.amount.x", "exists", "true", false);

    check(
        "data.amount",
        "greater_than",
        "1.0999999999999999999999",
        true,
    );
    check("data.amount", "greater_than", "1.1", false);
    check("data.amount", "greater_or_equal", "1.1", true);
    check("data.amount", "less_than", "2", true);
    check("data.amount", "less_or_equal", "1.1", true);
    check("data.amount", "less_than", "1.1", false);
    check("data.amount", "less_than", r#""2""#, false);
    check("data.amount", "greater_or_equal", r#""2""#, false);
    check("data.name", "greater_than", r#""Jur""#, true);
    check("data.name", "less_than", r#""K""#, true);
    check("data.missing", "less_than", "2", false);
    check("data.paid", "less_than", "2", false);

    check("data.name", "starts_with", r#""J\u00FC""#, true);
    check("data.name", "starts_with", r#""j""#, false);
    check("data.name", "ends_with", r#""gen""#, true);
    check("data.tags", "ends_with", r#""a""#, false);
    check("data.amount", "starts_with", r#""1""#, false);
}

#[test]
fn a_path_into_lists_holds_for_any_element() {
    fn check(field: &str, operator: &str, value: &str, expected: bool) {
        const ORDER: &str = r#"{"type":"t","data":{"items":[{"sku":"A","n":1},{"sku":"B","n":5},{}],
            "none":[],"tags":["ax","b"],"deep":[[1],[2,3]],"status":"paid","location":"riyadh",
            "categories":["tools","paint"],"stock":7}}"#;
        let event = Document::parse(ORDER.as_bytes()).unwrap();
        let text = leaf(field, operator, value);
        assert_eq!(filter(&text).unwrap().matches(&event), expected, "{text}");
    }
    check("data.items[*].sku", "equals", r#""B""#, true);
    check("data.items[*].sku", "equals", r#""C""#, false);
    check("data.items[*].sku", "not_equals", r#""B""#, false);
    check("data.items[*].sku", "not_equals", r#""C""#, true);
    check("data.none[*].sku", "not_equals", r#""C""#, true);
    check("data.items[*].n", "greater_than", "4", true);
    check("data.items[*].n", "greater_than", "5", false);
    check("data.items[0].n", "greater_than", "4", false);
    check("data.items[1].n", "greater_than", "4", true);
    check("data.items[7].n", "exists", "false", true);
    check("data.items[*].sku", "exists", "true", true);
    check("data.items[*].price", "exists", "false", true);
    check("data.none[*]", "exists", "true", false);
    check("data.none", "exists", "true", true);
    check("data.tags[*]", "contains", r#""x""#, true);
    check("data.tags", "contains", r#""x""#, false);
    check("data.tags[*]", "starts_with", r#""b""#, true);
    check("data.deep[*][*]", "in", "[3]", true);
    check("data.deep[*]", "contains", "3", true);
    check("data.deep[*][*]", "not_in", "[3]", false);
    // What systems that are replaced call filters.
    check("data.status", "equals", r#""paid""#, true);
    check("data.location", "in", r#"["riyadh","jeddah"]"#, true);
    check("data.categories[*]", "in", r#"["paint"]"#, true);
    check("data.stock", "less_or_equal", "10", true);
}

#[test]
fn groups_combine() {
    fn check(text: &str, expected: bool) {
        assert_eq!(holds(text), expected, "{text}");
    }
    let yes = leaf("data.paid", "equals", "true");
    let no = leaf("data.paid", "equals", "false");
    check(&format!(r#"{{"all":[{yes},{yes}]}}"#), true);
    check(&format!(r#"{{"all":[{yes},{no}]}}"#), false);
    check(&format!(r#"{{"any":[{no},{yes}]}}"#), true);
    check(&format!(r#"{{"any":[{no},{no}]}}"#), false);
    check(&format!(r#"{{"not":{no}}}"#), true);
    check(
        &format!(r#"{{"not":{{"any":[{no},{{"not":{yes}}}]}}}}"#),
        true,
    );
    check(r#"{"all":[]}"#, true);
    check(r#"{"any":[]}"#, false);
}

#[test]
fn all_of_the_list_must_hold() {
    fn check(text: &str, expected: bool) {
        let set = FilterSet::parse(serde_json::from_str(text).unwrap()).unwrap();
        let event = Document::parse(EVENT.as_bytes()).unwrap();
        assert_eq!(set.matches(&event), expected, "{text}");
    }
    let yes = leaf("data.paid", "equals", "true");
    let no = leaf("data.paid", "equals", "false");
    check("[]", true);
    check(&format!("[{yes}]"), true);
    check(&format!("[{yes},{no}]"), false);
}

#[test]
fn refuses_by_place_and_rule() {
    fn check(text: &str, expected: &str) {
        let refused = FilterSet::parse(serde_json::from_str(text).unwrap());
        assert_eq!(refused.unwrap_err().to_string(), expected, "{text}");
    }
    let form = "must be `field`, `operator` and `value`, or one of `all`, `any`, `not`";
    check("{}", "filters: must be an array");
    check("[1]", "filters[0]: must be an object");
    check("[{}]", &format!("filters[0]: {form}"));
    check(r#"[{"all":[],"any":[]}]"#, &format!("filters[0]: {form}"));
    check(
        r#"[{"not":{},"field":"a"}]"#,
        &format!("filters[0]: {form}"),
    );
    check(r#"[{"all":{}}]"#, "filters[0].all: must be an array");
    check(r#"[{"not":[]}]"#, "filters[0].not: must be an object");
    check(r#"[{"All":[]}]"#, "filters[0]: unknown member `All`");
    check(
        r#"[{"all":[],"\u0061ll":[]}]"#,
        "filters[0]: member `all` stands twice",
    );
    check(
        r#"[{"field":"a","value":1}]"#,
        "filters[0]: `operator` is missing",
    );
    check(
        r#"[{"operator":"in","value":1}]"#,
        "filters[0]: `field` is missing",
    );
    check(
        r#"[{"field":"a","operator":"exists"}]"#,
        "filters[0]: `value` is missing",
    );
    let one = |field: &str, operator: &str, value: &str| {
        format!(
            r#"[{{"all":[]}},{{"any":[{}]}}]"#,
            leaf(field, operator, value)
        )
    };
    let at = |place: &str| format!("filters[1].any[0].{place}");
    check(
        &one("a", "like", "1"),
        &at("operator: unknown operator `like`"),
    );
    check(
        &one("a", &"x".repeat(1_000), "1"),
        &at(&format!("operator: unknown operator `{}`", "x".repeat(64))),
    );
    check(
        &one("a..b", "equals", "1"),
        &at("field: a path must not have an empty step (`a..b`)"),
    );
    check(
        &one(r"\ud800", "equals", "1"),
        &at("field: must be valid Unicode"),
    );
    check(&one("a", "in", "1"), &at("value: must be an array"));
    check(
        &one("a", "exists", "1"),
        &at("value: must be true or false"),
    );
    check(
        &one("a", "starts_with", "1"),
        &at("value: must be a string"),
    );
    check(
        &one("a", "less_than", "null"),
        &at("value: must be a number or a string"),
    );
    check(
        &one("a", "equals", "[1e1234567890123456789]"),
        &at("value: an exponent must not have more than 18 digits"),
    );
    check(
        r#"[{"field":1,"operator":"in","value":[]}]"#,
        "filters[0].field: must be a string",
    );
}

#[test]
fn bounds_depth_and_leaves() {
    let nested = |depth: usize| {
        let inner = leaf("a", "equals", "1");
        format!(
            "{}{inner}{}",
            r#"{"not":"#.repeat(depth - 1),
            "}".repeat(depth - 1)
        )
    };
    assert!(filter(&nested(MAX_DEPTH)).is_ok());
    for depth in [MAX_DEPTH + 1, 100] {
        let rule = filter(&nested(depth)).unwrap_err().rule;
        assert!(matches!(rule, FilterRule::TooDeep), "{depth}");
    }
    let rule = filter(&nested(100_000)).unwrap_err().rule;
    assert!(matches!(rule, FilterRule::Json(json_text::Error::TooDeep)));

    let many = |count: usize, one: &str| format!(r#"{{"any":[{}]}}"#, vec![one; count].join(","));
    for one in [leaf("a", "equals", "1"), r#"{"all":[]}"#.to_owned()] {
        assert!(filter(&many(MAX_LEAVES, &one)).is_ok());
        let rule = filter(&many(MAX_LEAVES + 1, &one)).unwrap_err().rule;
        assert!(matches!(rule, FilterRule::TooMany), "{one}");
    }
}

/// The contract read plainly over `serde_json::Value`, with numbers small enough for it.
fn naive(filter: &serde_json::Value, event: &serde_json::Value) -> bool {
    use serde_json::Value as Json;
    let group = |name: &str| filter.get(name).and_then(Json::as_array);
    if let Some(all) = group("all") {
        return all.iter().all(|one| naive(one, event));
    }
    if let Some(any) = group("any") {
        return any.iter().any(|one| naive(one, event));
    }
    if let Some(not) = filter.get("not") {
        return !naive(not, event);
    }
    let (operator, value) = (filter["operator"].as_str().unwrap(), &filter["value"]);
    let found = reached(vec![event], filter["field"].as_str().unwrap());
    if operator == "exists" {
        return found.is_empty() != (*value == json!(true));
    }
    let positive = operator.strip_prefix("not_").unwrap_or(operator);
    let outcome = found.iter().any(|found| naive_test(positive, found, value));
    outcome != operator.starts_with("not_")
}

/// Every value that a path leads to, found by taking the path apart as text.
fn reached<'a>(from: Vec<&'a serde_json::Value>, path: &str) -> Vec<&'a serde_json::Value> {
    let steps = path.replace('[', ".[");
    steps.split('.').fold(from, |values, step| {
        let next = |value: &'a serde_json::Value| match step {
            "[*]" => value.as_array().into_iter().flatten().collect(),
            "[0]" => value.get(0).into_iter().collect::<Vec<_>>(),
            "[1]" => value.get(1).into_iter().collect(),
            name => value.get(name).into_iter().collect(),
        };
        values.into_iter().flat_map(next).collect()
    })
}

/// Whether a positive operator holds for one value.
fn naive_test(operator: &str, found: &serde_json::Value, value: &serde_json::Value) -> bool {
    use serde_json::Value as Json;
    let ordering = match (found, value) {
        (Json::Number(a), Json::Number(b)) => a.as_i64().partial_cmp(&b.as_i64()),
        (Json::String(a), Json::String(b)) => a.chars().partial_cmp(b.chars()),
        _ => None,
    };
    let texts = found.as_str().zip(value.as_str());
    match operator {
        "equals" => found == value,
        "in" => value.as_array().unwrap().contains(found),
        "contains" => match found {
            Json::Array(elements) => elements.contains(value),
            _ => texts.is_some_and(|(found, part)| found.contains(part)),
        },
        "starts_with" => texts.is_some_and(|(found, start)| found.starts_with(start)),
        "ends_with" => texts.is_some_and(|(found, end)| found.ends_with(end)),
        "greater_than" => ordering.is_some_and(Ordering::is_gt),
        "greater_or_equal" => ordering.is_some_and(Ordering::is_ge),
        "less_than" => ordering.is_some_and(Ordering::is_lt),
        "less_or_equal" => ordering.is_some_and(Ordering::is_le),
        other => panic!("{other}"),
    }
}

/// Few and small values, so that they meet.
fn any_value() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(|value| json!(value)),
        (-2..3_i64).prop_map(|value| json!(value)),
        "[aé\"\u{1F600}\u{FF61}]{0,3}".prop_map(|value| json!(value)),
    ];
    leaf.prop_recursive(2, 6, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(|all| json!(all)),
            prop::collection::btree_map("[a-b]", inner, 0..3).prop_map(|all| json!(all)),
        ]
    })
}

fn any_filter() -> impl Strategy<Value = serde_json::Value> {
    let field = prop::sample::select(vec![
        "a", "b", "a.a", "a.b", "b.a", "a[*]", "a[0]", "b[1]", "a[*].a", "a.b[*]", "b[*][*]",
        "a[1].b",
    ]);
    let test = prop_oneof![
        (
            prop::sample::select(vec!["equals", "not_equals", "contains", "not_contains"]),
            any_value(),
        ),
        (
            prop::sample::select(vec!["in", "not_in"]),
            prop::collection::vec(any_value(), 0..3).prop_map(|all| json!(all)),
        ),
        (Just("exists"), any::<bool>().prop_map(|value| json!(value))),
        (
            prop::sample::select(vec![
                "greater_than",
                "greater_or_equal",
                "less_than",
                "less_or_equal",
            ]),
            prop_oneof![
                (-2..3_i64).prop_map(|value| json!(value)),
                "[aé\u{1F600}\u{FF61}]{0,2}".prop_map(|value| json!(value)),
            ],
        ),
        (
            prop::sample::select(vec!["starts_with", "ends_with"]),
            "[aé\"\u{1F600}]{0,2}".prop_map(|value| json!(value)),
        ),
    ];
    let leaf = (field, test).prop_map(
        |(field, (operator, value))| json!({"field": field, "operator": operator, "value": value}),
    );
    leaf.prop_recursive(3, 8, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(|all| json!({"all": all})),
            prop::collection::vec(inner.clone(), 0..3).prop_map(|any| json!({"any": any})),
            inner.prop_map(|not| json!({"not": not})),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]
    #[test]
    fn agrees_with_the_naive_reading(
        one in any_filter(),
        members in prop::collection::btree_map("[a-b]", any_value(), 0..3),
    ) {
        let event = json!(members);
        let (text, event_text) = (one.to_string(), event.to_string());
        let document = Document::parse(event_text.as_bytes()).unwrap();
        let matched = filter(&text).unwrap().matches(&document);
        prop_assert_eq!(matched, naive(&one, &event), "{} {}", text, event_text);
    }
}

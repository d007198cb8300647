//! Members that the code knows are those of the schemas: one that only the code knew would be taken
//! without being described.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::package::json;
use crate::schemas::members_of_schema;
use crate::sources::{captures, literals, shipped, shipped_of};

fn members(schema: &Value) -> BTreeSet<String> {
    schema["properties"]
        .as_object()
        .unwrap()
        .keys()
        .cloned()
        .collect()
}

/// The texts in a list as Rust writes it.
fn texts(list: &str) -> BTreeSet<String> {
    captures("\"([^\"]+)\"", list)
}

#[test]
fn of_a_subscription() {
    let schema = json("schemas/subscription.schema.json");
    let code = shipped("src/record/subscription.rs");
    let known = captures(r"const MEMBERS: \[&str; \d+\] = \[([^\]]+)\]", &code);
    let known = known.iter().flat_map(|list| texts(list)).collect();
    assert_eq!(members(&schema), known);
}

#[test]
fn of_what_is_in_a_subscription() {
    let schema = json("schemas/subscription.schema.json");
    let mut described = BTreeSet::new();
    members_of_schema(&schema["$defs"], &mut described);

    let code = shipped_of("src/record/subscription");
    let mut known: BTreeSet<_> = captures(r"\.only\(&\[([^\]]+)\]\)", &code)
        .iter()
        .flat_map(|list| texts(list))
        .collect();
    let filters = shipped("src/router/filter/parse.rs");
    known.extend(captures(r#"b"([a-z]+)" => \(&mut members"#, &filters));
    // Known only to be refused by its name.
    assert!(known.remove("sealed") && code.contains("Rule::Sealed"));
    assert_eq!(described, known);
}

#[test]
fn of_an_event() {
    let mut described = members(&json("schemas/event.schema.json"));
    // For filters and `fields` alone, which take any path.
    assert!(described.remove("metadata"));
    let code = shipped("src/record/event.rs");
    assert_eq!(
        described,
        captures(r#"members\.(?:get|find)\("([a-z]+)"\)"#, &code)
    );
}

#[test]
fn of_a_dead_letter() {
    let schema = json("schemas/dead_letter.schema.json");
    let mut described = members(&schema["$defs"]["headers"]);
    assert!(described.remove("traceparent"));
    let mut known = literals("src/record/task.rs", "hooktide-[a-z-]+");
    known.extend(literals("src/record/dead_letter.rs", "hooktide-[a-z-]+"));
    // Read, and not written: what says nothing is of version 1.
    assert!(known.remove("hooktide-version"));
    assert_eq!(described, known);
}

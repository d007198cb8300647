//! A JSON Schema as a page: a table of members for the record and for each form within it.

use std::fmt::Write as _;

use hooktide::record::json_text::{Name, Node};
use serde_json::Value;

use crate::package::{json, text};

/// A heading, what the schema says of the record, and its members. `level` is the heading's.
pub(crate) fn page(record: &str, level: usize) -> String {
    let file = format!("schemas/{record}.schema.json");
    let (schema, source) = (json(&file), text(&file));
    let ordered = Node::parse(source.as_bytes()).unwrap();
    let mut page = String::new();
    section(&mut page, &schema, &schema, ordered, level);
    let definitions = ordered
        .member("$defs")
        .map(Node::members)
        .into_iter()
        .flatten();
    for (name, node) in definitions {
        let definition = &schema["$defs"][&*unescaped(&name)];
        if definition.get("title").is_some() {
            section(&mut page, &schema, definition, node, level + 1);
        }
    }
    page
}

fn section(page: &mut String, root: &Value, schema: &Value, ordered: Node<'_>, level: usize) {
    let title = schema["title"].as_str().unwrap();
    let described = schema["description"].as_str().unwrap();
    writeln!(page, "{} {title}\n\n{described}\n", "#".repeat(level)).unwrap();
    let Some(properties) = ordered.member("properties") else {
        writeln!(page, "One of: {}.\n", forms(root, schema).join(", ")).unwrap();
        return;
    };
    page.push_str("| member | type | default | meaning |\n|---|---|---|---|\n");
    let required = |name: &str| {
        let names = schema["required"].as_array().into_iter().flatten();
        names.filter_map(Value::as_str).any(|known| known == name)
    };
    // The order is the schema's: the parsed one has lost it.
    for (name, _) in properties.members() {
        let name = &*unescaped(&name);
        let member = &schema["properties"][name];
        let default = match member.get("default") {
            _ if required(name) => "required".to_owned(),
            Some(default) => format!("`{default}`"),
            None => String::new(),
        };
        let described = member["description"]
            .as_str()
            .unwrap_or_else(|| panic!("`{name}` has no description"));
        let kind = kind(root, member);
        writeln!(page, "| `{name}` | {kind} | {default} | {described} |").unwrap();
    }
    page.push('\n');
}

/// A member's type in words.
fn kind(root: &Value, member: &Value) -> String {
    let named = |value: &Value| value.as_str().map(str::to_owned);
    if let Some(reference) = named(&member["$ref"]) {
        let pointer = reference.trim_start_matches('#');
        let definition = root
            .pointer(pointer)
            .unwrap_or_else(|| panic!("no {reference}"));
        let name = pointer.rsplit('/').next().unwrap_or_default();
        return match (name, definition.get("title")) {
            ("duration" | "span", _) => "duration".to_owned(),
            ("path", _) => "path".to_owned(),
            ("status", _) => "status or class".to_owned(),
            ("number" | "time", _) => name.to_owned(),
            (_, Some(title)) => link(title.as_str().unwrap()),
            (_, None) => kind(root, definition),
        };
    }
    if member.get("oneOf").is_some() {
        return either(forms(root, member));
    }
    if let Some(words) = member["enum"].as_array() {
        let words: Vec<_> = words
            .iter()
            .map(|word| format!("`{}`", word.as_str().unwrap()))
            .collect();
        return words.join(", ");
    }
    if let Some(only) = member.get("const") {
        return format!("`{only}`").replace('"', "");
    }
    match &member["type"] {
        Value::String(name) => simple(root, member, name),
        Value::Array(names) => {
            let names = names.iter().filter_map(Value::as_str);
            names
                .map(|name| simple(root, member, name))
                .collect::<Vec<_>>()
                .join(" or ")
        }
        _ => "any JSON".to_owned(),
    }
}

/// The forms that a value may have.
fn forms(root: &Value, member: &Value) -> Vec<String> {
    let forms = member["oneOf"].as_array().into_iter().flatten();
    forms.map(|form| kind(root, form)).collect()
}

/// `a`, `a or b`, `a, b or c`.
fn either(mut forms: Vec<String>) -> String {
    let last = forms.pop().unwrap_or_default();
    match forms.is_empty() {
        true => last,
        false => format!("{} or {last}", forms.join(", ")),
    }
}

fn simple(root: &Value, member: &Value, name: &str) -> String {
    let range = match (&member["minimum"], &member["maximum"]) {
        (Value::Number(least), Value::Number(most)) => format!(", {least} to {most}"),
        (Value::Number(least), _) => format!(", from {least}"),
        _ => String::new(),
    };
    match name {
        "string" if member["format"] == "date-time" => "time".to_owned(),
        "string" => "text".to_owned(),
        "integer" => format!("whole number{range}"),
        "number" => format!("number{range}"),
        "array" => {
            let most = member["maxItems"].as_u64();
            let most = most.map_or_else(String::new, |most| format!(", at most {most}"));
            format!("list of {}{most}", kind(root, &member["items"]))
        }
        "object" => {
            let most = member["maxProperties"].as_u64();
            let most = most.map_or_else(String::new, |most| format!(", at most {most}"));
            format!("names and texts{most}")
        }
        other => other.to_owned(),
    }
}

fn link(title: &str) -> String {
    let anchor: String = title
        .to_lowercase()
        .chars()
        .filter(|char| char.is_alphanumeric() || " -_".contains(*char))
        .map(|char| if char == ' ' { '-' } else { char })
        .collect();
    format!("[{}](#{anchor})", title.to_lowercase())
}

fn unescaped(name: &Name<'_>) -> String {
    String::from_utf8(name.unescaped().into_owned()).unwrap()
}

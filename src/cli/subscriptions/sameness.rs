//! Whether two records say the same: white space, the order of members, how a string or a number is
//! written, and defaults that are spelt out make no difference.

use std::collections::BTreeMap;

use crate::record::json_text::{Kind, Name, Node};
use crate::router::filter::same_number;

/// Members that say nothing beyond their absence.
const DEFAULTS: [(&str, &str); 9] = [
    ("version", "1"),
    ("state", r#""active""#),
    ("signatures", r#"["standard"]"#),
    ("max_concurrency", "64"),
    ("headers", "{}"),
    ("filters", "[]"),
    ("labels", "{}"),
    ("body", r#""standard""#),
    ("method", r#""POST""#),
];
/// Members that the key says, too.
const OF_THE_KEY: [&str; 2] = ["tenant", "id"];

/// The members of a subscription, those left out that say nothing.
pub(super) fn members(value: &str) -> BTreeMap<String, &str> {
    let Ok(object) = Node::parse(value.as_bytes()) else {
        return BTreeMap::new();
    };
    let members = object.members().map(|(name, value)| (text(&name), value));
    let members = members.filter(|(name, value)| {
        let is_default =
            |(known, default): &(&str, &str)| known == name && is_json(*value, default);
        !OF_THE_KEY.contains(&&**name) && !DEFAULTS.iter().any(is_default)
    });
    members.map(|(name, value)| (name, value.text())).collect()
}

/// Whether the texts of two values say the same.
pub(super) fn is_same(one: &str, other: &str) -> bool {
    match Node::parse(one.as_bytes()) {
        Ok(one) => is_json(one, other),
        Err(_) => one == other,
    }
}

fn is_json(one: Node<'_>, other: &str) -> bool {
    Node::parse(other.as_bytes()).is_ok_and(|other| are_same(one, other))
}

/// Calls itself for each level: a [`Node`] has at most 128.
fn are_same(one: Node<'_>, other: Node<'_>) -> bool {
    match (one.kind(), other.kind()) {
        (Kind::Null, Kind::Null) => true,
        (Kind::Bool, Kind::Bool) => one.text() == other.text(),
        (Kind::Number, Kind::Number) => same_number(one.text(), other.text()),
        (Kind::String, Kind::String) => one.string() == other.string(),
        (Kind::Array, Kind::Array) => {
            let mut others = other.elements();
            let all = one
                .elements()
                .all(|one| others.next().is_some_and(|other| are_same(one, other)));
            all && others.next().is_none()
        }
        (Kind::Object, Kind::Object) => {
            let sorted = |node: Node<'_>| {
                let mut members: Vec<_> = node
                    .members()
                    .map(|(name, value)| (name.unescaped().into_owned(), value.text().to_owned()))
                    .collect();
                members.sort();
                members
            };
            let (ours, theirs) = (sorted(one), sorted(other));
            ours.len() == theirs.len()
                && ours
                    .iter()
                    .zip(&theirs)
                    .all(|(one, other)| one.0 == other.0 && is_same(&one.1, &other.1))
        }
        (Kind::Null | Kind::Bool | Kind::Number | Kind::String | Kind::Array | Kind::Object, _) => {
            false
        }
    }
}

fn text(name: &Name<'_>) -> String {
    String::from_utf8_lossy(&name.unescaped()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_compared_by_what_they_say() {
        fn check(one: &str, other: &str, expected: bool) {
            assert_eq!(is_same(one, other), expected, "{one} {other}");
            assert_eq!(is_same(other, one), expected, "{other} {one}");
        }
        check("1", "1.0", true);
        check("1.10", "11e-1", true);
        check("12345678901234567890", "12345678901234567891", false);
        check("1", "\"1\"", false);
        check("null", "false", false);
        check(r#""\u0061\/""#, r#""a/""#, true);
        check("[1, 2]", "[1,2]", true);
        check("[1,2]", "[2,1]", false);
        check("[1]", "[1,1]", false);
        check("[]", "{}", false);
        check(
            r#"{"a":1,"b":{"c":[ ]}}"#,
            r#"{ "b":{"c":[]}, "\u0061":1.0 }"#,
            true,
        );
        check(r#"{"a":1}"#, r#"{"a":1,"b":1}"#, false);
        check(r#"{"a":1}"#, r#"{"b":1}"#, false);
        check(r#"{"a":null}"#, "{}", false);
    }

    #[test]
    fn defaults_say_nothing() {
        fn check(value: &str, expected: &[(&str, &str)]) {
            let members = members(value);
            let members: Vec<_> = members.iter().map(|(n, v)| (n.as_str(), *v)).collect();
            assert_eq!(members, expected, "{value}");
        }
        check(
            r#"{"version":1.0,"id":"a","tenant":"b","state":"active","signatures":[ "standard" ],
               "max_concurrency":64,"headers":{},"filters":[],"labels":{}}"#,
            &[],
        );
        let told = r#"{"version":2,"signatures":[],"state":"paused","fields":[],"timeout":"30s"}"#;
        check(
            told,
            &[
                ("fields", "[]"),
                ("signatures", "[]"),
                ("state", r#""paused""#),
                ("timeout", r#""30s""#),
                ("version", "2"),
            ],
        );
        check("not JSON", &[]);
    }
}

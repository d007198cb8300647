//! What a filter compares to, prepared once.

use std::cmp::Ordering;

use super::decimal::Decimal;
use crate::record::json_text::{Kind, Node};

/// A JSON value. At most as deep as a [`Node`], so recursion over it is bounded.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Null,
    Bool(bool),
    /// Source text, its exponent of at most 18 digits: comparisons with any number are exact.
    Number(Box<str>),
    /// In the encoding of [`Node::string`].
    String(Box<[u8]>),
    Array(Vec<Value>),
    /// By name, each once.
    Object(Vec<(Box<[u8]>, Value)>),
}

/// A number's exponent has more than 18 digits.
#[derive(Debug)]
pub(super) struct FarExponent;

impl Value {
    pub(super) fn new(node: Node<'_>) -> Result<Self, FarExponent> {
        Ok(match node.kind() {
            Kind::Null => Self::Null,
            Kind::Bool => Self::Bool(node.text() == "true"),
            Kind::Number if Decimal::new(node.text()).is_far() => return Err(FarExponent),
            Kind::Number => Self::Number(node.text().into()),
            Kind::String => Self::String(node.string().unwrap_or_default().into()),
            Kind::Array => Self::Array(node.elements().map(Self::new).collect::<Result<_, _>>()?),
            Kind::Object => {
                let mut members = node
                    .members()
                    .map(|(name, value)| Ok((name.unescaped().into(), Self::new(value)?)))
                    .collect::<Result<Vec<(Box<[u8]>, Self)>, FarExponent>>()?;
                // Of a repeated name the last counts: the stable sort of the reversed list puts
                // it first, and the first is what stays.
                members.reverse();
                members.sort_by(|(left, _), (right, _)| left.cmp(right));
                members.dedup_by(|(later, _), (kept, _)| later == kept);
                Self::Object(members)
            }
        })
    }

    pub(super) fn as_string(&self) -> Option<&[u8]> {
        match self {
            Self::String(said) => Some(said),
            Self::Null | Self::Bool(_) | Self::Number(_) | Self::Array(_) | Self::Object(_) => None,
        }
    }

    /// Whether the other is the same value: numbers as decimals, strings by code point, objects
    /// whatever the order of their members.
    pub(super) fn equals(&self, other: Node<'_>) -> bool {
        match self {
            Self::Null => other.kind() == Kind::Null,
            Self::Bool(value) => other.text() == if *value { "true" } else { "false" },
            Self::Number(_) | Self::String(_) => self.compare(other) == Some(Ordering::Equal),
            Self::Array(values) => {
                let mut elements = other.elements();
                other.kind() == Kind::Array
                    && values
                        .iter()
                        .all(|value| elements.next().is_some_and(|element| value.equals(element)))
                    && elements.next().is_none()
            }
            Self::Object(members) => other.kind() == Kind::Object && equal_members(members, other),
        }
    }

    /// How this value stands to the other: two numbers or two strings, else there is no order.
    pub(super) fn compare(&self, other: Node<'_>) -> Option<Ordering> {
        match (self, other.kind()) {
            (Self::Number(text), Kind::Number) => {
                Some(Decimal::new(text).compare(Decimal::new(other.text())))
            }
            (Self::String(said), Kind::String) => Some((**said).cmp(&*other.string()?)),
            (
                Self::Null
                | Self::Bool(_)
                | Self::Number(_)
                | Self::String(_)
                | Self::Array(_)
                | Self::Object(_),
                Kind::Null | Kind::Bool | Kind::Number | Kind::String | Kind::Array | Kind::Object,
            ) => None,
        }
    }
}

fn equal_members(members: &[(Box<[u8]>, Value)], other: Node<'_>) -> bool {
    let mut found: Vec<Option<Node<'_>>> = vec![None; members.len()];
    for (name, value) in other.members() {
        let name = name.unescaped();
        match members.binary_search_by(|(present, _)| (**present).cmp(&*name)) {
            Ok(index) => found[index] = Some(value),
            Err(_) => return false,
        }
    }
    members
        .iter()
        .zip(found)
        .all(|((_, value), found)| found.is_some_and(|found| value.equals(found)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equality_is_deep() {
        fn check(left: &str, right: &str, expected: bool) {
            for (left, right) in [(left, right), (right, left)] {
                let value = Value::new(Node::parse(left.as_bytes()).unwrap()).unwrap();
                let node = Node::parse(right.as_bytes()).unwrap();
                assert_eq!(value.equals(node), expected, "{left} {right}");
            }
        }
        check("null", " null ", true);
        check("null", "false", false);
        check("true", "true", true);
        check("true", "false", false);
        check("1.10", "11e-1", true);
        check("1", "\"1\"", false);
        check(r#""\u00e9""#, r#""é""#, true);
        check(r#""\ud800""#, r#""\ufffd""#, false);
        check("[1,2]", "[1.0, 2e0]", true);
        check("[1,2]", "[2,1]", false);
        check("[1,2]", "[1]", false);
        check("[]", "{}", false);
        check("{}", "{ }", true);
        check(
            r#"{"a":1,"b":{"c":[null]}}"#,
            r#"{"b":{"c":[null]},"\u0061":1.0}"#,
            true,
        );
        check(r#"{"a":1}"#, r#"{"a":1,"b":2}"#, false);
        check(r#"{"a":1,"a":2}"#, r#"{"a":2}"#, true);
        check(r#"{"a":1,"a":2}"#, r#"{"a":1}"#, false);
        check(r#"{"a":1}"#, r#"{"b":1}"#, false);
    }

    #[test]
    fn refuses_far_exponents_at_any_depth() {
        for text in [
            "1e9999999999999999999",
            r#"[{"a":[1E-9999999999999999999]}]"#,
        ] {
            assert!(
                Value::new(Node::parse(text.as_bytes()).unwrap()).is_err(),
                "{text}"
            );
        }
    }
}

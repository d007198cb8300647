//! A subscription's `filters`: conditions on an event's own values.
//!
//! A path that leads nowhere, or to another JSON type than the operator works on, makes a positive
//! operator false; a `not_` operator is the exact opposite of its positive one, so it is then true.
//!
//! A path with `[*]` leads to many values: a positive operator holds if it does for any of them, so its
//! `not_` holds if it does for none.

mod decimal;
mod expression;
mod parse;
mod value;

use std::cmp::Ordering;

use serde_json::value::RawValue;

use crate::record::json_text::{Document, Kind, Node, Path};

pub use decimal::same_number;
pub use expression::{EventValue, Expression, ExpressionError, Failure, FailureReason};
pub use parse::{FilterError, FilterRule};
use value::Value;

/// How deep `all`, `any` and `not` may nest, the leaf included.
pub const MAX_DEPTH: usize = 16;

/// The most leaves in one list of filters. A group without members counts as one.
pub const MAX_LEAVES: usize = 256;

/// The list of a subscription's filters. All must hold; an empty list always does.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FilterSet(Vec<Filter>);

impl FilterSet {
    /// Reads the JSON array in a subscription's `filters`.
    ///
    /// # Errors
    /// Names the place (`filters[0].all[1].operator`) and the rule that is broken.
    pub fn parse(filters: &RawValue) -> Result<Self, FilterError> {
        parse::list(filters).map(Self)
    }

    /// Whether every filter holds for this event.
    pub fn matches(&self, event: &Document<'_>) -> bool {
        self.0.iter().all(|filter| filter.matches(event))
    }

    /// Whether there are no filters.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// One filter: a condition or a group of filters.
#[derive(Clone, Debug, PartialEq)]
pub struct Filter(Rule);

impl Filter {
    /// Reads one JSON object: `{"field","operator","value"}`, `{"all":[...]}`, `{"any":[...]}` or
    /// `{"not":{...}}`.
    ///
    /// # Errors
    /// Names the place (`filter.not.value`) and the rule that is broken.
    pub fn parse(filter: &RawValue) -> Result<Self, FilterError> {
        parse::one(filter)
    }

    /// Whether it holds for this event. An empty `all` does, an empty `any` does not.
    pub fn matches(&self, event: &Document<'_>) -> bool {
        self.0.matches(event)
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Rule {
    Leaf(Leaf),
    All(Vec<Filter>),
    Any(Vec<Filter>),
    Not(Box<Filter>),
}

impl Rule {
    /// Recurses at most [`MAX_DEPTH`] deep.
    fn matches(&self, event: &Document<'_>) -> bool {
        match self {
            Self::Leaf(leaf) => leaf.matches(event),
            Self::All(filters) => filters.iter().all(|filter| filter.matches(event)),
            Self::Any(filters) => filters.iter().any(|filter| filter.matches(event)),
            Self::Not(filter) => !filter.matches(event),
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
struct Leaf {
    field: Path,
    test: Test,
    /// A `not_` operator, or `exists` with `false`.
    negated: bool,
}

/// A positive operator with what it compares to.
#[derive(Clone, Debug, PartialEq)]
enum Test {
    /// Present, be it `null`.
    Exists,
    Equals(Value),
    In(Vec<Value>),
    /// A part of a string, or an element of an array.
    Contains(Value),
    StartsWith(Box<[u8]>),
    EndsWith(Box<[u8]>),
    Ordered(Order, Value),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
}

impl Leaf {
    fn matches(&self, event: &Document<'_>) -> bool {
        let holds = event.any(&self.field, |found| self.test.holds(found));
        holds != self.negated
    }
}

impl Test {
    fn holds(&self, found: Node<'_>) -> bool {
        match self {
            Self::Exists => true,
            Self::Equals(value) => value.equals(found),
            Self::In(values) => values.iter().any(|value| value.equals(found)),
            Self::Contains(value) => contains(found, value),
            Self::StartsWith(start) => found.string().is_some_and(|said| said.starts_with(start)),
            Self::EndsWith(end) => found.string().is_some_and(|said| said.ends_with(end)),
            Self::Ordered(order, value) => value
                .compare(found)
                .is_some_and(|ordering| order.holds(ordering.reverse())),
        }
    }
}

impl Order {
    fn holds(self, found_to_value: Ordering) -> bool {
        match self {
            Self::Greater => found_to_value.is_gt(),
            Self::GreaterOrEqual => found_to_value.is_ge(),
            Self::Less => found_to_value.is_lt(),
            Self::LessOrEqual => found_to_value.is_le(),
        }
    }
}

fn contains(found: Node<'_>, value: &Value) -> bool {
    match found.kind() {
        Kind::Array => found.elements().any(|element| value.equals(element)),
        Kind::String => match (found.string(), value.as_string()) {
            (Some(said), Some(part)) => part_of(part, &said),
            (None, _) | (_, None) => false,
        },
        Kind::Null | Kind::Bool | Kind::Number | Kind::Object => false,
    }
}

/// Whether the part stands somewhere in the whole, in linear time: `str` has such a search, slices
/// of bytes have not. What holds an escaped lone surrogate is no `str`; there a character stands for
/// each byte.
fn part_of(part: &[u8], whole: &[u8]) -> bool {
    let widened = |bytes: &[u8]| bytes.iter().copied().map(char::from).collect::<String>();
    match (std::str::from_utf8(part), std::str::from_utf8(whole)) {
        (Ok(part), Ok(whole)) => whole.contains(part),
        (Err(_), Ok(_)) => false,
        (Ok(_) | Err(_), Err(_)) => widened(whole).contains(&widened(part)),
    }
}

#[cfg(test)]
mod tests;

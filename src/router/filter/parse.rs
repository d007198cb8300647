//! From JSON to filters; everything else is refused with its place and the rule.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::value::Value;
use super::{Filter, Leaf, MAX_DEPTH, MAX_LEAVES, Order, Rule, Test};
use crate::record::json_text::{self, Kind, Node, Path, PathError};

/// Why a filter is refused, and where.
#[derive(Debug, thiserror::Error)]
#[error("{at}: {rule}")]
pub struct FilterError {
    /// The place in the JSON: `filters[0].all[1].operator`.
    pub at: String,
    /// What is wrong there.
    pub rule: FilterRule,
}

/// A rule that filters obey.
#[derive(Debug, thiserror::Error)]
pub enum FilterRule {
    /// The JSON itself is refused.
    #[error(transparent)]
    Json(#[from] json_text::Error),
    /// Another JSON type stands here.
    #[error("must be {0}")]
    Type(&'static str),
    /// A member that no filter has.
    #[error("unknown member `{0}`")]
    UnknownMember(String),
    /// A member stands twice.
    #[error("member `{0}` stands twice")]
    RepeatedMember(&'static str),
    /// A condition lacks a member.
    #[error("`{0}` is missing")]
    Missing(&'static str),
    /// Neither a condition nor exactly one group.
    #[error("must be `field`, `operator` and `value`, or one of `all`, `any`, `not`")]
    Form,
    /// An operator that does not exist.
    #[error("unknown operator `{0}`")]
    UnknownOperator(String),
    /// The path is refused.
    #[error(transparent)]
    Path(#[from] PathError),
    /// A number whose exponent has more than 18 digits.
    #[error("an exponent must not have more than 18 digits")]
    Exponent,
    /// Nested deeper than [`MAX_DEPTH`].
    #[error("filters nest deeper than {MAX_DEPTH} levels")]
    TooDeep,
    /// More than [`MAX_LEAVES`].
    #[error("more than {MAX_LEAVES} filters")]
    TooMany,
}

/// The list of a subscription.
pub(super) fn list(filters: &RawValue) -> Result<Vec<Filter>, FilterError> {
    let mut parser = Parser::new("filters");
    let node = parser.node(filters)?;
    if node.kind() != Kind::Array {
        return Err(parser.error(FilterRule::Type("an array")));
    }
    parser.filters(node, 1)
}

/// One filter.
pub(super) fn one(filter: &RawValue) -> Result<Filter, FilterError> {
    let mut parser = Parser::new("filter");
    let node = parser.node(filter)?;
    parser.filter(node, 1)
}

struct Parser {
    at: String,
    leaves: usize,
}

/// The members of a filter's object, each at most once.
#[derive(Default)]
struct Members<'a> {
    field: Option<Node<'a>>,
    operator: Option<Node<'a>>,
    value: Option<Node<'a>>,
    all: Option<Node<'a>>,
    any: Option<Node<'a>>,
    not: Option<Node<'a>>,
}

impl Parser {
    fn new(root: &str) -> Self {
        Self {
            at: root.to_owned(),
            leaves: 0,
        }
    }

    fn error(&self, rule: impl Into<FilterRule>) -> FilterError {
        FilterError {
            at: self.at.clone(),
            rule: rule.into(),
        }
    }

    /// Runs a step one place further in, so that its errors name that place.
    fn within<T>(
        &mut self,
        place: &str,
        step: impl FnOnce(&mut Self) -> Result<T, FilterError>,
    ) -> Result<T, FilterError> {
        let outside = self.at.len();
        self.at.push_str(place);
        let done = step(self)?;
        self.at.truncate(outside);
        Ok(done)
    }

    fn node<'a>(&self, value: &'a RawValue) -> Result<Node<'a>, FilterError> {
        Node::try_from(value).map_err(|error| self.error(error))
    }

    fn count_leaf(&mut self) -> Result<(), FilterError> {
        self.leaves += 1;
        if self.leaves > MAX_LEAVES {
            return Err(self.error(FilterRule::TooMany));
        }
        Ok(())
    }

    /// Recurses with [`Self::filter`], which bounds the depth.
    fn filters(&mut self, array: Node<'_>, depth: usize) -> Result<Vec<Filter>, FilterError> {
        let mut filters = Vec::new();
        for (index, element) in array.elements().enumerate() {
            let place = format!("[{index}]");
            filters.push(self.within(&place, |parser| parser.filter(element, depth))?);
        }
        Ok(filters)
    }

    fn filter(&mut self, node: Node<'_>, depth: usize) -> Result<Filter, FilterError> {
        if depth > MAX_DEPTH {
            return Err(self.error(FilterRule::TooDeep));
        }
        let members = self.members(node)?;
        let (field, operator, value) = (members.field, members.operator, members.value);
        let is_leaf = field.is_some() || operator.is_some() || value.is_some();
        let rule = match (is_leaf, members.all, members.any, members.not) {
            (false, Some(all), None, None) => {
                Rule::All(self.within(".all", |parser| parser.group(all, depth))?)
            }
            (false, None, Some(any), None) => {
                Rule::Any(self.within(".any", |parser| parser.group(any, depth))?)
            }
            (false, None, None, Some(not)) => {
                let filter = self.within(".not", |parser| parser.filter(not, depth + 1))?;
                Rule::Not(Box::new(filter))
            }
            (true, None, None, None) => {
                let missing = |name| self.error(FilterRule::Missing(name));
                let field = field.ok_or_else(|| missing("field"))?;
                let operator = operator.ok_or_else(|| missing("operator"))?;
                let value = value.ok_or_else(|| missing("value"))?;
                Rule::Leaf(self.leaf(field, operator, value)?)
            }
            _ => return Err(self.error(FilterRule::Form)),
        };
        Ok(Filter(rule))
    }

    fn members<'a>(&self, node: Node<'a>) -> Result<Members<'a>, FilterError> {
        if node.kind() != Kind::Object {
            return Err(self.error(FilterRule::Type("an object")));
        }
        let mut members = Members::default();
        for (name, value) in node.members() {
            let (slot, name) = match &*name.unescaped() {
                b"field" => (&mut members.field, "field"),
                b"operator" => (&mut members.operator, "operator"),
                b"value" => (&mut members.value, "value"),
                b"all" => (&mut members.all, "all"),
                b"any" => (&mut members.any, "any"),
                b"not" => (&mut members.not, "not"),
                unknown => return Err(self.error(FilterRule::UnknownMember(shown(unknown)))),
            };
            if slot.replace(value).is_some() {
                return Err(self.error(FilterRule::RepeatedMember(name)));
            }
        }
        Ok(members)
    }

    fn group(&mut self, array: Node<'_>, depth: usize) -> Result<Vec<Filter>, FilterError> {
        if array.kind() != Kind::Array {
            return Err(self.error(FilterRule::Type("an array")));
        }
        let filters = self.filters(array, depth + 1)?;
        if filters.is_empty() {
            self.count_leaf()?;
        }
        Ok(filters)
    }

    fn leaf(
        &mut self,
        field: Node<'_>,
        operator: Node<'_>,
        value: Node<'_>,
    ) -> Result<Leaf, FilterError> {
        self.count_leaf()?;
        let field = self.within(".field", |parser| {
            let text = parser.string(field)?;
            // An escaped lone surrogate.
            let text = std::str::from_utf8(&text)
                .map_err(|_| parser.error(FilterRule::Type("valid Unicode")))?;
            text.parse::<Path>().map_err(|error| parser.error(error))
        })?;
        let operator = self.within(".operator", |parser| {
            let name = parser.string(operator)?;
            Operator::named(&name)
                .ok_or_else(|| parser.error(FilterRule::UnknownOperator(shown(&name))))
        })?;
        let (test, negated) = self.within(".value", |parser| parser.test(operator, value))?;
        Ok(Leaf {
            field,
            test,
            negated,
        })
    }

    /// The test that an operator makes of its value, and whether its opposite is asked for.
    fn test(&self, operator: Operator, node: Node<'_>) -> Result<(Test, bool), FilterError> {
        let value = Value::new(node).map_err(|_| self.error(FilterRule::Exponent))?;
        let wanted = |what| Err(self.error(FilterRule::Type(what)));
        Ok(match (operator, value) {
            (Operator::Equals { negated }, value) => (Test::Equals(value), negated),
            (Operator::Contains { negated }, value) => (Test::Contains(value), negated),
            (Operator::In { negated }, Value::Array(values)) => (Test::In(values), negated),
            (Operator::In { .. }, _) => return wanted("an array"),
            (Operator::Exists, Value::Bool(present)) => (Test::Exists, !present),
            (Operator::Exists, _) => return wanted("true or false"),
            (Operator::StartsWith, Value::String(start)) => (Test::StartsWith(start), false),
            (Operator::EndsWith, Value::String(end)) => (Test::EndsWith(end), false),
            (Operator::StartsWith | Operator::EndsWith, _) => return wanted("a string"),
            (Operator::Ordered(order), value @ (Value::Number(_) | Value::String(_))) => {
                (Test::Ordered(order, value), false)
            }
            (Operator::Ordered(_), _) => return wanted("a number or a string"),
        })
    }

    fn string<'a>(&self, node: Node<'a>) -> Result<Cow<'a, [u8]>, FilterError> {
        node.string()
            .ok_or_else(|| self.error(FilterRule::Type("a string")))
    }
}

#[derive(Clone, Copy)]
enum Operator {
    Equals { negated: bool },
    Contains { negated: bool },
    In { negated: bool },
    Exists,
    StartsWith,
    EndsWith,
    Ordered(Order),
}

impl Operator {
    fn named(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"equals" => Self::Equals { negated: false },
            b"not_equals" => Self::Equals { negated: true },
            b"contains" => Self::Contains { negated: false },
            b"not_contains" => Self::Contains { negated: true },
            b"in" => Self::In { negated: false },
            b"not_in" => Self::In { negated: true },
            b"exists" => Self::Exists,
            b"greater_than" => Self::Ordered(Order::Greater),
            b"greater_or_equal" => Self::Ordered(Order::GreaterOrEqual),
            b"less_than" => Self::Ordered(Order::Less),
            b"less_or_equal" => Self::Ordered(Order::LessOrEqual),
            b"starts_with" => Self::StartsWith,
            b"ends_with" => Self::EndsWith,
            _ => return None,
        })
    }
}

/// A foreign name in an error, at most 64 characters of it.
fn shown(name: &[u8]) -> String {
    String::from_utf8_lossy(name).chars().take(64).collect()
}

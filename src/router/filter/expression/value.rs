//! An event as an expression sees it. Lists and objects are shared, so that a turn over a list copies none.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;

use cel::ExecutionError;
use cel::common::traits::{self, Container, Indexer, Iterable, Sizer};
use cel::common::types::{
    CelBool, CelDouble, CelInt, CelNull, CelString, CelTimestamp, CelUInt, LIST_TYPE, MAP_TYPE,
    Type,
};
use cel::common::value::{CowVal, StaticVal, Val};

use super::meter;
use crate::record::json_text::{Kind, Node, lossy};
use crate::router::payload::Facts;

/// Any value of an event.
type Shared = Box<dyn Val>;

/// The variables that an expression can name.
pub(super) const VARIABLES: [&str; 6] = ["type", "tenant", "id", "timestamp", "data", "metadata"];

/// An event, made ready once for all expressions.
#[derive(Debug)]
pub struct EventValue {
    variables: Vec<(&'static str, Shared)>,
    longest_text: usize,
}

impl EventValue {
    /// Reads an event. A `metadata` that it does not have is an empty object.
    pub fn of(facts: &Facts<'_>) -> Self {
        let mut longest_text = 0;
        let text = |text: &str| -> Shared { Box::new(CelString::from(text.to_owned())) };
        let mut member = |name: &str| -> Shared {
            match facts.document.member(name) {
                Some(node) => value_of(node, &mut longest_text),
                None => Box::new(Object::default()),
            }
        };
        let mut variables = vec![
            ("data", member("data")),
            ("metadata", member("metadata")),
            ("type", text(facts.event_type)),
            ("tenant", text(facts.tenant)),
            ("id", text(facts.id)),
        ];
        if let Ok(time) = chrono::DateTime::parse_from_rfc3339(facts.timestamp) {
            variables.push(("timestamp", Box::new(CelTimestamp::from(time))));
        }
        Self {
            variables,
            longest_text,
        }
    }

    pub(super) fn variables(&self) -> impl Iterator<Item = (&'static str, Shared)> {
        self.variables
            .iter()
            .map(|(name, value)| (*name, value.clone()))
    }

    /// What a turn of a loop can cost at most: it may look through the longest text.
    pub(super) fn step_cost(&self) -> u64 {
        1 + self.longest_text as u64 / 1_024
    }
}

/// Recurses as deep as JSON may nest.
fn value_of(node: Node<'_>, longest_text: &mut usize) -> Shared {
    match node.kind() {
        Kind::Null => Box::new(CelNull),
        Kind::Bool => Box::new(CelBool::from(node.text() == "true")),
        Kind::Number => number(node.text()),
        Kind::String => {
            let said = node.string().unwrap_or_default();
            *longest_text = said.len().max(*longest_text);
            Box::new(CelString::from(lossy(&said)))
        }
        Kind::Array => {
            let elements = node
                .elements()
                .map(|element| value_of(element, longest_text));
            Box::new(List(elements.collect()))
        }
        Kind::Object => {
            let members = node.members().map(|(name, value)| {
                let name = lossy(&name.unescaped());
                let key = CelString::from(name.clone());
                (name, (key, value_of(value, longest_text)))
            });
            // Of a repeated name the last counts.
            Box::new(Object(Arc::new(members.collect())))
        }
    }
}

/// A whole number of 64 bits is an int (or, above its range, a uint), anything else a double.
fn number(text: &str) -> Shared {
    if let Ok(number) = text.parse::<i64>() {
        return Box::new(CelInt::from(number));
    }
    match text.parse::<u64>() {
        Ok(number) => Box::new(CelUInt::from(number)),
        Err(_) => Box::new(CelDouble::from(text.parse::<f64>().unwrap_or(f64::NAN))),
    }
}

#[derive(Clone, Debug)]
struct List(Arc<[Shared]>);

#[derive(Clone, Debug, Default)]
struct Object(Arc<BTreeMap<String, (CelString<'static>, Shared)>>);

impl StaticVal for List {}

impl StaticVal for Object {}

impl Val for List {
    fn get_type(&self) -> &Type {
        &LIST_TYPE
    }

    fn cel_type() -> &'static Type {
        &LIST_TYPE
    }

    fn as_container(&self) -> Option<&dyn Container> {
        Some(self)
    }

    fn as_indexer<'b, 'v>(&'b self) -> Option<&'b (dyn Indexer + 'v)>
    where
        Self: 'v,
    {
        Some(self)
    }

    fn as_iterable<'b, 'v>(&'b self) -> Option<&'b (dyn Iterable + 'v)>
    where
        Self: 'v,
    {
        Some(self)
    }

    fn as_sizer(&self) -> Option<&dyn Sizer> {
        Some(self)
    }

    /// Also with a list that the expression itself makes.
    fn equals(&self, other: &dyn Val) -> bool {
        let (Some(size), Some(list)) = (other.as_sizer(), other.as_iterable()) else {
            return false;
        };
        if other.get_type().kind() != LIST_TYPE.kind()
            || *size.size().inner() != *self.size().inner()
        {
            return false;
        }
        let mut others = list.iter();
        self.0.iter().all(|element| {
            meter::charge(1) && others.next().is_some_and(|other| element.equals(other))
        })
    }

    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v>
    where
        Self: 'v,
    {
        Box::new(self.clone())
    }

    fn as_any(&self) -> Option<&dyn Any> {
        Some(self)
    }
}

impl Container for List {
    fn contains(&self, value: &dyn Val) -> Result<bool, ExecutionError> {
        Ok(self
            .0
            .iter()
            .any(|element| meter::charge(1) && element.equals(value)))
    }
}

impl Indexer for List {
    fn get<'b, 'v>(&'b self, index: &dyn Val) -> Result<CowVal<'b, 'v>, ExecutionError>
    where
        Self: 'v,
    {
        let at = index_of(index)?;
        let found = at.and_then(|at| self.0.get(at));
        match found {
            Some(element) => Ok(CowVal::Borrowed(&**element)),
            None => Err(ExecutionError::IndexOutOfBounds(cel::Value::Null)),
        }
    }

    fn steal<'v>(self: Box<Self>, index: &dyn Val) -> Result<Box<dyn Val + 'v>, ExecutionError>
    where
        Self: 'v,
    {
        self.get(index).map(CowVal::into_owned)
    }
}

/// None: no list is as long.
fn index_of(index: &dyn Val) -> Result<Option<usize>, ExecutionError> {
    if let Some(index) = index.downcast_ref::<CelInt>() {
        return Ok(usize::try_from(*index.inner()).ok());
    }
    if let Some(index) = index.downcast_ref::<CelUInt>() {
        return Ok(usize::try_from(*index.inner()).ok());
    }
    Err(ExecutionError::no_such_overload(
        "_[_]",
        vec!["list".to_owned(), index.get_type().name().to_owned()],
    ))
}

impl Iterable for List {
    fn iter<'b, 'v>(&'b self) -> Box<dyn traits::Iterator<'b, 'v> + 'b>
    where
        Self: 'v,
    {
        Box::new(Elements(self.0.iter()))
    }
}

impl Sizer for List {
    fn size(&self) -> CelInt {
        CelInt::from(i64::try_from(self.0.len()).unwrap_or(i64::MAX))
    }
}

struct Elements<'b>(std::slice::Iter<'b, Shared>);

impl<'b, 'v> traits::Iterator<'b, 'v> for Elements<'b> {
    fn next(&mut self) -> Option<&'b (dyn Val + 'v)> {
        self.0.next().map(|element| &**element as &(dyn Val + 'v))
    }
}

impl Val for Object {
    fn get_type(&self) -> &Type {
        &MAP_TYPE
    }

    fn cel_type() -> &'static Type {
        &MAP_TYPE
    }

    fn as_container(&self) -> Option<&dyn Container> {
        Some(self)
    }

    fn as_indexer<'b, 'v>(&'b self) -> Option<&'b (dyn Indexer + 'v)>
    where
        Self: 'v,
    {
        Some(self)
    }

    fn as_iterable<'b, 'v>(&'b self) -> Option<&'b (dyn Iterable + 'v)>
    where
        Self: 'v,
    {
        Some(self)
    }

    fn as_sizer(&self) -> Option<&dyn Sizer> {
        Some(self)
    }

    fn equals(&self, other: &dyn Val) -> bool {
        let Some(Object(others)) = other.downcast_ref::<Object>() else {
            return false;
        };
        self.0.len() == others.len()
            && self
                .0
                .iter()
                .zip(others.iter())
                .all(|((name, one), (other_name, other))| {
                    meter::charge(1) && name == other_name && one.1.equals(&*other.1)
                })
    }

    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v>
    where
        Self: 'v,
    {
        Box::new(self.clone())
    }

    fn as_any(&self) -> Option<&dyn Any> {
        Some(self)
    }
}

impl Object {
    fn find(&self, name: &dyn Val) -> Result<Option<&Shared>, ExecutionError> {
        match name.downcast_ref::<CelString<'_>>() {
            Some(name) => Ok(self.0.get(name.inner()).map(|(_, value)| value)),
            None => Err(ExecutionError::no_such_overload(
                "_[_]",
                vec!["map".to_owned(), name.get_type().name().to_owned()],
            )),
        }
    }
}

impl Container for Object {
    fn contains(&self, name: &dyn Val) -> Result<bool, ExecutionError> {
        Ok(self.find(name)?.is_some())
    }
}

impl Indexer for Object {
    fn get<'b, 'v>(&'b self, name: &dyn Val) -> Result<CowVal<'b, 'v>, ExecutionError>
    where
        Self: 'v,
    {
        match self.find(name)? {
            Some(value) => Ok(CowVal::Borrowed(&**value)),
            None => {
                let name = name.downcast_ref::<CelString<'_>>();
                let name = name.map_or("", |name| name.inner());
                let end = name.floor_char_boundary(128);
                Err(ExecutionError::no_such_key(&name[..end]))
            }
        }
    }

    fn steal<'v>(self: Box<Self>, name: &dyn Val) -> Result<Box<dyn Val + 'v>, ExecutionError>
    where
        Self: 'v,
    {
        self.get(name).map(CowVal::into_owned)
    }
}

impl Iterable for Object {
    fn iter<'b, 'v>(&'b self) -> Box<dyn traits::Iterator<'b, 'v> + 'b>
    where
        Self: 'v,
    {
        Box::new(Names(self.0.values()))
    }
}

impl Sizer for Object {
    fn size(&self) -> CelInt {
        CelInt::from(i64::try_from(self.0.len()).unwrap_or(i64::MAX))
    }
}

struct Names<'b>(std::collections::btree_map::Values<'b, String, (CelString<'static>, Shared)>);

impl<'b, 'v> traits::Iterator<'b, 'v> for Names<'b> {
    fn next(&mut self) -> Option<&'b (dyn Val + 'v)> {
        self.0.next().map(|(name, _)| name as &(dyn Val + 'v))
    }
}

//! An event as a template sees it. Objects and lists know their source text, so that they are written as the
//! producer wrote them.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use minijinja::value::{Enumerator, Object, ObjectRepr, Value, ValueKind};
use minijinja::{Error, ErrorKind, State};

use super::meter::BYTES_PER_FUEL;
use crate::record::json_text::{Kind, MAX_DEPTH, Node, Path, lossy, minify_into, quote};
use crate::router::payload::{Facts, standard};

/// All that a template can read of an event.
#[derive(Clone, Debug)]
pub struct EventValues {
    /// `event` and its members by their own names.
    names: BTreeMap<&'static str, Value>,
}

impl EventValues {
    pub(in crate::router::payload) fn of(facts: &Facts<'_>) -> Self {
        let mut text = b"{\"type\":".to_vec();
        standard::kind(facts, &mut text);
        text.extend_from_slice(b",\"id\":");
        standard::id(facts, &mut text);
        text.extend_from_slice(b",\"tenant\":");
        text.extend_from_slice(quote(facts.tenant).as_bytes());
        text.extend_from_slice(b",\"timestamp\":");
        standard::timestamp(facts, &mut text);
        text.extend_from_slice(b",\"data\":");
        standard::data(facts, None, &mut text);
        if let Some(metadata) = facts.document.member("metadata") {
            text.extend_from_slice(b",\"metadata\":");
            minify_into(metadata.text(), &mut text);
        }
        text.push(b'}');
        // Made of valid JSON alone.
        let text: Arc<str> = String::from_utf8_lossy(&text).into();
        let mut names = BTreeMap::new();
        if let Ok(root) = Node::parse(text.as_bytes()) {
            let event = value_of(root, &text);
            for name in ["type", "id", "tenant", "timestamp", "data", "metadata"] {
                if let Ok(member) = event.get_attr(name)
                    && !member.is_undefined()
                {
                    names.insert(name, member);
                }
            }
            names.insert("event", event);
        }
        Self { names }
    }

    pub(super) fn context(&self) -> Value {
        self.context_with([])
    }

    pub(super) fn context_with<const N: usize>(&self, more: [(&'static str, Value); N]) -> Value {
        let names = self
            .names
            .iter()
            .map(|(name, value)| (*name, value.clone()));
        map(names.chain(more))
    }
}

/// An object of these members.
pub(super) fn map<'a>(members: impl IntoIterator<Item = (&'a str, Value)>) -> Value {
    let members: BTreeMap<String, Value> = members
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
    Value::from_object(members)
}

/// A part of the event's text.
#[derive(Clone)]
struct Source {
    whole: Arc<str>,
    part: Range<usize>,
}

impl Source {
    fn new(node: Node<'_>, whole: &Arc<str>) -> Self {
        let start = node.text().as_ptr() as usize - whole.as_ptr() as usize;
        Self {
            whole: Arc::clone(whole),
            part: start..start + node.text().len(),
        }
    }

    fn text(&self) -> &str {
        &self.whole[self.part.clone()]
    }
}

struct JsonObject {
    source: Source,
    names: Vec<Value>,
    members: BTreeMap<Box<str>, Value>,
}

struct JsonArray {
    source: Source,
    elements: Vec<Value>,
}

/// Recurses as deep as JSON may nest.
fn value_of(node: Node<'_>, whole: &Arc<str>) -> Value {
    match node.kind() {
        Kind::Null => Value::from(()),
        Kind::Bool => Value::from(node.text() == "true"),
        Kind::Number => number(node.text()),
        Kind::String => Value::from(lossy(&node.string().unwrap_or_default())),
        Kind::Array => Value::from_object(JsonArray {
            source: Source::new(node, whole),
            elements: node
                .elements()
                .map(|element| value_of(element, whole))
                .collect(),
        }),
        Kind::Object => {
            let mut names = Vec::new();
            let mut members = BTreeMap::new();
            for (name, value) in node.members() {
                let name = lossy(&name.unescaped());
                let value = value_of(value, whole);
                // Of a repeated name the last counts.
                if members.insert(name.as_str().into(), value).is_none() {
                    names.push(Value::from(name));
                }
            }
            Value::from_object(JsonObject {
                source: Source::new(node, whole),
                names,
                members,
            })
        }
    }
}

/// Exact as a whole number of at most 128 bits, else the nearest of 64 bits with a fraction.
fn number(text: &str) -> Value {
    if let Ok(number) = text.parse::<i64>() {
        return Value::from(number);
    }
    match text.parse::<i128>() {
        Ok(number) => Value::from(number),
        Err(_) => Value::from(text.parse::<f64>().unwrap_or(f64::NAN)),
    }
}

impl Object for JsonObject {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Map
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.members.get(key.as_str()?).cloned()
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        self.members.get(key).cloned()
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.names.clone())
    }

    fn enumerator_len(self: &Arc<Self>) -> Option<usize> {
        Some(self.names.len())
    }

    fn render(self: &Arc<Self>, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.source.text())
    }
}

impl Object for JsonArray {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Seq
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.elements.get(key.as_usize()?).cloned()
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Seq(self.elements.len())
    }

    fn render(self: &Arc<Self>, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.source.text())
    }
}

impl fmt::Debug for JsonObject {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.source.text())
    }
}

impl fmt::Debug for JsonArray {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.source.text())
    }
}

/// How long the text of an object or list of the event is, in bytes; none for other values.
pub(super) fn source_length(value: &Value) -> Option<usize> {
    let object = value.downcast_object_ref::<JsonObject>();
    let source = object.map(|object| &object.source).or_else(|| {
        let array = value.downcast_object_ref::<JsonArray>();
        array.map(|array| &array.source)
    });
    source.map(|source| source.part.len())
}

/// The filter `tojson`: a value as JSON, what is of the event as its producer wrote it.
pub(super) fn to_json(state: &mut State<'_, '_>, value: &Value) -> Result<Value, Error> {
    let mut json = Bounded::by_fuel_of(state);
    json.write(value, 0)?;
    Ok(Value::from_safe_string(json.text))
}

/// The filter `join`. The library's own asks for fuel only when the whole text is made.
pub(super) fn join(
    state: &mut State<'_, '_>,
    value: &Value,
    between: Option<&str>,
) -> Result<Value, Error> {
    let mut joined = Bounded::by_fuel_of(state);
    for (at, element) in value.try_iter()?.enumerate() {
        state.consume_fuel(1)?;
        if at > 0 {
            joined.push(between.unwrap_or_default())?;
        }
        match element.as_str() {
            Some(text) => joined.push(text)?,
            None => joined.write(&element, 0)?,
        }
    }
    Ok(Value::from(joined.text))
}

/// The filter `string`.
pub(super) fn string(state: &mut State<'_, '_>, value: &Value) -> Result<Value, Error> {
    text_of(state, value).map(Value::from)
}

/// The filter `replace`, of texts alone.
pub(super) fn replace(
    state: &mut State<'_, '_>,
    text: &str,
    from: &str,
    to: &str,
) -> Result<Value, Error> {
    let mut replaced = Bounded::by_fuel_of(state);
    for (at, part) in text.split(from).enumerate() {
        if at > 0 {
            replaced.push(to)?;
        }
        replaced.push(part)?;
    }
    Ok(Value::from(replaced.text))
}

/// The filter `upper`, of texts alone.
pub(super) fn upper(text: &str) -> String {
    text.to_uppercase()
}

/// The filter `lower`, of texts alone.
pub(super) fn lower(text: &str) -> String {
    text.to_lowercase()
}

/// The filter `trim`, of texts alone.
pub(super) fn trim(text: &str) -> String {
    text.trim().to_owned()
}

/// The filter `safe`, of texts alone.
pub(super) fn safe(text: &str) -> Value {
    Value::from_safe_string(text.to_owned())
}

/// A value as it is written into an output: texts as they are, all else as JSON.
pub(super) fn text_of(state: &State<'_, '_>, value: &Value) -> Result<String, Error> {
    let mut text = Bounded::by_fuel_of(state);
    match value.as_str() {
        Some(said) => text.push(said)?,
        None => text.write(value, 0)?,
    }
    Ok(text.text)
}

/// The function `source`: what stands at a path of the event, to the letter: `1.10` stays `1.10`.
pub(super) fn source(state: &mut State<'_, '_>, path: &str) -> Result<Value, Error> {
    let refused = |message: String| Error::new(ErrorKind::InvalidOperation, message);
    let steps: Path = path
        .parse()
        .map_err(|error| refused(format!("source: {error}")))?;
    let event = state.lookup("event").unwrap_or_default();
    let text = event
        .downcast_object_ref::<JsonObject>()
        .map(|object| object.source.text().to_owned())
        .unwrap_or_default();
    state.consume_fuel(text.len() as u64 / 64)?;
    let found = Node::parse(text.as_bytes())
        .ok()
        .and_then(|root| root.get(steps.steps()))
        .map(|node| Value::from_safe_string(node.text().to_owned()));
    found.ok_or_else(|| {
        Error::new(
            ErrorKind::UndefinedError,
            format!("source: there is no `{path}`"),
        )
    })
}

/// A text that grows no further than what is left of the fuel pays for: the engine itself asks for it only
/// when the text is there.
struct Bounded {
    text: String,
    most: usize,
}

impl Bounded {
    fn by_fuel_of(state: &State<'_, '_>) -> Self {
        let (_, left) = state.fuel_levels().unwrap_or_default();
        Self {
            text: String::new(),
            most: usize::try_from(left.saturating_mul(BYTES_PER_FUEL)).unwrap_or(usize::MAX),
        }
    }

    fn push(&mut self, text: &str) -> Result<(), Error> {
        if self.text.len() + text.len() > self.most {
            return Err(Error::from(ErrorKind::OutOfFuel));
        }
        self.text.push_str(text);
        Ok(())
    }

    /// Recurses at most as deep as JSON may nest.
    fn write(&mut self, value: &Value, depth: usize) -> Result<(), Error> {
        if depth > MAX_DEPTH {
            return refused("nested too deep");
        }
        if let Some(object) = value.downcast_object_ref::<JsonObject>() {
            return self.push(object.source.text());
        }
        if let Some(array) = value.downcast_object_ref::<JsonArray>() {
            return self.push(array.source.text());
        }
        match value.kind() {
            ValueKind::None => self.push("null"),
            ValueKind::Bool => self.push(if value.is_true() { "true" } else { "false" }),
            ValueKind::Number => self.push(&number_text(value)?),
            ValueKind::String => self.push(&quote(value.as_str().unwrap_or_default())),
            ValueKind::Seq | ValueKind::Iterable => {
                self.push("[")?;
                for (at, element) in value.try_iter()?.enumerate() {
                    if at > 0 {
                        self.push(",")?;
                    }
                    self.write(&element, depth + 1)?;
                }
                self.push("]")
            }
            ValueKind::Map => {
                self.push("{")?;
                for (at, name) in value.try_iter()?.enumerate() {
                    if at > 0 {
                        self.push(",")?;
                    }
                    let text = name
                        .as_str()
                        .map_or_else(|| name.to_string(), str::to_owned);
                    self.push(&quote(&text))?;
                    self.push(":")?;
                    self.write(&value.get_item(&name)?, depth + 1)?;
                }
                self.push("}")
            }
            ValueKind::Undefined => Err(Error::from(ErrorKind::UndefinedError)),
            _ => refused("no JSON value"),
        }
    }
}

fn refused<T>(message: &'static str) -> Result<T, Error> {
    Err(Error::new(ErrorKind::BadSerialization, message))
}

fn number_text(value: &Value) -> Result<String, Error> {
    if value.is_integer() {
        return Ok(value.to_string());
    }
    match serde_json::Number::from_f64(f64::try_from(value.clone())?) {
        Some(number) => Ok(number.to_string()),
        None => refused("a number that JSON does not have"),
    }
}

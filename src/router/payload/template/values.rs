//! An event as a template sees it. Objects and lists know their source text, so that they are written as the
//! producer wrote them.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use minijinja::value::{Enumerator, Object, ObjectRepr, Value, ValueKind};
use minijinja::{Error, ErrorKind, State};

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

/// The filter `tojson`: a value as JSON, what is of the event as its producer wrote it.
pub(super) fn to_json(state: &mut State<'_, '_>, value: &Value) -> Result<Value, Error> {
    let mut json = String::new();
    write_json(value, &mut json, 0)?;
    state.consume_fuel(json.len() as u64 / 64)?;
    Ok(Value::from_safe_string(json))
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

/// Recurses at most as deep as JSON may nest.
pub(super) fn write_json(value: &Value, json: &mut String, depth: usize) -> Result<(), Error> {
    let refused = |message| Err(Error::new(ErrorKind::BadSerialization, message));
    if depth > MAX_DEPTH {
        return refused("nested too deep");
    }
    if let Some(object) = value.downcast_object_ref::<JsonObject>() {
        json.push_str(object.source.text());
        return Ok(());
    }
    if let Some(array) = value.downcast_object_ref::<JsonArray>() {
        json.push_str(array.source.text());
        return Ok(());
    }
    match value.kind() {
        ValueKind::None => json.push_str("null"),
        ValueKind::Bool => json.push_str(if value.is_true() { "true" } else { "false" }),
        ValueKind::Number => write_number(value, json)?,
        ValueKind::String => json.push_str(&quote(value.as_str().unwrap_or_default())),
        ValueKind::Seq | ValueKind::Iterable => {
            json.push('[');
            for (at, element) in value.try_iter()?.enumerate() {
                if at > 0 {
                    json.push(',');
                }
                write_json(&element, json, depth + 1)?;
            }
            json.push(']');
        }
        ValueKind::Map => {
            json.push('{');
            for (at, name) in value.try_iter()?.enumerate() {
                if at > 0 {
                    json.push(',');
                }
                json.push_str(&quote(&name.to_string()));
                json.push(':');
                write_json(&value.get_item(&name)?, json, depth + 1)?;
            }
            json.push('}');
        }
        ValueKind::Undefined => {
            return Err(Error::from(ErrorKind::UndefinedError));
        }
        _ => return refused("no JSON value"),
    }
    Ok(())
}

fn write_number(value: &Value, json: &mut String) -> Result<(), Error> {
    if value.is_integer() {
        json.push_str(&value.to_string());
        return Ok(());
    }
    let number = f64::try_from(value.clone())?;
    match serde_json::Number::from_f64(number) {
        Some(number) => json.push_str(&number.to_string()),
        None => {
            return Err(Error::new(
                ErrorKind::BadSerialization,
                "a number that JSON does not have",
            ));
        }
    }
    Ok(())
}
